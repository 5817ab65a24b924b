"""What every kind of database does alike, and what only a server could do wrong."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from support.databases import directly
from support.sqlmodel_stores import ADDRESS, BODY, SUBJECT, email, on_every, opened, run, sized

from pinguin_adapters.sqlmodel_store import UnreadableNotification
from pinguin_adapters.sqlmodel_store.outbox import enqueue
from pinguin_adapters.sqlmodel_store.rows import TABLE
from pinguin_core import (
    Channel,
    DuplicateNotification,
    Email,
    EmailAddress,
    IdempotencyKey,
    InvalidValue,
    Notification,
    NotificationId,
    Queued,
    StaleNotification,
    StoreUnavailable,
)
from pinguin_core.testing.fakes import NOON

LEASE = timedelta(minutes=1)
LOCKED = "the database is locked by another process"
DAMAGES = [
    "state = 'thinking'",
    "recipient = 'nobody'",
    "subject = ' \t '",
    "body = ' '",
    "state = 'sent'",
]


async def gathered(*calls: Awaitable[object]) -> list[object]:
    return await asyncio.gather(*calls, return_exceptions=True)


def unstorable(notification: Notification) -> Notification:
    return replace(notification, state=Queued(NOON, "\udce9"))


@pytest.mark.parametrize("size", [1, 2, 65, 600])
def test_batches_of_any_size_are_stored_completely(server_url: str, size: int) -> None:
    async def scenario() -> None:
        async with opened(server_url) as store:
            batch = [email(f"notif-{n}") for n in range(size)]
            await asyncio.gather(*map(store.add, batch))
            after = [each.start(NOON, LEASE) for each in batch]
            await asyncio.gather(*map(store.save, after))
            assert [await store.get(each.id) for each in batch[-5:]] == after[-5:]

    run(scenario())
    with directly(server_url) as connection:
        versions = connection.exec_driver_sql(f"SELECT version FROM {TABLE.name}").scalars().all()
    assert versions == [2] * size


def test_a_batch_of_large_bodies_is_stored_completely(server_url: str) -> None:
    """Together they are more than a server takes as one statement."""

    def large(n: int) -> Notification:
        message = Email(EmailAddress(ADDRESS), SUBJECT, "'\\ü" * 400_000 + str(n))
        return Notification.queue(NotificationId(f"notif-{n}"), message, NOON)

    async def scenario() -> None:
        async with opened(server_url) as store:
            batch = [large(n) for n in range(20)]
            await asyncio.gather(*map(store.add, batch))
            assert await store.get(batch[7].id) == batch[7]

    run(scenario())


def test_what_fails_fails_alone(server_url: str) -> None:
    async def scenario() -> None:
        async with opened(server_url) as store:
            await gathered(*(store.add(email(f"notif-{n}")) for n in range(3)))
            outcomes = await gathered(
                store.add(email("notif-new-1")),
                store.add(email("notif-0")),
                store.add(email("notif-new-1")),
                store.save(email("notif-1").cancel(NOON)),
                store.save(replace(email("notif-2"), version=7)),
                store.save(email("notif-none").cancel(NOON)),
                store.add(unstorable(email("notif-bad"))),
                store.claim_due(Channel.EMAIL, NOON, timedelta.max, 5),
                store.claim_due(Channel.SMS, NOON, LEASE, 5),
            )
            assert [each if each in ([], None) else type(each) for each in outcomes] == [
                None,
                DuplicateNotification,
                DuplicateNotification,
                None,
                StaleNotification,
                StaleNotification,
                InvalidValue,
                InvalidValue,
                [],
            ]
            assert await store.get(NotificationId("notif-1")) == email("notif-1").cancel(NOON)

    run(scenario())


def test_what_is_larger_than_a_server_takes_fails_alone(mysql_url: str) -> None:
    """The server would end the connection, and so fail all that is stored together."""
    with directly(mysql_url) as connection:
        most = connection.exec_driver_sql("SELECT @@max_allowed_packet").scalar_one()

    async def scenario() -> list[object]:
        async with opened(mysql_url) as store:
            return await gathered(
                store.add(email("notif-1")),
                store.add(sized("notif-large", most)),
                store.add(email("notif-2")),
            )

    first, large, second = run(scenario())
    assert (first, second) == (None, None)
    assert isinstance(large, InvalidValue)
    assert str(large).endswith("is larger than the server accepts (max_allowed_packet)")


def test_ids_differ_by_case(any_url: str) -> None:
    async def scenario() -> None:
        async with opened(any_url) as store:
            for name in ("notif-a", "notif-A", "NOTIF-a"):
                await store.add(email(name))
            assert len(await store.claim_due(Channel.EMAIL, NOON, LEASE, 5)) == 3

    run(scenario())


@pytest.mark.parametrize("year", [1, 999, 1000, 1582, 1969, 1970, 2038, 9999])
def test_times_of_all_years_are_kept_to_the_microsecond(any_url: str, year: int) -> None:
    first = datetime(year, 1, 1, tzinfo=UTC)
    last = datetime(year, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
    moved = replace(email(), created_at=first, updated_at=last, scheduled_at=first)

    async def scenario() -> None:
        async with opened(any_url) as store:
            await store.add(moved)
            assert await store.get(moved.id) == moved

    run(scenario())


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_one_is_named_and_set_aside(server_url: str, how: str) -> None:
    async def scenario() -> None:
        async with opened(server_url) as store:
            for n in range(3):
                await store.add(email(f"notif-{n}"))
            with directly(server_url) as connection:
                damage = sa.text(f"UPDATE {TABLE.name} SET {how} WHERE id = 'notif-1'")
                connection.execute(damage)
            with pytest.raises(UnreadableNotification, match="notif-1 cannot be read"):
                await store.get(NotificationId("notif-1"))
            with pytest.raises(UnreadableNotification, match="notif-1 cannot be read"):
                await store.claim_due(Channel.EMAIL, NOON, LEASE, 10)
            claimed = await store.claim_due(Channel.EMAIL, NOON, LEASE, 10)
            assert [str(each.id) for each in claimed] == ["notif-0", "notif-2"]

    run(scenario())


def test_a_time_that_python_cannot_tell_is_damage_too(postgresql_url: str) -> None:
    async def scenario() -> None:
        async with opened(postgresql_url) as store:
            await store.add(email("notif-1"))
            await store.add(email("notif-2"))
            with directly(postgresql_url) as connection:
                connection.exec_driver_sql(
                    f"UPDATE {TABLE.name} SET created_at = 'infinity' WHERE id = 'notif-1'"
                )
            with pytest.raises(UnreadableNotification, match="notif-1"):
                await store.claim_due(Channel.EMAIL, NOON, LEASE, 10)
            assert len(await store.claim_due(Channel.EMAIL, NOON, LEASE, 10)) == 1

    run(scenario())


def test_what_another_has_locked_is_left_out_of_a_claim(server_url: str) -> None:
    async def scenario() -> None:
        async with opened(server_url) as store:
            for n in range(3):
                await store.add(email(f"notif-{n}"))
            with directly(server_url) as other:
                other.exec_driver_sql("BEGIN")
                other.exec_driver_sql(f"SELECT 1 FROM {TABLE.name} WHERE id='notif-1' FOR UPDATE")
                claimed = await store.claim_due(Channel.EMAIL, NOON, LEASE, 5)
                other.exec_driver_sql("COMMIT")
            assert [str(each.id) for each in claimed] == ["notif-0", "notif-2"]
            assert len(await store.claim_due(Channel.EMAIL, NOON, LEASE, 5)) == 1

    run(scenario())


def test_what_stays_locked_is_unavailable_and_then_works_again(server_url: str) -> None:
    async def scenario() -> None:
        async with opened(server_url) as store:
            await store.add(email())
            with directly(server_url) as other:
                other.exec_driver_sql("BEGIN")
                other.exec_driver_sql(f"SELECT 1 FROM {TABLE.name} FOR UPDATE")
                with pytest.raises(StoreUnavailable, match=LOCKED):
                    await store.save(email().cancel(NOON))
                other.exec_driver_sql("COMMIT")
            await store.save(email().cancel(NOON))

    run(scenario())


def test_what_stays_locked_fails_alone(server_url: str) -> None:
    """A row that somebody has locked, and a key in an application's open transaction."""
    key = IdempotencyKey("order-7")

    async def scenario() -> list[object]:
        async with opened(server_url) as store:
            await gathered(*(store.add(email(f"notif-{n}")) for n in range(2)))
            with directly(server_url) as other, transaction(server_url) as application:
                enqueue(application, email().message, idempotency_key=key)
                other.exec_driver_sql("BEGIN")
                other.exec_driver_sql(f"SELECT 1 FROM {TABLE.name} WHERE id='notif-1' FOR UPDATE")
                return await gathered(
                    store.add(email("notif-new-1")),
                    store.add(replace(email("notif-keyed"), idempotency_key=key)),
                    store.add(email("notif-new-2")),
                    store.save(email("notif-0").cancel(NOON)),
                    store.save(email("notif-1").cancel(NOON)),
                    store.claim_due(Channel.SMS, NOON, LEASE, 5),
                )

    *writes, claimed = run(scenario())
    assert [each is None or str(each) for each in writes] == [True, LOCKED, True, True, LOCKED]
    assert all(isinstance(each, StoreUnavailable) for each in writes if each is not None)
    assert claimed == []


def test_a_table_that_stays_locked_is_not_waited_for_once_for_each_of_a_batch(
    postgresql_url: str,
) -> None:
    waits: list[object] = []

    async def scenario() -> None:
        async with opened(postgresql_url) as store:
            with directly(postgresql_url) as other:
                other.exec_driver_sql("BEGIN")
                other.exec_driver_sql(f"LOCK TABLE {TABLE.name} IN SHARE MODE")
                with on_every("handle_error", waits.append):
                    outcomes = await gathered(*(store.add(email(f"notif-{n}")) for n in range(99)))
                other.exec_driver_sql("COMMIT")
            assert {str(each) for each in outcomes} == {LOCKED}
            await store.add(email("notif-1"))

    run(scenario())
    assert len(waits) == 11, "once for all, and for ten of them"


@contextmanager
def transaction(url: str) -> Iterator[sa.Connection]:
    """What an application does in one, and rolls back in the end."""
    with directly(url) as connection:
        connection.execution_options(isolation_level="READ COMMITTED")
        with connection.begin() as undone:
            yield connection
            undone.rollback()


def test_a_deadlock_is_nobodys_problem(server_url: str) -> None:
    """Others lock rows in any order; whoever of us is chosen to give way does it all again."""

    async def scenario() -> None:
        async with opened(server_url) as store:
            for name in ("notif-1", "notif-2"):
                await store.add(email(name))
            with directly(server_url) as other:
                other.exec_driver_sql("BEGIN")
                other.exec_driver_sql(f"SELECT 1 FROM {TABLE.name} WHERE id='notif-2' FOR UPDATE")
                saves = [
                    asyncio.create_task(store.save(email(name).cancel(NOON)))
                    for name in ("notif-1", "notif-2")
                ]
                await asyncio.to_thread(wait_for_lock_wait, server_url)
                await asyncio.to_thread(lock_if_allowed, other, "notif-1")
            await asyncio.gather(*saves)

    run(scenario())


def wait_for_lock_wait(url: str) -> None:
    """Wait until somebody waits for a row of another."""
    question = (
        "SELECT count(*) FROM pg_locks WHERE NOT granted"
        if url.startswith("postgresql")
        else "SELECT count(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'"
    )
    with directly(url) as connection:
        while not connection.exec_driver_sql(question).scalar():
            continue


def lock_if_allowed(connection: sa.Connection, name: str) -> None:
    statement = f"SELECT 1 FROM {TABLE.name} WHERE id='{name}' FOR UPDATE"
    with suppress(sa.exc.OperationalError):
        connection.exec_driver_sql(statement)
    connection.exec_driver_sql("ROLLBACK")


def test_no_error_tells_what_was_to_be_stored(server_url: str) -> None:
    async def scenario() -> list[object]:
        async with opened(server_url) as store:
            await store.add(email())
            with directly(server_url) as connection:
                connection.exec_driver_sql(f"ALTER TABLE {TABLE.name} ADD CHECK (attempts < 7)")
            return await gathered(
                store.add(email()),
                store.add(unstorable(email("notif-bad"))),
                store.add(replace(email("notif-7"), attempts=7)),
                store.add(replace(email("notif-huge"), attempts=2**40)),
            )

    errors = run(scenario())
    assert [type(each) for each in errors] == [DuplicateNotification, *[InvalidValue] * 3]
    for error in errors:
        assert isinstance(error, Exception)
        told = "".join(traceback.format_exception(error)) + repr(error)
        for secret in (ADDRESS, SUBJECT, BODY):
            assert secret not in told
