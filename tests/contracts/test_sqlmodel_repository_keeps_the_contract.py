from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from support.databases import emptied, fresh
from support.quick_folders import quick_folder
from support.sqlmodel_stores import run

from pinguin_adapters.sqlmodel_store import SqlModelNotificationRepository
from pinguin_core.testing.contracts import (
    Connect,
    NotificationRepositoryContract,
    SmsLedgerContract,
)


class TestSqlite(NotificationRepositoryContract, SmsLedgerContract):
    examples = 12

    @asynccontextmanager
    async def storage(self) -> AsyncIterator[Connect]:
        with quick_folder() as folder:
            yield lambda: SqlModelNotificationRepository.open(f"sqlite:///{folder}/pinguin.db")


async def _make_tables(url: str) -> None:
    async with SqlModelNotificationRepository.open(url):
        pass


class _OnServer:
    """Empties one database again and again, because making one takes a server long."""

    examples = 4
    kind: str
    url: str

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def database(cls) -> Iterator[None]:
        with fresh(cls.kind) as cls.url:
            run(_make_tables(cls.url))
            yield

    @asynccontextmanager
    async def storage(self) -> AsyncIterator[Connect]:
        emptied(self.url)
        yield lambda: SqlModelNotificationRepository.open(self.url)


class TestPostgreSql(_OnServer, NotificationRepositoryContract, SmsLedgerContract):
    kind = "postgresql"


class TestMySql(_OnServer, NotificationRepositoryContract, SmsLedgerContract):
    kind = "mysql"
