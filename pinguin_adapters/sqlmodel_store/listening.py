"""PostgreSQL's LISTEN and NOTIFY, on a thread and a connection of their own.

Nothing is announced inside the transactions that write: a transaction with a NOTIFY holds a lock of
the whole server while it waits for the disk. Here it holds it for an instant, and many commits
share one.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from selectors import EVENT_READ, DefaultSelector
from threading import Thread
from types import TracebackType
from typing import Any, Final, Self, TypeAlias

import psycopg
from psycopg import sql

from pinguin_adapters.sqlmodel_store.signals import (
    AT_ONCE,
    TOPIC,
    Announcements,
    OnWake,
    Wake,
    parsed,
    payload,
)
from pinguin_adapters.sqlmodel_store.troubles import Troubles
from pinguin_core.ports import Observer

_Connection: TypeAlias = psycopg.Connection[tuple[Any, ...]]

_PAUSE: Final = 0.02  # seconds between announcements
_REST: Final = 1.0  # seconds between attempts to connect


class PostgreSqlSignals:
    """See `Signals`. It connects again when it has lost its connection.

    Args:
        connect: makes a connection that commits by itself.
        explain: says what an error of the driver's means.
        observer: is told of trouble.
    """

    are_heard = True

    def __init__(
        self,
        connect: Callable[[], _Connection],
        explain: Callable[[psycopg.Error], Exception],
        observer: Observer,
    ) -> None:
        self._connect = connect
        self._explain = explain
        self._troubles = Troubles(observer, "listening for what other processes store")
        self._announcements = Announcements()
        self._listeners: list[OnWake] = []
        self._is_listening = False
        self._closing = False
        self._speak_at = 0.0

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._alarm, self._bell = socket.socketpair()
        for end in (self._alarm, self._bell):
            end.settimeout(0)
        Thread(target=self._run, name="pinguin-store-signals", daemon=True).start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._closing = True
        self._ring()
        await self._ended
        self._alarm.close()
        self._bell.close()

    def announce(self, wakes: Iterable[Wake]) -> None:
        """See `Signals.announce`."""
        if self._announcements.add(wakes, datetime.now(UTC)):
            self._ring()

    def subscribe(self, on_wake: OnWake) -> None:
        """See `Signals.subscribe`."""
        self._listeners.append(on_wake)
        if self._is_listening:
            _tell([on_wake], AT_ONCE)

    def _ring(self) -> None:
        with suppress(BlockingIOError):  # full: it will be heard anyway
            self._bell.send(b"!")

    def _listens(self) -> None:
        self._is_listening = True
        self._troubles.end()
        _tell(self._listeners, AT_ONCE)  # for what was announced before, and was not heard

    def _listens_no_more(self, error: Exception) -> None:
        self._is_listening = False
        self._troubles.tell(error)

    def _run(self) -> None:
        try:
            while True:
                try:
                    with self._connect() as connection:
                        self._listen(connection)
                except psycopg.Error as error:
                    self._post(self._listens_no_more, self._explain(error))
                self._wait(None, _REST)
                if self._closing:
                    break
        finally:
            self._post(self._ended.set_result, None)

    def _listen(self, connection: _Connection) -> None:
        topic = _begin(connection)
        own = connection.info.backend_pid
        self._post(self._listens)
        while not self._closing:
            left = self._speak_at - time.monotonic()
            if left <= 0:
                self._speak(connection, topic)
            self._wait(connection, left if left > 0 else None)
            for notice in connection.notifies(timeout=0):
                self._hear(notice, own)
        self._speak(connection, topic)  # what was queued just before the store was closed

    def _speak(self, connection: _Connection, topic: str) -> None:
        for channel, moment in self._announcements.take().items():
            connection.execute("SELECT pg_notify(%s, %s)", (topic, payload(channel, moment)))
            self._speak_at = time.monotonic() + _PAUSE

    def _hear(self, notice: psycopg.Notify, own: int) -> None:
        if notice.pid != own:
            self._post(_tell, self._listeners, parsed(notice.payload))

    def _wait(self, connection: _Connection | None, timeout: float | None) -> None:
        """Wait until the bell rings or the server says something."""
        if self._closing:
            return
        with DefaultSelector() as selector:
            selector.register(self._alarm, EVENT_READ)
            if connection is not None:
                selector.register(connection.fileno(), EVENT_READ)
            selector.select(timeout)
        with suppress(BlockingIOError):
            self._alarm.recv(4096)

    def _post(self, callback: Callable[..., object], *arguments: object) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody listens any more
            self._loop.call_soon_threadsafe(callback, *arguments)


def _begin(connection: _Connection) -> str:
    """Listen to what concerns the table."""
    connection.execute("SET synchronous_commit = off")  # nothing here is worth a wait for the disk
    row = connection.execute(f"SELECT {TOPIC}").fetchone()
    topic = str(row[0]) if row else ""
    connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(topic)))
    return topic


def _tell(listeners: Sequence[OnWake], wakes: Iterable[Wake]) -> None:
    for channel, moment in wakes:
        for on_wake in tuple(listeners):
            on_wake(channel, moment)
