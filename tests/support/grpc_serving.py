"""A Pinguin gRPC server on a real socket, for a test's while."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from pinguin_core import (
    Channel,
    Notification,
    NotificationRepository,
    NotificationService,
    SmsRules,
)
from pinguin_core.testing.fakes import CountingIds, ManualClock, MemoryRepository
from pinguin_grpc.client import PinguinClient
from pinguin_grpc.server import GrpcServer

TOKEN = "secret-of-the-test"
SOON = timedelta(seconds=20)
"""More than anything here takes; what hangs fails."""

ResultT = TypeVar("ResultT")


class CountingRepository(MemoryRepository):
    """A repository whose rows can be counted."""

    @property
    def rows(self) -> int:
        return len(self._stored)


class RecordingObserver:
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.changes: list[Notification] = []
        self.troubles: list[tuple[str, Exception]] = []

    def on_change(self, notification: Notification) -> None:
        self.changes.append(notification)

    def on_trouble(self, where: str, error: Exception) -> None:
        self.troubles.append((where, error))


@dataclass(frozen=True)
class Serving:
    server: GrpcServer
    observer: RecordingObserver

    @property
    def port(self) -> int:
        return self.server.port

    def client(self, *, token: str = TOKEN, **options: Any) -> PinguinClient:
        return PinguinClient("127.0.0.1", self.port, token=token, timeout=SOON, **options)


@asynccontextmanager
async def serving(
    repository: NotificationRepository,
    *,
    disabled: Mapping[Channel, str] | None = None,
    sms_rules: SmsRules | None = None,
    **options: Any,
) -> AsyncIterator[Serving]:
    """Serve a repository under a clock that stands still, with ids that count."""
    observer = RecordingObserver()
    service = NotificationService(
        repository,
        clock=ManualClock(),
        ids=CountingIds(),
        disabled=disabled or {},
        sms_rules=sms_rules or SmsRules(),
    )
    server = GrpcServer(service, **{"tokens": [TOKEN], "observer": observer, **options})
    await server.start("127.0.0.1", 0)
    try:
        yield Serving(server, observer)
    finally:
        await server.drain(timedelta(seconds=5))


def run(main: Coroutine[Any, Any, ResultT]) -> ResultT:
    """Run a test's coroutine, but not for ever."""

    async def bounded() -> ResultT:
        async with asyncio.timeout(SOON.total_seconds()):
            return await main

    return asyncio.run(bounded())
