"""Whether a claim costs the same in a small and in a large store.

    python benchmarks/claim.py [rows …]

Fills a store for each size, nine in ten of its rows final, and times claims of one notification and
of 32, `next_wake` and `get` in rounds that alternate between the stores: a machine has moods.
"""

from __future__ import annotations

import asyncio
import os
import random
import sqlite3
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, TypeVar

from backlog import LEASE, MESSAGE

from pinguin_adapters.sqlmodel_store import SqlModelNotificationRepository
from pinguin_adapters.sqlmodel_store.rows import to_row
from pinguin_adapters.sqlmodel_store.schema import migrate
from pinguin_adapters.sqlmodel_store.sqlite import insert_text, statements, writing_engine
from pinguin_core import (
    Channel,
    Notification,
    NotificationId,
    Sent,
    SystemClock,
    TransientDeliveryError,
)

SIZES: Final = (1_000, 10_000, 100_000, 1_000_000)
ROUNDS: Final = 9
TIMES: Final = 40
BUSY: Final = TransientDeliveryError("450 busy")

_T = TypeVar("_T")

clock = SystemClock()


def rows(path: Path, numbers: range) -> Iterator[tuple[Any, ...]]:
    now = clock.now()
    insert = statements(writing_engine(path)).insert
    waits = Notification.queue(NotificationId("x"), MESSAGE, now)
    kinds = [insert.values(to_row(each)) for each in (waits, replace(waits, state=Sent(now, "r")))]
    for number in numbers:
        yield (f"notif-{number:09}", *kinds[number % 10 > 0][1:])


def make(path: Path) -> None:
    path.touch()
    with writing_engine(path).begin() as connection:
        migrate(connection)


def fill(path: Path, numbers: range) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN")
    connection.executemany(insert_text(1), rows(path, numbers))
    connection.execute("COMMIT")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


class AtOnce:
    """Retries for ever, without a pause."""

    def delay(self, *_: object) -> timedelta:
        """Return no time at all."""
        return timedelta(0)


async def timed(
    call: Callable[[], Awaitable[_T]], undo: Callable[[_T], Awaitable[object]] | None = None
) -> float:
    """Return the median time of a call in microseconds."""
    took = []
    for _ in range(TIMES):
        started = time.perf_counter()
        result = await call()
        took.append(time.perf_counter() - started)
        if undo:
            await undo(result)
    return statistics.median(took) * 1e6


async def measure(path: Path, size: int) -> dict[str, float]:
    async with SqlModelNotificationRepository.open(f"sqlite:///{path}") as store:

        async def get() -> None:
            await store.get(NotificationId(f"notif-{random.randrange(size):09}"))

        async def claim(limit: int) -> Sequence[Notification]:
            claimed = await store.claim_due(Channel.EMAIL, clock.now(), LEASE, limit)
            assert len(claimed) == limit
            return claimed

        async def put_back(claimed: Sequence[Notification]) -> None:
            failed = [each.fail(BUSY, clock.now(), AtOnce()) for each in claimed]
            await asyncio.gather(*map(store.save, failed))

        return {
            "next_wake": await timed(lambda: store.next_wake(Channel.EMAIL)),
            "get": await timed(get),
            "claim of 1": await timed(lambda: claim(1), put_back),
            "claim of 32": await timed(lambda: claim(32), put_back),
        }


def main() -> None:
    sizes = [int(size) for size in sys.argv[1:]] or SIZES
    print(f"{os.cpu_count()} cores, SQLite {sqlite3.sqlite_version}, microseconds, medians")
    figures: dict[int, list[dict[str, float]]] = {size: [] for size in sizes}
    with TemporaryDirectory(dir=Path.cwd()) as folder:
        paths = {size: Path(folder) / f"{size}.db" for size in sizes}
        for size, path in paths.items():
            make(path)
            fill(path, range(size))
        for _ in range(ROUNDS):
            for size, path in paths.items():
                figures[size].append(asyncio.run(measure(path, size)))
    smallest = medians(figures[sizes[0]])
    for size in sizes:
        print(f"{size:9,} rows", end="")
        for name, figure in medians(figures[size]).items():
            print(f"   {name} {figure:5.0f} (ratio {figure / smallest[name]:.2f})", end="")
        print()


def medians(rounds: list[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.median(each[name] for each in rounds) for name in rounds[0]}


main()
