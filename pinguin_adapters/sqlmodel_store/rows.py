"""The table, and the way from a notification to its row and back.

A row is never the entity: models with `table=True` validate nothing. `from_row` builds the entity
anew, and with it every check that the domain makes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from json.encoder import encode_basestring
from typing import Any, ClassVar, Final, TypeAlias

import sqlalchemy as sa
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel

from pinguin_adapters.sqlmodel_store.columns import EPOCH, MICROSECOND, Instant, Key, Name, Words
from pinguin_adapters.sqlmodel_store.errors import UnreadableNotification
from pinguin_core.errors import InvalidValue
from pinguin_core.history import Attempt, Outcome
from pinguin_core.message import Email, Message, Sms
from pinguin_core.notification import (
    Cancelled,
    Failed,
    Notification,
    Queued,
    Sending,
    Sent,
    State,
)
from pinguin_core.values import EmailAddress, IdempotencyKey, NotificationId, PhoneNumber

_Moment: TypeAlias = datetime | None


class _Base(SQLModel, registry=registry()):
    """Keeps Pinguin's tables out of the metadata of an application that uses SQLModel too."""

    metadata: ClassVar[sa.MetaData] = sa.MetaData()


class NotificationRow(_Base, table=True):
    """One notification, with the data of every state side by side.

    Attributes:
        wake_at: `due_at` of a queued one, `lease_until` of one that is being sent.
        ended_at: `at` of a final one; of another SMS, `taken_at`.
        last_error: `last_error` or `reason`, whichever the state has.
        history: JSON, an array for each attempt that has ended; absent if there is none.
        claimed_by: the name of the worker that has claimed it, while one has and would be missed.
    """

    __tablename__ = "pinguin_notification"
    __table_args__ = (
        sa.Index(
            "pinguin_notification_due",
            "channel",
            "wake_at",
            "id",
            sqlite_where=sa.text("wake_at IS NOT NULL"),
            postgresql_where=sa.text("wake_at IS NOT NULL"),
        ),
        sa.Index(
            "pinguin_notification_key",
            "idempotency_key",
            unique=True,
            sqlite_where=sa.text("idempotency_key IS NOT NULL"),
            postgresql_where=sa.text("idempotency_key IS NOT NULL"),
        ),
        sa.Index(
            "pinguin_notification_claim",
            "claimed_by",
            sqlite_where=sa.text("claimed_by IS NOT NULL"),
            postgresql_where=sa.text("claimed_by IS NOT NULL"),
        ),
        sa.Index(
            "pinguin_notification_sms",
            "channel",
            "ended_at",
            sqlite_where=sa.text("channel = 'sms' AND ended_at IS NOT NULL"),
            postgresql_where=sa.text("channel = 'sms' AND ended_at IS NOT NULL"),
        ),
        {"sqlite_strict": True, "mysql_engine": "InnoDB", "mariadb_engine": "InnoDB"},
    )

    id: str = Field(primary_key=True, sa_type=Name)
    channel: str = Field(sa_type=Name)
    recipient: str = Field(sa_type=Words)
    subject: str = Field(sa_type=Words)
    body: str = Field(sa_type=Words)
    created_at: datetime = Field(sa_type=Instant)
    updated_at: datetime = Field(sa_type=Instant)
    scheduled_at: datetime | None = Field(sa_type=Instant)
    state: str = Field(sa_type=Name)
    wake_at: datetime | None = Field(sa_type=Instant)
    ended_at: datetime | None = Field(sa_type=Instant)
    provider_message_id: str = Field(sa_type=Words)
    last_error: str = Field(sa_type=Words)
    attempts: int = Field(sa_type=sa.Integer)
    retries: int = Field(sa_type=sa.Integer)
    crashes: int = Field(sa_type=sa.Integer)
    possible_duplicate: int = Field(sa_type=sa.Integer)
    version: int = Field(sa_type=sa.Integer)
    idempotency_key: str | None = Field(sa_type=Key)
    history: str | None = Field(sa_type=Words)
    claimed_by: str | None = Field(sa_type=Name)


TABLE: Final[sa.Table] = _Base.metadata.tables["pinguin_notification"]
FIXED: Final = frozenset(
    {"channel", "recipient", "subject", "body", "created_at", "idempotency_key"}
)
"""The columns that no step changes."""

_NAMES: Final[Mapping[type[State], str]] = {
    Queued: "queued",
    Sending: "sending",
    Sent: "sent",
    Failed: "failed",
    Cancelled: "cancelled",
}
_STATES: Final[Mapping[str, Callable[[_Moment, _Moment, str, str], State]]] = {
    "queued": lambda wake_at, _end, error, _sent_as: Queued(_known(wake_at), error),
    "sending": lambda wake_at, _end, error, _sent_as: Sending(_known(wake_at), error),
    "sent": lambda _wake, ended_at, _error, sent_as: Sent(_known(ended_at), sent_as),
    "failed": lambda _wake, ended_at, error, _sent_as: Failed(_known(ended_at), error),
    "cancelled": lambda _wake, ended_at, _error, _sent_as: Cancelled(_known(ended_at)),
}
_MESSAGES: Final[Mapping[str, Callable[[str, str, str], Message]]] = {
    "email": lambda to, subject, body: Email(EmailAddress(to), subject, body),
    "sms": lambda to, subject, body: Sms(PhoneNumber(to), body, subject),
}


def to_row(notification: Notification, claimed_by: str | None = None) -> dict[str, Any]:
    """Return the value of each column, by its name."""
    message, state = notification.message, notification.state
    key, history = notification.idempotency_key, notification.history
    return {
        "id": notification.id.value,
        "channel": message.channel.value,
        "recipient": message.to.value,
        "subject": message.subject,
        "body": message.body,
        "created_at": notification.created_at,
        "updated_at": notification.updated_at,
        "scheduled_at": notification.scheduled_at,
        "state": _NAMES[type(state)],
        "wake_at": notification.wake_at,
        "ended_at": _ended_at(notification),
        "provider_message_id": state.provider_message_id if isinstance(state, Sent) else "",
        "last_error": notification.last_error,
        "attempts": notification.attempts,
        "retries": notification.retries,
        "crashes": notification.crashes,
        "possible_duplicate": int(notification.possible_duplicate),
        "version": notification.version,
        "idempotency_key": None if key is None else key.value,
        "history": _written(history) if history else None,
        "claimed_by": claimed_by,
    }


def from_row(row: Sequence[Any]) -> Notification:
    """Build the notification from the values of all columns, in the table's order.

    Raises:
        UnreadableNotification: if it is none.
    """
    # Unpacked, because it is ten times as quick as asking SQLAlchemy's rows for each name.
    id_, channel, recipient, subject, body, created_at, updated_at, scheduled_at = row[:8]
    state, wake_at, ended_at, sent_as, error = row[8:13]
    attempts, retries, crashes, possible_duplicate, version, key, history, _claimed_by = row[13:]
    try:
        return Notification(
            NotificationId(id_),
            _MESSAGES[channel](recipient, subject, body),
            _STATES[state](wake_at, ended_at, error, sent_as),
            created_at,
            updated_at,
            scheduled_at,
            attempts,
            retries,
            crashes,
            bool(possible_duplicate),
            None if key is None else IdempotencyKey(key),
            () if history is None else _read(history),
            version,
        )
    except InvalidValue as invalid:
        raise UnreadableNotification(id_, str(invalid)) from invalid
    except (LookupError, TypeError, ValueError, OverflowError):
        # Without its cause, which quotes the column.
        raise UnreadableNotification(id_, "its channel, state or history is unknown") from None


def _ended_at(notification: Notification) -> datetime | None:
    if not isinstance(notification.state, Queued | Sending):
        return notification.state.at
    return notification.taken_at if isinstance(notification.message, Sms) else None


def _written(history: tuple[Attempt, ...]) -> str:
    # By hand, because an encoder takes three times as long over what is always of one shape.
    return f"[{','.join([_written_attempt(attempt) for attempt in history])}]"


def _written_attempt(attempt: Attempt) -> str:
    started_at = (attempt.started_at - EPOCH) // MICROSECOND
    ended_at = (attempt.ended_at - EPOCH) // MICROSECOND
    code, text = encode_basestring(attempt.code), encode_basestring(attempt.text)
    return f'[{attempt.number},{started_at},{ended_at},"{attempt.outcome.value}",{code},{text}]'


def _read(history: str) -> tuple[Attempt, ...]:
    return tuple(
        Attempt(
            number,
            EPOCH + started_at * MICROSECOND,
            EPOCH + ended_at * MICROSECOND,
            Outcome(outcome),
            code,
            text,
        )
        for number, started_at, ended_at, outcome, code, text in json.loads(history)
    )


def _known(moment: _Moment) -> datetime:
    if moment is None:
        raise InvalidValue("state", "lacks its moment")
    return moment
