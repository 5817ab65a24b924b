"""MariaDB and MySQL, through PyMySQL: how they are connected to, and what they promise then."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache, partial
from itertools import chain
from typing import Any, Final, TypeAlias

import pymysql  # type: ignore[import-untyped]  # it has no types
import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection, Engine, ExceptionContext
from sqlalchemy.pool import NullPool

from pinguin_adapters.sqlmodel_store.errors import Locked, Undone, explain_errors, unstorable
from pinguin_adapters.sqlmodel_store.rows import TABLE
from pinguin_adapters.sqlmodel_store.session_locks import MySqlLocks, SessionLocks
from pinguin_adapters.sqlmodel_store.signals import NoSignals
from pinguin_adapters.sqlmodel_store.statements import (
    BEFORE,
    CHANGING,
    COLUMNS,
    KEY,
    Statements,
    Values,
    parts,
)
from pinguin_core.errors import InvalidValue, PinguinError, StoreFull, StoreUnavailable
from pinguin_core.ports import Observer

_OLDEST: Final = {
    True: (10, 6),
    False: (8, 0, 4),
}  # whether it is MariaDB: the first with JSON_TABLE
_MOST_ROWS: Final = 64
_LOCK_PATIENCE: Final = "SET SESSION lock_wait_timeout = 25"  # seconds that a table is waited for
_LOCK: Final = "SELECT GET_LOCK(CONCAT('pinguin.', MD5(DATABASE())), 25)"
_BOUND: Final = "read_timeout"  # after which a server that says nothing is given up
_DEFAULTS: Final = {
    "charset": "utf8mb4",
    "connect_timeout": "5",  # seconds, and below
    _BOUND: "40",
    "write_timeout": "40",
}
_PATIENT: Final = "SET SESSION innodb_lock_wait_timeout = 1"  # seconds, whole ones only
_HURRIED: Final = "SET SESSION innodb_lock_wait_timeout = 0"  # which MySQL takes for 1
_SETTINGS: Final = (
    "SET NAMES utf8mb4 COLLATE utf8mb4_bin",
    "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'",
    _PATIENT,
)
_Make: TypeAlias = Callable[[], PinguinError]
_LOST: Final[_Make] = partial(Undone, "the connection to the database was lost")
_BUSY: Final[_Make] = partial(Undone, "the database is too busy")
_REFUSED: Final[_Make] = partial(StoreUnavailable, "the server refuses the login")
_READ_ONLY: Final[_Make] = partial(StoreUnavailable, "the database is read-only")
_FULL: Final[_Make] = partial(StoreFull, "the database or its disk is full")


class _Taken(PinguinError):
    """There is a row with this id, or with this idempotency key."""


_TOO_LARGE: Final = 1153
_TROUBLE: Final[Mapping[int, _Make]] = {
    1020: _BUSY,
    1021: _FULL,
    1040: partial(StoreUnavailable, "the server accepts no more connections"),
    1044: _REFUSED,
    1045: _REFUSED,
    1049: partial(StoreUnavailable, "the server has no such database"),
    1053: _LOST,
    1062: _Taken,
    1114: _FULL,
    1142: partial(StoreUnavailable, "the login lacks a privilege"),
    _TOO_LARGE: partial(
        InvalidValue, "notification", "is larger than the server accepts (max_allowed_packet)"
    ),
    1205: Locked,
    1213: _BUSY,
    1290: _READ_ONLY,
    1305: _BUSY,  # a deadlock took the savepoint away with the transaction
    1698: _REFUSED,
    1836: _READ_ONLY,
    1927: _LOST,
    2003: partial(StoreUnavailable, "no server answers there"),
    2006: _LOST,
    2013: _LOST,
    3819: unstorable,
    4025: unstorable,
}  # https://mariadb.com/kb/en/mariadb-error-code-reference/
_NO_TABLE: Final = 1146


class MySql:
    """A database of a server; see `Database`.

    Raises:
        InvalidValue: if the URL names none.
    """

    threads = 2

    def __init__(self, url: URL) -> None:
        if not url.database:
            raise InvalidValue("database_url", "must name a database, as in mysql://host/database")
        query = {**_DEFAULTS, **url.query}
        url = url.set(drivername="mysql+pymysql", host=url.host or "localhost", query=query)
        self._writing = _engine(url, "READ COMMITTED")  # whose locks leave the gaps between rows
        self._reading = _engine(url, "AUTOCOMMIT")
        self._migrating = _engine(url.difference_update_query([_BOUND]), "READ COMMITTED")
        self.name = f"{url.database} on {url.host}"
        self.statements = Statements(self._writing.dialect, insert=_insert, overwrite=_overwrite)

    @contextmanager
    def migrating(self) -> Iterator[Connection]:
        """See `Database.migrating`."""
        with self._writing.connect() as connection:
            _require_version(connection)  # of a server that answers, if the next one has patience
        with self._migrating.connect() as connection:
            connection.exec_driver_sql(_LOCK_PATIENCE)
            locked = connection.exec_driver_sql(_LOCK).scalar()
            connection.commit()
            if locked != 1:
                raise StoreUnavailable("another process has been migrating it for long")
            with connection.begin():
                yield connection

    def weaknesses(self, connection: Connection) -> Sequence[str]:
        """See `Database.weaknesses`."""
        settings = "innodb_flush_log_at_trx_commit", "log_bin", "sync_binlog"
        chosen = ", ".join(f"@@GLOBAL.{name}" for name in settings)
        flushes, logs, syncs = connection.exec_driver_sql(f"SELECT {chosen}").one()
        weak = []
        if flushes not in {1, 3}:
            weak.append("set innodb_flush_log_at_trx_commit = 1")
        if logs and syncs != 1:
            weak.append("set sync_binlog = 1")
        return [f"a power cut may lose what it committed: {remedy}" for remedy in weak]

    def write(self) -> Connection:
        """See `Database.write`."""
        return self._writing.connect()

    @contextmanager
    def hurrying(self, connection: Connection) -> Iterator[None]:
        """See `Database.hurrying`."""
        connection.exec_driver_sql(_HURRIED)
        try:
            yield
        finally:
            with suppress(PinguinError, sa.exc.SQLAlchemyError):  # a lost one is prepared anew
                connection.exec_driver_sql(_PATIENT)

    def read(self) -> Connection:
        """See `Database.read`."""
        return self._reading.connect()

    def require_room(self, weight: int) -> None:
        """See `Database.require_room`; the server knows its disks."""

    def signals(self, _observer: Observer) -> NoSignals:
        """See `Database.signals`."""
        return NoSignals()

    def roll(self) -> SessionLocks:
        """See `Database.roll`."""
        return SessionLocks(MySqlLocks(), self.read)


def _engine(url: URL, isolation: Any) -> Engine:
    engine = sa.create_engine(
        url, poolclass=NullPool, isolation_level=isolation, hide_parameters=True
    )
    sa.event.listen(engine, "do_connect", _connect)
    sa.event.listen(engine, "connect", _prepare)
    explain_errors(engine, _explain)
    return engine


class _Measured(pymysql.connections.Connection):  # type: ignore[misc]  # for want of types
    """Sends nothing that the server would refuse by ending the connection, as if it were lost.

    Attributes:
        most_bytes: what the server takes at a time, if that is known.
    """

    most_bytes: int | None = None

    def query(self, sql: str | bytes, *arguments: Any, **options: Any) -> Any:
        """Send a statement, unless it is too large."""
        if isinstance(sql, str):
            sql = sql.encode(self.encoding, "surrogateescape")
        if self.most_bytes is not None and len(sql) >= self.most_bytes:  # a byte tells what it is
            raise pymysql.OperationalError(_TOO_LARGE, "larger than max_allowed_packet")
        return super().query(sql, *arguments, **options)


def _connect(_dialect: object, _record: object, args: Any, options: Any) -> Any:
    try:
        return _Measured(*args, **options)
    except TypeError:
        problem = "has an option that PyMySQL does not know"
        raise InvalidValue("database_url", problem) from None
    except RuntimeError as error:
        raise StoreUnavailable(
            "the login needs a package; in a clone of Pinguin's repository: pip install '.[mysql]'"
        ) from error


def _prepare(connection: _Measured, _record: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT @@max_allowed_packet")
        connection.most_bytes = cursor.fetchone()[0]
        for setting in _SETTINGS:
            cursor.execute(setting)


def _require_version(connection: Connection) -> None:
    is_mariadb = bool(getattr(connection.dialect, "is_mariadb", False))
    version = connection.dialect.server_version_info or ()
    oldest = _OLDEST[is_mariadb]
    if tuple(version)[: len(oldest)] < oldest:
        kind = "MariaDB" if is_mariadb else "MySQL"
        raise StoreUnavailable(f"{kind} {'.'.join(map(str, oldest))} or later is needed")


def _explain(context: ExceptionContext) -> PinguinError | None:
    code = _code(context.original_exception)
    if code == _NO_TABLE:
        return None  # SQLAlchemy looks for it when it is asked whether there is a table
    if (known := _TROUBLE.get(code)) is not None:
        context.is_disconnect = context.is_disconnect or known is _LOST
        return known()
    if isinstance(context.sqlalchemy_exception, sa.exc.DataError | sa.exc.IntegrityError):
        return unstorable()
    if context.is_disconnect:
        return _LOST()
    return StoreUnavailable(f"the database failed ({code or 'no code'})")


def _code(error: BaseException) -> int:
    first = error.args[0] if error.args else None
    return first if isinstance(first, int) else 0


def _insert(connection: Connection, rows: Sequence[Values]) -> int:
    """Add rows. One whose id or key is taken fails its statement: else others would be hidden."""
    written = 0
    for part in parts(rows, _MOST_ROWS):
        try:
            values = tuple(chain.from_iterable(part))
            written += connection.exec_driver_sql(_insert_text(len(part)), values).rowcount
        except _Taken:
            break
    return written


@lru_cache
def _insert_text(count: int) -> str:
    row = f"({', '.join(['%s'] * len(COLUMNS))})"
    return f"INSERT INTO {TABLE.name} ({', '.join(COLUMNS)}) VALUES {', '.join([row] * count)}"  # noqa: S608 (only names of columns)


def _overwrite(connection: Connection, rows: Sequence[Values]) -> int:
    """Compare and set. The driver counts the rows that were found, whether they changed or not.

    Each is looked up by its id: a scan, which seems cheaper in a small table, would lock all rows.
    """
    text = _overwrite_text(connection.dialect)
    return sum(
        connection.exec_driver_sql(text, (json.dumps(part, ensure_ascii=False),)).rowcount
        for part in parts(rows)
    )


@lru_cache
def _overwrite_text(dialect: sa.Dialect) -> str:
    names = [*CHANGING, BEFORE]
    columns = ", ".join(
        f"{name} {_json_type(name, dialect)} PATH '$[{place}]' ERROR ON ERROR"
        for place, name in enumerate(names)
    )
    sets = ", ".join(f"old.{name} = new.{name}" for name in CHANGING if name != KEY)
    return (
        f"UPDATE JSON_TABLE(%s, '$[*]' COLUMNS ({columns})) AS new"  # noqa: S608 (only names of columns)
        f" STRAIGHT_JOIN {TABLE.name} AS old FORCE INDEX (PRIMARY)"
        f" ON old.{KEY} = new.{KEY} AND old.version = new.{BEFORE} SET {sets}"
    )


def _json_type(name: str, dialect: sa.Dialect) -> str:
    """Choose a type with room to spare: JSON_TABLE makes fit what does not, and says nothing."""
    kind = TABLE.columns[name].type if name in TABLE.columns else sa.Integer()
    return "BIGINT" if isinstance(kind, sa.Integer) else kind.compile(dialect)
