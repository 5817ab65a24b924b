"""A new database for each test that asks for one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.databases import KINDS, SERVERS, fresh


@pytest.fixture(params=KINDS)
def any_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A database of each kind in turn."""
    with fresh(request.param) as url:
        yield url


@pytest.fixture(params=SERVERS)
def server_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A database of each server in turn."""
    with fresh(request.param) as url:
        yield url


@pytest.fixture
def postgresql_url() -> Iterator[str]:
    """A schema of a PostgreSQL server."""
    with fresh("postgresql") as url:
        yield url


@pytest.fixture
def mysql_url() -> Iterator[str]:
    """A database of a MariaDB or MySQL server."""
    with fresh("mysql") as url:
        yield url
