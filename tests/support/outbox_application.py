"""An application with a database of its own, and the ways in which it can enqueue there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
)
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final, Protocol, TypeAlias, TypeVar

import sqlalchemy as sa
import sqlmodel
from sqlalchemy.engine import Engine
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    mapped_column,
    scoped_session,
    sessionmaker,
)
from support.dispatching import NotingObserver

from pinguin_adapters.sqlmodel_store import (
    SqlModelNotificationRepository,
    enqueue,
    enqueue_async,
    metadata,
)
from pinguin_core import Dispatcher, Email, EmailAddress, IdempotencyKey, Message, Notification
from pinguin_core.testing.fakes import Delivery, RecordingSender

T = TypeVar("T")

_DRIVERS: Final = {
    "sqlite": "pysqlite",
    "postgresql": "psycopg",
    "mysql": "pymysql",
    "mariadb": "pymysql",
}
_ASYNC_DRIVERS: Final = {"sqlite": "aiosqlite", "postgresql": "psycopg"}

WELCOME: Final = Email(EmailAddress("ada@example.com"), "Welcome", "A secret body")


class Base(DeclarativeBase):
    """The application's tables."""


class Order(Base):
    """What the application stores besides."""

    __tablename__ = "customer_order"

    id: Mapped[int] = mapped_column(primary_key=True)
    item: Mapped[str] = mapped_column(sa.String(50))


class Enqueue(Protocol):
    async def __call__(
        self,
        message: Message,
        *,
        scheduled_at: datetime | None = None,
        idempotency_key: IdempotencyKey | None = None,
    ) -> Notification: ...


@dataclass(frozen=True)
class Transaction:
    """One of the application's transactions, which has stored an order."""

    enqueue: Enqueue
    savepoint: Callable[[], AbstractAsyncContextManager[object]]


Way: TypeAlias = Callable[[str], AbstractAsyncContextManager[Transaction]]


def engine_of(url: str) -> Engine:
    engine = sa.create_engine(_with(url, _DRIVERS), poolclass=sa.NullPool)
    _mend_savepoints(engine)
    return engine


def _async_engine_of(url: str) -> AsyncEngine:
    engine = create_async_engine(_with(url, _ASYNC_DRIVERS), poolclass=sa.NullPool)
    _mend_savepoints(engine.sync_engine)
    return engine


def _with(url: str, drivers: Mapping[str, str]) -> sa.URL:
    parsed = sa.make_url(url)
    name = parsed.get_backend_name()
    return parsed.set(drivername=f"{name}+{drivers[name]}")


def _mend_savepoints(engine: Engine) -> None:
    """Let transactions begin where SQLAlchemy says, not where Python's SQLite driver thinks best.

    Otherwise releasing a savepoint would commit.
    """
    if engine.dialect.name != "sqlite":
        return

    def begin_nothing(connection: Any, _record: object) -> None:
        connection.isolation_level = None

    sa.event.listen(engine, "connect", begin_nothing)
    sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))


@asynccontextmanager
async def _entered(manager: AbstractContextManager[T]) -> AsyncIterator[T]:
    with manager as value:
        yield value


@contextmanager
def _scoped(url: str) -> Iterator[scoped_session[Session]]:
    scope = scoped_session(sessionmaker(engine_of(url)))
    try:
        with scope.begin():
            yield scope
    finally:
        scope.remove()


def _synchronous(transaction: Session | scoped_session[Session] | sa.Connection) -> Transaction:
    async def put(
        message: Message,
        *,
        scheduled_at: datetime | None = None,
        idempotency_key: IdempotencyKey | None = None,
    ) -> Notification:
        return enqueue(
            transaction, message, scheduled_at=scheduled_at, idempotency_key=idempotency_key
        )

    return Transaction(put, lambda: _entered(transaction.begin_nested()))


@asynccontextmanager
async def by_session(url: str) -> AsyncIterator[Transaction]:
    with Session(engine_of(url)) as session, session.begin():
        session.add(Order(item="tea"))
        yield _synchronous(session)


@asynccontextmanager
async def by_sqlmodel_session(url: str) -> AsyncIterator[Transaction]:
    with sqlmodel.Session(engine_of(url)) as session, session.begin():
        session.add(Order(item="tea"))
        yield _synchronous(session)


@asynccontextmanager
async def by_scoped_session(url: str) -> AsyncIterator[Transaction]:
    with _scoped(url) as session:
        session.add(Order(item="tea"))
        yield _synchronous(session)


@asynccontextmanager
async def by_connection(url: str) -> AsyncIterator[Transaction]:
    with engine_of(url).begin() as connection:
        connection.execute(sa.insert(Order), {"item": "tea"})
        yield _synchronous(connection)


@asynccontextmanager
async def by_async_session(url: str) -> AsyncIterator[Transaction]:
    async with AsyncSession(_async_engine_of(url)) as session, session.begin():
        session.add(Order(item="tea"))
        yield Transaction(partial(enqueue_async, session), session.begin_nested)


@asynccontextmanager
async def by_async_connection(url: str) -> AsyncIterator[Transaction]:
    async with _async_engine_of(url).begin() as connection:
        await connection.execute(sa.insert(Order), {"item": "tea"})
        yield Transaction(partial(enqueue_async, connection), connection.begin_nested)


WAYS: Final[Mapping[str, tuple[Way, ...]]] = {
    "sqlite": (
        by_session,
        by_sqlmodel_session,
        by_scoped_session,
        by_connection,
        by_async_session,
        by_async_connection,
    ),
    "postgresql": (by_session, by_async_session),
    "mysql": (by_session,),
}
"""The ways into each kind of database; on the servers only those that may differ there."""


def make_tables(url: str) -> None:
    """Make the application's tables and Pinguin's."""
    engine = engine_of(url)
    Base.metadata.create_all(engine)
    metadata.create_all(engine)


def stored(url: str) -> tuple[int, int]:
    """Count the orders and the notifications that are committed."""
    return _rows(url, Order), _rows(url, metadata.tables["pinguin_notification"])


def _rows(url: str, table: Any) -> int:
    with engine_of(url).connect() as connection:
        return connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()


class FinalObserver(NotingObserver):
    """Lets a test wait until so many notifications are final."""

    def __init__(self) -> None:
        super().__init__()
        self._ended = asyncio.Semaphore(0)

    def on_change(self, notification: Notification) -> None:
        super().on_change(notification)
        if notification.is_final:
            self._ended.release()

    async def ended(self, count: int = 1) -> None:
        async with asyncio.timeout(20):
            for _ in range(count):
                await self._ended.acquire()


async def deliveries(url: str) -> list[Delivery[Email]]:
    """Deliver all that is stored, and return what was sent."""
    sender = RecordingSender[Email]()
    observer = FinalObserver()
    waiting = _rows(url, metadata.tables["pinguin_notification"])
    async with (
        SqlModelNotificationRepository.open(url, migrate=False) as store,
        Dispatcher(store, email=sender, observer=observer),
    ):
        await observer.ended(waiting)
    return sender.delivered
