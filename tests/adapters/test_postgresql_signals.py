"""On PostgreSQL, processes tell one another of new work, so that nobody has to poll for it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event

import psycopg
import pytest
from support.databases import directly, fresh
from support.dispatching import NotingObserver
from support.sqlmodel_processes import add_one, prepared_processes
from support.sqlmodel_stores import email, opened, run, sms
from support.tcp_proxy import proxied

from pinguin_adapters.sqlmodel_store import SqlModelNotificationRepository, listening
from pinguin_adapters.sqlmodel_store.listening import PostgreSqlSignals
from pinguin_adapters.sqlmodel_store.rows import TABLE
from pinguin_adapters.sqlmodel_store.signals import AT_ONCE, Announcements, parsed, payload
from pinguin_core import Channel, Dispatcher, Email, NullObserver, StoreUnavailable
from pinguin_core.testing.fakes import NOON, RecordingSender

NEVER = timedelta(days=1)
LISTENING = "listening for what other processes store"
TICK = timedelta(microseconds=1)
MAIL = Channel.EMAIL
Wake = tuple[Channel, datetime]


class Ear:
    """Hears what a store is told, and can be waited for."""

    def __init__(self, store: SqlModelNotificationRepository) -> None:
        self._heard: asyncio.Queue[Wake] = asyncio.Queue()
        store.subscribe(lambda channel, moment: self._heard.put_nowait((channel, moment)))

    async def next(self) -> Wake:
        return await self._heard.get()

    async def listening(self) -> None:
        """Wait until everything that is announced from now on is heard."""
        assert [await self.next() for _ in AT_ONCE] == AT_ONCE


@contextmanager
def process_that_adds(url: str, name: str) -> Iterator[None]:
    process = prepared_processes().Process(target=add_one, args=(url, name))
    process.start()
    try:
        yield
    finally:
        process.join(30)
        process.kill()
    assert process.exitcode == 0


class SignallingSender(RecordingSender[Email]):
    """Tells when it has delivered something."""

    def __init__(self) -> None:
        super().__init__()
        self.delivering = asyncio.Event()

    async def send(self, message: Email, **names: object) -> object:  # type: ignore[override]  # passed on as they are
        self.delivering.set()
        return await super().send(message, **names)  # type: ignore[arg-type]  # as above


def test_what_another_process_stores_is_delivered_without_being_polled_for(
    postgresql_url: str,
) -> None:
    async def scenario() -> None:
        sender = SignallingSender()
        async with opened(postgresql_url) as store:
            ear = Ear(store)
            dispatcher = Dispatcher(store, email=sender, poll_interval=NEVER)  # type: ignore[arg-type]  # see its send
            store.subscribe(dispatcher.wake_at)
            async with dispatcher:
                await ear.listening()
                await asyncio.to_thread(add_elsewhere, postgresql_url)
                await sender.delivering.wait()

    run(scenario())


def add_elsewhere(url: str) -> None:
    with process_that_adds(url, "notif-1"):
        pass


def test_each_channel_is_told_of_its_earliest_moment(postgresql_url: str) -> None:
    async def scenario() -> None:
        async with opened(postgresql_url) as here, opened(postgresql_url) as there:
            ear = Ear(there)
            await ear.listening()
            later, sooner = NOON + timedelta(hours=2), NOON + timedelta(hours=1)
            await asyncio.gather(
                here.add(email("notif-1", later)),
                here.add(email("notif-2", sooner)),
                here.add(sms("notif-3", later)),
            )
            assert {await ear.next(), await ear.next()} == {
                (Channel.EMAIL, sooner),
                (Channel.SMS, later),
            }

    run(scenario())


def test_a_retry_is_announced_too(postgresql_url: str) -> None:
    async def scenario() -> None:
        async with opened(postgresql_url) as here, opened(postgresql_url) as there:
            ear = Ear(there)
            await ear.listening()
            await here.add(email())
            assert await ear.next() == (MAIL, NOON)
            sooner = NOON - timedelta(hours=1)
            await here.save(email().reschedule(sooner, sooner))
            assert await ear.next() == (MAIL, sooner)

    run(scenario())


def test_nobody_hears_himself(postgresql_url: str) -> None:
    async def scenario() -> None:
        async with opened(postgresql_url) as here, opened(postgresql_url) as there:
            own, other = Ear(here), Ear(there)
            await own.listening()
            await other.listening()
            await here.add(email("notif-1", NOON + TICK))
            assert await other.next() == (MAIL, NOON + TICK)
            await there.add(email("notif-2"))
            assert await own.next() == (MAIL, NOON)

    run(scenario())


def test_nobody_hears_of_other_schemas(postgresql_url: str) -> None:
    async def scenario() -> None:
        with fresh("postgresql") as other_url:
            async with (
                opened(postgresql_url) as here,
                opened(postgresql_url) as there,
                opened(other_url) as stranger,
            ):
                ear = Ear(there)
                await ear.listening()
                await stranger.add(email("notif-1", NOON))
                await here.add(email("notif-2", NOON + TICK))
                assert await ear.next() == (MAIL, NOON + TICK)

    run(scenario())


def test_what_nobody_understands_wakes_everybody(postgresql_url: str) -> None:
    """An application may announce in its own transaction, and a later version in its own words."""

    async def scenario() -> None:
        async with opened(postgresql_url) as store:
            ear = Ear(store)
            await ear.listening()
            for said in ("email 1893499200000000", "pigeon soon"):
                await asyncio.to_thread(say, postgresql_url, said)
            assert await ear.next() == (MAIL, NOON)
            assert [await ear.next() for _ in AT_ONCE] == AT_ONCE

    run(scenario())


def say(url: str, text: str) -> None:
    with directly(url) as connection:
        connection.exec_driver_sql(
            f"SELECT pg_notify('pinguin_' || '{TABLE.name}'::regclass::oid, %s)", (text,)
        )


def test_what_is_queued_just_before_a_store_closes_is_said_too(postgresql_url: str) -> None:
    """As by a script that enqueues and ends before it is connected for signals."""
    connecting = Event()

    def connect() -> psycopg.Connection:
        assert connecting.wait(20)
        return psycopg.connect(postgresql_url, autocommit=True)

    async def scenario() -> None:
        async with opened(postgresql_url) as there:
            ear = Ear(there)
            await ear.listening()
            async with PostgreSqlSignals(connect, lambda error: error, NullObserver()) as signals:
                signals.announce([(MAIL, NOON)])
                asyncio.get_running_loop().call_soon(connecting.set)  # runs while it closes
            assert await ear.next() == (MAIL, NOON)

    run(scenario())


def test_what_was_said_while_the_line_was_cut_is_made_up_for(postgresql_url: str) -> None:
    async def scenario() -> None:
        async with proxied(postgresql_url) as (proxy, url), opened(url) as store:
            ear = Ear(store)
            await ear.listening()
            await proxy.cut()
            await ear.listening()
            await asyncio.to_thread(say, postgresql_url, payload(MAIL, NOON))
            assert await ear.next() == (MAIL, NOON)

    run(scenario())


def test_each_time_that_the_line_is_cut_the_observer_is_told(
    postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not where the server is, or who we are there."""
    monkeypatch.setattr(listening, "_REST", 0.01)
    observer = NotingObserver()

    async def scenario() -> None:
        async with proxied(postgresql_url) as (proxy, url), opened(url, observer) as store:
            ear = Ear(store)
            await ear.listening()
            for _ in range(2):
                await proxy.cut()
                await ear.listening()

    run(scenario())
    told = [error for where, error in observer.troubles if where == LISTENING]
    assert [type(error) for error in told] == [StoreUnavailable] * 2
    assert {str(error) for error in told} == {"there is no connection to the server"}


def test_a_store_without_signals_takes_listeners_and_stays_silent(tmp_path: Path) -> None:
    heard: list[object] = []

    async def scenario() -> None:
        async with opened(tmp_path / "store.db") as here, opened(tmp_path / "store.db") as there:
            there.subscribe(lambda *wake: heard.append(wake))
            await here.add(email())
        assert heard == []

    run(scenario())


def test_later_moments_need_not_be_said_while_an_earlier_one_is_expected() -> None:
    said = Announcements()
    assert said.add([(MAIL, NOON)], NOON - TICK)
    assert not said.add([(MAIL, NOON), (MAIL, NOON + TICK)], NOON - TICK)
    assert said.take() == {MAIL: NOON}
    assert not said.add([(MAIL, NOON), (MAIL, NOON + TICK)], NOON - TICK)
    assert said.take() == {}


def test_sooner_moments_and_other_channels_are_always_said() -> None:
    said = Announcements()
    assert said.add([(MAIL, NOON)], NOON - timedelta(hours=1))
    assert said.add([(Channel.SMS, NOON + TICK)], NOON - timedelta(hours=1))
    assert said.add([(MAIL, NOON - TICK)], NOON - timedelta(hours=1))
    assert said.take() == {MAIL: NOON - TICK, Channel.SMS: NOON + TICK}


def test_what_is_due_now_is_said_each_time() -> None:
    said = Announcements()
    for _ in range(2):
        assert said.add([(MAIL, NOON)], NOON)
        assert said.take() == {MAIL: NOON}


@pytest.mark.parametrize(
    "moment", [NOON, datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)]
)
def test_what_is_said_is_understood(moment: datetime) -> None:
    for channel in Channel:
        assert list(parsed(payload(channel, moment))) == [(channel, moment)]


@pytest.mark.parametrize("text", ["", "email", "email soon", "pigeon 1", "email 1 2", "sms 9" * 9])
def test_what_is_not_understood_may_mean_anything(text: str) -> None:
    assert list(parsed(text)) == AT_ONCE
