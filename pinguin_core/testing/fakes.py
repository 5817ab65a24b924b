"""The ports in memory, for tests: a repository, senders, a clock and ids that you control."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, Generic, NamedTuple, TypeVar

from pinguin_core.errors import (
    DeliveryError,
    DuplicateNotification,
    NotificationNotFound,
    StaleNotification,
)
from pinguin_core.message import Channel, Email, Sms
from pinguin_core.notification import Notification, Receipt, Sending, Sent
from pinguin_core.ports import SmsCount
from pinguin_core.values import IdempotencyKey, NotificationId, PhoneNumber

__all__ = [
    "NOON",
    "CountingIds",
    "Delivery",
    "FailingSender",
    "ManualClock",
    "MemoryRepository",
    "RecordingSender",
]

NOON: Final = datetime(2030, 1, 1, 12, tzinfo=UTC)
"""The moment at which a `ManualClock` stands when it is made."""

MessageT = TypeVar("MessageT", Email, Sms)


class MemoryRepository:
    """Keeps notifications in a dictionary, and forgets them with it."""

    def __init__(self) -> None:
        self._stored: dict[NotificationId, Notification] = {}
        self._keys: dict[IdempotencyKey, NotificationId] = {}

    async def add(self, notification: Notification) -> None:
        """See `NotificationRepository.add`."""
        key = notification.idempotency_key
        if notification.id in self._stored or key in self._keys:
            raise DuplicateNotification(str(notification.id))
        self._stored[notification.id] = notification
        if key is not None:
            self._keys[key] = notification.id

    async def get(self, notification_id: NotificationId) -> Notification:
        """See `NotificationRepository.get`."""
        try:
            return self._stored[notification_id]
        except KeyError:
            raise NotificationNotFound(str(notification_id)) from None

    async def find(self, idempotency_key: IdempotencyKey) -> Notification | None:
        """See `NotificationRepository.find`."""
        found = self._keys.get(idempotency_key)
        return None if found is None else self._stored[found]

    async def save(self, notification: Notification) -> None:
        """See `NotificationRepository.save`."""
        stored = self._stored.get(notification.id)
        if stored is None or stored.version != notification.version - 1:
            raise StaleNotification(str(notification.id))
        self._stored[notification.id] = notification

    async def claim_due(
        self, channel: Channel, now: datetime, lease: timedelta, limit: int
    ) -> Sequence[Notification]:
        """See `NotificationRepository.claim_due`."""
        due = [wait for wait in self._waiting(channel) if wait.moment <= now]
        due.sort(key=lambda wait: (wait.moment, wait.notification.id))
        claimed = [wait.notification.claim(now, lease) for wait in due[:limit]]
        self._stored.update((notification.id, notification) for notification in claimed)
        return claimed

    async def next_wake(self, channel: Channel) -> datetime | None:
        """See `NotificationRepository.next_wake`."""
        return min((wait.moment for wait in self._waiting(channel)), default=None)

    async def has_sent_sms(self, provider_message_id: str, since: datetime) -> bool:
        """See `SmsLedger.has_sent_sms`."""
        return any(
            notification.channel is Channel.SMS
            and isinstance(notification.state, Sent)
            and notification.state.provider_message_id == provider_message_id
            and notification.state.at >= since
            for notification in self._stored.values()
        )

    async def count_sms(
        self, since: datetime, *, before: Notification, to: PhoneNumber | None = None
    ) -> SmsCount:
        """See `SmsLedger.count_sms`."""
        found = [
            notification
            for notification in self._stored.values()
            if notification.channel is Channel.SMS and to in {None, notification.message.to}
        ]
        taken = {each.id for each in found if _is_taken(each, since, before.updated_at)}
        under_way = {each.id for each in found if _is_under_way(each, before)}
        return SmsCount(len(taken - {before.id}), len(under_way - taken))

    def _waiting(self, channel: Channel) -> list[_Wait]:
        return [
            _Wait(notification.wake_at, notification)
            for notification in self._stored.values()
            if notification.channel is channel and notification.wake_at is not None
        ]


def _is_taken(notification: Notification, since: datetime, now: datetime) -> bool:
    if notification.taken_at is None or notification.taken_at < since:
        return False
    match notification.state:
        case Sending(lease_until=end):
            return notification.possible_duplicate or end <= now
        case _:
            return True


def _is_under_way(notification: Notification, before: Notification) -> bool:
    match notification.state, before.state:
        case Sending(lease_until=end), Sending(lease_until=same) if end == same:
            return notification.id < before.id
        case Sending(lease_until=end), Sending() if end > before.updated_at:
            return notification.id != before.id
        case _:
            return False


class _Wait(NamedTuple):
    moment: datetime
    notification: Notification


@dataclass(frozen=True, slots=True)
class Delivery(Generic[MessageT]):
    """What a `RecordingSender` was asked to deliver."""

    message: MessageT
    id: NotificationId
    date: datetime


@dataclass(slots=True)
class RecordingSender(Generic[MessageT]):
    """Delivers into a list. First it raises the errors it was given, one for each call.

    Attributes:
        errors: what the next calls raise, in order; the calls after those succeed.
        attempts: every call, with the failed ones.
        delivered: the calls that succeeded.
    """

    errors: list[DeliveryError] = field(default_factory=list)
    attempts: list[Delivery[MessageT]] = field(default_factory=list)
    delivered: list[Delivery[MessageT]] = field(default_factory=list)

    async def send(self, message: MessageT, *, id: NotificationId, date: datetime) -> Receipt:
        """See `Sender.send`; the provider's name for the message is `fake-` and the id."""
        delivery = Delivery(message, id, date)
        self.attempts.append(delivery)
        if self.errors:
            raise self.errors.pop(0)
        self.delivered.append(delivery)
        return Receipt(f"fake-{id}")


class FailingSender:
    """Fails every delivery, with a new error each time."""

    def __init__(self, make_error: Callable[[], Exception]) -> None:
        self._make_error = make_error
        self.calls = 0

    async def send(self, message: Email | Sms, *, id: NotificationId, date: datetime) -> Receipt:
        """Raise what the maker makes."""
        self.calls += 1
        raise self._make_error()


class ManualClock:
    """Stands still until it is told to move."""

    def __init__(self, start: datetime = NOON) -> None:
        self._now = start
        self._sleepers: list[tuple[datetime, asyncio.Event]] = []

    def now(self) -> datetime:
        """Return the moment at which the clock stands."""
        return self._now

    async def sleep_until(self, moment: datetime) -> None:
        """Return once the clock has been moved to the moment or past it."""
        while self._now < moment:
            sleeper = (moment, asyncio.Event())
            self._sleepers.append(sleeper)
            try:
                await sleeper[1].wait()
            finally:
                self._sleepers.remove(sleeper)

    def advance(self, by: timedelta) -> None:
        """Move the clock, and wake those whose moment has come."""
        self.set(self._now + by)

    def set(self, moment: datetime) -> None:
        """Set the clock to a moment, which may be in the past."""
        self._now = moment
        for wake_at, woken in self._sleepers:
            if wake_at <= moment:
                woken.set()


class CountingIds:
    """Ids that are easy to read: `notif-1`, then `notif-2`, and so on."""

    def __init__(self) -> None:
        self._last = 0

    def next_id(self, now: datetime) -> NotificationId:
        """Return the next one."""
        self._last += 1
        return NotificationId(f"notif-{self._last}")
