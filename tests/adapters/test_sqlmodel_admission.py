"""What waits to be stored is bounded, and room is left for the outcomes of deliveries."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable
from pathlib import Path

import pytest
from support.samples import LEASE
from support.sqlmodel_stores import MIB, email, opened, raw, run, sized

from pinguin_adapters.sqlmodel_store import admission
from pinguin_adapters.sqlmodel_store.admission import Admission
from pinguin_adapters.sqlmodel_store.disk_reserve import RESERVE, DiskReserve
from pinguin_core import Channel, Receipt, StoreFull, StoreUnavailable
from pinguin_core.testing.fakes import NOON

QUEUE = "the queue of notifications to store is full"


async def kinds(calls: list[Awaitable[None]]) -> list[type | None]:
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    return [each if each is None else type(each) for each in outcomes]


def test_more_adds_than_may_wait_are_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "MOST", 20)

    async def scenario() -> None:
        async with opened(tmp_path / "store.db") as store:
            with raw(tmp_path / "store.db") as other:
                other.execute("BEGIN IMMEDIATE")
                waiting = [asyncio.create_task(store.add(email(f"n-{n}"))) for n in range(20)]
                await asyncio.sleep(0)
                for n in range(5):
                    with pytest.raises(StoreFull, match=rf"^{QUEUE}: 20 notifications"):
                        await store.add(email(f"refused-{n}"))
                assert not any(each.done() for each in waiting)
                other.execute("COMMIT")
            await asyncio.gather(*waiting)
            await store.add(email("later"))

    run(scenario())
    with raw(tmp_path / "store.db") as connection:
        assert connection.execute("SELECT count(*) FROM pinguin_notification").fetchone() == (21,)


def test_cancelled_adds_count_until_the_store_has_seen_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They still wait to be stored, however impatient their callers are."""
    monkeypatch.setattr(admission, "MOST", 3)

    async def scenario() -> None:
        async with opened(tmp_path / "store.db") as store:
            with raw(tmp_path / "store.db") as other:
                other.execute("BEGIN IMMEDIATE")
                waiting = [asyncio.create_task(store.add(email(f"n-{n}"))) for n in range(3)]
                await asyncio.sleep(0)
                for each in waiting:
                    each.cancel()
                await asyncio.wait(waiting)
                with pytest.raises(StoreFull, match=QUEUE):
                    await store.add(email("refused"))
                other.execute("COMMIT")
            await store.save(email("n-0").start(NOON, LEASE))
            await asyncio.gather(*(store.add(email(f"later-{n}")) for n in range(3)))

    run(scenario())


def test_refused_and_failed_adds_leave_the_queue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "MOST", 2)

    async def scenario() -> None:
        async with opened(tmp_path / "store.db") as store:
            for _ in range(5):
                await kinds([store.add(email("same")), store.add(email("same"))])
            await asyncio.gather(store.add(email("notif-1")), store.add(email("notif-2")))

    run(scenario())


def test_outcomes_and_claims_are_let_in_when_adds_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "MOST", 2)

    async def scenario() -> None:
        async with opened(tmp_path / "store.db") as store:
            await store.add(email("held"))
            (held,) = await store.claim_due(Channel.EMAIL, NOON, LEASE, 1)
            with raw(tmp_path / "store.db") as other:
                other.execute("BEGIN IMMEDIATE")
                adds = [asyncio.create_task(store.add(email(f"n-{n}"))) for n in range(2)]
                await asyncio.sleep(0)
                with pytest.raises(StoreFull, match=QUEUE):
                    await store.add(email("refused"))
                save = asyncio.create_task(store.save(held.succeed(Receipt("r"), NOON)))
                claim = asyncio.create_task(store.claim_due(Channel.EMAIL, NOON, LEASE, 5))
                await asyncio.sleep(0)
                other.execute("COMMIT")
            await asyncio.gather(*adds, save)
            assert len(await claim) == 2

    run(scenario())


def test_large_texts_fill_the_queue_sooner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "MOST_BYTES", 3 * MIB)

    async def scenario() -> None:
        async with opened(tmp_path / "store.db") as store:
            outcomes = await kinds(
                [store.add(sized(f"notif-{n}", MIB * 9 // 10)) for n in range(5)]
            )
            assert outcomes == [None] * 3 + [StoreFull] * 2

    run(scenario())


def test_one_that_alone_is_larger_than_the_queue_is_let_in_when_it_is_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "MOST_BYTES", MIB)

    async def scenario() -> None:
        async with opened(tmp_path / "store.db") as store:
            await store.add(sized("notif-1", 2 * MIB))

    run(scenario())


def test_what_is_refused_for_want_of_room_does_not_count() -> None:
    def full(_weight: int) -> None:
        raise StoreFull("no room")

    queue = Admission(full)
    for _ in range(2 * admission.MOST):
        with pytest.raises(StoreFull, match="no room"):
            queue.admit(1)


class Disk:
    """A disk whose free room a test sets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
        self.size = size
        self.free = size
        self.looks = 0
        monkeypatch.setattr(os, "statvfs", self.statvfs)

    def statvfs(self, _folder: Path) -> os.statvfs_result:
        self.looks += 1
        blocks, free = self.size // 4096, self.free // 4096
        return os.statvfs_result((4096, 4096, blocks, free, free, 0, 0, 0, 0, 255))


class Watch:
    time = 0.0

    def __call__(self) -> float:
        return self.time


def test_the_last_64_mib_of_a_disk_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    disk, watch = Disk(monkeypatch, 100 << 30), Watch()
    reserve = DiskReserve(Path("/srv"), watch)
    disk.free = RESERVE + MIB
    reserve.require(100)
    disk.free = RESERVE
    watch.time += 1
    with pytest.raises(StoreFull, match=r"less than 64 MiB are free on the disk of /srv, .*: free"):
        reserve.require(100)


def test_of_a_small_disk_a_tenth_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(monkeypatch, 50 * MIB)
    disk.free = 6 * MIB
    DiskReserve(Path("/srv"), Watch()).require(100)
    disk.free = 5 * MIB
    with pytest.raises(StoreFull, match="less than 5 MiB"):
        DiskReserve(Path("/srv"), Watch()).require(100)


def test_a_disk_is_looked_at_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    disk, watch = Disk(monkeypatch, 100 << 30), Watch()
    reserve = DiskReserve(Path("/srv"), watch)
    for tick in range(300):
        watch.time = tick / 100
        reserve.require(100)
    assert disk.looks == 3


def test_between_two_looks_what_was_let_in_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second is long enough to fill what was free."""
    disk, watch = Disk(monkeypatch, 100 << 30), Watch()
    disk.free = RESERVE + 21 * MIB
    reserve = DiskReserve(Path("/srv"), watch)
    for _ in range(10):
        reserve.require(MIB)
    with pytest.raises(StoreFull):
        reserve.require(MIB)
    watch.time += 1
    reserve.require(MIB)


def test_a_file_system_that_cannot_tell_its_size_is_trusted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Disk(monkeypatch, 0)
    DiskReserve(Path("/srv"), Watch()).require(100)


def test_a_folder_that_is_gone_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="gone: No such file"):
        DiskReserve(tmp_path / "gone").require(100)
