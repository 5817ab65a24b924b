"""Processes that use a store, and start quickly because its modules are loaded already."""

from __future__ import annotations

import asyncio
import os
import signal
from datetime import UTC, datetime, timedelta
from itertools import count
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from multiprocessing.synchronize import Barrier
from pathlib import Path

from support.sqlmodel_stores import email, opened, run

from pinguin_adapters.sqlmodel_store.write_lock import WriteLock
from pinguin_core import Channel, Notification, NotificationId, Receipt
from pinguin_core.testing.fakes import NOON


def prepared_processes() -> ForkServerContext:
    context = get_context("forkserver")
    context.set_forkserver_preload(
        ["pinguin_adapters.sqlmodel_store", "alembic.command", "pinguin_cli.process", "uvloop"]
    )
    return context


def open_with_others(path: Path, ready: Barrier) -> None:
    """Open a store at the same moment as other processes do, and close it."""

    async def open_and_close() -> None:
        async with opened(path):
            pass

    ready.wait(20)
    run(open_and_close())


def add_one(url: str, name: str) -> None:
    """Add what is due now to a store, and close it."""

    async def add() -> None:
        due = Notification.queue(NotificationId(name), email().message, datetime.now(UTC))
        async with opened(url) as store:
            await store.add(due)

    run(add())


def claim_with_others(url: str, ready: Barrier, claimed: Connection) -> None:
    """Claim all there is at the same moment as other processes do, and send the ids."""

    async def claim() -> list[str]:
        names: list[str] = []
        async with opened(url) as store:
            ready.wait(20)
            while part := await store.claim_due(Channel.EMAIL, NOON, timedelta(minutes=1), 50):
                names += [str(each.id) for each in part]
                await asyncio.gather(
                    *(store.save(each.succeed(Receipt("r"), NOON)) for each in part[::2])
                )
        return names

    claimed.send(run(claim()))


def add_for_ever(path: Path | str, round_number: int, answered: Connection) -> None:
    """Add to a store, and send the ids of what was added."""

    async def add(numbers: count[int]) -> None:
        async with opened(path) as store:
            while True:
                batch = [f"notif-{round_number}-{next(numbers)}" for _ in range(5)]
                await asyncio.gather(*(store.add(email(name)) for name in batch))
                answered.send(batch)

    asyncio.run(add(count()))


def hold_write_lock(path: Path, holds: Connection) -> None:
    """Take a turn, say so, and keep it until told to go on."""
    lock = WriteLock(path)
    try:
        lock.take(20)
        holds.send("held")
        holds.recv()
        lock.release()
        holds.recv()
    finally:
        lock.close()


def hold_write_lock_and_fork(path: Path, holds: Connection) -> None:
    """Take a turn, fork a child, say which, and keep the turn; the child lives on."""
    lock = WriteLock(path)
    lock.take(20)
    if child := os.fork():
        holds.send(child)
        holds.recv()
    else:
        signal.pause()
