"""SQLite: where the file is, how it is opened, and what it is made to promise."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import NullPool

from pinguin_core.errors import InvalidValue, StoreUnavailable

OLDEST: Final = (3, 37)
"""The first SQLite that knows STRICT tables."""

_PATIENCE: Final = 5.0  # seconds that a statement waits for another process's lock
_PAUSE: Final = 0.01
_FULL: Final = 2
_WAL: Final = "journal_mode = WAL"
_SETTINGS: Final = (
    "synchronous = FULL",
    "foreign_keys = ON",
    "cache_size = -32768",  # KiB
    "temp_store = MEMORY",
)


def database_path(url: str) -> Path:
    """Return the file that a URL such as `sqlite:///pinguin.db` names.

    Raises:
        InvalidValue: if it names none.
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise InvalidValue("database_url", "must be a URL, as in sqlite:///pinguin.db") from None
    if parsed.drivername not in {"sqlite", "sqlite+pysqlite"}:
        raise InvalidValue("database_url", "only SQLite is supported, as in sqlite:///pinguin.db")
    if parsed.query or parsed.host or parsed.database in {None, "", ":memory:"}:
        raise InvalidValue("database_url", "must name a file only, as in sqlite:///pinguin.db")
    return Path(str(parsed.database)).absolute()


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
    url = sa.URL.create("sqlite", database=str(path))
    # Parameters are recipients, subjects and bodies: they must not get into the text of an error.
    return sa.create_engine(
        url,
        poolclass=NullPool,
        hide_parameters=True,
        connect_args={"timeout": _PATIENCE},
        **options,
    )


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
