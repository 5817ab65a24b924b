"""The repository: one method, one transaction."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import Any, cast

from sqlalchemy.engine import Connection

from pinguin_adapters.sqlmodel_store import reader, schema, writer
from pinguin_adapters.sqlmodel_store.database import Database, database
from pinguin_adapters.sqlmodel_store.errors import translating
from pinguin_adapters.sqlmodel_store.reader import NextWake, One, Question
from pinguin_adapters.sqlmodel_store.rows import to_row
from pinguin_adapters.sqlmodel_store.signals import OnWake, Signals
from pinguin_adapters.sqlmodel_store.statements import BEFORE, Bulk, Statements
from pinguin_adapters.sqlmodel_store.tables import require_fit
from pinguin_adapters.sqlmodel_store.worker import Worker
from pinguin_adapters.sqlmodel_store.writer import Claim, Task, Write
from pinguin_core.errors import (
    DuplicateNotification,
    PinguinError,
    StaleNotification,
    StoreFull,
    StoreUnavailable,
)
from pinguin_core.message import Channel
from pinguin_core.notification import Notification
from pinguin_core.values import NotificationId


class SqlModelNotificationRepository:
    """Keeps notifications in an SQL database; see `NotificationRepository` for what it promises.

    Get one from `open`. Use it on the event loop that opened it. What several tasks ask for at the
    same time is committed together, so that it costs one wait for the disk.
    """

    def __init__(
        self,
        writing: Worker[Task],
        reading: Worker[Question],
        statements: Statements,
        signals: Signals,
        warnings: Sequence[str],
    ) -> None:
        self._writing = writing
        self._reading = reading
        self._statements = statements
        self._signals = signals
        self._warnings = tuple(warnings)

    @classmethod
    @asynccontextmanager
    async def open(
        cls, url: str, *, migrate: bool = True
    ) -> AsyncIterator[SqlModelNotificationRepository]:
        """Open a database, making or migrating its tables if need be, and close it at the end.

        Args:
            url: where it is, as SQLAlchemy writes it. `sqlite:///` and the path of a file on a
                local file system, whose folders are made; or `postgresql://`, `mysql://` or
                `mariadb://` and login, host, port and database as in
                `postgresql://user:password@host:5432/database`, with options of the driver as its
                query.
            migrate: make what is missing; if not, only look whether the application's own
                migrations made the tables that this version needs.

        Raises:
            InvalidValue: if the URL is not one of those; the field is `database_url`.
            StoreUnavailable: if the database cannot be opened, or its tables are of another
                version, or its driver is not installed.
            StoreFull: if there is no room to make or migrate it.
        """
        found = database(url)
        prepare = schema.migrate if migrate else require_fit
        warnings = await asyncio.to_thread(_made_ready, found, prepare)
        async with found.signals() as signals:
            announce = signals.announce if signals.are_heard else None
            commit = partial(writer.commit, announce=announce)
            async with (
                Worker("pinguin-store-writer", found.write, commit, found.threads) as pen,
                Worker("pinguin-store-reader", found.read, reader.answer, found.threads) as eye,
            ):
                yield cls(pen, eye, found.statements, signals, warnings)

    @property
    def warnings(self) -> Sequence[str]:
        """What is wrong with the database's own settings, and how they should be: for operators."""
        return self._warnings

    def subscribe(self, on_wake: OnWake) -> None:
        """See `Signals.subscribe`; only PostgreSQL has means to tell, so others stay silent."""
        self._signals.subscribe(on_wake)

    async def add(self, notification: Notification) -> None:
        """See `NotificationRepository.add`."""
        taken = partial(DuplicateNotification, str(notification.id))
        await self._write(self._statements.insert, notification, to_row(notification), taken)

    async def get(self, notification_id: NotificationId) -> Notification:
        """See `NotificationRepository.get`.

        Raises:
            UnreadableNotification: if what is stored under the id is damaged.
        """
        return cast(Notification, await self._reading.ask(One(str(notification_id))))

    async def save(self, notification: Notification) -> None:
        """See `NotificationRepository.save`."""
        stale = partial(StaleNotification, str(notification.id))
        row = to_row(notification) | {BEFORE: notification.version - 1}
        await self._write(self._statements.overwrite, notification, row, stale)

    async def claim_due(
        self, channel: Channel, now: datetime, lease: timedelta, limit: int
    ) -> Sequence[Notification]:
        """See `NotificationRepository.claim_due`.

        Raises:
            UnreadableNotification: if a stored notification that is due is damaged. Nothing is
                claimed then; the damaged ones are not looked at again, the next call claims the
                others.
        """
        claim = Claim(self._statements.overwrite, channel, now, lease, limit)
        return cast(Sequence[Notification], await self._writing.ask(claim))

    async def next_wake(self, channel: Channel) -> datetime | None:
        """See `NotificationRepository.next_wake`."""
        return cast("datetime | None", await self._reading.ask(NextWake(channel)))

    async def _write(
        self,
        bulk: Bulk,
        notification: Notification,
        row: dict[str, Any],
        refusal: Callable[[], PinguinError],
    ) -> None:
        moment = notification.wake_at
        wake = None if moment is None else (notification.channel, moment)
        await self._writing.ask(Write(bulk, bulk.values(row), refusal, wake))


def _made_ready(found: Database, prepare: Callable[[Connection], None]) -> Sequence[str]:
    try:
        with translating(), found.migrating() as connection:
            prepare(connection)
            return found.weaknesses(connection)
    except (StoreUnavailable, StoreFull) as error:
        raise type(error)(f"the database {found.name} cannot be used: {error}") from error
