"""A whole simulation: callers, processes of the service, a store, providers, and chaos."""

from __future__ import annotations

import asyncio
import gc
import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, Final

from support.simulation.callers import Callers
from support.simulation.chaos import Chaos
from support.simulation.provider import ListingProvider, Provider
from support.simulation.records import Records
from support.simulation.service_process import ServiceProcess, Surroundings
from support.simulation.store import RecordingRepository
from support.simulation.virtual_time import START, VirtualTimeLoop, WallClock

from pinguin_core import (
    Email,
    ExponentialBackoff,
    FailoverSender,
    RetryPolicy,
    Sender,
    Sms,
    SmsQuota,
)

PROCESSES: Final = 3
RELAYS: Final = ("primary", "fallback")
MAX_RETRIES: Final = 4
_A_REQUEST_EACH: Final = 0.1  # seconds, on average
_TRY_AGAIN: Final = 0.8  # the share of set-ups that send again what is in doubt
_TWO_RELAYS: Final = 0.8  # the share of set-ups with a second one
_SOON: Final = timedelta(minutes=1)  # more than a lease
_LONGEST: Final = timedelta(hours=48)
"""What all may take to come to an end, but for SMS that wait for other days."""


def backoff(chance: random.Random) -> RetryPolicy:
    return ExponentialBackoff(
        base=timedelta(seconds=5), max_retries=MAX_RETRIES, uniform=chance.uniform
    )


@dataclass(frozen=True)
class Parts:
    """What a broken variant replaces.

    Attributes:
        sms_per_day: how many may be sent; left to chance if absent.
    """

    store: Callable[[Records], RecordingRepository] = RecordingRepository
    policy: Callable[[random.Random], RetryPolicy] = backoff
    pair: Callable[..., Sender[Email]] = FailoverSender
    sms: Callable[[str, random.Random, Records], Provider] = ListingProvider
    quota: Callable[..., SmsQuota] = SmsQuota
    sms_per_day: int | None = None


SOUND: Final = Parts()


def simulate(
    seed: str, events: int, parts: Parts = SOUND, *, clock_set_every: float = 120
) -> Records:
    """Let chaos reign until there were so many events, then everything come to its end.

    The same seed brings the same events.

    Args:
        seed: where chance begins.
        events: how many there are at the least.
        parts: of the service.
        clock_set_every: after how many seconds on average.
    """
    loop, chance = VirtualTimeLoop(), random.Random(seed)
    records = Records(loop.time)
    records.sms_per_day = parts.sms_per_day or chance.choice([None, events // 120])
    relays = RELAYS if chance.random() < _TWO_RELAYS else RELAYS[:1]
    around = Surroundings(
        chance,
        records,
        WallClock(loop),
        parts.store(records),
        parts.policy(chance),
        [Provider(name, chance, records) for name in relays],
        parts.pair,
        parts.sms("twilio", chance, records),
        parts.quota,
        records.sms_per_day,
        _options(chance),
    )
    records.tries_again_in_doubt = around.options["retry_ambiguous"]
    loop.set_exception_handler(partial(_note_oddity, records))
    gc.disable()  # a third of the time, else; and what was killed must not be finalised meanwhile
    try:
        loop.run_until_complete(_World(loop, around).run(events, clock_set_every))
    finally:
        loop.close()
        gc.enable()
    return records


def _options(chance: random.Random) -> Mapping[str, Any]:
    """Choose how the dispatchers are set up."""
    return {
        "concurrency": chance.choice([4, 16]),
        "email_rate": chance.choice([None, 30.0]),
        "retry_ambiguous": chance.random() < _TRY_AGAIN,
    }


def digest_of(seed: str, events: int) -> str:
    """Return what tells one simulation's events from another's."""
    return simulate(seed, events).digest()


class _World:
    def __init__(self, loop: VirtualTimeLoop, around: Surroundings) -> None:
        self._loop = loop
        self._around = around
        self._records = around.records
        self._processes = [ServiceProcess(f"process-{n}", around) for n in range(1, PROCESSES + 1)]
        self._callers = Callers(self._processes, around.clock, around.chance, around.records)

    async def run(self, events: int, clock_set_every: float) -> None:
        for process in self._processes:
            await process.start()
        chaos = Chaos(self._loop, self._around, self._processes)
        async with asyncio.TaskGroup() as group:
            group.create_task(chaos.reign(clock_set_every))
            while len(self._records.trace) < events:
                group.create_task(self._callers.ask())
                await asyncio.sleep(self._around.chance.expovariate(1 / _A_REQUEST_EACH))
            chaos.is_over = True
        await self._come_to_the_end()
        for process in self._processes:
            await process.close()

    async def _come_to_the_end(self) -> None:
        """Let all the time pass that it may take: days, where only so many SMS may leave in one."""
        clock = self._around.clock
        deadline = clock.now() + _LONGEST + _days_for_sms(self._records)
        while self._records.unfinished and clock.now() < deadline:
            await asyncio.sleep(60)
            self._skip_what_is_only_waited_for()

    def _skip_what_is_only_waited_for(self) -> None:
        """Set the clock to shortly before something is due: so nothing is being sent now."""
        waiting = (self._records.versions[name][-1].wake_at for name in self._records.unfinished)
        due_at = min((moment for moment in waiting if moment is not None), default=START)
        clock = self._around.clock
        clock.move(max(timedelta(0), due_at - clock.now() - _SOON))


def _days_for_sms(records: Records) -> timedelta:
    """Return how long the SMS take of which only so many may leave in a day."""
    if records.sms_per_day is None:
        return timedelta(0)
    sms = sum(isinstance(request.message, Sms) for request in records.requests)
    return timedelta(days=math.ceil(sms / records.sms_per_day))


def _note_oddity(records: Records, _loop: asyncio.AbstractEventLoop, found: dict[str, Any]) -> None:
    if "exception" in found:
        records.oddities.append(f"{found['message']}: {found['exception']!r}")
