"""Processes that deliver from a store when they are told to, and tell what became of it."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

from support.sqlmodel_processes import prepared_processes
from support.waiting import PATIENCE, readable

from pinguin_adapters.smtp_sender import SmtpRelay, SmtpSender, TlsMode
from pinguin_adapters.sqlmodel_store import SqlModelNotificationRepository
from pinguin_core import (
    Channel,
    Dispatcher,
    EmailAddress,
    Notification,
    NotificationId,
    Sending,
    StaleNotification,
    SystemClock,
)
from pinguin_core.attempt import MARGIN

SUSPENDED: Final = "suspended"
REFUSED: Final = "refused"
RESTS: Final = "rests"

_SENDER: Final = EmailAddress("pinguin@example.com")
_ATTEMPT: Final = timedelta(seconds=45)
LEASE: Final = _ATTEMPT + MARGIN


@dataclass(frozen=True)
class WorkerSetup:
    """How a worker is started.

    Attributes:
        behind: by how much its clock is wrong; so much earlier its leases end by others' clocks.
        is_fenced: whether its store compares before it overwrites, as it should.
    """

    database: Path
    smtp_port: int
    behind: timedelta = timedelta(0)
    is_fenced: bool = True


class Worker:
    """The process, as the test sees it."""

    def __init__(self, setup: WorkerSetup) -> None:
        context = prepared_processes()
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(setup, theirs))
        self._process.start()
        theirs.close()

    def begin(self, suspended_at: NotificationId | None = None) -> None:
        """Let it deliver; if told so, it suspends itself when it is about to store an outcome."""
        self._pipe.send(suspended_at)

    async def end(self) -> None:
        """Let it finish what it does, and then rest."""
        self._pipe.send(None)
        await self.told(RESTS)

    async def told(self, *awaited: str) -> str:
        """Read what it tells, until that is one of these."""
        while True:
            await readable(self._pipe.fileno(), f"a worker to tell: {' or '.join(awaited)}")
            if (told := self._pipe.recv()) in awaited:
                return str(told)

    def signal(self, signum: signal.Signals) -> None:
        if self._process.pid is not None:
            os.kill(self._process.pid, signum)

    def kill(self) -> None:
        self._process.kill()
        self._process.join(PATIENCE)
        self._pipe.close()


@asynccontextmanager
async def worker(setup: WorkerSetup) -> AsyncIterator[Worker]:
    """Start a process; it is killed at the end of the block."""
    started = Worker(setup)
    try:
        yield started
    finally:
        started.kill()


class _Fenced(SqlModelNotificationRepository):
    """Does something just before it stores an outcome."""

    before_save: Callable[[Notification], None]

    async def save(self, notification: Notification) -> None:
        self.before_save(notification)
        await super().save(notification)


class _Unfenced(_Fenced):
    """Overwrites whatever is stored."""

    async def save(self, notification: Notification) -> None:
        self.before_save(notification)
        stored = await self.get(notification.id)
        await SqlModelNotificationRepository.save(
            self, replace(notification, version=stored.version + 1)
        )


class _Behind(SystemClock):
    def __init__(self, behind: timedelta) -> None:
        self._behind = behind

    def now(self) -> datetime:
        return super().now() - self._behind


class _Teller:
    """Tells each step, by the name of the state that it leads to, and what is refused."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    def on_change(self, notification: Notification) -> None:
        if not isinstance(notification.state, Sending):
            self._pipe.send(type(notification.state).__name__)

    def on_provider(self, channel: Channel, *, is_up: bool, reason: str) -> None:
        pass

    def on_trouble(self, where: str, error: Exception) -> None:
        self._pipe.send(REFUSED if isinstance(error, StaleNotification) else f"{where}: {error}")


def _work(setup: WorkerSetup, pipe: Connection) -> None:
    gc.freeze()  # or the first collection would look through all that was loaded
    asyncio.run(_work_when_told(setup, pipe))


async def _work_when_told(setup: WorkerSetup, pipe: Connection) -> None:
    relay = SmtpRelay("127.0.0.1", setup.smtp_port, tls=TlsMode.OFF)
    kind = _Fenced if setup.is_fenced else _Unfenced
    async with (
        kind.open(f"sqlite:///{setup.database}") as store,
        SmtpSender(relay, from_address=_SENDER) as sender,
    ):
        assert isinstance(store, _Fenced)
        while True:
            suspended_at = await asyncio.to_thread(pipe.recv)
            store.before_save = partial(_suspend_oneself, pipe, suspended_at)
            teller = _Teller(pipe)
            async with Dispatcher(
                store,
                email=sender,
                clock=_Behind(setup.behind),
                observer=teller,
                attempt_timeout=_ATTEMPT,
            ):
                await asyncio.to_thread(pipe.recv)
            pipe.send(RESTS)


def _suspend_oneself(pipe: Connection, moment: NotificationId | None, it: Notification) -> None:
    if it.id == moment:
        pipe.send(SUSPENDED)
        os.kill(os.getpid(), signal.SIGSTOP)
