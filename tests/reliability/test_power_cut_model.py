"""The disk that the power cuts are tried on, and how it is learnt what was written there."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from reliability.power_cut.disk import SECTOR, Disk
from reliability.power_cut.tracing import (
    Answered,
    Asked,
    Event,
    Made,
    Removed,
    Resized,
    SyncBegan,
    SyncEnded,
    UnknownCall,
    Written,
    events,
)

ROOT = Path("/disk")
FILE = ROOT / "file"
MADE = (Made(FILE, is_folder=False), SyncBegan(ROOT, -1), SyncEnded(ROOT, -1))
OLD, NEW = b"o" * SECTOR, b"n" * SECTOR


def synced(path: Path, number: int = 0) -> tuple[Event, Event]:
    return SyncBegan(path, number), SyncEnded(path, number)


def all_images(*done: Event) -> set[bytes | None]:
    """Everything that the file may hold after them, or None where there is none."""
    disk = Disk(ROOT)
    for event in done:
        disk.do(event)
    return {disk.image(random.Random(seed)).get(FILE) for seed in range(300)}


def test_what_was_synchronised_is_always_there() -> None:
    assert all_images(*MADE, Written(FILE, 0, OLD + NEW), *synced(FILE)) == {OLD + NEW}


def test_a_write_may_be_lost_or_torn_into_sectors() -> None:
    before = (*MADE, Written(FILE, 0, OLD + OLD), *synced(FILE))
    found = all_images(*before, Written(FILE, 0, NEW + NEW))
    assert found == {OLD + OLD, OLD + NEW, NEW + OLD, NEW + NEW}


def test_writes_may_reach_the_disk_in_another_order() -> None:
    before = (*MADE, Written(FILE, 0, OLD + OLD), *synced(FILE))
    found = all_images(*before, Written(FILE, 0, NEW), Written(FILE, SECTOR, NEW))
    assert OLD + NEW in found


def test_a_sector_holds_one_of_its_states_and_no_mixture() -> None:
    found = all_images(*MADE, Written(FILE, 0, b"ab"), *synced(FILE), Written(FILE, 0, b"x"))
    assert found == {b"ab", b"xb"}
    found = all_images(
        *MADE,
        Written(FILE, 0, b"ab"),
        *synced(FILE),
        Written(FILE, 0, b"x"),
        Written(FILE, 1, b"y"),
    )
    assert found == {b"ab", b"xb", b"xy"}


def test_a_longer_file_may_be_cut_off_or_hold_zeros() -> None:
    assert all_images(*MADE, Written(FILE, 0, b"ab")) == {b"", b"\0\0", b"ab"}


def test_what_was_cut_off_does_not_come_back() -> None:
    before = (*MADE, Written(FILE, 0, b"ab"), *synced(FILE))
    found = all_images(*before, Resized(FILE, 0), Resized(FILE, 2))
    assert found == {b"ab", b"", b"\0\0"}


def test_a_synchronisation_does_not_cover_what_was_written_after_it_began() -> None:
    began, ended = synced(FILE)
    assert b"" in all_images(*MADE, began, Written(FILE, 0, b"ab"), ended)


def test_a_new_file_may_vanish_until_its_folder_is_synchronised() -> None:
    done = (Made(FILE, is_folder=False), Written(FILE, 0, b"ab"), *synced(FILE))
    assert all_images(*done) == {None, b"ab"}
    assert all_images(*done, *synced(ROOT)) == {b"ab"}


def test_a_removed_file_may_be_there_until_its_folder_is_synchronised() -> None:
    done = (*MADE, Written(FILE, 0, b"ab"), *synced(FILE), Removed(FILE))
    assert all_images(*done) == {None, b"ab"}
    assert all_images(*done, *synced(ROOT)) == {None}
    assert all_images(*done, Made(FILE, is_folder=False)) == {None, b"ab", b""}


def test_a_file_vanishes_with_its_folder() -> None:
    disk, folder = Disk(ROOT), ROOT / "new"
    file = folder / "file"
    made: tuple[Event, ...] = (Made(folder, is_folder=True), Made(file, is_folder=False))
    for event in (*made, Written(file, 0, b"ab"), *synced(file), *synced(folder)):
        disk.do(event)
    found = [disk.image(random.Random(seed)) for seed in range(100)]
    assert {} in found
    assert {file: b"ab"} in found


def hexed(text: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in text.encode())


def read(*lines: str) -> list[Event]:
    return list(events((f"{line}\n" for line in lines), ROOT, Path("/record")))


def test_calls_of_several_threads_are_told_apart() -> None:
    file, record = f"5<{hexed('/disk/file')}>", f"6<{hexed('/record')}>"
    assert read(
        f'1 write({record}, "{hexed("asked 1")}", 7) = 7',
        f"2 fdatasync({file} <unfinished ...>",
        f'3 pwrite64({file}, "{hexed("abcd")}", 4, 8 <unfinished ...>',
        f'1 write({record}, "{hexed("answered 1 a=1 b=2")}", 18 <unfinished ...>',
        "3 <... pwrite64 resumed>) = 3",
        "2 <... fdatasync resumed>)           = 0",
        "1 <... write resumed>) = 18",
        "1 +++ exited with 0 +++",
    ) == [
        Asked(1),
        SyncBegan(FILE, 1),
        Answered(1, {"a": 1, "b": 2}),
        Written(FILE, 8, b"abc"),
        SyncEnded(FILE, 1),
    ]


def test_names_are_made_and_removed_by_whichever_call_the_processor_has() -> None:
    path = hexed("/disk/new")
    assert (
        read(f'1 mkdir("{path}", 0777) = 0', f'1 unlink("{path}") = 0')
        == read(
            f'1 mkdirat(AT_FDCWD, "{path}", 0777) = 0', f'1 unlinkat(AT_FDCWD, "{path}", 0) = 0'
        )
        == [Made(ROOT / "new", is_folder=True), Removed(ROOT / "new")]
    )


@pytest.mark.parametrize(
    "call",
    [
        f'rename("{hexed("/disk/file")}", "{hexed("/disk/other")}") = 0',
        f'rename("{hexed("/elsewhere")}", "{hexed("/disk/file")}") = 0',
        f"mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_SHARED, 5<{hexed('/disk/file')}>, 0) = 0x7f00",
        f'pwritev(5<{hexed("/disk/file")}>, [{{iov_base="{hexed("a")}", iov_len=1}}], 1, 0) = 1',
        f'pwrite64(5<{hexed("/disk/file")}>, "{hexed("a")}"..., 9999, 0) = 9999',
    ],
)
def test_what_cannot_be_replayed_is_refused(call: str) -> None:
    with pytest.raises(UnknownCall):
        read(f"1 {call}")


def test_what_failed_or_was_done_elsewhere_counts_for_nothing() -> None:
    assert (
        read(
            f'1 mkdir("{hexed("/disk/new")}", 0777) = -1 EEXIST (File exists)',
            f'1 unlink("{hexed("/elsewhere")}") = 0',
            f'1 pwrite64(5<{hexed("/disk/file")}>(deleted), "{hexed("a")}", 1, 0) = 1',
        )
        == []
    )
