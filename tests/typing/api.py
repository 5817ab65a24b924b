"""Pinguin's core as applications use it: type-checked, never run."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import assert_never, assert_type

from pinguin_core import (
    Attempt,
    Cancelled,
    Channel,
    ChannelDisabled,
    Clock,
    DeliveryError,
    Dispatcher,
    DuplicateNotification,
    Email,
    EmailAddress,
    ExponentialBackoff,
    Failed,
    FailoverSender,
    HeldForProvider,
    IdempotencyConflict,
    IdempotencyKey,
    IdGenerator,
    InvalidTransition,
    InvalidValue,
    IsTaken,
    Message,
    Notification,
    NotificationId,
    NotificationNotFound,
    NotificationRepository,
    NotificationService,
    NullObserver,
    Observer,
    OnRoute,
    Outcome,
    PermanentDeliveryError,
    PhoneNumber,
    PinguinError,
    ProviderDown,
    ProviderMisconfigured,
    Queued,
    Receipt,
    RetryPolicy,
    Sender,
    Sending,
    Sent,
    Sms,
    SmsCount,
    SmsLedger,
    SmsQuota,
    SmsRules,
    StaleNotification,
    State,
    StoreFull,
    StoreUnavailable,
    SystemClock,
    TimeSortedIds,
    TransientDeliveryError,
    scrub,
)
from pinguin_core.testing.fakes import (
    CountingIds,
    FailingSender,
    ManualClock,
    MemoryRepository,
    RecordingSender,
)


class Store:
    """An application's own store."""

    async def add(self, notification: Notification) -> None:
        raise DuplicateNotification(str(notification.id))

    async def get(self, notification_id: NotificationId) -> Notification:
        raise NotificationNotFound(str(notification_id))

    async def find(self, idempotency_key: IdempotencyKey) -> Notification | None:
        return None

    async def save(self, notification: Notification) -> None:
        raise StaleNotification(str(notification.id))

    async def claim_due(
        self, channel: Channel, now: datetime, lease: timedelta, limit: int
    ) -> Sequence[Notification]:
        raise StoreUnavailable("locked")

    async def next_wake(self, channel: Channel) -> datetime | None:
        return None


class Postcards:
    """A sender of e-mail that works otherwise."""

    async def send(self, message: Email, *, id: NotificationId, date: datetime) -> Receipt:
        if message.to.domain == "example.com":
            raise PermanentDeliveryError("no such town")
        if date.year > 2100:
            raise TransientDeliveryError("no stamps", retry_after=timedelta(hours=1))
        return Receipt(f"card-{id}")


class AnySender:
    """A sender of both kinds."""

    async def send(self, message: Message, *, id: NotificationId, date: datetime) -> Receipt:
        return Receipt(message.body)


class Abacus:
    """What counts SMS, where the store does not."""

    async def has_sent_sms(self, provider_message_id: str, since: datetime) -> bool:
        return False

    async def count_sms(
        self, since: datetime, *, before: Notification, to: PhoneNumber | None = None
    ) -> SmsCount:
        return SmsCount(sent=before.attempts, under_way=0)


class Linear:
    """A retry policy of one's own."""

    def delay(self, retry: int, retry_after: timedelta | None = None) -> timedelta | None:
        return (retry_after or timedelta(minutes=1)) * retry


class Printing(NullObserver):
    """An observer that overrides only what it wants to know."""

    def on_trouble(self, where: str, error: Exception) -> None:
        print(where, type(error))  # noqa: T201 (an example)


class Courier:
    """A sender that hides what it must, and can look up what it has delivered."""

    async def send(self, message: Sms, *, id: NotificationId, date: datetime) -> Receipt:
        raise TransientDeliveryError(scrub("no answer", [str(message.to), message.body]))

    async def find_sent(
        self, message: Sms, *, id: NotificationId, doubts: Sequence[Attempt], is_taken: IsTaken
    ) -> Receipt | None:
        return None if await is_taken(message.body) else Receipt(message.body)


async def embed() -> None:
    store: NotificationRepository = Store()
    email: Sender[Email] = Postcards()
    sms: Sender[Sms] = AnySender()
    policy: RetryPolicy = ExponentialBackoff(base=timedelta(seconds=5), max_retries=3)
    clock: Clock = SystemClock()
    ids: IdGenerator = TimeSortedIds()
    observer: Observer = Printing()
    counter: SmsLedger = Abacus()
    tell: OnRoute = tell_route
    Dispatcher(store, sms=Courier())
    dispatcher = Dispatcher(
        store,
        email=FailoverSender(email, Postcards(), on_route=tell),
        sms=sms,
        clock=clock,
        policy=policy,
        observer=observer,
        sms_quota=SmsQuota(counter, per_day=1_000, per_recipient_per_day=5),
    )
    service = NotificationService(
        store,
        clock=clock,
        ids=ids,
        on_queued=dispatcher.wake,
        observer=observer,
        disabled={Channel.SMS: "buy a telephone"},
        sms_rules=SmsRules(max_segments=3, allowed_prefixes=["+1"]),
    )
    async with dispatcher as entered:
        assert_type(entered, Dispatcher)
        message = Email(to=EmailAddress("ada@example.com"), subject="Hi", body="Hello")
        sent = await service.send(message, scheduled_at=datetime(2030, 1, 1, tzinfo=UTC))
        assert_type(sent, Notification)
        assert_type(sent.state, Queued | Sending | Sent | Failed | Cancelled)
        assert_type(sent.channel, Channel)
        assert_type(sent.wake_at, datetime | None)
        key = IdempotencyKey("0b1f6a3e-5c1d-4e0a-9a55-1f8f7c0d2e11")
        text = Sms(PhoneNumber("+15550100123"), "Hello")
        told = tell_attempts(await service.send(text, idempotency_key=key))
        assert_type(told, list[str])
        assert_type(await service.get(sent.id), Notification)


def tell_route(route: str, *, is_up: bool, reason: str) -> None:
    raise SystemExit(f"{route} {is_up} {reason}")


def rest(error: ProviderDown | HeldForProvider) -> timedelta:
    return error.retry_after or timedelta(seconds=30)


def tell_attempts(notification: Notification) -> list[str]:
    return [tell_attempt(attempt) for attempt in notification.history]


def tell_attempt(attempt: Attempt) -> str:
    took = assert_type(attempt.ended_at - attempt.started_at, timedelta)
    if attempt.outcome is Outcome.SENT:
        return f"sent in {took}"
    return f"{attempt.number}: {attempt.code} {attempt.text}"


def tell(state: State) -> str:
    match state:
        case Queued(due_at=moment) | Sending(lease_until=moment):
            return moment.isoformat()
        case Sent(provider_message_id=name):
            return name
        case Failed(reason=reason):
            return reason
        case Cancelled(at=moment):
            return moment.isoformat()
        case _:
            assert_never(state)


def explain(error: PinguinError) -> str:
    match error:
        case InvalidValue(field=field, problem=problem):
            return assert_type(field, str) + problem
        case ChannelDisabled(channel=channel, remedy=remedy):
            return channel + remedy
        case InvalidTransition(step=step, state=state):
            return step + state
        case IdempotencyConflict(notification_id=first):
            return first
        case DeliveryError(reason=reason, code=code):
            ours = isinstance(error, ProviderMisconfigured) and error.of_provider
            return "call the operator" if ours else code + reason
        case _:
            return "no room" if isinstance(error, StoreFull) else str(error)


def tested() -> NotificationService:
    clock = ManualClock()
    store = MemoryRepository()
    dispatcher = Dispatcher(
        store,
        email=RecordingSender[Email](errors=[TransientDeliveryError("busy", ambiguous=True)]),
        sms=FailingSender(lambda: PermanentDeliveryError("no")),
        clock=clock,
        policy=Linear(),
        attempt_timeout=timedelta(seconds=45),
    )
    return NotificationService(store, clock=clock, ids=CountingIds(), on_queued=dispatcher.wake)


def refused() -> None:
    Email(to="ada@example.com", subject="Hi", body="Hello")  # type: ignore[arg-type]  # no address
    Sms(to=EmailAddress("ada@example.com"), body="Hello")  # type: ignore[arg-type]  # no number
    Dispatcher(Store(), sms=Postcards())  # type: ignore[arg-type]  # postcards are e-mail
