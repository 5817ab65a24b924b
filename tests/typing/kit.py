"""The kit for tests as the authors of adapters use it: type-checked, never run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from typing import assert_type

from hypothesis import given
from hypothesis.strategies import SearchStrategy

from pinguin_core import (
    Attempt,
    DeliveryError,
    Email,
    EmailAddress,
    ExponentialBackoff,
    FailoverSender,
    IdempotencyKey,
    Message,
    Notification,
    NotificationId,
    PhoneNumber,
    Receipt,
    RetryPolicy,
    Sender,
    Sms,
    State,
    TransientDeliveryError,
)
from pinguin_core.testing.contracts import (
    Arrival,
    Behaviour,
    Connect,
    EmailSenderContract,
    NotificationRepositoryContract,
    Provider,
    RetryPolicyContract,
    SmsLedgerContract,
    SmsReconcilerContract,
    SmsSenderContract,
)
from pinguin_core.testing.fakes import (
    NOON,
    CountingIds,
    Delivery,
    FailingSender,
    ManualClock,
    MemoryRepository,
    RecordingSender,
)
from pinguin_core.testing.strategies import (
    FIRST_MOMENT,
    LAST_MOMENT,
    TICK,
    around,
    attempts,
    bodies,
    email_addresses,
    emails,
    idempotency_keys,
    lived_notifications,
    longest,
    messages,
    moments,
    notification_ids,
    notifications,
    outcomes,
    phone_numbers,
    reasons,
    retry_policies,
    shifted,
    shortest,
    sms,
    states,
    subjects,
    transient_errors,
)


class Relay:
    """A provider of the author's own."""

    def __init__(self) -> None:
        self.behaviour = Behaviour.ACCEPT

    @property
    def arrived(self) -> Sequence[Arrival]:
        return [
            Arrival("ada@example.com", "Hi", "Hello", name="<notif-1@example.com>"),
            Arrival(to="+15550100123", subject="", body="Hello"),
        ]

    async def behave(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour


class TestStore(NotificationRepositoryContract, SmsLedgerContract):
    examples = 500

    @asynccontextmanager
    async def storage(self) -> AsyncIterator[Connect]:
        repository = MemoryRepository()
        yield lambda: nullcontext(repository)


class TestMailer(EmailSenderContract):
    @asynccontextmanager
    async def provider(self) -> AsyncIterator[tuple[Sender[Email], Provider]]:
        mailer = RecordingSender[Email]()
        yield FailoverSender(mailer, FailingSender(lambda: DeliveryError("no"))), Relay()


class TestTexter(SmsSenderContract):
    @asynccontextmanager
    async def provider(self) -> AsyncIterator[tuple[RecordingSender[Sms], Provider]]:
        yield RecordingSender[Sms](), Relay()


class TestFinder(SmsReconcilerContract):
    @asynccontextmanager
    async def provider(self) -> AsyncIterator[tuple[RecordingSender[Sms], Provider]]:
        yield RecordingSender[Sms](), Relay()


class TestPolicy(RetryPolicyContract):
    def policy(self) -> RetryPolicy:
        return ExponentialBackoff(uniform=shortest)


def delivered(sender: RecordingSender[Email]) -> list[str]:
    found: list[Delivery[Email]] = sender.delivered
    return [f"{each.id} {each.message.subject}" for each in found]


def ready() -> tuple[ManualClock, NotificationId]:
    clock = ManualClock(NOON)
    clock.advance(timedelta(hours=1))
    return clock, CountingIds().next_id(clock.now())


@given(notification=notifications(), lived=lived_notifications(notification_ids()))
def test_something(notification: Notification, lived: Notification) -> None:
    assert_type(notification.id < lived.id, bool)


def drawn() -> None:
    assert_type(around(FIRST_MOMENT, LAST_MOMENT), SearchStrategy[datetime])
    assert_type(attempts(), SearchStrategy[Attempt])
    assert_type(bodies(at_most=160), SearchStrategy[str])
    assert_type(email_addresses(international=False), SearchStrategy[EmailAddress])
    assert_type(emails(international=False), SearchStrategy[Email])
    assert_type(idempotency_keys(), SearchStrategy[IdempotencyKey])
    assert_type(messages(), SearchStrategy[Message])
    assert_type(moments(), SearchStrategy[datetime])
    assert_type(outcomes(), SearchStrategy[Receipt | DeliveryError])
    assert_type(phone_numbers(), SearchStrategy[PhoneNumber])
    assert_type(reasons(), SearchStrategy[str])
    assert_type(retry_policies(), SearchStrategy[ExponentialBackoff])
    assert_type(sms(), SearchStrategy[Sms])
    assert_type(states(), SearchStrategy[State])
    assert_type(subjects(), SearchStrategy[str])
    assert_type(transient_errors(), SearchStrategy[TransientDeliveryError])
    assert_type(shifted(datetime(2030, 1, 1, tzinfo=UTC), TICK), datetime)
    assert_type(longest(0.5, 1.0), float)
