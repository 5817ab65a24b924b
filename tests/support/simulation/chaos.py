"""What befalls the service while it works."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final

from support.simulation.provider import MOODS, Provider
from support.simulation.records import Disturbance, Trouble
from support.simulation.service_process import ServiceProcess, Surroundings
from support.simulation.store import CALM, Weather
from support.simulation.virtual_time import VirtualTimeLoop

_SEEN_TO_DIE: Final = 0.5  # of those that are killed, the share that others see die
_STORMS: Final = (
    Weather(unavailable=1.0),
    Weather(unavailable=0.3, unheard=0.3),
    Weather(full=1.0),
    Weather(slow=0.3),
)


class Chaos:
    """Stops, kills and restarts processes, sets the clock, spoils the store and the providers.

    All ends well: once it is over, everything works and all processes run.

    Args:
        processes: those that run; who dies is replaced.
    """

    def __init__(
        self, loop: VirtualTimeLoop, around: Surroundings, processes: list[ServiceProcess]
    ) -> None:
        self.is_over = False
        self._loop = loop
        self._around = around
        self._chance = around.chance
        self._processes = processes
        self._started = len(processes)

    async def reign(self, clock_set_every: float) -> None:
        """Go on until it is over."""
        around = self._around
        await asyncio.gather(
            *(self._now_and_then(60, self._hit, place) for place in range(len(self._processes))),
            *(self._now_and_then(30, self._spoil, each) for each in (*around.email, around.sms)),
            self._now_and_then(60, self._spoil, *around.email),
            self._now_and_then(60, self._storm),
            self._now_and_then(clock_set_every, self._set_clock),
        )

    async def _now_and_then(
        self, seconds: float, misfortune: Callable[..., Awaitable[None]], *of: object
    ) -> None:
        while not self.is_over:
            await asyncio.sleep(self._chance.expovariate(1 / seconds))
            await misfortune(*of)

    async def _hit(self, place: int) -> None:
        process = self._processes[place]
        misfortune = self._chance.choice([self._stop, self._kill, self._close])
        await misfortune(process)
        if process.is_gone:
            await asyncio.sleep(self._chance.uniform(0.1, 20))
            self._started += 1
            self._processes[place] = ServiceProcess(f"process-{self._started}", self._around)
            await self._processes[place].start()

    async def _stop(self, process: ServiceProcess) -> None:
        await self._loop.at_rest()
        process.stop()
        began = self._event(f"{process.name} is stopped")
        await asyncio.sleep(self._chance.choice([5, 40, 90]) * self._chance.random())
        process.go_on()
        until = self._event(f"{process.name} goes on")
        self._disturb(Trouble.STOPPED, began, until, process)

    async def _kill(self, process: ServiceProcess) -> None:
        await self._loop.at_rest()
        process.kill()
        at = self._event(f"{process.name} is killed")
        self._disturb(Trouble.KILLED, at, at, process)
        await asyncio.sleep(self._chance.uniform(0.1, 2))
        if self._chance.random() < _SEEN_TO_DIE:
            self._around.store.end_claims(process.name, self._around.clock.now())
            self._event(f"{process.name} is seen to be dead")

    async def _close(self, process: ServiceProcess) -> None:
        began = self._event(f"{process.name} is closed")
        await process.close()
        self._disturb(Trouble.CLOSED, began, self._loop.time(), process)

    async def _spoil(self, *providers: Provider) -> None:
        mood = self._chance.choice(list(MOODS))
        for each in providers:
            each.mood = mood
            self._event(f"{each.name} is {mood}")
        await asyncio.sleep(self._chance.uniform(1, 60))
        for each in providers:
            each.mood = "well"

    async def _storm(self) -> None:
        self._around.store.weather = self._chance.choice(_STORMS)
        self._event("the store is in trouble")
        await asyncio.sleep(self._chance.choice([5, 90]) * self._chance.random())
        self._around.store.weather = CALM

    async def _set_clock(self) -> None:
        furthest = self._chance.choice([2, 60, 3600])
        shift = timedelta(seconds=self._chance.uniform(-furthest, furthest))
        moved = self._around.clock.set(shift)
        at = self._event(f"the clock is set by {moved}")
        self._disturb(Trouble.CLOCK_SET, at, at)

    def _disturb(
        self, trouble: Trouble, since: float, until: float, process: ServiceProcess | None = None
    ) -> None:
        name = process.name if process else ""
        self._around.records.disturbances.append(Disturbance(trouble, since, until, name))

    def _event(self, what: str) -> float:
        self._around.records.event(what)
        return self._loop.time()
