"""Group commit: what is asked for together is committed together, and fails alone."""

from __future__ import annotations

import asyncio
import resource
import sqlite3
import traceback
from collections.abc import Awaitable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy.engine import Connection
from support.sqlmodel_stores import ADDRESS, BODY, SUBJECT, email, on_every, opened, raw, run

from pinguin_adapters.sqlmodel_store import SqlModelNotificationRepository, sqlite
from pinguin_adapters.sqlmodel_store.worker import Request, Worker
from pinguin_core import (
    Channel,
    DuplicateNotification,
    Email,
    EmailAddress,
    InvalidValue,
    Notification,
    NotificationId,
    Queued,
    StaleNotification,
    StoreFull,
    StoreUnavailable,
)
from pinguin_core.testing.fakes import NOON

LEASE = timedelta(minutes=1)


def unstorable(notification: Notification) -> Notification:
    """A lone surrogate, as it comes of decoding a provider's reply leniently, has no UTF-8."""
    return replace(notification, state=Queued(NOON, "\udce9"))


async def add_until_refused(store: SqlModelNotificationRepository, acknowledged: list[str]) -> None:
    for n in range(10_000):
        await store.add(email(f"notif-{n}"))
        acknowledged.append(f"notif-{n}")


def stored_ids(path: Path) -> set[str]:
    with raw(path) as connection:
        return {name for (name,) in connection.execute("SELECT id FROM pinguin_notification")}


async def gathered(*calls: Awaitable[object]) -> list[object]:
    return await asyncio.gather(*calls, return_exceptions=True)


def test_concurrent_adds_share_a_commit(tmp_path: Path) -> None:
    """One that the writer may have begun with, and one for all that came while it was busy."""
    commits: list[object] = []

    async def scenario() -> None:
        async with opened(tmp_path / "store.db") as store:
            with raw(tmp_path / "store.db") as other:
                other.execute("BEGIN IMMEDIATE")
                commits.clear()
                calls = [asyncio.create_task(store.add(email(f"notif-{n}"))) for n in range(200)]
                await asyncio.sleep(0)
                other.execute("COMMIT")
            await asyncio.gather(*calls)
            assert len(commits) in {1, 2}

    with on_every("commit", commits.append):
        run(scenario())
    assert len(stored_ids(tmp_path / "store.db")) == 200


@pytest.mark.parametrize("size", [1, 2, 3, 63, 64, 65, 127, 200, 513])
def test_batches_of_any_size_are_stored_completely(tmp_path: Path, size: int) -> None:
    async def scenario() -> None:
        async with opened(tmp_path / "store.db") as store:
            batch = [email(f"notif-{n}") for n in range(size)]
            await asyncio.gather(*map(store.add, batch))
            after = [each.start(NOON, LEASE) for each in batch]
            await asyncio.gather(*map(store.save, after))
            assert [await store.get(each.id) for each in batch] == after

    run(scenario())


def test_what_fails_fails_alone(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path / "store.db") as store:
            await gathered(*(store.add(email(f"notif-{n}")) for n in range(3)))
            outcomes = await gathered(
                store.add(email("notif-new-1")),
                store.add(email("notif-0")),
                store.save(email("notif-1").cancel(NOON)),
                store.save(replace(email("notif-2"), version=7)),
                store.save(email("notif-none").cancel(NOON)),
                store.add(unstorable(email("notif-bad"))),
                store.add(email("notif-new-2")),
                store.claim_due(Channel.SMS, NOON, LEASE, 5),
            )
            kinds = [None if each == [] else each and type(each) for each in outcomes]
            assert kinds == [
                None,
                DuplicateNotification,
                None,
                StaleNotification,
                StaleNotification,
                InvalidValue,
                None,
                None,
            ]
            assert await store.get(NotificationId("notif-1")) == email("notif-1").cancel(NOON)

    run(scenario())
    names = {"notif-0", "notif-1", "notif-2", "notif-new-1", "notif-new-2"}
    assert stored_ids(tmp_path / "store.db") == names


def test_a_claim_that_fails_leaves_its_neighbours_alone(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path / "store.db") as store:
            await store.add(email("notif-1"))
            endless, added = await gathered(
                store.claim_due(Channel.EMAIL, NOON, timedelta.max, 5),
                store.add(email("notif-2")),
            )
            assert isinstance(endless, InvalidValue)
            assert added is None
            assert await store.get(email("notif-1").id) == email("notif-1")

    run(scenario())


def test_a_cancelled_caller_is_forgotten_and_its_neighbours_are_answered(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path / "store.db") as store:
            with raw(tmp_path / "store.db") as other:
                other.execute("BEGIN IMMEDIATE")
                gone, stays = (
                    asyncio.create_task(store.add(email(name))) for name in ("notif-1", "notif-2")
                )
                await asyncio.sleep(0)
                gone.cancel()
                other.execute("COMMIT")
            await stays
            assert gone.cancelled()
            await store.add(email("notif-3"))

    run(scenario())
    assert {"notif-2", "notif-3"} <= stored_ids(tmp_path / "store.db")


def test_nothing_is_claimed_for_a_caller_that_is_gone(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path / "store.db") as store:
            await store.add(email())
            with raw(tmp_path / "store.db") as other:
                other.execute("BEGIN IMMEDIATE")
                first = asyncio.create_task(store.add(email("notif-2")))
                await asyncio.sleep(0)
                claim = asyncio.create_task(store.claim_due(Channel.EMAIL, NOON, LEASE, 5))
                await asyncio.sleep(0)
                claim.cancel()
                await asyncio.sleep(0)
                other.execute("COMMIT")
            await first
            assert claim.cancelled()
            assert len(await store.claim_due(Channel.EMAIL, NOON, LEASE, 5)) == 2

    run(scenario())


def test_closing_does_what_was_asked_for_before(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path / "store.db") as store:
            calls = [asyncio.create_task(store.add(email(f"notif-{n}"))) for n in range(700)]
            await asyncio.sleep(0)
        assert await gathered(*calls) == [None] * 700

    run(scenario())
    assert len(stored_ids(tmp_path / "store.db")) == 700


def test_a_closed_store_refuses(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path / "store.db") as store:
            pass
        for outcome in await gathered(
            store.add(email()),
            store.get(email().id),
            store.save(email()),
            store.claim_due(Channel.EMAIL, NOON, LEASE, 1),
            store.next_wake(Channel.EMAIL),
        ):
            assert isinstance(outcome, StoreUnavailable)
            assert str(outcome) == "the store is closed"

    run(scenario())


def test_reads_do_not_wait_for_writes(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path / "store.db") as store:
            await store.add(email())
            with raw(tmp_path / "store.db") as other:
                other.execute("BEGIN IMMEDIATE")
                waiting = asyncio.create_task(store.add(email("notif-2")))
                await asyncio.sleep(0)
                assert await store.get(email().id) == email()
                assert await store.next_wake(Channel.EMAIL) == NOON
                assert not waiting.done()
                other.execute("COMMIT")
            await waiting

    run(scenario())


def test_a_locked_database_is_unavailable_and_then_works_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "_PATIENCE", 0.02)

    async def scenario() -> None:
        async with opened(tmp_path / "store.db") as store:
            with raw(tmp_path / "store.db") as other:
                other.execute("BEGIN IMMEDIATE")
                outcomes = await gathered(*(store.add(email(f"notif-{n}")) for n in range(3)))
                assert {type(each) for each in outcomes} == {StoreUnavailable}
                assert len({id(each) for each in outcomes}) == 3, "each caller has its own error"
                other.execute("COMMIT")
            await store.add(email())

    run(scenario())


def test_a_full_database_says_so_and_keeps_what_it_acknowledged(tmp_path: Path) -> None:
    def keep_small(connection: sqlite3.Connection, _record: object) -> None:
        connection.execute("PRAGMA max_page_count = 40")

    acknowledged: list[str] = []

    async def scenario() -> None:
        async with opened(tmp_path / "store.db") as store:
            with pytest.raises(StoreFull, match=r"^the database or its disk is full$"):
                await add_until_refused(store, acknowledged)
            assert await store.get(email("notif-0").id) == email("notif-0")

    with on_every("connect", keep_small):
        run(scenario())
    assert stored_ids(tmp_path / "store.db") == set(acknowledged)


def test_a_failing_disk_is_unavailable_and_loses_nothing_acknowledged(tmp_path: Path) -> None:
    """The system refuses to let the log grow; later it does not."""
    path = tmp_path / "store.db"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    acknowledged: list[str] = []

    async def scenario() -> None:
        async with opened(path) as store:
            await store.add(email("notif-first"))
            limit = path.with_name("store.db-wal").stat().st_size + 20_000
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
            try:
                with pytest.raises(StoreUnavailable, match="the database failed"):
                    await add_until_refused(store, acknowledged)
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            await store.add(email("notif-last"))

    run(scenario())
    assert acknowledged
    assert {"notif-first", *acknowledged, "notif-last"} <= stored_ids(path)


def test_no_error_tells_what_was_to_be_stored(tmp_path: Path) -> None:
    """Nor does its traceback, which goes on to the errors of the libraries below."""

    def keep_small(connection: sqlite3.Connection, _record: object) -> None:
        connection.execute("PRAGMA max_page_count = 20")

    def giant(n: int) -> Notification:
        message = Email(EmailAddress(ADDRESS), SUBJECT, BODY * 10_000)
        return Notification.queue(NotificationId(f"notif-giant-{n}"), message, NOON)

    async def scenario() -> list[object]:
        async with opened(tmp_path / "store.db") as store:
            await store.add(email())
            return [
                *await gathered(store.add(email())),
                *await gathered(store.add(unstorable(email("notif-bad")))),
                *await gathered(*(store.add(giant(n)) for n in range(3))),
            ]

    with on_every("connect", keep_small):
        errors = run(scenario())
    assert {type(each) for each in errors} == {DuplicateNotification, InvalidValue, StoreFull}
    for error in errors:
        assert isinstance(error, Exception)
        told = "".join(traceback.format_exception(error)) + repr(error)
        for secret in (ADDRESS, SUBJECT, BODY):
            assert secret not in told


def test_a_bug_in_the_thread_reaches_all_who_wait(tmp_path: Path) -> None:
    def buggy(_connection: Connection, _requests: Sequence[Request[str]]) -> None:
        raise ZeroDivisionError

    async def scenario() -> None:
        connect = sqlite.writing_engine(tmp_path / "store.db").connect
        async with Worker("test-store", connect, buggy) as worker:
            for outcome in await gathered(worker.ask("one"), worker.ask("two")):
                assert isinstance(outcome, ZeroDivisionError)

    run(scenario())
