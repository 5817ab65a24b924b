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
from pinguin_adapters.sqlmodel_store.admission import Admission, weight
from pinguin_adapters.sqlmodel_store.database import Database, database
from pinguin_adapters.sqlmodel_store.errors import translating
from pinguin_adapters.sqlmodel_store.liveness import Watch
from pinguin_adapters.sqlmodel_store.reader import (
    CountedSms,
    Keyed,
    NextWake,
    One,
    Question,
    SentSmsAs,
)
from pinguin_adapters.sqlmodel_store.rows import to_row
from pinguin_adapters.sqlmodel_store.signals import OnWake, Signals
from pinguin_adapters.sqlmodel_store.statements import BEFORE, Bulk
from pinguin_adapters.sqlmodel_store.tables import require_fit
from pinguin_adapters.sqlmodel_store.worker import Worker
from pinguin_adapters.sqlmodel_store.writer import Claim, Task, Unheard, Write
from pinguin_core.errors import (
    DuplicateNotification,
    PinguinError,
    StaleNotification,
    StoreFull,
    StoreUnavailable,
)
from pinguin_core.message import Channel
from pinguin_core.notification import Notification
from pinguin_core.ports import Observer, SmsCount
from pinguin_core.system import GuardedObserver, NullObserver
from pinguin_core.values import IdempotencyKey, NotificationId, PhoneNumber


class SqlModelNotificationRepository:
    """Keeps notifications in an SQL database; see `NotificationRepository` for what it promises.

    Get one from `open`. Use it on the event loop that opened it. What several tasks ask for at the
    same time is committed together, so that it costs one wait for the disk.
    """

    def __init__(
        self,
        writing: Worker[Task],
        reading: Worker[Question],
        kept_in: Database,
        *,
        signals: Signals,
        watch: Watch,
        warnings: Sequence[str],
    ) -> None:
        self._writing = writing
        self._reading = reading
        self._statements = kept_in.statements
        self._signals = signals
        self._admission = Admission(kept_in.require_room)
        self._warnings = tuple(warnings)
        self._watch = watch
        self._unheard = Unheard()

    @classmethod
    @asynccontextmanager
    async def open(
        cls, url: str, *, migrate: bool = True, observer: Observer | None = None
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
            observer: is told of trouble in the background, which no caller would be told of.

        Raises:
            InvalidValue: if the URL is not one of those; the field is `database_url`.
            StoreUnavailable: if the database cannot be opened, or its tables are of another
                version, or its driver is not installed.
            StoreFull: if there is no room to make or migrate it.
        """
        found = database(url)
        prepare = schema.migrate if migrate else require_fit
        warnings = await asyncio.to_thread(_made_ready, found, prepare)
        told = GuardedObserver(observer or NullObserver())
        async with found.signals(told) as signals:
            announce = signals.announce if signals.are_heard else None
            commit = partial(writer.commit, hurrying=found.hurrying, announce=announce)
            roll = found.roll()
            async with (
                Worker("pinguin-store-watch", roll.attend, reader.answer) as lookout,
                Worker("pinguin-store-writer", found.write, commit, found.threads) as pen,
                Worker("pinguin-store-reader", found.read, reader.answer, found.threads) as eye,
                Watch(roll, lookout, pen, found.statements.overwrite, told) as watch,
            ):
                yield cls(pen, eye, found, signals=signals, watch=watch, warnings=warnings)

    @property
    def warnings(self) -> Sequence[str]:
        """What is wrong with the database's own settings, and how they should be: for operators."""
        return self._warnings

    def subscribe(self, on_wake: OnWake) -> None:
        """Have a function called, on the event loop, when there is something to claim.

        That is what dead workers had claimed, and on PostgreSQL what other processes stored. The
        other databases have no means to tell that.
        """
        self._signals.subscribe(on_wake)
        self._watch.subscribe(on_wake)

    async def add(self, notification: Notification) -> None:
        """See `NotificationRepository.add`.

        It is refused with `StoreFull` at once when 10,000 notifications or 64 MiB wait to be stored
        already, or on SQLite when less than 64 MiB are free on the disk: those are for outcomes.
        """
        taken = partial(DuplicateNotification, str(notification.id))
        admit = partial(self._admission.admit, weight(notification.message))
        await self._write(self._statements.insert, notification, to_row(notification), taken, admit)

    async def get(self, notification_id: NotificationId) -> Notification:
        """See `NotificationRepository.get`.

        Raises:
            UnreadableNotification: if what is stored under the id is damaged.
        """
        return cast(Notification, await self._reading.ask(One(str(notification_id))))

    async def find(self, idempotency_key: IdempotencyKey) -> Notification | None:
        """See `NotificationRepository.find`.

        Raises:
            UnreadableNotification: if what is stored with the key is damaged.
        """
        found = await self._reading.ask(Keyed(str(idempotency_key)))
        return cast("Notification | None", found)

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
        name = self._watch.name
        claim = Claim(self._statements.overwrite, channel, now, lease, limit, name, self._unheard)
        return cast(Sequence[Notification], await self._writing.ask(claim))

    async def next_wake(self, channel: Channel) -> datetime | None:
        """See `NotificationRepository.next_wake`."""
        return cast("datetime | None", await self._reading.ask(NextWake(channel)))

    async def has_sent_sms(self, provider_message_id: str, since: datetime) -> bool:
        """See `SmsLedger.has_sent_sms`. It takes the longer, the more were sent since."""
        return cast(bool, await self._reading.ask(SentSmsAs(provider_message_id, since)))

    async def count_sms(
        self, since: datetime, *, before: Notification, to: PhoneNumber | None = None
    ) -> SmsCount:
        """See `SmsLedger.count_sms`. It takes the longer, the more were sent since."""
        return cast(SmsCount, await self._reading.ask(CountedSms(since, before, to)))

    async def _write(
        self,
        bulk: Bulk,
        notification: Notification,
        row: dict[str, Any],
        refusal: Callable[[], PinguinError],
        admit: Callable[[], Callable[[], None]] | None = None,
    ) -> None:
        moment = notification.wake_at
        wake = None if moment is None else (notification.channel, moment)
        await self._writing.ask(Write(bulk, bulk.values(row), refusal, wake), admit)


def _made_ready(found: Database, prepare: Callable[[Connection], None]) -> Sequence[str]:
    try:
        with translating(), found.migrating() as connection:
            prepare(connection)
            return found.weaknesses(connection)
    except (StoreUnavailable, StoreFull) as error:
        raise type(error)(f"the database {found.name} cannot be used: {error}") from error
