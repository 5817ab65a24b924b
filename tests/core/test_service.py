"""What callers get from the service: their notification stored, or a reason why not."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest
from support.dispatching import BrokenObserver, NotingObserver, TroubledRepository
from support.samples import EMAIL, LEASE, RECEIPT, SMS
from support.settling import run, settled

from pinguin_core import (
    Channel,
    ChannelDisabled,
    Dispatcher,
    DuplicateNotification,
    Email,
    IdempotencyConflict,
    IdempotencyKey,
    InvalidValue,
    Message,
    Notification,
    NotificationId,
    NotificationNotFound,
    NotificationService,
    Queued,
    Sent,
    Sms,
    SmsRules,
    StoreFull,
    StoreUnavailable,
    SystemClock,
)
from pinguin_core.testing.fakes import (
    NOON,
    CountingIds,
    ManualClock,
    MemoryRepository,
    RecordingSender,
)

LATER = NOON + timedelta(hours=1)
KEY = IdempotencyKey("0b1f6a3e-5c1d-4e0a-9a55-1f8f7c0d2e11")


def service(store: MemoryRepository | None = None, **options: Any) -> NotificationService:
    defaults: dict[str, Any] = {"clock": ManualClock(), "ids": CountingIds()}
    return NotificationService(store or MemoryRepository(), **(defaults | options))


@pytest.mark.parametrize(("scheduled_at", "due_at"), [(None, NOON), (NOON, NOON), (LATER, LATER)])
def test_what_is_sent_is_stored_as_it_is_returned(
    scheduled_at: datetime | None, due_at: datetime
) -> None:
    async def test() -> None:
        store = MemoryRepository()
        queued = await service(store).send(EMAIL, scheduled_at=scheduled_at)
        assert queued.state == Queued(due_at)
        assert queued.scheduled_at == scheduled_at
        assert str(queued.id) == "notif-1"
        assert await store.get(queued.id) == queued

    run(test())


def test_it_is_announced_once_it_is_stored() -> None:
    async def test() -> None:
        store, observer = MemoryRepository(), NotingObserver()
        announced: list[Notification] = []
        sending = service(store, on_queued=announced.append, observer=observer)
        queued = await sending.send(EMAIL)
        assert announced == observer.changes == [queued]

    run(test())


def test_a_request_that_comes_again_with_its_key_makes_no_second_notification() -> None:
    """Not even after it was sent; and nobody is told of it again."""

    async def test() -> None:
        store, observer = MemoryRepository(), NotingObserver()
        announced: list[Notification] = []
        sending = service(store, on_queued=announced.append, observer=observer)
        first = await sending.send(EMAIL, scheduled_at=LATER, idempotency_key=KEY)
        assert await sending.send(EMAIL, scheduled_at=LATER, idempotency_key=KEY) == first
        assert announced == observer.changes == [first]
        (claimed,) = await store.claim_due(Channel.EMAIL, LATER, LEASE, 10)
        await store.save(claimed.succeed(RECEIPT, LATER))
        again = await sending.send(EMAIL, scheduled_at=LATER, idempotency_key=KEY)
        assert again == await store.get(first.id)
        assert isinstance(again.state, Sent)

    run(test())


def test_the_same_key_with_other_content_is_refused() -> None:
    async def test() -> None:
        store = MemoryRepository()
        sending = service(store)
        first = await sending.send(EMAIL, scheduled_at=LATER, idempotency_key=KEY)
        for message, scheduled_at in (
            (SMS, LATER),
            (Email(EMAIL.to, EMAIL.subject, "Bye"), LATER),
            (EMAIL, None),
            (EMAIL, LATER + timedelta(microseconds=1)),
        ):
            with pytest.raises(IdempotencyConflict) as refused:
                await sending.send(message, scheduled_at=scheduled_at, idempotency_key=KEY)
            assert refused.value.notification_id == str(first.id)
        assert await store.find(KEY) == first

    run(test())


TYPOGRAPHIC = Sms(SMS.to, "It\u2019s fine")


@pytest.mark.parametrize(
    ("message", "before", "after"),
    [
        (SMS, {}, {"disabled": {Channel.SMS: "set TWILIO_ACCOUNT_SID"}}),
        (SMS, {}, {"sms_rules": SmsRules(allowed_prefixes=["+99"])}),
        (TYPOGRAPHIC, {}, {"sms_rules": SmsRules(fold_typography=True)}),
        (TYPOGRAPHIC, {"sms_rules": SmsRules(fold_typography=True)}, {}),
    ],
)
def test_what_was_accepted_is_found_by_its_key_though_the_settings_changed(
    message: Message, before: dict[str, Any], after: dict[str, Any]
) -> None:
    async def test() -> None:
        store = MemoryRepository()
        first = await service(store, **before).send(message, idempotency_key=KEY)
        assert await service(store, **after).send(message, idempotency_key=KEY) == first

    run(test())


def test_what_was_accepted_is_found_by_its_key_though_there_is_no_more_room() -> None:
    class Full(MemoryRepository):
        async def add(self, notification: Notification) -> None:
            if notification.id != NotificationId("notif-1"):
                raise StoreFull("the disk is full")
            await super().add(notification)

    async def test() -> None:
        sending = service(Full())
        first = await sending.send(EMAIL, idempotency_key=KEY)
        assert await sending.send(EMAIL, idempotency_key=KEY) == first
        with pytest.raises(StoreFull):
            await sending.send(EMAIL, idempotency_key=IdempotencyKey("another"))

    run(test())


def test_of_requests_that_race_with_one_key_one_makes_the_notification() -> None:
    class Slow(MemoryRepository):
        async def add(self, notification: Notification) -> None:
            await asyncio.sleep(0)
            await super().add(notification)

    async def test() -> None:
        sending = service(Slow())
        all_of_them = (sending.send(EMAIL, idempotency_key=KEY) for _ in range(5))
        assert len({each.id for each in await asyncio.gather(*all_of_them)}) == 1

    run(test())


def test_requests_without_a_key_are_never_the_same() -> None:
    async def test() -> None:
        sending = service()
        assert (await sending.send(EMAIL)).id != (await sending.send(EMAIL)).id

    run(test())


def test_an_id_that_is_taken_is_not_hidden_by_a_key() -> None:
    """That would be a bug in the generator of ids, and somebody else's notification."""

    class AlwaysTheSame:
        def next_id(self, now: datetime) -> NotificationId:
            return NotificationId("notif-1")

    async def test() -> None:
        sending = service(ids=AlwaysTheSame())
        await sending.send(EMAIL)
        with pytest.raises(DuplicateNotification):
            await sending.send(EMAIL, idempotency_key=KEY)

    run(test())


@pytest.mark.parametrize("error", [StoreUnavailable("locked"), StoreFull("no room")])
def test_what_could_not_be_stored_is_neither_announced_nor_accepted(error: Exception) -> None:
    class Refusing(TroubledRepository):
        async def add(self, notification: Notification) -> None:
            raise error

    async def test() -> None:
        observer = NotingObserver()
        announced: list[Notification] = []
        with pytest.raises(type(error)):
            await service(Refusing(), on_queued=announced.append, observer=observer).send(EMAIL)
        assert announced == observer.changes == []

    run(test())


def test_a_message_whose_channel_is_disabled_is_refused_with_the_remedy() -> None:
    async def test() -> None:
        store = MemoryRepository()
        without_sms = service(store, disabled={Channel.SMS: "set TWILIO_ACCOUNT_SID"})
        with pytest.raises(ChannelDisabled) as refused:
            await without_sms.send(SMS)
        assert (refused.value.channel, refused.value.remedy) == ("sms", "set TWILIO_ACCOUNT_SID")
        assert await store.next_wake(Channel.SMS) is None
        assert (await without_sms.send(EMAIL)).message is EMAIL

    run(test())


def test_a_time_without_a_zone_is_refused_and_nothing_is_stored() -> None:
    async def test() -> None:
        store = MemoryRepository()
        with pytest.raises(InvalidValue, match="scheduled_at"):
            await service(store).send(EMAIL, scheduled_at=NOON.replace(tzinfo=None))
        assert await store.next_wake(Channel.EMAIL) is None

    run(test())


def test_what_is_stored_is_accepted_even_if_nobody_can_be_told() -> None:
    """Refusing it would invite the caller to send it a second time."""

    def broken(_: Notification) -> None:
        raise ZeroDivisionError

    async def test() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        observer = NotingObserver()
        await service(on_queued=broken, observer=observer).send(EMAIL)
        assert [where for where, _ in observer.troubles] == ["announcing notif-1"]
        await service(on_queued=broken, observer=BrokenObserver()).send(EMAIL)

    run(test())


def test_any_notification_can_be_looked_up_and_an_unknown_one_is_named() -> None:
    async def test() -> None:
        sending = service()
        queued = await sending.send(EMAIL)
        assert await sending.get(queued.id) == queued
        with pytest.raises(NotificationNotFound) as missing:
            await sending.get(NotificationId("notif-other"))
        assert missing.value.notification_id == "notif-other"

    run(test())


def test_it_needs_nothing_but_a_store() -> None:
    async def test() -> None:
        before = SystemClock().now()
        queued = await NotificationService(MemoryRepository()).send(EMAIL)
        assert before <= queued.created_at <= SystemClock().now()
        assert str(queued.id).startswith("notif-")

    run(test())


def test_service_and_dispatcher_deliver_together() -> None:
    async def test() -> None:
        store, sender = MemoryRepository(), RecordingSender[Email]()
        clock = ManualClock()
        async with Dispatcher(store, email=sender, clock=clock) as dispatcher:
            sending = service(store, clock=clock, on_queued=dispatcher.wake)
            queued = await sending.send(EMAIL)
            await settled()
            assert [delivery.id for delivery in sender.delivered] == [queued.id]

    run(test())
