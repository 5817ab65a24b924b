"""Workers in processes of their own, which claim, and then can be killed or suspended."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Final

from support.sqlmodel_processes import prepared_processes
from support.sqlmodel_stores import email, opened
from support.waiting import PATIENCE

from pinguin_core import Channel, Dispatcher, Email, Notification, NotificationId, Receipt

LEASE: Final = timedelta(minutes=1)


AHEAD: Final = timedelta(hours=1)
"""By how much some workers' clock is ahead, so that they claim what is not due to others."""


def due(name: str = "notif-1", ahead: timedelta = timedelta(0)) -> Notification:
    """What is due now, by the clock on the wall, or by one that is ahead of it."""
    now = datetime.now(UTC) + ahead
    return Notification.queue(NotificationId(name), email().message, now)


@contextmanager
def worker(
    url: str, act: Callable[[str, Connection], object]
) -> Iterator[tuple[BaseProcess, Connection]]:
    """Run a worker, and yield it with what it tells, once it tells something."""
    ours, theirs = prepared_processes().Pipe(duplex=False)
    process = prepared_processes().Process(target=act, args=(url, theirs))
    process.start()
    theirs.close()
    try:
        assert ours.poll(PATIENCE), "the worker claims nothing"
        yield process, ours
    finally:
        kill(process)
        ours.close()


def kill(process: BaseProcess) -> None:
    """Kill it, and return when it is dead."""
    process.kill()
    process.join(PATIENCE)


def claim_and_hold(url: str, tell: Connection) -> None:
    """Claim all e-mails that are due, tell how many, and live on."""
    asyncio.run(_claim(url, tell.send))


def claim_ahead(url: str, tell: Connection) -> None:
    """Do the same by a clock that is so much ahead, and a little more."""
    asyncio.run(_claim(url, tell.send, AHEAD + LEASE))


def claim_and_fork(url: str, tell: Connection) -> None:
    """Claim all e-mails that are due, fork a child, tell which, and live on."""

    def fork(_count: int) -> None:
        if child := os.fork():
            tell.send(child)
        else:
            signal.pause()

    asyncio.run(_claim(url, fork))


async def _claim(url: str, then: Callable[[int], None], ahead: timedelta = timedelta(0)) -> None:
    async with opened(url) as store:
        then(len(await store.claim_due(Channel.EMAIL, datetime.now(UTC) + ahead, LEASE, 100)))
        await asyncio.Event().wait()


class _Silent:
    """A sender whose provider never answers."""

    def __init__(self, tell: Connection) -> None:
        self._tell = tell

    async def send(self, message: Email, *, id: NotificationId, date: datetime) -> Receipt:
        self._tell.send(str(id))
        answer: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        return await answer


def send_without_end(url: str, tell: Connection) -> None:
    """Deliver what is due, and tell the id of each whose attempt begins and never ends."""

    async def send() -> None:
        async with opened(url) as store, Dispatcher(store, email=_Silent(tell)):
            await asyncio.Event().wait()

    asyncio.run(send())
