"""SQLite: where the file is, how it is opened, and what it is made to promise."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection, Engine, ExceptionContext
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlalchemy.pool import NullPool

from pinguin_adapters.sqlmodel_store import sqlite_file
from pinguin_adapters.sqlmodel_store.disk_reserve import DiskReserve
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
from pinguin_adapters.sqlmodel_store.worker_files import WorkerFiles
from pinguin_adapters.sqlmodel_store.write_lock import WriteLock
from pinguin_core.errors import InvalidValue, PinguinError, StoreFull, StoreUnavailable
from pinguin_core.ports import Observer

OLDEST: Final = (3, 37)
"""The first SQLite that knows STRICT tables."""

SOUND: Final = (3, 51, 3)
"""The first SQLite whose log cannot be damaged by two connections that write and checkpoint at the
same instant (https://sqlite.org/wal.html#walresetbug)."""

LOCK_SUFFIX: Final = "-lock"
"""What the name of the database's file is followed by in that of its `WriteLock`."""

WORKERS_SUFFIX: Final = "-workers"
"""What it is followed by in that of the folder of its `WorkerFiles`."""

_PATIENCE: Final = 5.0  # seconds that our turn, and another program's lock, are waited for
_PATIENCE_AT_THE_END: Final = 0.5  # seconds that our turn to close is waited for
_PAUSE: Final = 0.01
_FULL: Final = 2
_MOST_ROWS: Final = 64
_WAL: Final = "journal_mode = WAL"
_NO_MAPPING: Final = "mmap_size = 0"  # or an error of the disk would be a signal that kills
_SETTINGS: Final = (
    "synchronous = FULL",
    "foreign_keys = ON",
    "cache_size = -32768",  # KiB
    "temp_store = MEMORY",
    _NO_MAPPING,
)
_PRIMARY: Final = 0xFF  # the low byte of an extended result code (https://sqlite.org/rescode.html)
_TROUBLE: Final[dict[int, tuple[type[PinguinError], str]]] = {
    sqlite3.SQLITE_BUSY: (StoreUnavailable, "the database is locked by another process"),
    sqlite3.SQLITE_CANTOPEN: (StoreUnavailable, "the file cannot be opened"),
    sqlite3.SQLITE_CORRUPT: (StoreUnavailable, "the database is damaged"),
    sqlite3.SQLITE_FULL: (StoreFull, "the database or its disk is full"),
    sqlite3.SQLITE_NOTADB: (StoreUnavailable, "the file is not an SQLite database"),
    sqlite3.SQLITE_READONLY: (StoreUnavailable, "the database is read-only"),
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
        self._path = Path(os.path.realpath(str(url.database)))  # which every name of it leads to
        self._reserve = DiskReserve(self._path.parent)
        self._place = sqlite_file.Place(self._path)
        self._writing = writing_engine(self._path, self._place)
        self._reading = reading_engine(self._path)
        self.name = str(self._path)
        self.statements = statements(self._writing)

    @contextmanager
    def migrating(self) -> Iterator[Connection]:
        """See `Database.migrating`."""
        if sqlite3.sqlite_version_info < OLDEST:
            raise StoreUnavailable(
                f"SQLite {_told(OLDEST)} or later is needed, not {sqlite3.sqlite_version}"
            )
        sqlite_file.make_file(self._path)
        with self._writing.begin() as connection:
            self._place.note()
            yield connection

    def weaknesses(self, _connection: Connection) -> Sequence[str]:
        """See `Database.weaknesses`."""
        weak = list(sqlite_file.weaknesses(self._path))
        if sqlite3.sqlite_version_info < SOUND:
            weak.append(
                f"SQLite {sqlite3.sqlite_version} may corrupt it when two programs write at the"
                " same instant; services of Pinguin take turns, but others that write to it do not:"
                f" install {_told(SOUND)} or later"
            )
        return weak

    def write(self) -> Connection:
        """See `Database.write`."""
        return self._writing.connect()

    def hurrying(self, _connection: Connection) -> AbstractContextManager[None]:
        """See `Database.hurrying`; the only lock there is was waited for before."""
        return nullcontext()

    def read(self) -> Connection:
        """See `Database.read`."""
        return self._reading.connect()

    def require_room(self, weight: int) -> None:
        """See `Database.require_room`."""
        self._reserve.require(weight)

    def signals(self, _observer: Observer) -> NoSignals:
        """See `Database.signals`."""
        return NoSignals()

    def roll(self) -> WorkerFiles:
        """See `Database.roll`."""
        return WorkerFiles(Path(f"{self._path}{WORKERS_SUFFIX}"), self.read, self._place.require)


class TakingTurns(sqlite3.Connection):
    """A connection that writes only when it is its process's turn; see `WriteLock`.

    It has its turn from before a transaction begins until that has ended, and while it opens and
    closes. So of all such connections one writes or checkpoints at a time. Those of an application
    that writes to the file too take no turns, and meet SQLite's own lock.
    """

    def __init__(self, database: str, *arguments: Any, **options: Any) -> None:
        super().__init__(database, *arguments, **options)
        self._lock = WriteLock(Path(f"{database}{LOCK_SUFFIX}"))
        self._is_used = False

    def take_turn(self, patience: float | None = None) -> None:
        """Wait until it is our turn, for so many seconds at the most.

        Raises:
            StoreUnavailable: if it does not come.
        """
        self._lock.take(_PATIENCE if patience is None else patience)
        self._is_used = True

    def end_turn(self) -> None:
        """Let others write, unless there is a transaction that has not ended."""
        if not self.in_transaction:
            self._lock.release()

    def commit(self) -> None:
        """Commit; a failure may leave the transaction open, to be rolled back."""
        try:
            super().commit()
        finally:
            self.end_turn()

    def rollback(self) -> None:
        """Roll back."""
        try:
            super().rollback()
        finally:
            self.end_turn()

    def close(self) -> None:
        """Close in turn, since the last one to close makes a checkpoint.

        Who has no turn is not the last: whoever has it is still open. So the wait is short, lest a
        stop outlast its time. Who never had one, or has closed already, has nothing open.
        """
        if self._is_used:
            with suppress(StoreUnavailable):
                self.take_turn(_PATIENCE_AT_THE_END)
            self._is_used = False
        try:
            super().close()
        finally:
            self._lock.close()


def writing_engine(path: Path, place: sqlite_file.Place | None = None) -> Engine:
    """Make the engine whose connections write: each transaction takes the write lock at once.

    Args:
        path: of the file.
        place: where it must still be whenever a transaction begins.
    """
    engine, required = _engine(path, TakingTurns), place or sqlite_file.Place(path)
    sa.event.listen(engine, "connect", _prepare)
    sa.event.listen(engine, "begin", lambda connection: _begin(connection, required))
    return engine


def reading_engine(path: Path) -> Engine:
    """Make the engine whose connections only read: each statement sees all that is committed."""
    engine = _engine(path, sqlite3.Connection, isolation_level="AUTOCOMMIT")
    sa.event.listen(engine, "connect", _forbid_writing)
    return engine


def _engine(path: Path, kind: type[sqlite3.Connection], **options: Any) -> Engine:
    engine = sa.create_engine(
        sa.URL.create("sqlite", database=str(path)),
        poolclass=NullPool,
        hide_parameters=True,
        connect_args={"timeout": _PATIENCE, "factory": kind},
        **options,
    )
    explain_errors(engine, _explain)
    return engine


def _prepare(connection: TakingTurns, _record: object) -> None:
    try:
        connection.take_turn()
        _promise(connection)
        connection.end_turn()
    except BaseException:
        connection.close()  # SQLAlchemy does not before version 2.1
        raise


def _promise(connection: sqlite3.Connection) -> None:
    connection.isolation_level = None  # or the driver would begin transactions of its own
    _use_wal(connection)
    for setting in _SETTINGS:
        connection.execute(f"PRAGMA {setting}")
    if _pragma(connection, "synchronous") != _FULL:
        raise StoreUnavailable("SQLite does not guarantee durable commits (synchronous)")


def _told(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def _begin(connection: Connection, place: sqlite_file.Place) -> None:
    turns = connection.connection.driver_connection
    if not isinstance(turns, TakingTurns):
        raise TypeError("whoever writes must take turns")
    turns.take_turn()
    try:
        place.require()
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    finally:
        turns.end_turn()  # if it did not begin


def _forbid_writing(connection: sqlite3.Connection, _record: object) -> None:
    connection.execute("PRAGMA query_only = ON")
    connection.execute(f"PRAGMA {_NO_MAPPING}")


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
        " ON CONFLICT DO NOTHING"
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
