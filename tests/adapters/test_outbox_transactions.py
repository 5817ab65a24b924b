"""What the application's transaction commits is delivered once; what it does not, never was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session, sessionmaker
from support.databases import KINDS, fresh
from support.outbox_application import (
    WAYS,
    WELCOME,
    Order,
    Way,
    deliveries,
    engine_of,
    make_tables,
    stored,
)
from support.sqlmodel_stores import run

from pinguin_adapters.sqlmodel_store import (
    SqlModelNotificationRepository,
    enqueue,
    enqueue_async,
    metadata,
)
from pinguin_adapters.sqlmodel_store.rows import TABLE
from pinguin_core import (
    IdempotencyConflict,
    IdempotencyKey,
    InvalidValue,
    NotificationId,
    NotificationService,
    PhoneNumber,
    Queued,
    Sms,
)


@pytest.fixture(params=KINDS)
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A database with the application's tables and Pinguin's."""
    with fresh(request.param) as url:
        make_tables(url)
        yield url


@pytest.fixture(
    params=[(kind, way) for kind, ways in WAYS.items() for way in ways],
    ids=lambda each: f"{each[0]}-{each[1].__name__}",
)
def entry(request: pytest.FixtureRequest) -> Iterator[Entry]:
    """A database, and a way into it."""
    kind, way = request.param
    with fresh(kind) as url:
        make_tables(url)
        yield Entry(url, way)


class Entry(NamedTuple):
    url: str
    way: Way


def test_what_is_committed_is_delivered_once(entry: Entry) -> None:
    url, way = entry

    async def scenario() -> None:
        async with way(url) as transaction:
            queued = await transaction.enqueue(WELCOME)
            assert stored(url) == (0, 0)
        assert stored(url) == (1, 1)
        (delivery,) = await deliveries(url)
        assert (delivery.id, delivery.message) == (queued.id, WELCOME)

    run(scenario())


def test_two_in_one_transaction_are_both_delivered(entry: Entry) -> None:
    url, way = entry

    async def scenario() -> None:
        async with way(url) as transaction:
            ids = [(await transaction.enqueue(WELCOME)).id for _ in range(2)]
        assert sorted(delivery.id for delivery in await deliveries(url)) == sorted(ids)

    run(scenario())


KEY = IdempotencyKey("order-7")


def test_a_key_that_comes_again_makes_no_second_notification(entry: Entry) -> None:
    """Whether it comes in the same transaction, in another one or through a service."""
    url, way = entry

    async def scenario() -> None:
        async with way(url) as transaction:
            first = await transaction.enqueue(WELCOME, idempotency_key=KEY)
            again = await transaction.enqueue(WELCOME, idempotency_key=KEY)
        async with way(url) as transaction:
            later = await transaction.enqueue(WELCOME, idempotency_key=KEY)
        async with SqlModelNotificationRepository.open(url) as store:
            sent = await NotificationService(store).send(WELCOME, idempotency_key=KEY)
        assert {first.id, again.id, later.id, sent.id} == {first.id}
        assert stored(url)[1] == 1

    run(scenario())


def test_a_key_that_was_rolled_back_is_free_again(entry: Entry) -> None:
    url, way = entry

    async def scenario() -> None:
        with suppress(ZeroDivisionError):
            async with way(url) as transaction:
                await transaction.enqueue(WELCOME, idempotency_key=KEY)
                raise ZeroDivisionError
        async with way(url) as transaction:
            await transaction.enqueue(WELCOME, idempotency_key=KEY)
        assert stored(url) == (1, 1)

    run(scenario())


def test_a_key_for_something_else_is_refused_and_the_transaction_goes_on(entry: Entry) -> None:
    url, way = entry
    tomorrow = datetime.now(UTC) + timedelta(days=1)

    async def scenario() -> None:
        async with way(url) as transaction:
            await transaction.enqueue(WELCOME, idempotency_key=KEY)
            with pytest.raises(IdempotencyConflict):
                await transaction.enqueue(
                    Sms(PhoneNumber("+15550100123"), "Hi"), idempotency_key=KEY
                )
            with pytest.raises(IdempotencyConflict):
                await transaction.enqueue(WELCOME, scheduled_at=tomorrow, idempotency_key=KEY)
            await transaction.enqueue(WELCOME)
        assert stored(url) == (1, 2)

    run(scenario())


def test_what_an_exception_rolls_back_was_never_there(entry: Entry) -> None:
    url, way = entry

    async def scenario() -> None:
        with suppress(ZeroDivisionError):
            async with way(url) as transaction:
                await transaction.enqueue(WELCOME)
                raise ZeroDivisionError
        assert stored(url) == (0, 0)

    run(scenario())


def test_what_a_savepoint_takes_back_was_never_there(entry: Entry) -> None:
    """And the rest of the transaction stays."""
    url, way = entry

    async def scenario() -> None:
        async with way(url) as transaction:
            kept = await transaction.enqueue(WELCOME)
            with suppress(ZeroDivisionError):
                async with transaction.savepoint():
                    await transaction.enqueue(WELCOME)
                    raise ZeroDivisionError
        assert stored(url) == (1, 1)
        assert [delivery.id for delivery in await deliveries(url)] == [kept.id]

    run(scenario())


def test_a_savepoint_that_is_released_does_not_outlive_the_transaction(entry: Entry) -> None:
    url, way = entry

    async def scenario() -> None:
        with suppress(ZeroDivisionError):
            async with way(url) as transaction:
                async with transaction.savepoint():
                    await transaction.enqueue(WELCOME)
                raise ZeroDivisionError
        assert stored(url) == (0, 0)

    run(scenario())


def test_it_is_stored_as_it_is_returned(entry: Entry) -> None:
    """To the microsecond."""
    url, way = entry

    async def scenario() -> None:
        async with way(url) as transaction:
            queued = await transaction.enqueue(WELCOME)
        async with SqlModelNotificationRepository.open(url, migrate=False) as store:
            assert await store.get(queued.id) == queued

    run(scenario())


def test_it_can_be_scheduled(url: str) -> None:
    zone = datetime.now().astimezone().tzinfo
    new_year = datetime(2130, 1, 1, 9, 30, 0, 123456, tzinfo=UTC)

    async def scenario() -> None:
        with Session(engine_of(url)) as session, session.begin():
            queued = enqueue(session, WELCOME, scheduled_at=new_year.astimezone(zone))
        assert queued.state == Queued(new_year)
        async with SqlModelNotificationRepository.open(url, migrate=False) as store:
            assert (await store.get(queued.id)).scheduled_at == new_year
            assert await store.next_wake(queued.channel) == new_year

    run(scenario())


def test_a_past_time_is_due_at_once(url: str) -> None:
    with Session(engine_of(url)) as session, session.begin():
        queued = enqueue(session, WELCOME, scheduled_at=datetime(1, 1, 1, tzinfo=UTC))
    assert datetime.now(UTC) - timedelta(minutes=5) < queued.state.due_at <= datetime.now(UTC)  # type: ignore[union-attr]  # it is queued


def test_a_time_without_a_zone_is_refused_and_the_session_stays_usable(url: str) -> None:
    with Session(engine_of(url)) as session, session.begin():
        with pytest.raises(InvalidValue, match="scheduled_at"):
            enqueue(session, WELCOME, scheduled_at=datetime(2030, 1, 1))  # noqa: DTZ001 (that is the case)
        session.add(Order(item="tea"))
    assert stored(url) == (1, 0)


def test_sms_are_enqueued_as_well(url: str) -> None:
    async def scenario() -> None:
        message = Sms(PhoneNumber("+15550100123"), "Your code is 4711")
        with engine_of(url).begin() as connection:
            queued = enqueue(connection, message)
        async with SqlModelNotificationRepository.open(url, migrate=False) as store:
            assert (await store.get(queued.id)).message == message

    run(scenario())


def test_nothing_that_waits_in_the_session_is_flushed(url: str) -> None:
    with Session(engine_of(url)) as session:
        order = Order(item="tea")
        session.add(order)
        enqueue(session, WELCOME)
        assert order in session.new
        assert session.in_transaction()
        session.rollback()
    assert stored(url) == (0, 0)


def test_the_session_itself_sees_what_was_enqueued(url: str) -> None:
    """As a test of the application would look at it, which then rolls back."""
    with Session(engine_of(url)) as session:
        enqueue(session, WELCOME)
        recipients = session.scalars(
            sa.select(metadata.tables["pinguin_notification"].c.recipient)
        ).all()
    assert recipients == ["ada@example.com"]


def test_a_session_that_is_closed_without_a_commit_sends_nothing(url: str) -> None:
    with Session(engine_of(url)) as session:
        enqueue(session, WELCOME)
    assert stored(url) == (0, 0)


def test_a_session_with_another_database_for_each_table_finds_its_own(url: str) -> None:
    elsewhere = sa.create_engine("sqlite://")
    with Session(binds={Order: elsewhere, TABLE: engine_of(url)}) as session, session.begin():
        enqueue(session, WELCOME)
    assert stored(url) == (0, 1)


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_shows_nothing_of_the_message(kind: str) -> None:
    """Here there is no table. SQLAlchemy would show what it was to store."""
    with (
        fresh(kind) as url,
        Session(engine_of(url)) as session,
        pytest.raises(sa.exc.DBAPIError, match="notification") as refusal,
    ):
        enqueue(session, WELCOME)
    for secret in ("secret", "Welcome", "ada@"):
        assert secret not in str(refusal.value)
        assert secret not in repr(refusal.value)


def test_ids_are_unguessable_and_sort_by_time(url: str) -> None:
    with engine_of(url).begin() as connection:
        ids = [enqueue(connection, WELCOME).id for _ in range(100)]
    assert len(set(ids)) == 100
    assert ids == sorted(ids, key=lambda each: each.value[:18])
    assert all(isinstance(each, NotificationId) for each in ids)


def test_what_is_no_transaction_is_told_where_to_go() -> None:
    engine = sa.create_engine("sqlite://")
    for wrong in (AsyncSession(), engine, sessionmaker(engine)):
        with pytest.raises(TypeError, match=r"Session or a Connection.*; enqueue_async takes"):
            enqueue(wrong, WELCOME)  # type: ignore[arg-type]  # what is to be refused
    with pytest.raises(TypeError, match=r"enqueue_async needs .*; enqueue takes a Session"):
        run(enqueue_async(Session(engine), WELCOME))  # type: ignore[arg-type]  # as above
    engine.dispose()
