"""Pinguin's core as applications use it: type-checked, never run."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import assert_never, assert_type

from pinguin_core import (
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
    IdGenerator,
    InvalidTransition,
    InvalidValue,
    Message,
    Notification,
    NotificationId,
    NotificationNotFound,
    NotificationRepository,
    NotificationService,
    NullObserver,
    Observer,
    PermanentDeliveryError,
    PhoneNumber,
    PinguinError,
    Queued,
    Receipt,
    RetryPolicy,
    Sender,
    Sending,
    Sent,
    Sms,
    StaleNotification,
    State,
    StoreFull,
    StoreUnavailable,
    SystemClock,
    TimeSortedIds,
    TransientDeliveryError,
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


class Linear:
    """A retry policy of one's own."""

    def delay(self, retry: int, retry_after: timedelta | None = None) -> timedelta | None:
        return (retry_after or timedelta(minutes=1)) * retry


class Printing(NullObserver):
    """An observer that overrides only what it wants to know."""

    def on_trouble(self, where: str, error: Exception) -> None:
        print(where, type(error))  # noqa: T201 (an example)


async def embed() -> None:
    store: NotificationRepository = Store()
    email: Sender[Email] = Postcards()
    sms: Sender[Sms] = AnySender()
    policy: RetryPolicy = ExponentialBackoff(base=timedelta(seconds=5), max_retries=3)
    clock: Clock = SystemClock()
    ids: IdGenerator = TimeSortedIds()
    observer: Observer = Printing()
    dispatcher = Dispatcher(
        store, email=email, sms=sms, clock=clock, policy=policy, observer=observer
    )
    service = NotificationService(
        store,
        clock=clock,
        ids=ids,
        on_queued=dispatcher.wake,
        observer=observer,
        disabled={Channel.SMS: "buy a telephone"},
    )
    async with dispatcher as entered:
        assert_type(entered, Dispatcher)
        message = Email(to=EmailAddress("ada@example.com"), subject="Hi", body="Hello")
        sent = await service.send(message, scheduled_at=datetime(2030, 1, 1, tzinfo=UTC))
        assert_type(sent, Notification)
        assert_type(sent.state, Queued | Sending | Sent | Failed | Cancelled)
        assert_type(sent.channel, Channel)
        assert_type(sent.wake_at, datetime | None)
        await service.send(Sms(PhoneNumber("+15550100123"), "Hello"))
        assert_type(await service.get(sent.id), Notification)


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
        case DeliveryError(reason=reason):
            return reason
        case StoreFull():
            return "no room"
        case _:
            return str(error)


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
