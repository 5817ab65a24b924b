"""The workers on a server: each holds a lock, named after it, that ends with its session.

A session may end while its worker lives, because the server was restarted or the network failed.
So a worker is taken for dead only when nobody has held its lock for a while, in which it would have
come back.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from secrets import token_hex
from typing import Any, Final, Protocol
from zlib import crc32

from sqlalchemy.engine import Connection

from pinguin_adapters.sqlmodel_store.liveness import Absences, claimants
from pinguin_adapters.sqlmodel_store.rows import TABLE

_PAUSE: Final = 2.0
_UNHELD: Final = 6
"""Looks after which somebody is dead whose lock nobody holds: ten seconds."""

_NUMBER: Final = f"'{TABLE.name}'::regclass::oid"
_PID: Final = "SELECT pg_backend_pid()"
_TAKE: Final = f"SELECT pg_try_advisory_lock({_NUMBER}::int, %s)"
_HOLDERS: Final = f"""
SELECT objid::bigint, pid = pg_backend_pid() FROM pg_locks
WHERE locktype = 'advisory' AND objsubid = 2 AND granted AND classid = {_NUMBER}
AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""  # noqa: S608 (a constant)
_SERVER: Final = "SELECT CONNECTION_ID(), CONCAT(@@hostname, ':', @@port)"
_LOCK: Final = "CONCAT('pinguin.', MD5(%s))"
_HOLD: Final = f"SELECT IF(IS_USED_LOCK({_LOCK}) = CONNECTION_ID(), 1, GET_LOCK({_LOCK}, 0))"
_IS_FREE: Final = f"SELECT IS_USED_LOCK({_LOCK}) IS NULL"


class Locks(Protocol):
    """The locks of one kind of server."""

    def signed(self, connection: Connection, token: str, /) -> str | None:
        """Return the name for a worker, made of the token and, behind an `@`, of its server.

        None if the session is a pooler's, which gives it to others.
        """
        ...

    def hold(self, connection: Connection, name: str, /) -> None:
        """Hold the lock of this name, unless the session does already."""
        ...

    def free(self, connection: Connection, names: Collection[str], /) -> set[str]:
        """Return those of the names whose lock nobody holds on this server."""
        ...


class SessionLocks:
    """See `Roll`.

    Args:
        locks: what the server has.
        connect: opens a connection that commits by itself; its session holds the lock.
    """

    pause = _PAUSE

    def __init__(self, locks: Locks, connect: Callable[[], Connection]) -> None:
        self._locks = locks
        self._connect = connect
        self._token = token_hex(8)
        self._name: str | None = None
        self._absences = Absences(_UNHELD)

    @property
    def name(self) -> str | None:
        """See `Roll.name`."""
        return self._name

    @contextmanager
    def attend(self) -> Iterator[Connection]:
        """See `Roll.attend`; the lock ends with the connection."""
        with self._connect() as connection:
            yield connection

    def look(self, connection: Connection) -> Collection[str]:
        """See `Roll.look`."""
        try:
            return self._look(connection)
        except BaseException:
            self._name = None
            self._absences.forget()
            raise

    def _look(self, connection: Connection) -> Collection[str]:
        self._name = name = self._locks.signed(connection, self._token)
        if name is None:
            return ()
        self._locks.hold(connection, name)
        others = {each for each in claimants(connection) if _server(each) == _server(name)} - {name}
        return self._absences.note(self._locks.free(connection, others) if others else set())


def _server(name: str) -> str:
    """Return the server whose locks tell of a worker."""
    return name.partition("@")[2]


class PostgreSqlLocks:
    """Advisory locks of two numbers: the table's, and one made of the name."""

    def signed(self, connection: Connection, token: str) -> str | None:
        """See `Locks.signed`; there is only one server that writes."""
        return token if is_direct(connection) else None

    def hold(self, connection: Connection, name: str) -> None:
        """See `Locks.hold`."""
        if not _holders(connection).get(crc32(name.encode())):
            key = int.from_bytes(crc32(name.encode()).to_bytes(4), signed=True)
            connection.exec_driver_sql(_TAKE, (key,))

    def free(self, connection: Connection, names: Collection[str]) -> set[str]:
        """See `Locks.free`."""
        held = _holders(connection)
        return {name for name in names if crc32(name.encode()) not in held}


def is_direct(connection: Connection) -> bool:
    """Tell whether PostgreSQL itself is connected to, and not a pooler: who greets must answer."""
    driver: Any = connection.connection.driver_connection
    return bool(driver.info.backend_pid == connection.exec_driver_sql(_PID).scalar())


def _holders(connection: Connection) -> dict[int, bool]:
    """Return the second number of each lock that is held, and whether it is held by us."""
    return {row[0]: row[1] for row in connection.exec_driver_sql(_HOLDERS)}


class MySqlLocks:
    """Named locks of MariaDB and MySQL, of which each server of a cluster has its own."""

    def signed(self, connection: Connection, token: str) -> str | None:
        """See `Locks.signed`."""
        driver: Any = connection.connection.driver_connection
        answers, server = connection.exec_driver_sql(_SERVER).one()
        return f"{token}@{crc32(server.encode()):08x}" if answers == driver.thread_id() else None

    def hold(self, connection: Connection, name: str) -> None:
        """See `Locks.hold`."""
        connection.exec_driver_sql(_HOLD, (name,) * 2)

    def free(self, connection: Connection, names: Collection[str]) -> set[str]:
        """See `Locks.free`."""
        return {name for name in names if connection.exec_driver_sql(_IS_FREE, (name,)).scalar()}
