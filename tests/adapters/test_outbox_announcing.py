"""On PostgreSQL the commit itself tells the dispatchers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

import psycopg
import pytest
from psycopg import sql
from sqlalchemy.engine import make_url
from support.databases import fresh
from support.outbox_application import (
    WAYS,
    WELCOME,
    FinalObserver,
    Way,
    engine_of,
    make_tables,
    stored,
)
from support.sqlmodel_stores import run

from pinguin_adapters.sqlmodel_store import SqlModelNotificationRepository, enqueue
from pinguin_adapters.sqlmodel_store.signals import TOPIC, parsed
from pinguin_core import Channel, Dispatcher, Email, PhoneNumber, Sms
from pinguin_core.testing.fakes import RecordingSender

Heard: TypeAlias = Callable[[], list[str]]

END = "that is all"
NEW_YEAR = datetime(2130, 1, 1, tzinfo=UTC)


@pytest.fixture
def url() -> Iterator[str]:
    with fresh("postgresql") as url:
        make_tables(url)
        yield url


@pytest.fixture
def heard(url: str) -> Iterator[Heard]:
    """What was announced since the test began, or since this was last asked."""
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as connection:
        row = connection.execute(f"SELECT {TOPIC}").fetchone()
        assert row is not None
        connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(row[0])))
        yield lambda: until_the_end(connection, row[0])


def until_the_end(connection: psycopg.Connection, topic: str) -> list[str]:
    connection.execute("SELECT pg_notify(%s, %s)", (topic, END))
    texts: list[str] = []
    for notice in connection.notifies(timeout=20):
        if notice.payload == END:
            return texts
        texts.append(notice.payload)
    raise AssertionError("the server said nothing")


@pytest.mark.parametrize("way", WAYS["postgresql"], ids=lambda way: str(way.__name__))
def test_it_is_announced_when_it_is_committed(url: str, heard: Heard, way: Way) -> None:
    async def scenario() -> None:
        async with way(url) as transaction:
            await transaction.enqueue(WELCOME)
            assert heard() == []
        (announcement,) = heard()
        ((channel, moment),) = parsed(announcement)
        assert channel is Channel.EMAIL
        assert moment < datetime.now(UTC)

    run(scenario())


@pytest.mark.parametrize("way", WAYS["postgresql"], ids=lambda way: str(way.__name__))
def test_what_is_rolled_back_is_not_announced(url: str, heard: Heard, way: Way) -> None:
    async def scenario() -> None:
        with suppress(ZeroDivisionError):
            async with way(url) as transaction:
                await transaction.enqueue(WELCOME)
                raise ZeroDivisionError
        assert (heard(), stored(url)) == ([], (0, 0))

    run(scenario())


def test_what_is_due_at_once_is_announced_once_for_each_channel(url: str, heard: Heard) -> None:
    with engine_of(url).begin() as connection:
        for _ in range(10):
            enqueue(connection, WELCOME)
            enqueue(connection, Sms(PhoneNumber("+15550100123"), "Hello"))
    channels = [channel for text in heard() for channel, _ in parsed(text)]
    assert channels == [Channel.EMAIL, Channel.SMS]


def test_what_is_scheduled_is_announced_with_its_time(url: str, heard: Heard) -> None:
    with engine_of(url).begin() as connection:
        enqueue(connection, WELCOME, scheduled_at=NEW_YEAR)
    (announcement,) = heard()
    assert parsed(announcement) == [(Channel.EMAIL, NEW_YEAR)]


def test_a_dispatcher_that_subscribes_need_not_ask(url: str) -> None:
    async def scenario() -> None:
        sender, observer = RecordingSender[Email](), FinalObserver()
        async with SqlModelNotificationRepository.open(url) as store:
            never = timedelta(days=1)
            dispatcher = Dispatcher(store, email=sender, observer=observer, poll_interval=never)
            store.subscribe(dispatcher.wake_at)
            async with dispatcher:
                for count in range(1, 4):
                    with engine_of(url).begin() as connection:
                        enqueue(connection, WELCOME)
                    await observer.ended()
                    assert len(sender.delivered) == count

    run(scenario())
