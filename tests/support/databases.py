"""Databases for tests: a new one for each, on SQLite and on the servers that answer.

PostgreSQL and MariaDB or MySQL are looked for on this machine, or where the variables say. A test
that needs one which does not answer is skipped; in CI it fails, lest nobody notice.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection, make_url
from support.absent import absent
from support.quick_folders import quick_folder

SERVERS: Final = ("postgresql", "mysql")
KINDS: Final = ("sqlite", *SERVERS)

ABSENT: Final = "does not answer"
"""What the reason of a test says that is skipped for want of a server."""

_PATIENCE: Final = "3"  # seconds to wait for a server that may not be there


class _Server(NamedTuple):
    name: str
    variable: str
    driver: str
    addresses: tuple[str, ...]

    def url(self, address: str) -> URL:
        return make_url(address).set(drivername=self.driver)


_SERVERS: Final = {
    "postgresql": _Server(
        "PostgreSQL",
        "PINGUIN_TEST_POSTGRES_URL",
        "postgresql+psycopg",
        ("postgresql://root@127.0.0.1/test", "postgresql://postgres@127.0.0.1/test"),
    ),
    "mysql": _Server(
        "MariaDB or MySQL",
        "PINGUIN_TEST_MYSQL_URL",
        "mysql+pymysql",
        ("mysql://root@127.0.0.1/test",),
    ),
}


@contextmanager
def fresh(kind: str) -> Iterator[str]:
    """Make an empty database, yield the URL that the store opens it by, and remove it."""
    with _MAKERS[kind]() as url:
        yield url


@contextmanager
def directly(url: str) -> Iterator[Connection]:
    """Connect as any other program would; what it does is committed at once."""
    parsed = make_url(url)
    driver = {"postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql"}
    parsed = parsed.set(drivername=driver.get(parsed.drivername, parsed.drivername))
    engine = sa.create_engine(parsed, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        yield connection


def emptied(url: str) -> None:
    """Remove all notifications."""
    with directly(url) as connection:
        connection.exec_driver_sql("DELETE FROM pinguin_notification")


def server(kind: str) -> str:
    """Return the address of a server, or skip the test that asks, or fail it in CI."""
    known = _SERVERS[kind]
    if (url := _answering(kind)) is None:
        absent(f"{known.name} {ABSENT}: set {known.variable}, as in {known.addresses[0]}")
    return url


@lru_cache
def _answering(kind: str) -> str | None:
    known = _SERVERS[kind]
    named = os.environ.get(known.variable)
    for address in (named,) if named else known.addresses:
        url = known.url(address).update_query_dict({"connect_timeout": _PATIENCE})
        engine = sa.create_engine(url, poolclass=sa.NullPool)
        try:
            with engine.connect():
                return address
        except sa.exc.OperationalError:
            continue
    return None


@contextmanager
def _file() -> Iterator[str]:
    with quick_folder() as folder:
        yield f"sqlite:///{Path(folder, 'store.db')}"


@contextmanager
def _schema() -> Iterator[str]:
    url, name = server("postgresql"), f"pinguin_{uuid4().hex}"
    with directly(url) as connection:
        connection.exec_driver_sql(f"CREATE SCHEMA {name}")
    try:
        within = make_url(url).update_query_dict({"options": f"-csearch_path={name}"})
        yield within.render_as_string(hide_password=False)
    finally:
        with directly(url) as connection:
            connection.exec_driver_sql(f"DROP SCHEMA {name} CASCADE")


@contextmanager
def _database() -> Iterator[str]:
    url, name = server("mysql"), f"pinguin_{uuid4().hex}"
    with directly(url) as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    try:
        yield make_url(url).set(database=name).render_as_string(hide_password=False)
    finally:
        with directly(url) as connection:
            connection.exec_driver_sql(f"DROP DATABASE {name}")


_MAKERS: Final[dict[str, Callable[[], AbstractContextManager[str]]]] = {
    "sqlite": _file,
    "postgresql": _schema,
    "mysql": _database,
}
