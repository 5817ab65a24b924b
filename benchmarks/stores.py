"""How many notifications a second each store claims and saves, alone and shared by processes.

    python benchmarks/stores.py [url …]

One process claims all there is in batches and saves each as sent; then four processes do so on one
database at once, and what they claimed is compared: nothing may be claimed twice or left behind.
SQLite comes first, in a folder of its own. The URLs are the store's, of databases without tables of
ours, such as `postgresql://localhost/test`; the tables are removed at the end.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import uvloop
from backlog import add, backlog, claim_and_save
from sqlalchemy.engine import make_url

from pinguin_adapters.sqlmodel_store import SqlModelNotificationRepository
from pinguin_adapters.sqlmodel_store.database import database
from pinguin_adapters.sqlmodel_store.rows import TABLE
from pinguin_adapters.sqlmodel_store.schema import VERSION_TABLE

ALONE: Final = 20_000
SHARED: Final = 50_000
PROCESSES: Final = 4
BATCH: Final = 500


async def fill(url: str, count: int) -> float:
    """Add in bursts, and return how many a second."""
    batch = backlog(count)
    async with SqlModelNotificationRepository.open(url) as store:
        started = time.perf_counter()
        await add(store, batch, BATCH)
        return count / (time.perf_counter() - started)


async def alone(url: str) -> float:
    async with SqlModelNotificationRepository.open(url) as store:
        started = time.perf_counter()
        names = await claim_and_save(store, BATCH)
        assert len(set(names)) == len(names) == ALONE
        return ALONE / (time.perf_counter() - started)


def worker(url: str, ready: Barrier, done: Connection) -> None:
    async def work() -> list[str]:
        async with SqlModelNotificationRepository.open(url) as store:
            ready.wait(60)
            return await claim_and_save(store, BATCH)

    done.send(uvloop.run(work()))


def shared(url: str) -> tuple[float, Sequence[int]]:
    """Let processes share the work; return how many a second, and how many each did."""
    context = get_context("spawn")
    ready = context.Barrier(PROCESSES + 1)
    pipes = [context.Pipe(duplex=False) for _ in range(PROCESSES)]
    for _, theirs in pipes:
        context.Process(target=worker, args=(url, ready, theirs)).start()
    ready.wait(60)
    started = time.perf_counter()
    parts = [ours.recv() for ours, _ in pipes]
    took = time.perf_counter() - started
    names = [name for part in parts for name in part]
    doubles, missing = len(names) - len(set(names)), SHARED - len(set(names))
    if doubles or missing:
        raise SystemExit(f"{doubles} were claimed twice, {missing} never")
    return SHARED / took, [len(part) for part in parts]


def measure(url: str) -> float:
    uvloop.run(fill(url, ALONE))
    by_one = uvloop.run(alone(url))
    added = uvloop.run(fill(url, SHARED))
    by_all, shares = shared(url)
    print(f"{make_url(url).get_backend_name()}, {BATCH} at a time, every commit durable")
    print(f"  added by one process          {added:9,.0f}/s")
    print(f"  claimed and saved by one      {by_one:9,.0f}/s")
    print(
        f"  claimed and saved by {PROCESSES}        {by_all:9,.0f}/s   ratio {by_all / by_one:.2f}"
        f"   {SHARED:,} rows, 0 twice, shares {min(shares):,} to {max(shares):,}"
    )
    return by_one


def tidy(url: str) -> None:
    with database(url).write() as connection:
        for name in (TABLE.name, VERSION_TABLE):
            connection.exec_driver_sql(f"DROP TABLE {name}")
        connection.commit()


def main() -> None:
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before")
    with TemporaryDirectory(dir=Path.cwd()) as folder:
        baseline = measure(f"sqlite:///{folder}/stores.db")
    for url in sys.argv[1:]:
        try:
            alone = measure(url)
        finally:
            tidy(url)
        print(f"  one process, against SQLite   ratio {alone / baseline:.2f}")


if __name__ == "__main__":
    main()
