"""The ports: small protocols, in the words of the domain, for what the core needs from outside."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol, TypeAlias, TypeVar, runtime_checkable

from pinguin_core.history import Attempt
from pinguin_core.message import Channel, Email, Sms
from pinguin_core.notification import Notification, Receipt
from pinguin_core.values import IdempotencyKey, NotificationId, PhoneNumber

MessageT_contra = TypeVar("MessageT_contra", Email, Sms, contravariant=True)


class NotificationRepository(Protocol):
    """Keeps notifications. Each call is one transaction, durable when it returns.

    Any method may raise `StoreUnavailable`, and those that write `StoreFull`; nothing is changed
    then, unless a connection was lost during the commit itself: then nobody can know.
    """

    async def add(self, notification: Notification) -> None:
        """Keep a new notification.

        Raises:
            DuplicateNotification: if one with its id, or with its idempotency key, is there; that
                one stays as it is.
        """
        ...

    async def get(self, notification_id: NotificationId) -> Notification:
        """Return the notification as it was last stored.

        Raises:
            NotificationNotFound: if there is none.
        """
        ...

    async def find(self, idempotency_key: IdempotencyKey) -> Notification | None:
        """Return the notification with an idempotency key as it was last stored, if there is one.

        What `add` has refused as a duplicate can be found.
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

        Those of one moment come in the order of their ids, which `TimeSortedIds` makes that of
        acceptance: what a limit holds is due at the same moment as all that came since. How ids of
        other kinds compare is the store's affair, where they differ in more than a number.

        `Notification.claim` says what becomes of each; two callers never get the same one. To take
        one from a dead worker is two steps, so compare with the version that was read.

        Returns:
            At most `limit` claimed notifications, in that order.
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

        All attempts for a notification have the same `id` and `date`, so that copies can be
        recognised. Cancelling the call leaves the sender usable.

        Args:
            message: what to deliver, and to whom.
            id: the notification's id.
            date: when the message was written, for its header.

        Raises:
            TransientDeliveryError: if a later attempt may succeed.
            PermanentDeliveryError: if none will.
        """
        ...


IsTaken: TypeAlias = Callable[[str], Awaitable[bool]]


@runtime_checkable
class Reconciler(Protocol[MessageT_contra]):
    """A `Sender` that can also look up what its provider has accepted.

    The dispatcher asks it before it sends again what an earlier attempt left in doubt. Implement
    it where copies of a message cannot be recognised as copies.
    """

    async def find_sent(
        self,
        message: MessageT_contra,
        *,
        id: NotificationId,
        doubts: Sequence[Attempt],
        is_taken: IsTaken,
    ) -> Receipt | None:
        """Return the receipt of the message, if the provider accepted it in one of the attempts.

        An accepted message counts for one notification only, even if another notification's
        message is identical.

        Args:
            message: what was to be delivered, and to whom.
            id: the notification's id.
            doubts: the attempts that left it open, oldest first; at least one.
            is_taken: tells of a `provider_message_id` whether another notification has it, as far
                as the store knows; its errors are to be let through.

        Raises:
            TransientDeliveryError: if that cannot be told now; nothing is sent then.
        """
        ...


@dataclass(frozen=True, slots=True)
class SmsCount:
    """How many SMS were sent, those in doubt included, and how many others are under way."""

    sent: int
    under_way: int


@runtime_checkable
class SmsLedger(Protocol):
    """A `NotificationRepository` that also knows which SMS were sent."""

    async def has_sent_sms(self, provider_message_id: str, since: datetime) -> bool:
        """Tell whether an SMS with this id of the provider's was sent since a moment."""
        ...

    async def count_sms(
        self, since: datetime, *, before: Notification, to: PhoneNumber | None = None
    ) -> SmsCount:
        """Count the SMS that any process has sent since a moment, or may have sent, or is sending.

        What an attempt since then has left in doubt counts as sent, once, whether it waits, has
        failed or is being sent again; so does what is under a lease that was over when `before` was
        claimed: its worker is dead. From when on, `Notification.taken_at` says.

        Under way is whatever else is being sent under a lease that was not over when `before` was
        claimed. So of two processes the one that counts last counts what the other sends, in
        whatever order they claimed, and by whatever clocks. Only of those that were claimed at
        once, whose leases end at the same moment, no two count each other: the one with the
        higher id counts that with the lower. A lease that outlasts that of `before` by its whole
        length or more need not be looked for.

        Args:
            since: when to begin to count.
            before: a notification that was claimed; it is not counted.
            to: count only what goes to this number.
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
    """Is told what happens, for logs and metrics. What it raises is caught."""

    def on_change(self, notification: Notification) -> None:
        """Take note of a step of a notification, once that step is durable."""
        ...

    def on_provider(self, channel: Channel, *, is_up: bool, reason: str) -> None:
        """Take note that a channel's provider is considered down, and why; or is up again.

        While it is down, what is due is held, and an attempt is made now and then.
        """
        ...

    def on_trouble(self, where: str, error: Exception) -> None:
        """Take note of an error that was survived: what was being done, and what went wrong."""
        ...
