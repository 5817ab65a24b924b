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
    IdempotencyConflict,
    InvalidTransition,
    TransientDeliveryError,
)
from pinguin_core.folding import fold_typography
from pinguin_core.history import Attempt, Outcome
from pinguin_core.masking import storable
from pinguin_core.message import Channel, Message, Sms
from pinguin_core.retry import RetryPolicy
from pinguin_core.values import IdempotencyKey, NotificationId, require_aware

MAX_CRASHES: Final = 5
"""How many workers a notification may outlive before it is taken for the cause of their death."""

MOST_ATTEMPTS: Final = 100
"""How many attempts the history keeps."""

CRASHED: Final = "the worker that was sending it stopped before it could report the outcome"
"""What `last_error` says of an attempt whose lease ran out."""

HELD: Final = "held until "
"""How `last_error` begins of what is not sent yet because of a limit."""

INTERRUPTED: Final = "the attempt was interrupted because the service stopped"
"""What `last_error` says of an attempt that a stop did not wait for."""


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

    What no store could keep of its texts is replaced by `?`.

    Attributes:
        code: the provider's own code, such as `250`; empty if it gave none.
        reply: what it said besides, in one line without the recipient or the content.
        found: nothing was sent now, because an earlier attempt was found to have delivered it,
            and only once.
    """

    provider_message_id: str
    code: str = ""
    reply: str = ""
    found: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "provider_message_id", storable(self.provider_message_id))
        object.__setattr__(self, "code", storable(self.code))
        object.__setattr__(self, "reply", storable(self.reply))


@dataclass(frozen=True, slots=True)
class Notification:
    """One message on its way to one recipient.

    Attributes:
        scheduled_at: when the caller asked for it to be sent, if it did.
        attempts: how many deliveries were begun.
        retries: how many of them, the one now waited for included, follow a failed one.
        crashes: how many workers stopped while they were delivering it.
        possible_duplicate: some attempt may have delivered it without our learning so.
        idempotency_key: the caller's own name for the request; no two notifications share one.
        history: the attempts that have ended, in their order: all, or of more than 100 those in
            doubt and the newest.
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
    idempotency_key: IdempotencyKey | None = None
    history: tuple[Attempt, ...] = ()
    version: int = 1

    @classmethod
    def queue(
        cls,
        id: NotificationId,
        message: Message,
        now: datetime,
        scheduled_at: datetime | None = None,
        idempotency_key: IdempotencyKey | None = None,
    ) -> Notification:
        """Begin the life of a notification: due at once, or at the time it is scheduled for.

        Raises:
            InvalidValue: if a time carries no zone.
        """
        now = require_aware(now, "now")
        if scheduled_at is not None:
            scheduled_at = require_aware(scheduled_at, "scheduled_at")
        due_at = now if scheduled_at is None else max(now, scheduled_at)
        return cls(
            id, message, Queued(due_at), now, now, scheduled_at, idempotency_key=idempotency_key
        )

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
    def doubts(self) -> tuple[Attempt, ...]:
        """The attempts after which nobody knows whether the provider has taken the message."""
        return tuple(attempt for attempt in self.history if attempt.is_in_doubt)

    @property
    def taken_at(self) -> datetime | None:
        """When the provider took it, or may have: what it costs counts from then on.

        For what is being sent, that is when the attempt began.
        """
        match self.state:
            case Sent(at=at):
                return at
            case Sending():
                return self.updated_at
            case Failed(at=at) | Cancelled(at=at):
                return at if self.possible_duplicate else None
            case _:
                doubts = self.doubts
                return doubts[-1].ended_at if doubts else None

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
        """Record that the provider took the message; if once for certain, it is no duplicate."""
        if not isinstance(self.state, Sending):
            raise self._cannot("succeed")
        history = self._history(Outcome.SENT, now, receipt.code, receipt.reply)
        sent = self._next(Sent(now, receipt.provider_message_id), now, history=history)
        return replace(sent, possible_duplicate=False) if receipt.found else sent

    def fail(self, error: DeliveryError, now: datetime, policy: RetryPolicy) -> Notification:
        """Record a failed attempt: queued again if the error and the policy allow, else failed."""
        if not isinstance(self.state, Sending):
            raise self._cannot("fail")
        if not isinstance(error, TransientDeliveryError):
            history = self._history(Outcome.REFUSED, now, error.code, error.reason)
            return self._next(Failed(now, error.reason), now, history=history)
        outcome = Outcome.UNCLEAR if error.ambiguous else Outcome.FAILED
        history = self._history(outcome, now, error.code, error.reason)
        duplicate = error.ambiguous
        delay = policy.delay(self.retries + 1, error.retry_after)
        if delay is None:
            failed = Failed(now, error.reason)
            return self._next(failed, now, history=history, possible_duplicate=duplicate)
        queued, retries = Queued(self._in_time(_later(now, delay)), error.reason), self.retries + 1
        return self._next(
            queued, now, retries=retries, history=history, possible_duplicate=duplicate
        )

    def postpone(
        self, error: TransientDeliveryError, now: datetime, until: datetime
    ) -> Notification:
        """Record an attempt that failed while the provider is down: it uses up no retry."""
        if not isinstance(self.state, Sending):
            raise self._cannot("postpone")
        outcome = Outcome.UNCLEAR if error.ambiguous else Outcome.FAILED
        return self._next(
            Queued(self._in_time(until), error.reason),
            now,
            history=self._history(outcome, now, error.code, error.reason),
            possible_duplicate=error.ambiguous,
        )

    def hold(self, reason: str, now: datetime, until: datetime) -> Notification:
        """Put it off before anything was sent: the attempt that was begun does not count."""
        if not isinstance(self.state, Sending):
            raise self._cannot("hold")
        until = self._in_time(until)
        queued = Queued(until, f"{HELD}{until.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC: {reason}")
        return self._next(queued, now, attempts=self.attempts - 1)

    def give_back(self, now: datetime) -> Notification:
        """Record that nothing came of a claim: it is due again at once, as if there had been none.

        The attempt that was begun does not count.
        """
        if not isinstance(self.state, Sending):
            raise self._cannot("give_back")
        queued = Queued(self._in_time(now), self.state.last_error)
        return self._next(queued, now, attempts=self.attempts - 1)

    def interrupt(self, now: datetime) -> Notification:
        """Record that an attempt was broken off by a stop: it is due again at once.

        Nobody knows whether the provider has taken the message. It counts neither as a retry nor
        as a crash.
        """
        if not isinstance(self.state, Sending):
            raise self._cannot("interrupt")
        history = self._history(Outcome.INTERRUPTED, now, text=INTERRUPTED)
        queued = Queued(self._in_time(now), INTERRUPTED)
        return self._next(queued, now, history=history, possible_duplicate=True)

    def orphan(self, now: datetime) -> Notification:
        """Record that its worker is known to be dead: the lease ends now.

        It does not end before the scheduled time, which a clock that was set back repeats.
        `updated_at` still tells when the attempt began.
        """
        match self.state:
            case Sending(lease_until=lease_until) if lease_until > now:
                ends = min(lease_until, self._in_time(now))
                return self._next(replace(self.state, lease_until=ends), self.updated_at)
            case _:
                raise self._cannot("orphan")

    def renew(self, claimed: Notification) -> Notification:
        """Take over the lease under which the worker that still holds it has claimed it again.

        That happens when the wall clock is set forward, or the store could not be written to for
        longer than a lease. What the claim took for a crash was none, so nothing else changes.
        """
        if not (isinstance(self.state, Sending) and isinstance(claimed.state, Sending)):
            raise self._cannot("renew")
        return replace(self, state=claimed.state, version=claimed.version)

    def expire(self, now: datetime) -> Notification:
        """Take it from a worker whose lease is over: its process died, or must be taken for dead.

        It is due again at once. Such crashes do not count as retries; after `MAX_CRASHES` of them
        the notification itself is taken for the cause, and fails.
        """
        match self.state:
            case Sending(lease_until=lease_until) if lease_until <= now:
                crashes = self.crashes + 1
                state = Queued(now, CRASHED) if crashes < MAX_CRASHES else Failed(now, CRASHED)
                history = self._history(Outcome.CRASHED, now, text=CRASHED)
                return self._next(
                    state, now, crashes=crashes, history=history, possible_duplicate=True
                )
            case _:
                raise self._cannot("expire")

    def claim(self, now: datetime, lease: timedelta, *, is_unheard: bool = False) -> Notification:
        """Do what is due: start it, after taking it from a dead worker if need be.

        This is what a store calls, under its lock, on each notification whose `wake_at` has come.

        Args:
            now: when it is claimed.
            lease: how long the claim lasts.
            is_unheard: its last claim was answered with an error, so that nobody began to send.

        Returns:
            The notification in state `Sending`; or `Failed`, if it has outlived too many workers.
        """
        if not isinstance(self.state, Sending):
            return self.start(now, lease)
        if is_unheard:
            return self.give_back(now).start(now, lease)
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

    def unless_other_than(self, queued: Notification) -> Notification:
        """Return this one, if the request for another under the same key is the same.

        An SMS is the same before and after its typography is folded: one may have been stored
        folded, and the other not, or not yet.

        Raises:
            IdempotencyConflict: if it is for another message, or another time.
        """
        asked = (_content(queued.message), queued.scheduled_at)
        if (_content(self.message), self.scheduled_at) != asked:
            raise IdempotencyConflict(str(self.id))
        return self

    def _in_time(self, moment: datetime) -> datetime:
        """Move what would be before the scheduled time, since the clock was set back, to that."""
        return max(moment, self.scheduled_at or moment)

    def _history(
        self, outcome: Outcome, now: datetime, code: str = "", text: str = ""
    ) -> tuple[Attempt, ...]:
        """Add the attempt that ends now: it began when the state became `Sending`.

        Where there are too many, as after days behind a provider that is down, the oldest that
        leaves no doubt makes room.
        """
        ended = Attempt(self.attempts, self.updated_at, now, outcome, code, text)
        kept = self.history
        if len(kept) >= MOST_ATTEMPTS:
            dispensable = (at for at, each in enumerate(kept) if not each.is_in_doubt)
            oldest = next(dispensable, 0)
            kept = (*kept[:oldest], *kept[oldest + 1 :])
        return (*kept, ended)

    def _next(
        self,
        state: State,
        now: datetime,
        *,
        scheduled_at: datetime | None = None,
        attempts: int | None = None,
        retries: int | None = None,
        crashes: int | None = None,
        possible_duplicate: bool = False,
        history: tuple[Attempt, ...] | None = None,
    ) -> Notification:
        """Return the next version: all stays as it is, save what is given."""
        # Not by replace(), which takes as long again, twice for each notification that is sent.
        return Notification(
            self.id,
            self.message,
            state,
            self.created_at,
            now,
            self.scheduled_at if scheduled_at is None else scheduled_at,
            self.attempts if attempts is None else attempts,
            self.retries if retries is None else retries,
            self.crashes if crashes is None else crashes,
            possible_duplicate or self.possible_duplicate,
            self.idempotency_key,
            self.history if history is None else history,
            self.version + 1,
        )

    def _cannot(self, step: str) -> InvalidTransition:
        return InvalidTransition(step, type(self.state).__name__)


def _content(message: Message) -> object:
    if isinstance(message, Sms):
        return message.to, message.subject, fold_typography(message.body)
    return message


def _later(now: datetime, delay: timedelta) -> datetime:
    """Add, but never beyond the last moment that there is: a provider may ask for any delay."""
    try:
        return now + delay
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)
