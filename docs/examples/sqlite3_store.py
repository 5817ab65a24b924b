"""A store of your own: notifications in SQLite, using only the standard library.

It passes the whole contract. It is written to be read, not to be fast: each call commits by itself,
and holds up the event loop while it does.
"""

import json
import sqlite3
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import Any, Self

import pinguin_core as pc
from pinguin_core import Channel, Notification, NotificationId

SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
CREATE TABLE IF NOT EXISTS notification (
    id TEXT PRIMARY KEY, key TEXT UNIQUE, channel TEXT, version INTEGER, wake_at INTEGER,
    fields TEXT
);
CREATE INDEX IF NOT EXISTS due ON notification (channel, wake_at, id) WHERE wake_at IS NOT NULL;
"""
SELECT = "SELECT fields FROM notification"
EPOCH, MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)
KINDS: dict[str, Any] = {name: getattr(pc, name) for name in pc.__all__}


class Sqlite3Repository:
    """A `NotificationRepository` in one SQLite file; that port says what each method promises."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    @classmethod
    @asynccontextmanager
    async def open(cls, path: Path) -> AsyncIterator[Self]:
        """Open a file, which is made if need be; close it at the end."""
        with translated():
            connection = sqlite3.connect(path, isolation_level=None)
        with closing(connection):
            with translated():
                connection.executescript(SCHEMA)
            yield cls(connection)

    async def add(self, notification: Notification) -> None:
        insert = "INSERT OR IGNORE INTO notification VALUES (?, ?, ?, ?, ?, ?)"
        key = notification.idempotency_key and notification.idempotency_key.value
        row = str(notification.id), key, notification.channel.value, *changing(notification)
        with self._transaction():
            if self._connection.execute(insert, row).rowcount != 1:
                raise pc.DuplicateNotification(str(notification.id))

    async def get(self, notification_id: NotificationId) -> Notification:
        found = self._one("id", str(notification_id))
        if found is None:
            raise pc.NotificationNotFound(str(notification_id))
        return found

    async def find(self, idempotency_key: pc.IdempotencyKey) -> Notification | None:
        return self._one("key", str(idempotency_key))

    async def save(self, notification: Notification) -> None:
        with self._transaction():
            self._overwrite(notification, notification.version - 1)

    async def claim_due(
        self, channel: Channel, now: datetime, lease: timedelta, limit: int
    ) -> Sequence[Notification]:
        ask = f"{SELECT} WHERE channel = ? AND wake_at <= ? ORDER BY wake_at, id LIMIT ?"
        with self._transaction():
            rows = self._connection.execute(ask, (channel.value, to_number(now), limit))
            due = [json.loads(text, object_hook=made) for (text,) in rows]
            claimed = [notification.claim(now, lease) for notification in due]
            for before, after in zip(due, claimed, strict=True):
                self._overwrite(after, before.version)
        return claimed

    async def next_wake(self, channel: Channel) -> datetime | None:
        with translated():
            ask = "SELECT min(wake_at) FROM notification WHERE channel = ?"
            (number,) = self._connection.execute(ask, (channel.value,)).fetchone()
        return None if number is None else EPOCH + number * MICROSECOND

    def _one(self, column: str, value: str) -> Notification | None:
        with translated():
            row = self._connection.execute(f"{SELECT} WHERE {column} = ?", (value,)).fetchone()
        return None if row is None else json.loads(row[0], object_hook=made)

    def _overwrite(self, it: Notification, version: int) -> None:
        update = "UPDATE notification SET version=?, wake_at=?, fields=? WHERE id=? AND version=?"
        values = (*changing(it), str(it.id), version)
        if self._connection.execute(update, values).rowcount != 1:
            raise pc.StaleNotification(str(it.id))

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Hold the write lock from the first word on: two must not read what both then change."""
        with translated(), self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            yield


@contextmanager
def translated() -> Iterator[None]:
    """Tell what goes wrong in the words of the port, without a word of the data."""
    try:
        yield
    except sqlite3.OperationalError as error:
        full = error.sqlite_errorcode == sqlite3.SQLITE_FULL
        raise (pc.StoreFull if full else pc.StoreUnavailable)(error.sqlite_errorname) from error


def changing(it: Notification) -> tuple[int, int | None, str]:
    """Return what a step changes: the version, the time to search for, and everything as JSON."""
    wake_at = None if it.wake_at is None else to_number(it.wake_at)
    return it.version, wake_at, json.dumps(it, default=plain)


def to_number(moment: datetime) -> int:
    """Count the microseconds since 1970."""
    return (moment - EPOCH) // MICROSECOND


def plain(value: Any) -> dict[str, Any]:
    """Write down what JSON does not know: its kind, and what it is made of."""
    if isinstance(value, datetime):
        return {"kind": "moment", "value": to_number(value)}
    names = ["value"] if isinstance(value, Enum) else [each.name for each in fields(value)]
    return {"kind": type(value).__name__} | {name: getattr(value, name) for name in names}


def made(parts: dict[str, Any]) -> Any:
    """Make again what `plain` wrote down."""
    kind = parts.pop("kind")
    if kind == "moment":
        return EPOCH + parts["value"] * MICROSECOND
    if "history" in parts:
        parts["history"] = tuple(parts["history"])
    return KINDS[kind](**parts)
