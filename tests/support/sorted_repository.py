"""A repository in memory that finds what is due, and counts SMS, without looking at all of it."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from datetime import datetime, timedelta
from heapq import heappop, heappush
from itertools import count
from typing import TypeAlias

from pinguin_core import Channel, Notification, PhoneNumber, SmsCount
from pinguin_core.testing.fakes import MemoryRepository

_Wake: TypeAlias = tuple[datetime, str, int, Notification]


class SortedRepository(MemoryRepository):
    """Keeps a heap of wakes for each channel, the SMS that were tried, and when others were taken.

    A version that was overwritten leaves its wake behind, which is dropped when it comes up.
    """

    def __init__(self) -> None:
        super().__init__()
        self._wakes: dict[Channel, list[_Wake]] = {channel: [] for channel in Channel}
        self._numbers = count()
        self._open_sms = MemoryRepository()
        self._sms_taken_at: list[datetime] = []

    def keep(self, notification: Notification) -> None:
        """Keep a version, whatever was kept before."""
        if notification.channel is Channel.SMS:
            self._count(notification)
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

    async def count_sms(
        self, since: datetime, *, before: Notification, to: PhoneNumber | None = None
    ) -> SmsCount:
        if to is not None:
            return await super().count_sms(since, before=before, to=to)
        taken = len(self._sms_taken_at) - bisect_left(self._sms_taken_at, since)
        count = await self._open_sms.count_sms(since, before=before)
        return SmsCount(taken + count.sent, count.under_way)

    def _count(self, notification: Notification) -> None:
        name, open_ones = notification.id, self._open_sms._stored
        open_ones.pop(name, None)
        if not notification.is_final:
            if notification.attempts:
                open_ones[name] = notification
        elif (moment := notification.taken_at) is not None:
            insort(self._sms_taken_at, moment)

    def _first(self, channel: Channel) -> _Wake | None:
        wakes = self._wakes[channel]
        while wakes and self._stored[wakes[0][-1].id] is not wakes[0][-1]:
            heappop(wakes)
        return wakes[0] if wakes else None
