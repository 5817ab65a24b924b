"""What the SQL store does in a second, beside plain sqlite3 doing the same to the same table.

    python benchmarks/store.py [rounds]

Rounds alternate between the two, and the medians are compared: a machine has moods.
"""

from __future__ import annotations

import os
import sqlite3
import statistics
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import uvloop
from backlog import add, backlog, claim_and_save

from pinguin_adapters.sqlmodel_store import SqlModelNotificationRepository
from pinguin_adapters.sqlmodel_store.rows import to_row
from pinguin_adapters.sqlmodel_store.schema import migrate
from pinguin_adapters.sqlmodel_store.sqlite import insert_text, statements, writing_engine

BURST: Final = 64
CLAIM: Final = 100
ROWS: Final = 12_800
SINGLE: Final = 500

figures: dict[str, list[float]] = {}
efforts: dict[str, list[float]] = {}


class Stopwatch:
    """Takes the time, and the processor's time, from being made on."""

    def __init__(self) -> None:
        self._started, self._cpu = time.perf_counter(), time.process_time()

    def note(self, name: str, count: int) -> None:
        """Take down what was done since."""
        figures.setdefault(name, []).append(count / (time.perf_counter() - self._started))
        efforts.setdefault(name, []).append((time.process_time() - self._cpu) / count * 1e6)


async def ours(path: Path) -> None:
    async with SqlModelNotificationRepository.open(f"sqlite:///{path}") as store:
        batch, watch = backlog(ROWS), Stopwatch()
        await add(store, batch, BURST)
        watch.note("adds", ROWS)

        watch = Stopwatch()
        await claim_and_save(store, CLAIM)
        watch.note("claims and saves", ROWS)

        batch, watch = backlog(SINGLE), Stopwatch()
        for each in batch:
            await store.add(each)
        watch.note("single adds", SINGLE)

        watch = Stopwatch()
        for each in batch:
            await store.get(each.id)
        watch.note("single gets", SINGLE)


def plain(path: Path) -> None:
    insert = statements(writing_engine(path)).insert
    rows = [insert.values(to_row(each)) for each in backlog(ROWS + SINGLE)]
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = FULL")
        plain_adds(connection, insert_text(1), rows[:ROWS])
        plain_claims(connection)
        plain_singles(connection, insert_text(1), rows[ROWS:])


def many(connection: sqlite3.Connection, sql: str, rows: Iterable[Sequence[Any]]) -> None:
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany(sql, rows)
    connection.execute("COMMIT")


def plain_adds(connection: sqlite3.Connection, insert: str, rows: list[tuple[Any, ...]]) -> None:
    watch = Stopwatch()
    for first in range(0, ROWS, BURST):
        many(connection, insert, rows[first : first + BURST])
    watch.note("plain adds", ROWS)


def plain_claims(connection: sqlite3.Connection) -> None:
    due = (
        "SELECT * FROM pinguin_notification"
        " WHERE channel = 'email' AND wake_at <= ? ORDER BY wake_at"
    )
    step = (
        "UPDATE pinguin_notification SET state = ?, wake_at = ?, version = ?"
        " WHERE id = ? AND version = ?"
    )
    watch, later = Stopwatch(), 1 << 60
    while claimed := connection.execute(f"{due} LIMIT {CLAIM}", [later]).fetchall():
        many(connection, step, [("sending", later + 1, 2, row[0], 1) for row in claimed])
        many(connection, step, [("sent", None, 3, row[0], 2) for row in claimed])
    watch.note("plain claims and saves", ROWS)


def plain_singles(connection: sqlite3.Connection, insert: str, rows: list[tuple[Any, ...]]) -> None:
    watch = Stopwatch()
    for row in rows:
        many(connection, insert, [row])
    watch.note("plain single adds", SINGLE)

    watch = Stopwatch()
    for row in rows:
        connection.execute("SELECT * FROM pinguin_notification WHERE id = ?", row[:1]).fetchall()
    watch.note("plain single gets", SINGLE)


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    for _ in range(rounds):
        with TemporaryDirectory(dir=Path.cwd()) as folder:
            uvloop.run(ours(Path(folder) / "ours.db"))
            with writing_engine(Path(folder) / "plain.db").begin() as connection:
                migrate(connection)
            plain(Path(folder) / "plain.db")
    print(f"{os.cpu_count()} cores, SQLite {sqlite3.sqlite_version}, medians of {rounds} rounds")
    print(f"bursts of {BURST} adds, batches of {CLAIM} claims and saves, every commit durable")
    for name in ("adds", "claims and saves", "single adds", "single gets"):
        our, baseline = (statistics.median(figures[key]) for key in (name, f"plain {name}"))
        cpu, lowest = (statistics.median(efforts[key]) for key in (name, f"plain {name}"))
        print(
            f"{name:17} {our:7,.0f}/s ({1e6 / our:5.0f} us each, {cpu:5.0f} of CPU)"
            f"   plain sqlite3 {baseline:8,.0f}/s ({lowest:4.0f} of CPU)"
            f"   ratio {our / baseline:.2f}"
        )


main()
