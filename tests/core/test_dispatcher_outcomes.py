"""What becomes of a notification, whatever the sender does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from support.dispatching import HeldSender, Scene, TroubledRepository
from support.samples import (
    BUSY,
    LEASE,
    LOST,
    NEVER_AGAIN,
    REFUSED,
    SMS,
    TICK,
    FixedDelay,
    queued,
)
from support.settling import run, settled

from pinguin_core import (
    Channel,
    Dispatcher,
    Email,
    InvalidValue,
    Notification,
    NotificationId,
    Receipt,
    Sent,
    Sms,
    TransientDeliveryError,
)
from pinguin_core.notification import MAX_CRASHES
from pinguin_core.testing.fakes import NOON, FailingSender, RecordingSender


def test_success_is_stored_with_the_providers_name_for_it() -> None:
    async def test() -> None:
        scene = Scene()
        it = queued(scheduled_at=NOON - LEASE)
        await scene.store.add(it)
        async with scene.dispatcher():
            await settled()
        stored = await scene.stored()
        assert stored.state == Sent(NOON, "fake-notif-1")
        assert stored.attempts == 1
        assert not stored.possible_duplicate
        (delivery,) = scene.email.delivered
        assert (delivery.message, delivery.id, delivery.date) == (it.message, it.id, it.date)
        assert scene.observer.states == ["Sending", "Sent"]
        assert scene.observer.troubles == []

    run(test())


@pytest.mark.parametrize(
    ("make_error", "state", "reason", "marks"),
    [
        (lambda: BUSY, "Queued", BUSY.reason, ""),
        (lambda: LOST, "Queued", LOST.reason, "doubtful"),
        (lambda: REFUSED, "Failed", REFUSED.reason, ""),
        (TimeoutError, "Queued", "the attempt took too long", "doubtful"),
        (ZeroDivisionError, "Queued", "internal error in the sender", "doubtful trouble"),
        (asyncio.CancelledError, "Queued", "internal error in the sender", "doubtful trouble"),
    ],
)
def test_each_failure_has_its_outcome(
    make_error: Callable[[], Exception], state: str, reason: str, marks: str
) -> None:
    async def test() -> None:
        scene = Scene()
        await scene.store.add(queued())
        async with scene.dispatcher(FailingSender(make_error)):
            await settled()
        stored = await scene.stored()
        assert await scene.state_of() == state
        assert stored.last_error == reason
        assert stored.possible_duplicate == ("doubtful" in marks)
        assert bool(scene.observer.troubles) == ("trouble" in marks)
        assert scene.observer.states == ["Sending", state]

    run(test())


def test_an_error_in_the_sender_tells_neither_recipient_nor_content() -> None:
    async def test() -> None:
        scene = Scene()
        await scene.store.add(queued())
        async with scene.dispatcher(FailingSender(lambda: KeyError("ada@example.com"))):
            await settled()
        assert (await scene.stored()).last_error == "internal error in the sender"
        ((where, _),) = scene.observer.troubles
        assert where == "sending notif-1"

    run(test())


def test_an_attempt_that_takes_too_long_is_given_up() -> None:
    """Real time decides here, because a sender may hang whatever the wall clock says."""

    async def test() -> None:
        scene = Scene()
        sender: HeldSender[Email] = HeldSender()
        await scene.store.add(queued())
        async with scene.dispatcher(sender, attempt_timeout=timedelta(milliseconds=1)):
            await sender.ended.wait()
        stored = await scene.stored()
        assert sender.cancelled == 1
        assert stored.last_error == "the attempt took too long"
        assert stored.possible_duplicate

    run(test())


def test_when_the_policy_gives_no_retry_the_failure_is_final() -> None:
    async def test() -> None:
        scene = Scene()
        await scene.store.add(queued())
        async with scene.dispatcher(FailingSender(lambda: BUSY), policy=NEVER_AGAIN):
            await settled()
        assert await scene.state_of() == "Failed"

    run(test())


def test_a_bug_in_the_policy_is_told_and_stops_nothing() -> None:
    class Broken:
        def delay(self, retry: int, retry_after: timedelta | None = None) -> timedelta:
            raise ZeroDivisionError

    async def test() -> None:
        scene = Scene()
        scene.email.errors = [BUSY]
        await scene.store.add(queued("notif-1"))
        await scene.store.add(queued("notif-2"))
        async with scene.dispatcher(policy=Broken(), concurrency=1):
            await settled()
        assert await scene.state_of("notif-1") == "Sending"
        assert await scene.state_of("notif-2") == "Sent"
        ((where, error),) = scene.observer.troubles
        assert where == "delivering email"
        assert isinstance(error, ZeroDivisionError)

    run(test())


def test_one_that_outlived_too_many_workers_is_not_sent_again() -> None:
    async def test() -> None:
        scene = Scene()
        it = queued()
        await scene.store.add(it)
        for crash in range(MAX_CRASHES):
            await scene.store.claim_due(it.channel, NOON + crash * LEASE, LEASE, 1)
        scene.clock.set(NOON + MAX_CRASHES * LEASE)
        async with scene.dispatcher():
            await settled()
        assert await scene.state_of() == "Failed"
        assert scene.attempted() == []
        assert scene.observer.states == ["Failed"]

    run(test())


def test_each_channel_goes_to_its_own_sender() -> None:
    async def test() -> None:
        scene = Scene()
        sms: RecordingSender[Sms] = RecordingSender()
        await scene.store.add(queued("notif-1"))
        await scene.store.add(queued("notif-2", SMS))
        async with scene.dispatcher(sms=sms):
            await settled()
        assert scene.attempted() == ["notif-1"]
        assert [str(delivery.id) for delivery in sms.delivered] == ["notif-2"]

    run(test())


def test_a_channel_without_a_sender_is_left_alone() -> None:
    async def test() -> None:
        scene = Scene()
        text = queued("notif-2", SMS)
        async with scene.dispatcher() as dispatcher:
            await scene.store.add(text)
            dispatcher.wake(text)
            await settled()
        assert await scene.state_of("notif-2") == "Queued"

    run(test())


def test_a_notification_of_the_wrong_kind_does_not_reach_a_sender() -> None:
    class Confused(TroubledRepository):
        async def claim_due(
            self, channel: Channel, now: datetime, lease: timedelta, limit: int
        ) -> list[Notification]:
            self.calls.append("claim_due")
            return [queued(message=SMS).start(NOON, LEASE)] if len(self.calls) == 1 else []

    async def test() -> None:
        scene = Scene(store=Confused())
        async with scene.dispatcher():
            await settled()
        assert scene.attempted() == []
        assert isinstance(scene.observer.troubles[0][1], TypeError)

    run(test())


def test_a_slow_email_sender_does_not_hold_up_sms() -> None:
    async def test() -> None:
        scene = Scene()
        slow: HeldSender[Email] = HeldSender()
        sms: RecordingSender[Sms] = RecordingSender()
        for n in range(100):
            await scene.store.add(queued(f"notif-{n}"))
        async with scene.dispatcher(slow, sms=sms, concurrency=4) as dispatcher:
            await settled()
            text = queued("notif-sms", SMS)
            await scene.store.add(text)
            dispatcher.wake(text)
            await settled()
            assert len(sms.delivered) == 1
            assert slow.under_way == 4
            slow.let_go()

    run(test())


@pytest.mark.parametrize("concurrency", [1, 3, 32])
def test_no_more_is_claimed_than_can_be_started(concurrency: int) -> None:
    async def test() -> None:
        scene = Scene()
        sender: HeldSender[Email] = HeldSender()
        for n in range(40):
            await scene.store.add(queued(f"notif-{n}"))
        async with scene.dispatcher(sender, concurrency=concurrency):
            await settled()
            assert sender.under_way == concurrency
            assert scene.observer.states == ["Sending"] * concurrency
            assert (scene.store.calls, scene.store.limits) == ((["claim_due"], [concurrency]))
            sender.let_go()
            await settled()
            assert len(sender.begun) == 40

    run(test())


class CountingSender:
    """Knows how many deliveries were under way at once at the most."""

    def __init__(self) -> None:
        self.under_way = self.most = 0

    async def send(self, message: Email, *, id: NotificationId, date: datetime) -> Receipt:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        for _ in range(int(str(id).removeprefix("notif-")) % 5):
            await asyncio.sleep(0)
        self.under_way -= 1
        return Receipt("counted")


@pytest.mark.parametrize("concurrency", [1, 7])
def test_the_limit_holds_while_places_are_freed_and_taken(concurrency: int) -> None:
    async def test() -> None:
        scene = Scene()
        sender = CountingSender()
        for n in range(200):
            await scene.store.add(queued(f"notif-{n}"))
        async with scene.dispatcher(sender, concurrency=concurrency):
            await settled()
        assert 0 < sender.most <= concurrency
        assert scene.observer.states.count("Sent") == 200
        assert max(scene.store.limits) <= concurrency

    run(test())


def test_the_earliest_due_go_first() -> None:
    async def test() -> None:
        scene = Scene()
        for n in (3, 1, 2):
            await scene.store.add(queued(f"notif-{n}", now=NOON + n * TICK))
        scene.clock.advance(LEASE)
        async with scene.dispatcher(concurrency=1):
            await settled()
        assert scene.attempted() == ["notif-1", "notif-2", "notif-3"]

    run(test())


def test_retry_after_reaches_the_policy() -> None:
    asked: list[timedelta | None] = []

    class Noting(FixedDelay):
        def delay(self, retry: int, retry_after: timedelta | None = None) -> timedelta | None:
            asked.append(retry_after)
            return super().delay(retry, retry_after)

    async def test() -> None:
        scene = Scene()
        scene.email.errors = [TransientDeliveryError("429", retry_after=LEASE)]
        await scene.store.add(queued())
        async with scene.dispatcher(policy=Noting(LEASE)):
            await settled()
        assert asked == [LEASE]

    run(test())


@pytest.mark.parametrize(
    "options",
    [
        {"concurrency": 0},
        {"attempt_timeout": timedelta(0)},
        {"attempt_timeout": timedelta(days=2)},
        {"poll_interval": timedelta(0)},
        {"poll_interval": timedelta.max},
    ],
)
def test_settings_out_of_range_are_refused(options: dict[str, timedelta]) -> None:
    with pytest.raises(InvalidValue) as refused:
        Dispatcher(Scene().store, **options)  # type: ignore[arg-type]  # one table for all
    assert refused.value.field in options
