"""What the reading thread does: each question on its own, answered from what is committed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from sqlalchemy.engine import Connection

from pinguin_adapters.sqlmodel_store.errors import (
    Undone,
    UnreadableNotification,
    translated,
)
from pinguin_adapters.sqlmodel_store.rows import from_row
from pinguin_adapters.sqlmodel_store.statements import (
    KEYED,
    NEXT_WAKE,
    ONE,
    SENT_SMS_AS,
    SMS_UNDER_WAY,
    TAKEN_SMS,
    TO,
)
from pinguin_adapters.sqlmodel_store.worker import Request
from pinguin_core.errors import InvalidValue, NotificationNotFound
from pinguin_core.message import Channel
from pinguin_core.notification import Notification
from pinguin_core.ports import SmsCount
from pinguin_core.values import PhoneNumber

Question: TypeAlias = Callable[[Connection], object]


def answer(connection: Connection, requests: Sequence[Request[Question]]) -> None:
    """Answer each question by itself."""
    for request in requests:
        try:
            request.outcome = _answered(connection, request.task)
        except Exception as error:  # noqa: BLE001 (whoever asked is told)
            connection.rollback()  # of nothing; a lost connection is made anew only after that
            request.outcome = translated(error)


def _answered(connection: Connection, question: Question) -> object:
    """Ask again if the connection turns out to be lost, which may have happened long ago."""
    try:
        return question(connection)
    except Undone:
        connection.rollback()
        return question(connection)


@dataclass(frozen=True, slots=True)
class One:
    """The question which notification has an id."""

    id: str

    def __call__(self, connection: Connection) -> Notification:
        """Find it.

        Raises:
            NotificationNotFound: if there is none.
            UnreadableNotification: if what is stored is none.
        """
        try:
            row = connection.execute(ONE, {"id": self.id}).one_or_none()
        except InvalidValue:  # whose cause may quote it
            raise UnreadableNotification(self.id, "it holds something unreadable") from None
        except OverflowError as error:
            raise UnreadableNotification(self.id, "it holds a time out of range") from error
        if row is None:
            raise NotificationNotFound(self.id)
        return from_row(row)


@dataclass(frozen=True, slots=True)
class Keyed:
    """The question which notification has an idempotency key."""

    key: str

    def __call__(self, connection: Connection) -> Notification | None:
        """Find it.

        Raises:
            UnreadableNotification: if what is stored is none.
        """
        name = connection.execute(KEYED, {"key": self.key}).scalar()
        return None if name is None else One(name)(connection)


@dataclass(frozen=True, slots=True)
class NextWake:
    """The question when something of a channel is due."""

    channel: Channel

    def __call__(self, connection: Connection) -> datetime | None:
        """Find the earliest moment."""
        return connection.execute(NEXT_WAKE, {"channel": self.channel.value}).scalar()


@dataclass(frozen=True, slots=True)
class SentSmsAs:
    """The question whether an SMS was sent under a provider's name; see `SmsLedger`."""

    name: str
    since: datetime

    def __call__(self, connection: Connection) -> bool:
        """Look for it."""
        asked = {"name": self.name, "since": self.since}
        return bool(connection.execute(SENT_SMS_AS, asked).scalar_one())


@dataclass(frozen=True, slots=True)
class CountedSms:
    """The question how many SMS were sent and are under way; see `SmsLedger.count_sms`."""

    since: datetime
    before: Notification
    to: PhoneNumber | None

    def __call__(self, connection: Connection) -> SmsCount:
        """Count them."""
        only = [TO] if self.to is not None else []
        to = {"to": self.to.value} if self.to is not None else {}
        now, end = self.before.updated_at, self.before.wake_at or self.before.updated_at
        asked = {"id": self.before.id.value, "since": self.since, "now": now} | to
        lease = {"end": end, "horizon": end + (end - now)}
        # In this order: what is sent between the two is counted twice rather than not at all.
        under_way = connection.execute(SMS_UNDER_WAY.where(*only), asked | lease).scalar_one()
        taken = connection.execute(TAKEN_SMS.where(*only), asked).scalar_one()
        return SmsCount(taken, under_way)
