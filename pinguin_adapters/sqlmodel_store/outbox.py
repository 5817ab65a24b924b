"""The outbox: notifications stored in the application's own transaction.

What the transaction commits is delivered; what it does not commit was never there. No moment is
left at which the application's data are stored and the notification is not, or the other way round.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import StatementError
from sqlalchemy.orm import Session, scoped_session

from pinguin_adapters.sqlmodel_store.reader import Keyed
from pinguin_adapters.sqlmodel_store.rows import TABLE, to_row
from pinguin_adapters.sqlmodel_store.signals import TOPIC, payload
from pinguin_core.message import Message
from pinguin_core.notification import Notification
from pinguin_core.system import SystemClock, TimeSortedIds
from pinguin_core.values import IdempotencyKey

if TYPE_CHECKING:  # it needs greenlet, which applications without asyncio need not have
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

_CLOCK: Final = SystemClock()
_IDS: Final = TimeSortedIds()
_LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)


def enqueue(
    transaction: Session | scoped_session[Any] | Connection,
    message: Message,
    *,
    scheduled_at: datetime | None = None,
    idempotency_key: IdempotencyKey | None = None,
) -> Notification:
    """Store a message in the caller's transaction: it is delivered if that is committed.

    One row is inserted, at once. Nothing is committed, and nothing that waits in the session is
    flushed. The commit wakes the dispatchers on PostgreSQL whose stores `subscribe` them; others
    find the row within their `poll_interval`, or when `Dispatcher.wake` is called after the commit.
    Whether the channel has a sender is not looked at.

    Args:
        transaction: SQLAlchemy's or SQLModel's session, or a connection, on the database that the
            dispatcher's store is in.
        message: what to send, and to whom.
        scheduled_at: when to send it, with a time zone; at once if absent or past.
        idempotency_key: the caller's own name for this request. When it comes again, through a
            transaction or a service, the notification that it made the first time is returned.

    Returns:
        The notification as it will be, once it is committed; or that which the key made before.

    Raises:
        IdempotencyConflict: if the key came before with another message or another time; nothing
            was done to the transaction.
        InvalidValue: if `scheduled_at` carries no zone.
        sqlalchemy.exc.SQLAlchemyError: what the database raises, as for any other statement; its
            text shows nothing of the message. If another transaction, which was not committed when
            this one looked, has the key, that is an `IntegrityError`: the next try finds it.
    """
    now = _CLOCK.now()
    queued = Notification.queue(_IDS.next_id(now), message, now, scheduled_at, idempotency_key)
    connection = _connection_of(transaction)
    if idempotency_key is not None and (first := Keyed(idempotency_key.value)(connection)):
        return first.unless_other_than(queued)
    try:
        connection.execute(sa.insert(TABLE), to_row(queued))
    except StatementError as error:
        error.hide_parameters = True  # the recipient and the content
        raise
    _announce(connection, queued, now)
    return queued


async def enqueue_async(
    transaction: AsyncSession | AsyncConnection,
    message: Message,
    *,
    scheduled_at: datetime | None = None,
    idempotency_key: IdempotencyKey | None = None,
) -> Notification:
    """Do what `enqueue` does, in the transaction of an asynchronous session or connection."""
    if _is_synchronous(transaction):
        raise TypeError(
            f"enqueue_async needs an AsyncSession or an AsyncConnection; enqueue takes a"
            f" {type(transaction).__name__}"
        )
    return await transaction.run_sync(
        lambda synchronous: enqueue(
            synchronous, message, scheduled_at=scheduled_at, idempotency_key=idempotency_key
        )
    )


def _is_synchronous(transaction: object) -> bool:
    return isinstance(transaction, Session | scoped_session | Connection)


def _connection_of(transaction: Session | scoped_session[Any] | Connection) -> Connection:
    """Return the connection below a session: what is executed there flushes nothing before."""
    if not _is_synchronous(transaction):
        raise TypeError(
            f"enqueue needs a Session or a Connection, not {type(transaction).__name__};"
            " enqueue_async takes an AsyncSession or an AsyncConnection"
        )
    if isinstance(transaction, Connection):
        return transaction
    return transaction.connection(bind_arguments={"clause": TABLE})


def _announce(connection: Connection, queued: Notification, now: datetime) -> None:
    """Have PostgreSQL tell the dispatchers, once the transaction is committed.

    All that is due at once is announced in the same words, which the server repeats only once.
    """
    if connection.dialect.name != "postgresql":
        return
    text = payload(queued.channel, queued.date if queued.date > now else _LONG_AGO)
    connection.execute(sa.select(sa.func.pg_notify(sa.literal_column(TOPIC), text)))
