"""Promise: what was answered is on stable storage.

A program works on a store while strace writes down all that it does to its files. From that, power
is cut at any moment: what was synchronised is there, and of the rest whatever chance keeps. SQLite
opens each image, and has to find all that was answered before the cut. Killing a process cannot
show a missing fsync; this can.

The seed brings back the chance, but no two traces are quite the same. So the trace of a failure and
the first image that breaks the promise stay in the folder that the failure names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from reliability.figures import Note
from reliability.power_cut.program import Variant
from reliability.power_cut.replay import (
    Verdict,
    answered_without_sync,
    checkpoints,
    images,
    judged,
    laid_out,
)
from reliability.power_cut.tracing import Answered, Event, database_in, disk_in, traced
from reliability.scale import scale
from support.quick_folders import quick_folder
from support.sqlmodel_stores import email, opened, run

TRACES = scale(1, 10)
IMAGES = scale(2_000, 10_000)  # of each trace
FIRST_STARTS = scale(20, 500)
CONTROL_IMAGES = 300


@dataclass(frozen=True)
class Work:
    """What a program did in a folder."""

    folder: Path
    events: Sequence[Event]

    @property
    def database(self) -> Path:
        return database_in(self.folder)

    def answers(self) -> list[int]:
        """Where in it calls were answered that promise something."""
        return [
            place
            for place, event in enumerate(self.events)
            if isinstance(event, Answered) and event.versions
        ]

    def judged(self, name: str, count: int) -> Verdict:
        found = images(self.events, disk_in(self.folder), name, count)
        return judged(found, self.database, self.folder / "broken image")


def work_of(folder: Path, variant: Variant) -> Work:
    return Work(folder, traced(folder, variant))


@pytest.mark.parametrize("number", range(TRACES))
def test_a_power_cut_loses_nothing_that_was_answered(
    tmp_path: Path, note: Note, number: int
) -> None:
    work = work_of(tmp_path, Variant.TRUE)
    assert len(work.answers()) >= 200
    assert checkpoints(work.events, work.database) >= 4
    verdict = work.judged(f"trace {number}", IMAGES)
    note(images=verdict.images, answers_looked_for=verdict.promises)
    assert (verdict.lost[:3], verdict.corrupt[:3]) == ([], []), f"see {tmp_path}"
    assert verdict.images == IMAGES
    assert verdict.promises >= 20 * IMAGES, "too few images were cut late enough to lose something"
    assert answered_without_sync(work.events, work.database) == []


def test_a_store_opens_after_a_power_cut_at_any_moment_of_its_making(tmp_path: Path) -> None:
    work = work_of(tmp_path, Variant.TRUE)
    making = work.events[: work.answers()[0]]

    async def open_and_use(path: Path) -> None:
        async with opened(path) as store:
            await store.add(email())
            assert await store.get(email().id) == email()

    for image in images(making, disk_in(tmp_path), "first start", FIRST_STARTS):
        with quick_folder() as folder:
            run(open_and_use(laid_out(image, work.database, Path(folder))))


@pytest.mark.parametrize("variant", [Variant.NORMAL, Variant.HASTY])
def test_answers_before_a_synchronisation_are_found_out(tmp_path: Path, variant: Variant) -> None:
    """The negative control: of both, the proof by replay and the one by counting."""
    work = work_of(tmp_path, variant)
    verdict = work.judged(variant, CONTROL_IMAGES)
    assert verdict.lost
    assert verdict.corrupt == []
    assert answered_without_sync(work.events, work.database)


def test_folders_that_are_not_synchronised_are_found_out(tmp_path: Path) -> None:
    """The negative control: the database itself was, but nothing leads there any more."""
    work = work_of(tmp_path, Variant.FOLDERS)
    assert work.judged("folders", CONTROL_IMAGES).lost
    assert answered_without_sync(work.events, work.database) == []


def test_damage_is_found_out(tmp_path: Path) -> None:
    """The negative control: checkpoints that wait for no disk."""
    assert work_of(tmp_path, Variant.OFF).judged("damage", CONTROL_IMAGES).corrupt
