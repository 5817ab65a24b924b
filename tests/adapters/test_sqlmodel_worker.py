"""The threads of a store: one more when there is much to do, and not for want of one connection."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection
from support.sqlmodel_stores import run
from support.waiting import PATIENCE

from pinguin_adapters.sqlmodel_store import worker
from pinguin_adapters.sqlmodel_store.worker import Request, Worker
from pinguin_core import StoreUnavailable


class Server:
    """Refuses its second connection, and does nothing on the first until it is told to."""

    def __init__(self) -> None:
        self.connects = 0
        self.is_busy = threading.Event()
        self.may_go_on = threading.Event()

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        self.connects += 1
        if self.connects == 2:
            raise StoreUnavailable("the server accepts no more connections")
        with sa.create_engine("sqlite://", poolclass=sa.NullPool).connect() as connection:
            yield connection.execution_options(number=self.connects)

    def work(self, connection: Connection, batch: Sequence[Request[None]]) -> None:
        number = connection.get_execution_options()["number"]
        if number == 1:
            self.is_busy.set()
            assert self.may_go_on.wait(PATIENCE)
        for request in batch:
            request.outcome = number


@pytest.fixture
def server() -> Server:
    return Server()


async def ask(worker: Worker[None], asked: list[asyncio.Task[object]]) -> None:
    asked.append(asyncio.create_task(worker.ask(None)))
    await asyncio.sleep(0)


def test_a_thread_that_could_not_connect_is_begun_again(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "_REST", 0.0)

    async def scenario() -> None:
        asked: list[asyncio.Task[object]] = []
        async with Worker("test-store", server.connect, server.work, 2) as it:
            try:
                async with asyncio.timeout(PATIENCE):
                    while not any(each.done() for each in asked):
                        await ask(it, asked)
            finally:
                server.may_go_on.set()
            assert {*await asyncio.gather(*asked)} == {1, 3}

    run(scenario())


def test_a_server_without_connections_is_not_asked_for_one_all_the_time(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "_REST", 3600.0)

    async def scenario() -> None:
        asked: list[asyncio.Task[object]] = []
        async with Worker("test-store", server.connect, server.work, 2) as it:
            try:
                async with asyncio.timeout(PATIENCE):
                    while server.connects < 2 or len(it._ended) > 1:
                        await ask(it, asked)
                for _ in range(100):
                    await ask(it, asked)
            finally:
                server.may_go_on.set()
            assert {*await asyncio.gather(*asked)} == {1}
        assert server.connects == 2

    run(scenario())


def test_no_thread_begins_once_the_others_were_told_to_end(server: Server) -> None:
    """It would take the end of another one, for which whoever leaves would wait for ever."""

    async def scenario() -> None:
        asked: list[asyncio.Task[object]] = []
        async with Worker("test-store", server.connect, server.work, 2) as it:
            await ask(it, asked)
            assert await asyncio.to_thread(server.is_busy.wait, PATIENCE)
            await ask(it, asked)  # handed over on leaving, in this turn of the loop
            asyncio.get_running_loop().call_soon(server.may_go_on.set)
        assert [each.result() for each in asked] == [1, 1]
        assert server.connects == 1

    run(scenario())
