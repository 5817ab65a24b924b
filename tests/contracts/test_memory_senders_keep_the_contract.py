from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from support.memory_provider import MemoryProvider, MemorySender

from pinguin_core.testing.contracts import EmailSenderContract, Provider, SmsSenderContract


class TestRecordingEmailSender(EmailSenderContract):
    examples = 10

    @asynccontextmanager
    async def provider(self) -> AsyncIterator[tuple[MemorySender, Provider]]:
        provider = MemoryProvider()
        yield MemorySender(provider), provider


class TestRecordingSmsSender(SmsSenderContract):
    examples = 10

    @asynccontextmanager
    async def provider(self) -> AsyncIterator[tuple[MemorySender, Provider]]:
        provider = MemoryProvider()
        yield MemorySender(provider), provider
