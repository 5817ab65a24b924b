"""Killing a process loses nothing that it was answered for."""

from __future__ import annotations

import random
from contextlib import suppress
from pathlib import Path

from support.sqlmodel_processes import add_for_ever, prepared_processes
from support.sqlmodel_stores import raw


def answers_until_killed(path: Path, round_number: int, after: int) -> set[str]:
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
