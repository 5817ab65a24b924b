"""How many SMS leave in a day, whatever comes."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from support.dispatching import HeldSender, NotingObserver
from support.samples import BUSY, LOST, REFUSED, SOON, queued
from support.settling import run, settled

from pinguin_core import (
    Attempt,
    Channel,
    Dispatcher,
    InvalidValue,
    IsTaken,
    Notification,
    NotificationId,
    PhoneNumber,
    ProviderMisconfigured,
    Queued,
    Receipt,
    Sms,
    SmsCount,
    SmsQuota,
    StoreUnavailable,
    TransientDeliveryError,
)
from pinguin_core.sms_quota import Wait
from pinguin_core.testing.fakes import NOON, ManualClock, MemoryRepository, RecordingSender
from pinguin_core.testing.strategies import longest

HERE, THERE = PhoneNumber("+15550100123"), PhoneNumber("+15550100199")
MIDNIGHT = NOON + timedelta(hours=12)
MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)


class BrokenCounter:
    async def has_sent_sms(self, provider_message_id: str, since: datetime) -> bool:
        raise StoreUnavailable("gone")

    async def count_sms(
        self, since: datetime, *, before: Notification, to: PhoneNumber | None = None
    ) -> SmsCount:
        raise StoreUnavailable("gone")


@dataclass
class Phone:
    """A dispatcher of SMS amid fakes."""

    clock: ManualClock = field(default_factory=ManualClock)
    store: MemoryRepository = field(default_factory=MemoryRepository)
    sender: Any = field(default_factory=RecordingSender[Sms])
    observer: NotingObserver = field(default_factory=NotingObserver)
    uniform: Callable[[float, float], float] = longest

    def dispatcher(
        self, counter: Any = None, *, retry_ambiguous: bool = True, **limits: int
    ) -> Dispatcher:
        return Dispatcher(
            self.store,
            sms=self.sender,
            clock=self.clock,
            policy=SOON,
            observer=self.observer,
            retry_ambiguous=retry_ambiguous,
            poll_interval=timedelta(hours=1),
            sms_quota=SmsQuota(counter or self.store, uniform=self.uniform, **limits),
        )

    async def add(self, count: int, to: PhoneNumber = HERE, *, name: str = "notif") -> None:
        for number in range(count):
            await self.store.add(queued(f"{name}-{number}", Sms(to, "Hello"), self.clock.now()))

    async def states(self, name: str = "notif", count: int = 5) -> list[str]:
        found = [await self.store.get(NotificationId(f"{name}-{at}")) for at in range(count)]
        return [type(each.state).__name__ for each in found]

    def numbers(self) -> list[str]:
        return [str(delivery.message.to) for delivery in self.sender.attempts]


def test_beyond_the_limit_of_a_day_the_rest_waits_for_the_next() -> None:
    async def test() -> None:
        phone = Phone()
        await phone.add(5)
        async with phone.dispatcher(per_day=2):
            await settled()
            assert await phone.states() == ["Sent"] * 2 + ["Queued"] * 3
            phone.clock.set(MIDNIGHT - timedelta(microseconds=1))
            await settled()
            assert len(phone.sender.attempts) == 2
            phone.clock.set(MIDNIGHT + MINUTE)
            await settled()
            assert len(phone.sender.attempts) == 4
            phone.clock.set(MIDNIGHT + timedelta(days=1, minutes=1))
            await settled()
        assert await phone.states() == ["Sent"] * 5
        assert phone.observer.troubles == []

    run(test())


def test_what_is_held_says_so_and_has_not_used_up_an_attempt() -> None:
    async def test() -> None:
        phone = Phone()
        await phone.add(2)
        async with phone.dispatcher(per_day=1):
            await settled()
            phone.clock.advance(2 * MINUTE)
            await settled()
        held = await phone.store.get(NotificationId("notif-1"))
        text = "held until 2030-01-02 00:00:00 UTC: the limit of 1 SMS a day is reached"
        assert held.state == Queued(MIDNIGHT, text)
        assert (held.attempts, held.retries, held.history) == (0, 0, ())
        assert not held.possible_duplicate

    run(test())


def test_the_limit_of_a_recipient_leaves_others_alone() -> None:
    async def test() -> None:
        phone = Phone()
        await phone.add(5, HERE, name="here")
        await phone.add(3, THERE, name="there")
        async with phone.dispatcher(per_recipient_per_day=2):
            await settled()
            phone.clock.advance(2 * MINUTE)
            await settled()
        assert phone.numbers().count(str(HERE)) == 2
        assert phone.numbers().count(str(THERE)) == 2
        held = await phone.store.get(NotificationId("here-4"))
        assert held.last_error.endswith("the limit of 2 SMS a day to one recipient is reached")

    run(test())


def test_what_is_under_way_is_waited_for_because_it_may_fail() -> None:
    async def test() -> None:
        held = HeldSender[Sms]()
        phone = Phone(sender=held)
        await phone.add(2)
        async with phone.dispatcher(per_day=1):
            await settled()
            assert held.under_way == 1
            waiting = await phone.store.get(NotificationId("notif-1"))
            assert waiting.state == Queued(
                NOON + MINUTE,
                "held until 2030-01-01 12:01:00 UTC: "
                "the limit of 1 SMS a day is reached by those that are being sent",
            )
            held.let_go()
            await settled()
            phone.clock.advance(MINUTE)
            await settled()
        waiting = await phone.store.get(NotificationId("notif-1"))
        assert waiting.wake_at == MIDNIGHT

    run(test())


class UnevenSender:
    """Takes a different time over each SMS, and fails with some."""

    def __init__(self, luck: random.Random) -> None:
        self.delivered = 0
        self._luck = luck

    async def send(self, message: Sms, *, id: NotificationId, date: datetime) -> Receipt:
        for _ in range(self._luck.randrange(20)):
            await asyncio.sleep(0)
        if self._luck.random() < 0.3:
            raise BUSY
        self.delivered += 1
        return Receipt(f"uneven-{id}")


@pytest.mark.parametrize("seed", range(10))
def test_dispatchers_that_meet_at_the_limit_send_what_it_allows_and_no_more(seed: int) -> None:
    async def test() -> None:
        luck = random.Random(seed)
        phone = Phone(sender=UnevenSender(luck), uniform=luck.uniform)
        await phone.add(40)
        async with AsyncExitStack() as running:
            for _ in range(3):
                await running.enter_async_context(phone.dispatcher(per_day=7))
            for _ in range(30):
                await settled()
                assert phone.sender.delivered <= 7
                phone.clock.advance(MINUTE)
        assert phone.sender.delivered == 7

    run(test())


async def waits(phone: Phone, claims: Sequence[Notification], **limits: int) -> list[Wait | None]:
    quota = SmsQuota(phone.store, uniform=phone.uniform, **limits)
    return [await quota.wait_of(claimed, claimed.updated_at) for claimed in claims]


def test_a_claim_by_a_slow_clock_is_held_by_what_it_did_not_precede() -> None:
    """Also when the clock was read in time, but the claim had to wait for its turn."""

    async def test() -> None:
        phone = Phone()
        await phone.add(2)
        first = await phone.store.claim_due(Channel.SMS, NOON + SECOND, MINUTE, 1)
        assert await waits(phone, first, per_day=1) == [None]
        second = await phone.store.claim_due(Channel.SMS, NOON, MINUTE, 1)
        reason = "the limit of 1 SMS a day is reached by those that are being sent"
        assert await waits(phone, second, per_day=1) == [Wait(NOON + MINUTE, reason)]

    run(test())


def test_batches_that_hold_each_other_up_do_not_meet_again() -> None:
    """They were claimed before either was counted: none may go on, but not for long."""

    async def test() -> None:
        phone = Phone(uniform=random.Random(1).uniform)
        await phone.add(6)
        claims = [
            *await phone.store.claim_due(Channel.SMS, NOON, MINUTE, 3),
            *await phone.store.claim_due(Channel.SMS, NOON + SECOND, MINUTE, 3),
        ]
        held = await waits(phone, claims, per_day=3)
        moments = {wait.until for wait in held if wait is not None}
        assert len(moments) == 6
        assert NOON + MINUTE / 2 <= min(moments) <= max(moments) <= NOON + SECOND + MINUTE
        for claimed, wait in zip(claims, held, strict=True):
            assert wait is not None
            await phone.store.save(claimed.hold(wait.reason, claimed.updated_at, wait.until))
        async with phone.dispatcher(per_day=3):
            phone.clock.advance(2 * MINUTE)
            await settled()
        assert len(phone.sender.delivered) == 3

    run(test())


def test_what_failed_leaves_its_place_to_another() -> None:
    async def test() -> None:
        phone = Phone(sender=RecordingSender([REFUSED]))
        await phone.add(2)
        async with phone.dispatcher(per_day=1):
            await settled()
            phone.clock.advance(MINUTE)
            await settled()
        assert await phone.states(count=2) == ["Failed", "Sent"]

    run(test())


class OutOfReach:
    """Takes each SMS, and neither says so nor can be asked."""

    def __init__(self) -> None:
        self.taken: list[NotificationId] = []

    async def send(self, message: Sms, *, id: NotificationId, date: datetime) -> Receipt:
        self.taken.append(id)
        raise TransientDeliveryError("HTTP 503", ambiguous=True, of_provider=True)

    async def find_sent(
        self, message: Sms, *, id: NotificationId, doubts: Sequence[Attempt], is_taken: IsTaken
    ) -> Receipt | None:
        raise TransientDeliveryError("HTTP 503, looking up", of_provider=True)


@pytest.mark.parametrize("retry", [True, False])
@pytest.mark.parametrize("limit", ["per_day", "per_recipient_per_day"])
def test_what_is_in_doubt_counts_until_the_next_day(limit: str, *, retry: bool) -> None:
    """Or a provider that takes all, and never says so, would be given all that there is."""

    async def test() -> None:
        lost = OutOfReach()
        phone = Phone(sender=lost)
        await phone.add(20)
        async with phone.dispatcher(retry_ambiguous=retry, **{limit: 3}):
            while phone.clock.now() < MIDNIGHT - MINUTE:
                await settled()
                phone.clock.advance(10 * MINUTE)
            assert len(lost.taken) == 3
            phone.clock.set(MIDNIGHT + 2 * MINUTE)
            await settled()
        assert len(set(lost.taken)) == len(lost.taken)
        assert 3 <= len(lost.taken) <= 6

    run(test())


def test_what_killed_processes_were_sending_counts_until_the_next_day() -> None:
    """Or a service that is killed again and again would send as many with each life."""

    async def test() -> None:
        phone, now = Phone(), NOON
        await phone.add(40)
        begun = set[NotificationId]()
        for _ in range(10):
            claims = await phone.store.claim_due(Channel.SMS, now, MINUTE, 8)
            for claimed, wait in zip(claims, await waits(phone, claims, per_day=3), strict=True):
                if wait is None:
                    begun.add(claimed.id)  # and nobody stores what comes of it
                else:
                    await phone.store.save(claimed.hold(wait.reason, now, wait.until))
            now += MINUTE
        assert len(begun) == 3

    run(test())


def test_what_is_in_doubt_keeps_its_place() -> None:
    async def test() -> None:
        phone = Phone(sender=RecordingSender([LOST]))
        await phone.add(1)
        async with phone.dispatcher(per_day=1):
            await settled()
            phone.clock.advance(MINUTE)
            await settled()
        assert await phone.states(count=1) == ["Sent"]

    run(test())


def test_what_is_held_is_no_probe_of_a_provider_that_was_down() -> None:
    """Else each of them would put the recovery off by another interval."""

    async def test() -> None:
        phone = Phone()
        await phone.add(1)
        async with phone.dispatcher(per_recipient_per_day=1) as dispatcher:
            await settled()
            phone.sender.errors.append(ProviderMisconfigured("no such login"))
            await phone.add(1, THERE, name="there")
            dispatcher.wake_at(Channel.SMS, NOON)
            await settled()
            await phone.add(20, HERE, name="here")
            dispatcher.wake_at(Channel.SMS, NOON)
            await settled()
            assert await phone.states("there", count=1) == ["Queued"]
            phone.clock.advance(timedelta(seconds=30))
            await settled()
            assert await phone.states("there", count=1) == ["Sent"]
        assert phone.numbers() == [str(HERE), str(THERE), str(THERE)]

    run(test())


def test_a_limit_that_cannot_be_looked_at_may_be_reached() -> None:
    async def test() -> None:
        phone = Phone()
        await phone.add(1)
        async with phone.dispatcher(BrokenCounter(), per_day=5):
            await settled()
        held = await phone.store.get(NotificationId("notif-0"))
        assert held.state == Queued(
            NOON + MINUTE,
            "held until 2030-01-01 12:01:00 UTC: the limits cannot be checked now",
        )
        assert phone.sender.attempts == []
        [(where, error)] = phone.observer.troubles
        assert where == "looking at limits for notif-0"
        assert isinstance(error, StoreUnavailable)

    run(test())


def test_without_limits_nobody_counts() -> None:
    async def test() -> None:
        phone = Phone()
        await phone.add(3)
        async with phone.dispatcher(BrokenCounter()):
            await settled()
        assert len(phone.sender.delivered) == 3

    run(test())


@pytest.mark.parametrize("field", ["per_day", "per_recipient_per_day"])
def test_limits_are_one_or_more(field: str) -> None:
    limit: dict[str, Any] = {field: 0}
    with pytest.raises(InvalidValue) as caught:
        SmsQuota(MemoryRepository(), **limit)
    assert caught.value.field == field
