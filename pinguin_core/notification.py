"""The notification: its states, and the only steps between them.

Each step returns the next version and leaves the old one as it was. A step that the state does
not allow raises `InvalidTransition`. The drawn state machine is in docs/architecture.md.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias

from pinguin_core.errors import (
    DeliveryError,
    InvalidTransition,
    TransientDeliveryError,
)
from pinguin_core.masking import storable
from pinguin_core.message import Channel, Message
from pinguin_core.retry import RetryPolicy
from pinguin_core.values import NotificationId, require_aware

MAX_CRASHES: Final = 5
"""How many workers a notification may outlive before it is taken for the cause of their death."""

CRASHED: Final = "the worker that was sending it stopped before it could report the outcome"
"""What `last_error` says of an attempt whose lease ran out."""


@dataclass(frozen=True, slots=True)
class Queued:
    """Waits for its time; a dispatcher moves it on at `due_at` or soon after, never before."""

    due_at: datetime
    last_error: str = ""


@dataclass(frozen=True, slots=True)
class Sending:
    """A worker is delivering it and holds it until `lease_until`, by when it will have reported."""

    lease_until: datetime
    last_error: str = ""


@dataclass(frozen=True, slots=True)
class Sent:
    """The provider took it. Final."""

    at: datetime
    provider_message_id: str


@dataclass(frozen=True, slots=True)
class Failed:
    """It was refused, or the retries are used up. Final, unless somebody requeues it."""

    at: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class Cancelled:
    """It was called back before it was sent. Final."""

    at: datetime


State: TypeAlias = Queued | Sending | Sent | Failed | Cancelled


@dataclass(frozen=True, slots=True)
class Receipt:
    """A provider's word that it took a message, with the name it knows the message by.

    What no store could keep of the name is replaced by `?`.
    """

    provider_message_id: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "provider_message_id", storable(self.provider_message_id))


@dataclass(frozen=True, slots=True)
class Notification:
    """One message on its way to one recipient.

    Attributes:
        scheduled_at: when the caller asked for it to be sent, if it did.
        attempts: how many deliveries were begun.
        retries: how many of them, the one now waited for included, follow a failed one.
        crashes: how many workers stopped while they were delivering it.
        possible_duplicate: some attempt may have delivered it without our learning so.
        version: grows by one at each step; what a store compares before it overwrites.
    """

    id: NotificationId
    message: Message
    state: State
    created_at: datetime
    updated_at: datetime
    scheduled_at: datetime | None = None
    attempts: int = 0
    retries: int = 0
    crashes: int = 0
    possible_duplicate: bool = False
    version: int = 1

    @classmethod
    def queue(
        cls,
        id: NotificationId,
        message: Message,
        now: datetime,
        scheduled_at: datetime | None = None,
    ) -> Notification:
        """Begin the life of a notification: due at once, or at the time it is scheduled for.

        Raises:
            InvalidValue: if a time carries no zone.
        """
        now = require_aware(now, "now")
        if scheduled_at is not None:
            scheduled_at = require_aware(scheduled_at, "scheduled_at")
        due_at = now if scheduled_at is None else max(now, scheduled_at)
        return cls(id, message, Queued(due_at), now, now, scheduled_at)

    @property
    def channel(self) -> Channel:
        """The way by which the message leaves."""
        return self.message.channel

    @property
    def date(self) -> datetime:
        """What its header is dated: its scheduled time, or its creation; never changes."""
        return max(self.created_at, self.scheduled_at or self.created_at)

    @property
    def wake_at(self) -> datetime | None:
        """When a dispatcher must look at it again: its due time, its lease's end, or never."""
        match self.state:
            case Queued(due_at=moment) | Sending(lease_until=moment):
                return moment
            case _:
                return None

    @property
    def last_error(self) -> str:
        """What went wrong most recently, for operators and callers; empty when nothing did."""
        match self.state:
            case Queued(last_error=error) | Sending(last_error=error) | Failed(reason=error):
                return error
            case _:
                return ""

    @property
    def is_final(self) -> bool:
        """No dispatcher will touch it again."""
        return self.wake_at is None

    def start(self, now: datetime, lease: timedelta) -> Notification:
        """Begin an attempt, which has until the lease is over to report."""
        match self.state:
            case Queued(due_at=due_at, last_error=error) if due_at <= now:
                return self._next(Sending(now + lease, error), now, attempts=self.attempts + 1)
            case _:
                raise self._cannot("start")

    def succeed(self, receipt: Receipt, now: datetime) -> Notification:
        """Record that the provider took the message."""
        if not isinstance(self.state, Sending):
            raise self._cannot("succeed")
        return self._next(Sent(now, receipt.provider_message_id), now)

    def fail(self, error: DeliveryError, now: datetime, policy: RetryPolicy) -> Notification:
        """Record a failed attempt: queued again if the error and the policy allow, else failed."""
        if not isinstance(self.state, Sending):
            raise self._cannot("fail")
        if not isinstance(error, TransientDeliveryError):
            return self._next(Failed(now, error.reason), now)
        duplicate = self.possible_duplicate or error.ambiguous
        delay = policy.delay(self.retries + 1, error.retry_after)
        if delay is None:
            failed = Failed(now, error.reason)
            return self._next(failed, now, possible_duplicate=duplicate)
        queued = Queued(_later(now, delay), error.reason)
        return self._next(queued, now, retries=self.retries + 1, possible_duplicate=duplicate)

    def expire(self, now: datetime) -> Notification:
        """Take it from a worker whose lease is over: its process died, or must be taken for dead.

        It is due again at once. Such crashes do not count as retries; after `MAX_CRASHES` of them
        the notification itself is taken for the cause, and fails.
        """
        match self.state:
            case Sending(lease_until=lease_until) if lease_until <= now:
                crashes = self.crashes + 1
                state = Queued(now, CRASHED) if crashes < MAX_CRASHES else Failed(now, CRASHED)
                return self._next(state, now, crashes=crashes, possible_duplicate=True)
            case _:
                raise self._cannot("expire")

    def claim(self, now: datetime, lease: timedelta) -> Notification:
        """Do what is due: start it, after taking it from a dead worker if need be.

        This is what a store calls, under its lock, on each notification whose `wake_at` has come.

        Returns:
            The notification in state `Sending`; or `Failed`, if it has outlived too many workers.
        """
        if not isinstance(self.state, Sending):
            return self.start(now, lease)
        expired = self.expire(now)
        return expired if expired.is_final else expired.start(now, lease)

    def cancel(self, now: datetime) -> Notification:
        """Call it back; possible only while no worker has it."""
        if not isinstance(self.state, Queued):
            raise self._cannot("cancel")
        return self._next(Cancelled(now), now)

    def reschedule(self, scheduled_at: datetime, now: datetime) -> Notification:
        """Move its due time; possible only while no worker has it."""
        if not isinstance(self.state, Queued):
            raise self._cannot("reschedule")
        scheduled_at = require_aware(scheduled_at, "scheduled_at")
        queued = replace(self.state, due_at=max(now, scheduled_at))
        return self._next(queued, now, scheduled_at=scheduled_at)

    def requeue(self, now: datetime) -> Notification:
        """Give a failed one another life, with all its retries."""
        if not isinstance(self.state, Failed):
            raise self._cannot("requeue")
        return self._next(Queued(now, self.state.reason), now, retries=0, crashes=0)

    def _next(self, state: State, now: datetime, **changes: object) -> Notification:
        values = {"state": state, "updated_at": now, "version": self.version + 1, **changes}
        return replace(self, **values)  # type: ignore[arg-type]  # replace() is checked by name only

    def _cannot(self, step: str) -> InvalidTransition:
        return InvalidTransition(step, type(self.state).__name__)


def _later(now: datetime, delay: timedelta) -> datetime:
    """Add, but never beyond the last moment that there is: a provider may ask for any delay."""
    try:
        return now + delay
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)
