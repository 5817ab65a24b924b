"""An event loop whose time passes only while nothing is left to run, and processes on it."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable
from contextvars import Context, ContextVar, copy_context
from datetime import UTC, datetime, timedelta
from functools import partial
from selectors import SelectorKey
from typing import Any, Final

START: Final = datetime(2030, 1, 1, 23, 55, tzinfo=UTC)
"""What the wall clock shows at the loop's time 0, unless it is set: soon a new day begins."""

_PROCESS: ContextVar[SimulatedProcess] = ContextVar("process")


class SimulatedProcess:
    """All that runs in one context: it can be stopped, go on, and be killed at any await.

    A stop is the operating system's: time goes on, replies arrive, but no code runs. What was
    killed vanishes: no handler and no `finally` runs any more.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_gone = False
        self._put_off: list[Callable[[], Any]] | None = None
        self.context = copy_context()
        self.context.run(_PROCESS.set, self)

    @property
    def is_running(self) -> bool:
        return self._put_off is None and not self.is_gone

    def stop(self) -> None:
        self._put_off = []

    def go_on(self) -> None:
        steps, self._put_off = self._put_off or [], None
        for step in steps:
            step()

    def kill(self) -> None:
        self.is_gone = True
        self._put_off = None

    def put_off(self, step: Callable[[], Any]) -> None:
        """Keep a step for later, or for ever."""
        if self._put_off is not None:
            self._put_off.append(step)


def current_process() -> SimulatedProcess:
    """Return the process that is running."""
    return _PROCESS.get()


class _Impatient(selectors.DefaultSelector):
    """Lets time pass instead of waiting."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.resting: list[asyncio.Future[None]] = []

    def select(self, timeout: float | None = None) -> list[tuple[SelectorKey, int]]:
        if timeout is not None and timeout <= 0:
            return []
        if self.resting:
            resting, self.resting = self.resting, []
            for future in resting:
                future.set_result(None)
        elif timeout is None:
            raise AssertionError("everything waits for what never comes")
        else:
            self.now += timeout
        return []


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Runs what is ready; then it is the time of the next timer."""

    def __init__(self) -> None:
        self._impatient = _Impatient()
        super().__init__(self._impatient)

    def time(self) -> float:
        return self._impatient.now

    async def at_rest(self) -> None:
        """Return once everything else waits for time to pass: the moment to stop a process."""
        future = self.create_future()
        self._impatient.resting.append(future)
        await future

    def call_soon(  # type: ignore[override]  # typeshed tells the arguments' types one by one
        self, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        context = copy_context() if context is None else context
        process = context.get(_PROCESS)
        if process is None or process.is_running:
            return super().call_soon(callback, *args, context=context)
        process.put_off(partial(super().call_soon, callback, *args, context=context))
        return asyncio.Handle(callback, args, self, context)


class WallClock:
    """The loop's time as a wall clock tells it, which may be set."""

    def __init__(self, loop: VirtualTimeLoop) -> None:
        self._loop = loop
        self._start = START
        self._sleepers: dict[asyncio.Future[None], None] = {}

    def now(self) -> datetime:
        return self._start + timedelta(microseconds=round(self._loop.time() * 1_000_000))

    async def sleep_until(self, moment: datetime) -> None:
        while (left := (moment - self.now()).total_seconds()) > 0:
            woken = self._loop.create_future()
            timer = self._loop.call_later(left, _wake, woken)
            self._sleepers[woken] = None
            try:
                await woken
            finally:
                timer.cancel()
                del self._sleepers[woken]

    def set(self, shift: timedelta) -> timedelta:
        """Set it so far off the time that has really passed; return by how much that moves it."""
        moved = START + shift - self._start
        self.move(moved)
        return moved

    def move(self, by: timedelta) -> None:
        """Set it forward or back."""
        self._start += by
        for sleeper in list(self._sleepers):
            _wake(sleeper)


def _wake(sleeper: asyncio.Future[None]) -> None:
    if not sleeper.done():
        sleeper.set_result(None)
