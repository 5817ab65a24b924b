from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from support.quick_folders import quick_folder

from pinguin_adapters.sqlmodel_store import SqlModelNotificationRepository
from pinguin_core.testing.contracts import Connect, NotificationRepositoryContract


class TestSqlite(NotificationRepositoryContract):
    examples = 12

    @asynccontextmanager
    async def storage(self) -> AsyncIterator[Connect]:
        with quick_folder() as folder:
            yield lambda: SqlModelNotificationRepository.open(f"sqlite:///{folder}/pinguin.db")
