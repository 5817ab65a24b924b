"""SQLite: where the file is, how it is opened, and what it is made to promise."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection, Engine, ExceptionContext
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlalchemy.pool import NullPool

from pinguin_adapters.sqlmodel_store.errors import explain_errors, unstorable
from pinguin_adapters.sqlmodel_store.rows import TABLE
from pinguin_adapters.sqlmodel_store.signals import NoSignals
from pinguin_adapters.sqlmodel_store.statements import (
    BEFORE,
    CHANGING,
    COLUMNS,
    KEY,
    Run,
    Statements,
    Values,
)
from pinguin_core.errors import InvalidValue, PinguinError, StoreFull, StoreUnavailable

OLDEST: Final = (3, 37)
"""The first SQLite that knows STRICT tables."""

_PATIENCE: Final = 5.0  # seconds that a statement waits for another process's lock
_PAUSE: Final = 0.01
_FULL: Final = 2
_MOST_ROWS: Final = 64
_WAL: Final = "journal_mode = WAL"
_SETTINGS: Final = (
    "synchronous = FULL",
    "foreign_keys = ON",
    "cache_size = -32768",  # KiB
    "temp_store = MEMORY",
)
_PRIMARY: Final = 0xFF  # the low byte of an extended result code (https://sqlite.org/rescode.html)
_TROUBLE: Final[dict[int, tuple[type[PinguinError], str]]] = {
    sqlite3.SQLITE_BUSY: (StoreUnavailable, "the database is locked by another process"),
    sqlite3.SQLITE_CANTOPEN: (StoreUnavailable, "the file cannot be opened"),
    sqlite3.SQLITE_CORRUPT: (StoreUnavailable, "the database is damaged"),
    sqlite3.SQLITE_FULL: (StoreFull, "the database or its disk is full"),
    sqlite3.SQLITE_NOTADB: (StoreUnavailable, "the file is not an SQLite database"),
    sqlite3.SQLITE_READONLY: (StoreUnavailable, "the database may only be read"),
}


class Sqlite:
    """A file; see `Database`. One thread writes, since the file lets only one write anyway.

    Raises:
        InvalidValue: if the URL names none.
    """

    threads = 1

    def __init__(self, url: URL) -> None:
        if url.query or url.host or url.database in {None, "", ":memory:"}:
            raise InvalidValue("database_url", "must name a file only, as in sqlite:///pinguin.db")
        self._path = Path(str(url.database)).absolute()
        self._writing = writing_engine(self._path)
        self._reading = reading_engine(self._path)
        self.name = str(self._path)
        self.statements = statements(self._writing)

    def migrating(self) -> AbstractContextManager[Connection]:
        """See `Database.migrating`."""
        make_file(self._path)
        return self._writing.begin()

    def weaknesses(self, _connection: Connection) -> Sequence[str]:
        """See `Database.weaknesses`."""
        return ()

    def write(self) -> Connection:
        """See `Database.write`."""
        return self._writing.connect()

    def read(self) -> Connection:
        """See `Database.read`."""
        return self._reading.connect()

    def signals(self) -> NoSignals:
        """See `Database.signals`."""
        return NoSignals()


def make_file(path: Path) -> None:
    """Make sure that the file is there, with its folders, and that only its owner can read it.

    An existing file stays as it is.

    Raises:
        StoreUnavailable: if that is impossible, or this SQLite is too old.
    """
    if sqlite3.sqlite_version_info < OLDEST:
        needed = ".".join(map(str, OLDEST))
        raise StoreUnavailable(f"SQLite {needed} or later is needed, not {sqlite3.sqlite_version}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except OSError as error:
        raise StoreUnavailable(error.strerror or "the system refuses to make it") from error


def writing_engine(path: Path) -> Engine:
    """Make the engine whose connections write: each transaction takes the write lock at once."""
    engine = _engine(path)
    sa.event.listen(engine, "connect", _prepare)
    sa.event.listen(engine, "begin", _begin)
    return engine


def reading_engine(path: Path) -> Engine:
    """Make the engine whose connections only read: each statement sees all that is committed."""
    engine = _engine(path, isolation_level="AUTOCOMMIT")
    sa.event.listen(engine, "connect", _forbid_writing)
    return engine


def _engine(path: Path, **options: Any) -> Engine:
    engine = sa.create_engine(
        sa.URL.create("sqlite", database=str(path)),
        poolclass=NullPool,
        hide_parameters=True,
        connect_args={"timeout": _PATIENCE},
        **options,
    )
    explain_errors(engine, _explain)
    return engine


def _prepare(connection: sqlite3.Connection, _record: object) -> None:
    try:
        _promise(connection)
    except BaseException:
        connection.close()  # SQLAlchemy does not
        raise


def _promise(connection: sqlite3.Connection) -> None:
    connection.isolation_level = None  # or the driver would begin transactions of its own
    _use_wal(connection)
    for setting in _SETTINGS:
        connection.execute(f"PRAGMA {setting}")
    if _pragma(connection, "synchronous") != _FULL:
        raise StoreUnavailable("SQLite does not promise to keep what it commits (synchronous)")


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _forbid_writing(connection: sqlite3.Connection, _record: object) -> None:
    connection.execute("PRAGMA query_only = ON")


def _use_wal(connection: sqlite3.Connection) -> None:
    """Switch to write-ahead logging.

    SQLite does not wait here when two processes switch a new file at the same time.
    """
    deadline = time.monotonic() + _PATIENCE
    while (mode := _switch_to_wal(connection)) is None and time.monotonic() < deadline:
        time.sleep(_PAUSE)
    if mode is None:
        raise StoreUnavailable("the database is locked by another process")
    if mode != "wal":
        raise StoreUnavailable(f"the file system does not allow write-ahead logging, only {mode}")


def _switch_to_wal(connection: sqlite3.Connection) -> object:
    """Return the mode that the database is in then, or None if it is locked."""
    try:
        return _pragma(connection, _WAL)
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
            return None
        raise


def _pragma(connection: sqlite3.Connection, name: str) -> object:
    return connection.execute(f"PRAGMA {name}").fetchone()[0]


def _explain(context: ExceptionContext) -> PinguinError:
    error, code = context.sqlalchemy_exception, _code(context.original_exception)
    if not (isinstance(error, OperationalError) or type(error) is DatabaseError):
        return unstorable()
    if code is None and context.connection is not None:
        return InvalidValue("notification", "holds text that is not UTF-8")  # and is quoted by it
    kind, text = _TROUBLE.get(code or 0, (StoreUnavailable, _unnamed(context.original_exception)))
    return kind(text)


def _code(error: BaseException) -> int | None:
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & _PRIMARY


def _unnamed(error: BaseException) -> str:
    return f"the database failed ({getattr(error, 'sqlite_errorname', 'no code')})"


def statements(engine: Engine) -> Statements:
    """Make the statements that write."""
    return Statements(
        engine.dialect, insert=_in_parts(insert_text), overwrite=_in_parts(overwrite_text)
    )


@lru_cache
def insert_text(count: int) -> str:
    """Write the statement that adds so many rows."""
    return (
        f"INSERT INTO {TABLE.name} ({', '.join(COLUMNS)}) VALUES {_values(COLUMNS, count)}"  # noqa: S608 (only names of columns)
        f" ON CONFLICT ({KEY}) DO NOTHING"
    )


@lru_cache
def overwrite_text(count: int) -> str:
    """Write the statement that overwrites so many rows."""
    names = [*CHANGING, BEFORE]
    new = {name: f"new.column{place}" for place, name in enumerate(names, 1)}
    sets = ", ".join(f"{name} = {new[name]}" for name in CHANGING if name != KEY)
    return (
        f"UPDATE {TABLE.name} SET {sets} FROM (VALUES {_values(names, count)}) AS new"  # noqa: S608 (only names of columns)
        f" WHERE {TABLE.name}.{KEY} = {new[KEY]} AND {TABLE.name}.version = {new[BEFORE]}"
    )


def _values(names: Sequence[str], count: int) -> str:
    return ", ".join([f"({', '.join('?' * len(names))})"] * count)


def _in_parts(text: Callable[[int], str]) -> Run:
    def run(connection: Connection, rows: Sequence[Values]) -> int:
        return sum(
            connection.exec_driver_sql(text(len(part)), tuple(chain.from_iterable(part))).rowcount
            for part in _parts(rows)
        )

    return run


def _parts(rows: Sequence[Values]) -> Iterator[Sequence[Values]]:
    """Cut into powers of two, so that few different statements are ever prepared."""
    start = 0
    while left := len(rows) - start:
        size = min(_MOST_ROWS, 1 << left.bit_length() - 1)
        yield rows[start : start + size]
        start += size
