"""Killing a process loses nothing that it was answered for."""

from __future__ import annotations

import random
from contextlib import suppress
from pathlib import Path

from support.databases import directly
from support.sqlmodel_processes import add_for_ever, prepared_processes
from support.sqlmodel_stores import raw

from pinguin_adapters.sqlmodel_store.rows import TABLE


def answers_until_killed(path: Path | str, round_number: int, after: int) -> set[str]:
    """Start a process that adds to the store, and kill it once so many adds were answered."""
    context = prepared_processes()
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=add_for_ever, args=(path, round_number, theirs))
    process.start()
    theirs.close()
    names: set[str] = set()
    try:
        while len(names) < after and ours.poll(30):
            names.update(ours.recv())
    finally:
        process.kill()
        process.join(30)
    with ours, suppress(EOFError):
        while True:
            names.update(ours.recv())
    return names


def test_kill_9_loses_nothing_that_was_answered(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    answered: set[str] = set()
    for round_number in range(12):
        answered |= answers_until_killed(path, round_number, random.randint(5, 150))
    with raw(path) as connection:
        stored = {name for (name,) in connection.execute("SELECT id FROM pinguin_notification")}
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert len(answered) >= 60
    assert answered <= stored


def test_kill_9_loses_nothing_on_a_server_either(server_url: str) -> None:
    """And leaves no lock behind: the next process adds and claims at once."""
    answered: set[str] = set()
    for round_number in range(4):
        answered |= answers_until_killed(server_url, round_number, random.randint(5, 150))
    with directly(server_url) as connection:
        stored = set(connection.exec_driver_sql(f"SELECT id FROM {TABLE.name}").scalars())
    assert len(answered) >= 20
    assert answered <= stored
