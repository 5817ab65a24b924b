"""Processes that use a store, and start quickly because its modules are loaded already."""

from __future__ import annotations

import asyncio
from itertools import count
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from multiprocessing.synchronize import Barrier
from pathlib import Path

from support.sqlmodel_stores import email, opened, run


def prepared_processes() -> ForkServerContext:
    context = get_context("forkserver")
    context.set_forkserver_preload(["pinguin_adapters.sqlmodel_store", "alembic.command"])
    return context


def open_with_others(path: Path, ready: Barrier) -> None:
    """Open a store at the same moment as other processes do, and close it."""

    async def open_and_close() -> None:
        async with opened(path):
            pass

    ready.wait(20)
    run(open_and_close())


def add_for_ever(path: Path, round_number: int, answered: Connection) -> None:
    """Add to a store, and send the ids of what was added."""

    async def add(numbers: count[int]) -> None:
        async with opened(path) as store:
            while True:
                batch = [f"notif-{round_number}-{next(numbers)}" for _ in range(5)]
                await asyncio.gather(*(store.add(email(name)) for name in batch))
                answered.send(batch)

    asyncio.run(add(count()))
