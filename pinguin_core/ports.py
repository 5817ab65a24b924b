"""What the core asks of the world: small protocols that speak the domain's words."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol, TypeVar

from pinguin_core.message import Channel, Email, Sms
from pinguin_core.notification import Notification, Receipt
from pinguin_core.values import NotificationId

MessageT_contra = TypeVar("MessageT_contra", Email, Sms, contravariant=True)


class NotificationRepository(Protocol):
    """Keeps notifications. Each call is one transaction, durable when it returns.

    Any method may raise `StoreUnavailable`, and those that write `StoreFull`; nothing is changed
    then, unless a connection was lost during the commit itself: then nobody can know.
    """

    async def add(self, notification: Notification) -> None:
        """Keep a new notification.

        Raises:
            DuplicateNotification: if one with its id is there; that one stays as it is.
        """
        ...

    async def get(self, notification_id: NotificationId) -> Notification:
        """Return the notification as it was last stored.

        Raises:
            NotificationNotFound: if there is none.
        """
        ...

    async def save(self, notification: Notification) -> None:
        """Overwrite the version before this one: compare and set.

        Raises:
            StaleNotification: if the stored version is not `notification.version - 1`, or none is
                stored; nothing is changed then.
        """
        ...

    async def claim_due(
        self, channel: Channel, now: datetime, lease: timedelta, limit: int
    ) -> Sequence[Notification]:
        """Claim notifications of a channel whose `wake_at` is not after `now`, earliest first.

        `Notification.claim` says what becomes of each; two callers never get the same one. To take
        one from a dead worker is two steps, so compare with the version that was read.

        Returns:
            At most `limit` claimed notifications, in the order of their former `wake_at`.
        """
        ...

    async def next_wake(self, channel: Channel) -> datetime | None:
        """Return the earliest `wake_at` of a channel, or None if nothing waits."""
        ...


class Sender(Protocol[MessageT_contra]):
    """Hands messages of one kind to a provider."""

    async def send(
        self, message: MessageT_contra, *, id: NotificationId, date: datetime
    ) -> Receipt:
        """Deliver one message.

        Each attempt for a notification comes with the same `id` and `date`, so that what arrives
        twice can be told for the same. Cancelling the call leaves the sender usable.

        Args:
            message: what to deliver, and to whom.
            id: the notification's id.
            date: when the message was written, for its header.

        Raises:
            TransientDeliveryError: if a later attempt may succeed.
            PermanentDeliveryError: if none will.
        """
        ...


class Clock(Protocol):
    """Tells the time, and waits for it."""

    def now(self) -> datetime:
        """Return the time in UTC."""
        ...

    async def sleep_until(self, moment: datetime) -> None:
        """Return when `now()` has reached the moment: never before, however the clock is set."""
        ...


class IdGenerator(Protocol):
    """Makes the ids of notifications."""

    def next_id(self, now: datetime) -> NotificationId:
        """Return an id that was never returned before, nor can be guessed."""
        ...


class Observer(Protocol):
    """Is told what happens, for logs and metrics. What it raises is a bug of its own."""

    def on_change(self, notification: Notification) -> None:
        """Learn that a notification took a step, once that step is durable."""
        ...

    def on_trouble(self, where: str, error: Exception) -> None:
        """Learn of an error that was survived: what was being done, and what went wrong."""
        ...
