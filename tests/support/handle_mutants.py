"""Repositories of several handles, each with one defect that shows between them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, nullcontext
from datetime import datetime, timedelta
from typing import Final

from support.repository_mutants import PROGRAM, Mutant

from pinguin_core import Channel, IdempotencyKey, Notification, NotificationId
from pinguin_core.testing.contracts import Connect
from pinguin_core.testing.fakes import MemoryRepository


class WritesWhenItIsClosed(Mutant):
    """Keeps what it is given to itself until its handle is closed."""

    @classmethod
    @asynccontextmanager
    async def storage(cls) -> AsyncIterator[Connect]:
        disk: dict[NotificationId, Notification] = {}

        @asynccontextmanager
        async def connect() -> AsyncIterator[Mutant]:
            handle = cls()
            handle._stored = dict(disk)
            try:
                yield handle
            finally:
                disk.update(handle._stored)

        yield connect


class WritesWhenItIsClosedInPeace(Mutant):
    """Loses what it was given if its block is left by an error."""

    @classmethod
    @asynccontextmanager
    async def storage(cls) -> AsyncIterator[Connect]:
        disk: dict[NotificationId, Notification] = {}

        @asynccontextmanager
        async def connect() -> AsyncIterator[Mutant]:
            handle = cls()
            handle._stored = dict(disk)
            yield handle
            disk.update(handle._stored)

        yield connect


class Apart(Mutant):
    """Each handle is an object of its own; what is written through one is there for all."""

    @classmethod
    @asynccontextmanager
    async def storage(cls) -> AsyncIterator[Connect]:
        disk = MemoryRepository()

        def connect() -> nullcontext[Mutant]:
            handle = cls()
            handle._stored, handle._keys = disk._stored, disk._keys
            return nullcontext(handle)

        yield connect

    async def add(self, notification: Notification) -> None:
        self.forget()
        await super().add(notification)

    async def save(self, notification: Notification) -> None:
        self.forget()
        await super().save(notification)

    async def claim_due(
        self, channel: Channel, now: datetime, lease: timedelta, limit: int
    ) -> Sequence[Notification]:
        self.forget()
        return await super().claim_due(channel, now, lease, limit)

    def forget(self) -> None:
        """Writing makes what was remembered worthless."""


class RemembersWhatItRead(Apart):
    def __init__(self) -> None:
        super().__init__()
        self.read: dict[NotificationId, Notification] = {}

    async def get(self, notification_id: NotificationId) -> Notification:
        if notification_id not in self.read:
            self.read[notification_id] = await super().get(notification_id)
        return self.read[notification_id]

    def forget(self) -> None:
        self.read.clear()


class RemembersWhatItDidNotFind(Apart):
    def __init__(self) -> None:
        super().__init__()
        self.missed: set[IdempotencyKey] = set()

    async def find(self, idempotency_key: IdempotencyKey) -> Notification | None:
        if idempotency_key in self.missed:
            return None
        found = await super().find(idempotency_key)
        if found is None:
            self.missed.add(idempotency_key)
        return found

    def forget(self) -> None:
        self.missed.clear()


class RemembersTheNextWake(Apart):
    def __init__(self) -> None:
        super().__init__()
        self.wakes: dict[Channel, datetime | None] = {}

    async def next_wake(self, channel: Channel) -> datetime | None:
        if channel not in self.wakes:
            self.wakes[channel] = await super().next_wake(channel)
        return self.wakes[channel]

    def forget(self) -> None:
        self.wakes.clear()


class ReadsInAnOldSnapshot(Apart):
    """Leaves the transaction open that it reads in, until it writes."""

    def __init__(self) -> None:
        super().__init__()
        self.snapshot: MemoryRepository | None = None

    async def get(self, notification_id: NotificationId) -> Notification:
        return await self.seen().get(notification_id)

    async def find(self, idempotency_key: IdempotencyKey) -> Notification | None:
        return await self.seen().find(idempotency_key)

    async def next_wake(self, channel: Channel) -> datetime | None:
        return await self.seen().next_wake(channel)

    def seen(self) -> MemoryRepository:
        if self.snapshot is None:
            self.snapshot = MemoryRepository()
            self.snapshot._stored, self.snapshot._keys = dict(self._stored), dict(self._keys)
        return self.snapshot

    def forget(self) -> None:
        self.snapshot = None


_SEEN: Final = "what_another_handle_changed_is_seen"

HANDLE_MUTANTS: Final[dict[str, tuple[type[Mutant], list[str]]]] = {
    "writes when it is closed": (
        WritesWhenItIsClosed,
        [
            "what_was_answered_survives_a_crash",
            "what_another_handle_added_is_claimed",
            PROGRAM,
        ],
    ),
    "writes when it is closed in peace": (
        WritesWhenItIsClosedInPeace,
        ["what_was_answered_survives_closing", "what_was_answered_survives_a_crash"],
    ),
    "what was read is remembered": (RemembersWhatItRead, [_SEEN]),
    "what was not found is remembered": (RemembersWhatItDidNotFind, [_SEEN]),
    "the next wake is remembered": (RemembersTheNextWake, [_SEEN, PROGRAM]),
    "a snapshot is read in too long": (ReadsInAnOldSnapshot, [_SEEN, PROGRAM]),
}
"""Each defect, and contract tests that must catch it."""
