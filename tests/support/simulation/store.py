"""One store for all processes, and what can go wrong on the way to it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final, TypeVar

from support.simulation.records import Claim, Disturbance, Records, Trouble
from support.simulation.virtual_time import WallClock
from support.sorted_repository import SortedRepository

from pinguin_core import (
    Channel,
    IdempotencyKey,
    Notification,
    NotificationId,
    PhoneNumber,
    Sending,
    SmsCount,
    StoreFull,
    StoreUnavailable,
)

T = TypeVar("T")
_QUICK: Final = (0.0005, 0.005)  # seconds that a call takes
_NOTICED: Final = 0.2  # the share of calls that take any time at all
_SLOW: Final = (1.0, 40.0)


@dataclass(frozen=True)
class Weather:
    """What the store suffers from, as shares of the calls.

    Attributes:
        unavailable: fail before anything is changed.
        unheard: fail once everything is changed.
        full: find no room.
        slow: take seconds.
    """

    unavailable: float = 0.0
    unheard: float = 0.0
    full: float = 0.0
    slow: float = 0.0


CALM: Final = Weather(unavailable=0.003, unheard=0.003, full=0.001, slow=0.001)


class RecordingRepository(SortedRepository):
    """Writes down each version that it keeps; every way to it suffers from its weather."""

    def __init__(self, records: Records) -> None:
        super().__init__()
        self.records = records
        self.weather = CALM

    def keep(self, notification: Notification) -> None:
        super().keep(notification)
        self.records.version(notification)

    def end_claims(self, process: str, now: datetime) -> None:
        """End what a process holds that was seen to die, as stores can on one machine."""
        for name in sorted(self.records.unfinished):
            last, claims = self.records.versions[name][-1], self.records.claims[name]
            match last.state:
                case Sending(lease_until=lease_until) if lease_until > now:
                    if claims[-1].process == process:
                        self.keep(last.orphan(now))


class Connection:
    """One process's way to the store."""

    def __init__(
        self,
        process: str,
        store: RecordingRepository,
        clock: WallClock,
        chance: random.Random,
    ) -> None:
        self._process = process
        self._store = store
        self._records = store.records
        self._clock = clock
        self._chance = chance

    async def add(self, notification: Notification) -> None:
        await self._write(f"adds {notification.id}", partial(self._store.add, notification))

    async def get(self, notification_id: NotificationId) -> Notification:
        return await self._call(
            f"reads {notification_id}", partial(self._store.get, notification_id)
        )

    async def find(self, idempotency_key: IdempotencyKey) -> Notification | None:
        return await self._call(
            f"finds {idempotency_key}", partial(self._store.find, idempotency_key)
        )

    async def save(self, notification: Notification) -> None:
        name = notification.id.value
        what = f"saves {name} {notification.version}"
        try:
            await self._write(what, partial(self._store.save, notification), about=name)
        except (StoreUnavailable, StoreFull):
            self._note_unstored(name, 0)
            raise

    async def claim_due(
        self, channel: Channel, now: datetime, lease: timedelta, limit: int
    ) -> Sequence[Notification]:
        asked_at, wall = self._records.now(), self._clock.now()

        async def claim() -> Sequence[Notification]:
            claimed = await self._store.claim_due(channel, now, lease, limit)
            for each in claimed:
                if each.is_final:
                    continue
                claim = Claim(each, self._process, asked_at, wall, self._records.now())
                self._records.claims[each.id.value].append(claim)
                self._event(f"has {each.id} {each.version}")
            return claimed

        return await self._write("claims", claim)

    async def next_wake(self, channel: Channel) -> datetime | None:
        return await self._call("asks when to wake", partial(self._store.next_wake, channel))

    async def has_sent_sms(self, provider_message_id: str, since: datetime) -> bool:
        look = partial(self._store.has_sent_sms, provider_message_id, since)
        return await self._call(f"looks for {provider_message_id}", look)

    async def count_sms(
        self, since: datetime, *, before: Notification, to: PhoneNumber | None = None
    ) -> SmsCount:
        count = partial(self._store.count_sms, since, before=before, to=to)
        return await self._call(f"counts what goes before {before.id}", count)

    async def _write(self, what: str, change: Callable[[], Awaitable[T]], *, about: str = "") -> T:
        if self._chance.random() < self._store.weather.full:
            self._event(f"{what}: no room")
            raise StoreFull("no room")
        return await self._call(what, change, about=about)

    async def _call(self, what: str, call: Callable[[], Awaitable[T]], *, about: str = "") -> T:
        weather, dice = self._store.weather, self._chance.random()
        if self._chance.random() < weather.slow:
            seconds = self._chance.uniform(*_SLOW)
            if about:
                self._note_unstored(about, seconds)
            await asyncio.sleep(seconds)
        await self._take_time()
        if dice < weather.unavailable:
            self._event(f"{what}: unavailable")
            raise StoreUnavailable("down")
        result = await call()
        self._event(what)
        await self._take_time()
        if dice < weather.unavailable + weather.unheard:
            self._event(f"{what}: unheard")
            raise StoreUnavailable("the connection was lost during the commit")
        return result

    async def _take_time(self) -> None:
        if self._chance.random() < _NOTICED:
            await asyncio.sleep(self._chance.uniform(*_QUICK))

    def _note_unstored(self, name: str, seconds: float) -> None:
        now = self._records.now()
        trouble = Disturbance(Trouble.UNSTORED, now, now + seconds, self._process, name)
        self._records.disturbances.append(trouble)

    def _event(self, what: str) -> None:
        self._records.event(f"{self._process} {what}")
