"""What differs between the kinds of databases, and which of them a URL names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from importlib import import_module
from typing import Final, NamedTuple, Protocol, cast

from sqlalchemy.engine import URL, Connection, make_url
from sqlalchemy.exc import ArgumentError

from pinguin_adapters.sqlmodel_store.liveness import Roll
from pinguin_adapters.sqlmodel_store.signals import Signals
from pinguin_adapters.sqlmodel_store.statements import Statements
from pinguin_core.errors import InvalidValue, StoreUnavailable
from pinguin_core.ports import Observer


class Database(Protocol):
    """One database, of any kind. Making one opens nothing.

    Its connections raise the domain's errors instead of the driver's: `Undone` for what may be done
    again, `Locked` for what others have locked for long, `StoreUnavailable` and `StoreFull` for
    other trouble, `InvalidValue` for what cannot be stored or read. A connection that was lost is
    made anew when it is used next.

    Attributes:
        name: how errors call it; without password.
        threads: how many threads write, and how many read, each with a connection of its own.
        statements: what is written with.
    """

    name: str
    threads: int
    statements: Statements

    def migrating(self) -> AbstractContextManager[Connection]:
        """Connect, and keep all others from migrating until the block ends with a commit.

        What is done in the block takes as long as it takes: it may make an index of a large table.
        """
        ...

    def weaknesses(self, connection: Connection, /) -> Sequence[str]:
        """Say which of its settings break promises, and how they should be."""
        ...

    def write(self) -> Connection:
        """Connect to write: what was committed is on stable storage."""
        ...

    def hurrying(self, connection: Connection, /) -> AbstractContextManager[None]:
        """Within a transaction, wait only for a moment for what others have locked."""
        ...

    def read(self) -> Connection:
        """Connect to read: each statement sees all that is committed."""
        ...

    def require_room(self, weight: int) -> None:
        """Make sure that a notification whose texts take so many bytes leaves room for outcomes.

        It is asked often, on the event loop.

        Raises:
            StoreFull: if it does not.
            StoreUnavailable: if that cannot be found out.
        """
        ...

    def signals(self, observer: Observer, /) -> Signals:
        """Make what tells other processes of new work, and an observer of its trouble."""
        ...

    def roll(self) -> Roll:
        """Make a worker's place among those that work on it."""
        ...


class _Kind(NamedTuple):
    module: str
    type: str
    driver: str = ""
    extra: str = ""


_SQLITE: Final = _Kind("sqlite", "Sqlite")
_POSTGRESQL: Final = _Kind("postgresql", "PostgreSql", "psycopg", "postgres")
_MYSQL: Final = _Kind("mysql", "MySql", "PyMySQL", "mysql")
_KINDS: Final = {
    "sqlite": _SQLITE,
    "sqlite+pysqlite": _SQLITE,
    "postgres": _POSTGRESQL,
    "postgresql": _POSTGRESQL,
    "postgresql+psycopg": _POSTGRESQL,
    "mysql": _MYSQL,
    "mysql+pymysql": _MYSQL,
    "mariadb": _MYSQL,
    "mariadb+pymysql": _MYSQL,
}
_EXAMPLES: Final = "as in sqlite:///pinguin.db, postgresql://host/database or mysql://host/database"


def database(url: str) -> Database:
    """Find the database that a URL names.

    Raises:
        InvalidValue: if it names none.
        StoreUnavailable: if the driver for it is not installed.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise InvalidValue("database_url", f"must be a URL, {_EXAMPLES}") from None
    if (kind := _KINDS.get(parsed.drivername)) is None:
        raise InvalidValue("database_url", f"must be of a kind that is supported, {_EXAMPLES}")
    try:
        module = import_module(f"{__package__}.{kind.module}")
        return cast(Callable[[URL], Database], getattr(module, kind.type))(parsed)
    except ImportError as error:
        raise StoreUnavailable(
            f"the driver {kind.driver} is not installed; "
            f"in a clone of Pinguin's repository: pip install '.[{kind.extra}]'"
        ) from error
