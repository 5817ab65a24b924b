"""A repository in memory that also finds what is due among ten thousand without looking at all."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from heapq import heappop, heappush
from itertools import count
from typing import TypeAlias

from pinguin_core import Channel, Notification
from pinguin_core.testing.fakes import MemoryRepository

_Wake: TypeAlias = tuple[datetime, str, int, Notification]


class SortedRepository(MemoryRepository):
    """Keeps a heap of wakes for each channel.

    A version that was overwritten leaves its wake behind, which is dropped when it comes up.
    """

    def __init__(self) -> None:
        super().__init__()
        self._wakes: dict[Channel, list[_Wake]] = {channel: [] for channel in Channel}
        self._numbers = count()

    def keep(self, notification: Notification) -> None:
        """Keep a version, whatever was kept before."""
        self._stored[notification.id] = notification
        if notification.wake_at is not None:
            name, number = str(notification.id), next(self._numbers)
            wake = (notification.wake_at, name, number, notification)
            heappush(self._wakes[notification.channel], wake)

    async def add(self, notification: Notification) -> None:
        await super().add(notification)
        self.keep(notification)

    async def save(self, notification: Notification) -> None:
        await super().save(notification)
        self.keep(notification)

    async def claim_due(
        self, channel: Channel, now: datetime, lease: timedelta, limit: int
    ) -> Sequence[Notification]:
        claimed: list[Notification] = []
        while (first := self._first(channel)) is not None and len(claimed) < limit:
            moment, _, _, notification = first
            if moment > now:
                break
            claimed.append(notification.claim(now, lease))
            heappop(self._wakes[channel])
            self.keep(claimed[-1])
        return claimed

    async def next_wake(self, channel: Channel) -> datetime | None:
        first = self._first(channel)
        return None if first is None else first[0]

    def _first(self, channel: Channel) -> _Wake | None:
        wakes = self._wakes[channel]
        while wakes and self._stored[wakes[0][-1].id] is not wakes[0][-1]:
            heappop(wakes)
        return wakes[0] if wakes else None
