from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext

from support.sorted_repository import SortedRepository

from pinguin_core.testing.contracts import (
    Connect,
    NotificationRepositoryContract,
    SmsLedgerContract,
)
from pinguin_core.testing.fakes import MemoryRepository


class TestMemoryRepository(NotificationRepositoryContract, SmsLedgerContract):
    examples = 10

    @asynccontextmanager
    async def storage(self) -> AsyncIterator[Connect]:
        repository = MemoryRepository()
        yield lambda: nullcontext(repository)


class TestSortedRepository(NotificationRepositoryContract, SmsLedgerContract):
    examples = 10

    @asynccontextmanager
    async def storage(self) -> AsyncIterator[Connect]:
        repository = SortedRepository()
        yield lambda: nullcontext(repository)
