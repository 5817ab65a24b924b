"""PostgreSQL, through psycopg: how it is connected to, and what it is made to promise."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from math import inf
from typing import Any, Final, cast

import psycopg
import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection, Engine, ExceptionContext
from sqlalchemy.pool import NullPool

from pinguin_adapters.sqlmodel_store.errors import (
    Locked,
    Undone,
    explain_errors,
    translated,
    unstorable,
)
from pinguin_adapters.sqlmodel_store.listening import PostgreSqlSignals
from pinguin_adapters.sqlmodel_store.rows import TABLE
from pinguin_adapters.sqlmodel_store.session_locks import (
    PostgreSqlLocks,
    SessionLocks,
    is_direct,
)
from pinguin_adapters.sqlmodel_store.statements import (
    BEFORE,
    CHANGING,
    COLUMNS,
    KEY,
    Run,
    Statements,
    Values,
    parts,
)
from pinguin_core.errors import InvalidValue, PinguinError, StoreFull, StoreUnavailable
from pinguin_core.ports import Observer

_PATIENCE: Final = 40.0  # seconds after which a server that says nothing is given up
_MIGRATION_LOCK: Final = int.from_bytes(b"pinguin")
_DEFAULTS: Final = {
    "application_name": "pinguin",
    "client_encoding": "utf8",
    "connect_timeout": "5",  # seconds
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",  # milliseconds
}
_SETTINGS: Final = """
SET TIME ZONE 'UTC';
SET statement_timeout = '30s';
SET lock_timeout = '500ms';
SET idle_in_transaction_session_timeout = '60s';
SELECT set_config('synchronous_commit', 'on', false)
WHERE current_setting('synchronous_commit') = 'off'
"""
_TROUBLE: Final[dict[str, tuple[type[PinguinError], str]]] = {
    "08": (Undone, "the connection to the database was lost"),
    "25006": (StoreUnavailable, "the database is read-only"),
    "28": (StoreUnavailable, "the server refuses the login"),
    "3D000": (StoreUnavailable, "the server has no such database"),
    "40001": (Undone, "the database is too busy"),
    "40P01": (Undone, "the database is too busy"),
    "42501": (StoreUnavailable, "the login lacks a privilege"),
    "42P01": (StoreUnavailable, "its tables are missing"),
    "53100": (StoreFull, "the database's disk is full"),
    "53300": (StoreUnavailable, "the server accepts no more connections"),
    "57014": (StoreUnavailable, "the database took too long"),
    "57P": (Undone, "the server is starting or stopping"),
}  # by SQLSTATE, or how one begins (https://www.postgresql.org/docs/current/errcodes-appendix.html)
_LOCKED: Final = "55P03"
_UNSTORABLE: Final = ("22", "23", "54")
_OF_THE_DRIVER: Final = (psycopg.DataError, psycopg.ProgrammingError)
_REFUSALS: Final = {
    "authentication": "the server refuses the login",
    "password": "the server refuses the login",
    "pg_hba": "the server refuses the login",
    "role ": "the server refuses the login",
    "too many": "the server accepts no more connections",
    "database ": "the server has no such database",
    "resolve": "the server's name cannot be resolved",
    "translate": "the server's name cannot be resolved",
    "refused": "no server is listening there",
    "timeout": "the server does not answer",
    "certificate": "the server's certificate is not accepted",
    "SSL": "client and server do not agree about TLS",
    "starting up": "the server is starting or stopping",
    "shutting down": "the server is starting or stopping",
}  # in this order: what a refused connection has no SQLSTATE for
_WEAKNESSES: Final = {
    ("fsync", "off"): "a power cut may corrupt it: set fsync = on",
    ("full_page_writes", "off"): "a power cut may corrupt it: set full_page_writes = on",
    ("server_encoding", "SQL_ASCII"): "its encoding is SQL_ASCII: create it with UTF8",
}
_POOLED: Final = (
    "it is behind a pooler, so what a dead service was sending waits for its lease: connect"
    " directly"
)


class PostgreSql:
    """A database of a server; see `Database`."""

    threads = 2

    def __init__(self, url: URL) -> None:
        self._url = url.set(drivername="postgresql+psycopg", query={**_DEFAULTS, **url.query})
        self._writing = _engine(self._url, "READ COMMITTED")
        self._reading = _engine(self._url, "AUTOCOMMIT")
        self.name = f"{url.database or url.username} on {url.host or 'this machine'}"
        self.statements = Statements(
            self._writing.dialect, insert=_running(_insert()), overwrite=_running(_overwrite())
        )

    @contextmanager
    def migrating(self) -> Iterator[Connection]:
        """See `Database.migrating`."""
        with self._writing.begin() as connection:
            connection.exec_driver_sql("SET LOCAL lock_timeout = '25s'")
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})")
            connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
            _bounded(connection).is_bounded = False
            yield connection

    def weaknesses(self, connection: Connection) -> Sequence[str]:
        """See `Database.weaknesses`."""
        weak = [
            remedy
            for (name, weak), remedy in _WEAKNESSES.items()
            if connection.exec_driver_sql(f"SHOW {name}").scalar() == weak
        ]
        return weak if is_direct(connection) else [*weak, _POOLED]

    def write(self) -> Connection:
        """See `Database.write`."""
        return self._writing.connect()

    @contextmanager
    def hurrying(self, connection: Connection) -> Iterator[None]:
        """See `Database.hurrying`; it ends with the transaction."""
        connection.exec_driver_sql("SET LOCAL lock_timeout = '100ms'")
        yield

    def read(self) -> Connection:
        """See `Database.read`."""
        return self._reading.connect()

    def require_room(self, weight: int) -> None:
        """See `Database.require_room`; the server knows its disks."""

    def signals(self, observer: Observer) -> PostgreSqlSignals:
        """See `Database.signals`."""
        _, options = self._writing.dialect.create_connect_args(self._url)
        return PostgreSqlSignals(
            lambda: _Bounded.connect(**options, autocommit=True), _explain_alone, observer
        )

    def roll(self) -> SessionLocks:
        """See `Database.roll`."""
        return SessionLocks(PostgreSqlLocks(), self.read)


class _Bounded(psycopg.Connection[tuple[Any, ...]]):
    """Gives up a server that is silent for long: its system may live on and acknowledge bytes.

    Attributes:
        is_bounded: whether it does so, as it does at first.
    """

    is_bounded = True

    def wait(self, gen: Generator[Any, Any, Any], *arguments: Any, **options: Any) -> Any:
        """Wait for the server, but not for ever."""
        return super().wait(self._within(gen), *arguments, **options)

    def _within(self, waiting: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
        deadline = time.monotonic() + (_PATIENCE if self.is_bounded else inf)
        try:
            state = next(waiting)
            while True:
                ready = yield state
                if time.monotonic() > deadline:
                    self.close()
                    raise psycopg.OperationalError("the server does not answer")
                state = waiting.send(ready)
        except StopIteration as end:
            return end.value


def _bounded(connection: Connection) -> _Bounded:
    return cast(_Bounded, connection.connection.driver_connection)


def _engine(url: URL, isolation: Any) -> Engine:
    engine = sa.create_engine(
        url,
        poolclass=NullPool,
        isolation_level=isolation,
        hide_parameters=True,
        use_native_hstore=False,
    )
    sa.event.listen(engine, "do_connect", _connect)
    sa.event.listen(engine, "connect", _prepare)
    explain_errors(engine, _explain)
    return engine


def _connect(_dialect: object, _record: object, _args: object, options: dict[str, Any]) -> Any:
    return _Bounded.connect(**options)


def _prepare(connection: psycopg.Connection[tuple[Any, ...]], _record: object) -> None:
    before, connection.autocommit = connection.autocommit, True
    connection.execute(_SETTINGS)
    durability = connection.execute("SHOW synchronous_commit").fetchone()
    connection.autocommit = before
    if durability == ("off",):
        connection.close()
        raise StoreUnavailable("the server does not guarantee durable commits (synchronous_commit)")


def _explain(context: ExceptionContext) -> PinguinError:
    error = context.original_exception
    state = getattr(error, "sqlstate", None) or ""
    if not state and context.connection is None:
        return _refusal(error)
    if state.startswith(_UNSTORABLE) or (not state and isinstance(error, _OF_THE_DRIVER)):
        return unstorable()
    if state == _LOCKED:
        return Locked()
    if context.is_disconnect or not state:
        context.is_disconnect = True
        return Undone("the connection to the database was lost")
    return _of_state(state)


def _explain_alone(error: psycopg.Error) -> Exception:
    """Say what befell a connection that no engine made."""
    return translated(_of_state(error.sqlstate) if error.sqlstate else _refusal(error))


def _of_state(state: str) -> PinguinError:
    for length in (5, 3, 2):
        if known := _TROUBLE.get(state[:length]):
            return known[0](known[1])
    return StoreUnavailable(f"the database failed ({state})")


def _refusal(error: BaseException) -> PinguinError:
    """Say why there is no connection, without the server's text, which names the login."""
    if isinstance(error, psycopg.ProgrammingError):
        return InvalidValue("database_url", "has an option that PostgreSQL's driver does not know")
    reasons = (reason for word, reason in _REFUSALS.items() if word in str(error))
    return StoreUnavailable(next(reasons, "there is no connection to the server"))


def _insert() -> str:
    values = _columns(COLUMNS)
    return (
        f"INSERT INTO {TABLE.name} ({', '.join(COLUMNS)}) SELECT * FROM unnest({values})"  # noqa: S608 (only names of columns)
        " ON CONFLICT DO NOTHING"
    )


def _overwrite() -> str:
    names = [*CHANGING, BEFORE]
    sets = ", ".join(f"{name} = new.{name}" for name in CHANGING if name != KEY)
    return (
        f"UPDATE {TABLE.name} SET {sets} FROM unnest({_columns(names)}) AS new({', '.join(names)})"  # noqa: S608 (only names of columns)
        f" WHERE {TABLE.name}.{KEY} = new.{KEY} AND {TABLE.name}.version = new.{BEFORE}"
    )


def _columns(names: Sequence[str]) -> str:
    """Write a parameter for each column, which takes an array in binary form, the quicker one."""
    types = {column.name: column.type.compile(_DIALECT) for column in TABLE.columns}
    types[BEFORE] = types["version"]
    return ", ".join(f"%b::{types[name]}[]" for name in names)


_DIALECT: Final = sa.make_url("postgresql+psycopg://").get_dialect()()


def _running(text: str) -> Run:
    def run(connection: Connection, rows: Sequence[Values]) -> int:
        return sum(connection.exec_driver_sql(text, _arrays(part)).rowcount for part in parts(rows))

    return run


def _arrays(rows: Sequence[Values]) -> tuple[list[Any], ...]:
    return tuple([list(column) for column in zip(*rows, strict=True)])
