from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext

from pinguin_core.testing.contracts import Connect, NotificationRepositoryContract
from pinguin_core.testing.fakes import MemoryRepository


class TestMemoryRepository(NotificationRepositoryContract):
    examples = 10

    @asynccontextmanager
    async def storage(self) -> AsyncIterator[Connect]:
        repository = MemoryRepository()
        yield lambda: nullcontext(repository)
