"""The repository: one method, one transaction."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import cast

from sqlalchemy.engine import Connection

from pinguin_adapters.sqlmodel_store import reader, schema, writer
from pinguin_adapters.sqlmodel_store.errors import translating
from pinguin_adapters.sqlmodel_store.reader import NextWake, One, Question
from pinguin_adapters.sqlmodel_store.rows import to_row
from pinguin_adapters.sqlmodel_store.sqlite import (
    database_path,
    make_file,
    reading_engine,
    writing_engine,
)
from pinguin_adapters.sqlmodel_store.statements import BEFORE, Statements
from pinguin_adapters.sqlmodel_store.tables import require_fit
from pinguin_adapters.sqlmodel_store.worker import Worker
from pinguin_adapters.sqlmodel_store.writer import Claim, Task, Write
from pinguin_core.errors import (
    DuplicateNotification,
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
        self, writing: Worker[Task], reading: Worker[Question], statements: Statements
    ) -> None:
        self._writing = writing
        self._reading = reading
        self._statements = statements

    @classmethod
    @asynccontextmanager
    async def open(
        cls, url: str, *, migrate: bool = True
    ) -> AsyncIterator[SqlModelNotificationRepository]:
        """Open a database, making or migrating it if need be, and close it at the end.

        Args:
            url: `sqlite:///` and the path of a file on a local file system, whose folders are made.
            migrate: make what is missing; if not, only look whether the application's own
                migrations made the tables that this version needs.

        Raises:
            InvalidValue: if the URL is not one of those; the field is `database_url`.
            StoreUnavailable: if the database cannot be opened, or its tables are of another
                version.
            StoreFull: if there is no room to make or migrate it.
        """
        path = database_path(url)
        prepare = schema.migrate if migrate else require_fit
        await asyncio.to_thread(_make_ready, path, prepare)
        writing, reading = writing_engine(path), reading_engine(path)
        async with (
            Worker("pinguin-store-writer", writing.connect, writer.commit) as pen,
            Worker("pinguin-store-reader", reading.connect, reader.answer) as eye,
        ):
            yield cls(pen, eye, Statements(writing.dialect))

    async def add(self, notification: Notification) -> None:
        """See `NotificationRepository.add`."""
        insert = self._statements.insert
        taken = partial(DuplicateNotification, str(notification.id))
        await self._writing.ask(Write(insert, insert.values(to_row(notification)), taken))

    async def get(self, notification_id: NotificationId) -> Notification:
        """See `NotificationRepository.get`.

        Raises:
            UnreadableNotification: if what is stored under the id is damaged.
        """
        return cast(Notification, await self._reading.ask(One(str(notification_id))))

    async def save(self, notification: Notification) -> None:
        """See `NotificationRepository.save`."""
        overwrite = self._statements.overwrite
        stale = partial(StaleNotification, str(notification.id))
        row = to_row(notification) | {BEFORE: notification.version - 1}
        await self._writing.ask(Write(overwrite, overwrite.values(row), stale))

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


def _make_ready(path: Path, prepare: Callable[[Connection], None]) -> None:
    try:
        with translating():
            make_file(path)
            with writing_engine(path).begin() as connection:
                prepare(connection)
    except (StoreUnavailable, StoreFull) as error:
        raise type(error)(f"the database {path} cannot be used: {error}") from error
