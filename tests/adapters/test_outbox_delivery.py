"""Dispatchers, in this process and in others, deliver what applications enqueue."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from email import message_from_bytes
from multiprocessing.connection import Connection, wait
from typing import Any, cast

import pytest
from support.databases import KINDS, fresh
from support.outbox_application import (
    WELCOME,
    FinalObserver,
    deliveries,
    engine_of,
    make_tables,
    stored,
)
from support.outbox_processes import deliver_for_ever, enqueue_and_wait
from support.scripted_smtp import ScriptedSmtp
from support.sqlmodel_processes import prepared_processes
from support.sqlmodel_stores import run

from pinguin_adapters.sqlmodel_store import SqlModelNotificationRepository, enqueue
from pinguin_core import Dispatcher, Email, NotificationId
from pinguin_core.testing.fakes import RecordingSender

NEVER = timedelta(days=1)
OFTEN = timedelta(milliseconds=20)


@pytest.fixture(params=KINDS)
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A database with the application's tables and Pinguin's."""
    with fresh(request.param) as url:
        make_tables(url)
        yield url


def enqueue_in_a_transaction(url: str, count: int = 1) -> list[NotificationId]:
    with engine_of(url).begin() as connection:
        return [enqueue(connection, WELCOME).id for _ in range(count)]


def heard(*processes: Connection) -> Any:
    """What one of them says next."""
    speaking = wait(processes, 30)
    assert speaking
    return cast(Connection, speaking[0]).recv()


@contextmanager
def process(target: Callable[..., None], *arguments: Any, **options: Any) -> Iterator[Connection]:
    """A process while the block runs, and the test's end of a pipe to it; it ends by kill -9."""
    context = prepared_processes()
    ours, theirs = context.Pipe()
    child = context.Process(target=target, args=(*arguments, theirs), kwargs=options)
    child.start()
    theirs.close()
    with ours:
        try:
            yield ours
        finally:
            child.kill()
            child.join(30)


def test_a_crash_before_the_commit_sends_nothing(url: str) -> None:
    with process(enqueue_and_wait, url, commit=False) as child:
        heard(child)
    assert stored(url) == (0, 0)
    assert run(deliveries(url)) == []


def test_a_crash_after_the_commit_loses_nothing(url: str) -> None:
    with process(enqueue_and_wait, url, commit=True) as child:
        name = heard(child)
    assert [str(delivery.id) for delivery in run(deliveries(url))] == [name]


def test_a_dispatcher_that_runs_finds_it(url: str) -> None:
    async def scenario() -> None:
        sender, observer = RecordingSender[Email](), FinalObserver()
        async with (
            SqlModelNotificationRepository.open(url) as store,
            Dispatcher(store, email=sender, observer=observer, poll_interval=OFTEN),
        ):
            ids = await asyncio.to_thread(enqueue_in_a_transaction, url)
            await observer.ended()
        assert [delivery.id for delivery in sender.delivered] == ids

    run(scenario())


def test_a_dispatcher_that_is_woken_after_the_commit_need_not_ask(url: str) -> None:
    async def scenario() -> None:
        sender, observer = RecordingSender[Email](), FinalObserver()
        async with (
            SqlModelNotificationRepository.open(url) as store,
            Dispatcher(store, email=sender, observer=observer, poll_interval=NEVER) as dispatcher,
        ):
            with engine_of(url).begin() as connection:
                queued = enqueue(connection, WELCOME)
            dispatcher.wake(queued)
            await observer.ended()
        assert [delivery.id for delivery in sender.delivered] == [queued.id]

    run(scenario())


def test_waking_before_the_commit_does_no_harm(url: str) -> None:
    async def scenario() -> None:
        sender, observer = RecordingSender[Email](), FinalObserver()
        async with (
            SqlModelNotificationRepository.open(url) as store,
            Dispatcher(store, email=sender, observer=observer, poll_interval=OFTEN) as dispatcher,
        ):
            with engine_of(url).connect() as connection:
                queued = enqueue(connection, WELCOME)
                dispatcher.wake(queued)
                assert await store.next_wake(queued.channel) is None
                connection.commit()
            await observer.ended()
        assert [delivery.id for delivery in sender.delivered] == [queued.id]

    run(scenario())


def test_dispatchers_of_other_processes_deliver_each_once(url: str) -> None:
    async def scenario() -> None:
        async with ScriptedSmtp() as smtp:
            with (
                process(deliver_for_ever, url, smtp.port) as one,
                process(deliver_for_ever, url, smtp.port) as other,
            ):
                ids = await asyncio.to_thread(enqueue_while_they_run, url, (one, other))
        parsed = [message_from_bytes(message.content) for message in smtp.messages]
        names = [message["Message-ID"][1:].partition("@")[0] for message in parsed]
        assert sorted(names) == sorted(ids)

    run(scenario())


def enqueue_while_they_run(url: str, workers: tuple[Connection, ...]) -> list[str]:
    """Enqueue from time to time, and wait until all is said to be final."""
    for worker in workers:
        assert heard(worker) == "ready"
    ids = [str(each) for _ in range(10) for each in enqueue_in_a_transaction(url, 3)]
    assert sorted(heard(*workers) for _ in ids) == sorted(ids)
    return ids
