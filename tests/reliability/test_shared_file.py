"""Promise: many processes share one SQLite file, each gets its share, and none waits for long.

Eight processes accept and deliver without pause. Before, they do the same with a file for each, as
often as this machine lets them: what they then wait for is the machine, not each other. The limits
stand for a machine with nothing else to do; where that shows a slower one, they are four times what
it shows. Noise can spoil that too: only what is too long three times is called too long.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from reliability.figures import Note
from reliability.scale import scale
from support.shared_file import Seen, used_by_all
from support.sqlmodel_stores import raw

from pinguin_adapters.sqlmodel_store.rows import TABLE

PROCESSES = 8
SECONDS = scale(20, 60)
LEAST_SHARE = 0.5  # of the mean
P99 = 0.050  # seconds
LONGEST = 0.500
SLACK = 4
TRIES = 3


def accept_times(seen: Sequence[Seen]) -> tuple[float, float]:
    """The slowest process's 99th percentile, and the longest of all."""
    ordered = [sorted(each.accepted) or [float("inf")] for each in seen]
    return max(times[len(times) * 99 // 100] for times in ordered), max(
        times[-1] for times in ordered
    )


def mistakes(shared: Sequence[Seen]) -> list[str]:
    """Errors, and shares that are too small: no noise excuses them."""
    found = [error for each in shared for error in each.errors]
    for kind, counts in {
        "accepts": [len(each.accepted) for each in shared],
        "delivers": [each.delivered for each in shared],
    }.items():
        if min(counts) < LEAST_SHARE * fmean(counts):
            found.append(f"one {kind} less than half of what the others do: {counts}")
    return found


def delays(shared: Sequence[Seen], alone: Sequence[Seen]) -> list[str]:
    """What takes too long."""
    found = []
    for name, measured, limit, usual in zip(
        ("p99", "longest"), accept_times(shared), (P99, LONGEST), accept_times(alone), strict=True
    ):
        if measured > max(limit, SLACK * usual):
            found.append(f"{name} {measured:.3f} s, alone {usual:.3f} s")
    return found


def alone(folder: Path) -> list[Seen]:
    """What they see when each has a file of its own."""
    return used_by_all([folder / f"own-{n}.db" for n in range(PROCESSES)], SECONDS / 4)


def test_eight_processes_share_one_file(tmp_path: Path, note: Note) -> None:
    tries = []
    for number in range(TRIES):
        (folder := tmp_path / str(number)).mkdir()
        usual = alone(folder)
        shared = used_by_all([folder / "shared.db"] * PROCESSES, SECONDS)
        assert mistakes(shared) == []
        all_is_kept(folder / "shared.db", shared)
        p99, longest = accept_times(shared)
        note(tries=1, accepted=sum(len(each.accepted) for each in shared))
        if not (slow := delays(shared, usual)):
            note(seconds_for_99_percent=p99, seconds_at_the_most=longest)
            return
        tries.append(slow)
    raise AssertionError(f"accepting takes too long: {tries}")


def all_is_kept(path: Path, shared: Sequence[Seen]) -> None:
    with raw(path) as connection:
        kept = connection.execute(
            f"SELECT count(*), sum(state = 'sent'), max(attempts) FROM {TABLE.name}"
        )
        assert kept.fetchone() == (
            sum(len(each.accepted) for each in shared),
            sum(each.delivered for each in shared),
            1,
        )
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_without_turns_the_promise_is_broken_and_that_is_seen(tmp_path: Path) -> None:
    """The negative control: SQLite's own lock alone starves."""
    usual = alone(tmp_path)
    shared = used_by_all([tmp_path / "shared.db"] * PROCESSES, SECONDS / 2, in_turn=False)
    assert [*mistakes(shared), *delays(shared, usual)] != []
