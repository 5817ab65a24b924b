"""Stores, observers and callers that misbehave: the dispatcher goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from support.dispatching import BrokenObserver, HeldSender, Scene, TroubledRepository
from support.samples import BUSY, LEASE, TICK, FixedDelay, queued
from support.settling import run, settled

from pinguin_core import (
    Channel,
    Email,
    Notification,
    NotificationId,
    Outcome,
    Sending,
    Sent,
    StaleNotification,
    StoreFull,
    StoreUnavailable,
)
from pinguin_core.testing.fakes import NOON, MemoryRepository

SECOND = timedelta(seconds=1)
TROUBLES: list[BaseException] = [
    StoreUnavailable("locked"),
    StoreFull("no room"),
    ZeroDivisionError("a bug in the store"),
    asyncio.CancelledError("a pool was closed"),
]


@pytest.mark.parametrize("method", ["claim_due", "next_wake"])
@pytest.mark.parametrize("error", TROUBLES, ids=repr)
def test_a_store_that_fails_is_left_alone_for_a_second_and_asked_again(
    method: str, error: BaseException
) -> None:
    async def test() -> None:
        scene = Scene()
        scene.store.fail_next(method, error, error)
        async with scene.dispatcher(poll_interval=SECOND):
            await settled()
            await scene.store.add(queued())
            for _ in range(3):
                scene.clock.advance(SECOND - TICK)
                await settled()
                assert await scene.state_of() == "Queued"
                scene.clock.advance(TICK)
                await settled()
                if await scene.state_of() == "Sent":
                    break
        assert await scene.state_of() == "Sent"
        assert [where for where, _ in scene.observer.troubles] == ["claiming due email"] * 2

    run(test())


def test_wakes_during_the_stores_trouble_do_not_storm_it() -> None:
    async def test() -> None:
        scene = Scene()
        scene.store.fail_next("claim_due", StoreUnavailable("down"))
        async with scene.dispatcher() as dispatcher:
            await settled()
            for n in range(50):
                notification = queued(f"notif-{n}")
                await scene.store.add(notification)
                dispatcher.wake(notification)
                await settled()
            assert scene.store.calls == ["claim_due"]
            scene.clock.advance(SECOND)
            await settled()
            assert len(scene.email.delivered) == 50

    run(test())


@pytest.mark.parametrize("error", TROUBLES, ids=repr)
def test_an_outcome_that_cannot_be_stored_is_tried_again_and_nothing_is_sent_twice(
    error: BaseException,
) -> None:
    async def test() -> None:
        scene = Scene()
        await scene.store.add(queued())
        scene.store.fail_next("save", *[error] * 5)
        async with scene.dispatcher():
            for _ in range(5):
                await settled()
                assert await scene.state_of() == "Sending"
                scene.clock.advance(SECOND)
            await settled()
            assert await scene.state_of() == "Sent"
        assert len(scene.email.attempts) == 1
        troubles = [where for where, _ in scene.observer.troubles]
        assert troubles == ["storing the outcome of notif-1"] * 5

    run(test())


def test_an_outcome_that_cannot_be_stored_within_the_lease_is_kept_until_it_can() -> None:
    """Nothing is sent again, though the lease runs out and the worker claims it again."""

    async def test() -> None:
        scene = Scene()
        await scene.store.add(queued())
        scene.store.fail_next("save", *[StoreUnavailable("down")] * 1000)
        async with scene.dispatcher(poll_interval=SECOND):
            for _ in range(130):
                await settled()
                scene.clock.advance(SECOND)
            stored = await scene.stored()
            assert isinstance(stored.state, Sending)
            assert stored.version == 6  # claimed three times
            scene.store.errors.clear()
            scene.clock.advance(SECOND)
            await settled()
        stored = await scene.stored()
        assert isinstance(stored.state, Sent)
        assert (stored.attempts, stored.crashes, stored.possible_duplicate) == (1, 0, False)
        assert [attempt.outcome for attempt in stored.history] == [Outcome.SENT]
        assert len(scene.email.attempts) == 1

    run(test())


def test_an_attempt_that_a_leap_of_the_clock_overtakes_is_not_made_twice() -> None:
    """The lease is over, by the clock; but its worker lives, and holds it still."""

    async def test() -> None:
        scene = Scene()
        sender: HeldSender[Email] = HeldSender()
        await scene.store.add(queued())
        async with scene.dispatcher(sender, poll_interval=SECOND):
            await settled()
            for _ in range(3):
                scene.clock.advance(timedelta(hours=1))
                await settled()
            assert (await scene.stored()).version > 2  # it was claimed again
            sender.let_go()
            await settled()
        stored = await scene.stored()
        assert len(sender.begun) == 1
        assert isinstance(stored.state, Sent)
        assert (stored.attempts, stored.crashes, stored.possible_duplicate) == (1, 0, False)
        assert scene.observer.states == ["Sending", "Sent"]
        assert scene.observer.troubles == []

    run(test())


def test_an_outcome_that_meets_the_worker_claiming_it_again_is_stored_after_that() -> None:
    """The store has taken the claim, and the worker does not know yet."""

    async def test() -> None:
        scene = Scene()
        sender: HeldSender[Email] = HeldSender()
        await scene.store.add(queued())
        async with scene.dispatcher(sender, poll_interval=SECOND):
            await settled()
            release = scene.store.hold_claims()
            scene.clock.advance(LEASE)
            await settled()
            sender.let_go()
            await settled()
            assert isinstance((await scene.stored()).state, Sending)
            release.set()
            await settled()
        stored = await scene.stored()
        assert isinstance(stored.state, Sent)
        assert (len(sender.begun), scene.observer.troubles) == (1, [])

    run(test())


def test_what_another_worker_gave_back_meanwhile_is_not_sent_beside_our_own_attempt() -> None:
    """Ours goes on under the new lease; the other one's attempt is part of the history."""

    async def test() -> None:
        scene = Scene()
        sender: HeldSender[Email] = HeldSender()
        await scene.store.add(queued())
        async with scene.dispatcher(sender, poll_interval=SECOND) as dispatcher:
            await settled()
            lapsed = NOON + LEASE
            (theirs,) = await MemoryRepository.claim_due(
                scene.store, Channel.EMAIL, lapsed, LEASE, 1
            )
            given_back = theirs.interrupt(lapsed)
            await MemoryRepository.save(scene.store, given_back)
            scene.clock.set(lapsed)
            dispatcher.wake(given_back)
            await settled()
            assert len(sender.begun) == 1
            sender.let_go()
            await settled()
        stored = await scene.stored()
        outcomes = [Outcome.CRASHED, Outcome.INTERRUPTED, Outcome.SENT]
        assert [attempt.outcome for attempt in stored.history] == outcomes
        assert stored.possible_duplicate
        assert scene.observer.troubles == []

    run(test())


class LosesAnAnswer(TroubledRepository):
    """Saves once without being able to say so."""

    lost = False

    async def save(self, notification: Notification) -> None:
        await super().save(notification)
        if not self.lost:
            self.lost = True
            raise StoreUnavailable("the answer was lost")


def test_a_failure_that_is_stored_unheard_is_not_stored_again_in_place_of_the_next_attempt() -> (
    None
):
    """The worker claims again what it still tries to store."""

    async def test() -> None:
        scene = Scene(store=LosesAnAnswer())
        scene.email.errors.append(BUSY)
        await scene.store.add(queued())
        at_once = FixedDelay(timedelta(0))
        async with scene.dispatcher(poll_interval=SECOND, policy=at_once) as dispatcher:
            await settled()
            dispatcher.wake(await scene.stored())
            await settled()
            scene.clock.advance(SECOND)
            await settled()
        stored = await scene.stored()
        assert [attempt.outcome for attempt in stored.history] == [Outcome.FAILED, Outcome.SENT]
        assert (stored.retries, len(scene.email.attempts)) == (1, 2)

    run(test())


def test_a_fenced_outcome_is_told_and_dropped() -> None:
    async def test() -> None:
        scene = Scene()
        sender: HeldSender[Email] = HeldSender()
        await scene.store.add(queued())
        async with scene.dispatcher(sender):
            await settled()
            taken = (await scene.stored()).claim(NOON + LEASE, LEASE)
            (await scene.store.claim_due(Channel.EMAIL, NOON + LEASE, LEASE, 1))[0]
            sender.let_go()
            await settled()
        assert await scene.stored() == taken
        ((where, error),) = scene.observer.troubles
        assert where == "storing the outcome of notif-1"
        assert isinstance(error, StaleNotification)

    run(test())


@pytest.mark.parametrize(("took", "in_vain"), [(15 * SECOND, 0), (15 * SECOND + TICK, 1)])
def test_what_was_claimed_too_slowly_is_given_back_as_if_it_had_not_been(
    took: timedelta, in_vain: int
) -> None:
    """With a lease of 60 s and attempts of up to 45 s, claiming may take 15 s."""

    async def test() -> None:
        scene = Scene()
        await scene.store.add(queued())
        scene.store.before_claim = lambda: scene.clock.set(NOON + took)
        async with scene.dispatcher():
            await settled()
        assert len(scene.observer.troubles) == in_vain
        assert len(scene.email.attempts) == 1
        stored = await scene.stored()
        assert isinstance(stored.state, Sent)
        assert stored.version == 3 + 2 * in_vain
        assert (stored.attempts, stored.crashes, stored.possible_duplicate) == (1, 0, False)

    run(test())


class Mute(TroubledRepository):
    """Stores an outcome, and does not say so the first time."""

    can_be_read = True

    async def save(self, notification: Notification) -> None:
        await super().save(notification)
        if self.calls.count("save") == 1:
            raise StoreUnavailable("the connection was lost during the commit")

    async def get(self, notification_id: NotificationId) -> Notification:
        if not self.can_be_read:
            raise StoreUnavailable("gone")
        return await super().get(notification_id)


@pytest.mark.parametrize(
    ("can_be_read", "told", "troubles"),
    [
        (True, ["Sending", "Sent"], [StoreUnavailable]),
        (False, ["Sending"], [StoreUnavailable, StoreUnavailable, StaleNotification]),
    ],
)
def test_an_outcome_that_was_stored_without_a_word_is_told_of(
    *, can_be_read: bool, told: list[str], troubles: list[type]
) -> None:
    async def test() -> None:
        store = Mute()
        scene = Scene(store=store)
        await store.add(queued())
        async with scene.dispatcher():
            await settled()
            store.can_be_read = can_be_read
            scene.clock.advance(SECOND)
            await settled()
        assert scene.observer.states == told
        assert [type(error) for _, error in scene.observer.troubles] == troubles
        assert len(scene.email.attempts) == 1

    run(test())


def test_a_store_that_calls_due_what_it_does_not_give_is_not_asked_without_pause() -> None:
    class Withholding(TroubledRepository):
        async def claim_due(
            self, channel: Channel, now: datetime, lease: timedelta, limit: int
        ) -> Sequence[Notification]:
            await self._called("claim_due")
            return []

    async def test() -> None:
        scene = Scene(store=Withholding())
        await scene.store.add(queued())
        async with scene.dispatcher(poll_interval=SECOND):
            await settled()
            assert scene.store.calls == ["claim_due", "next_wake"]
            scene.clock.advance(SECOND)
            await settled()
            assert scene.store.calls[2:] == ["next_wake", "claim_due", "next_wake"]

    run(test())


def test_an_observer_that_raises_stops_nothing_and_is_reported_to_the_loop() -> None:
    async def test() -> None:
        scene = Scene()
        reported: list[dict[str, Any]] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: reported.append(context))
        scene.email.errors = [BUSY]
        scene.store.fail_next("claim_due", StoreUnavailable("down"))
        await scene.store.add(queued("notif-1"))
        await scene.store.add(queued("notif-2"))
        async with scene.dispatcher(observer=BrokenObserver()):
            await settled()
            scene.clock.advance(SECOND)
            await settled()
        assert await scene.state_of("notif-1") == "Queued"
        assert await scene.state_of("notif-2") == "Sent"
        assert len(reported) == 5
        assert {type(context["exception"]) for context in reported} == {ZeroDivisionError}

    run(test())


def test_what_is_woken_while_a_claim_is_under_way_is_not_missed() -> None:
    async def test() -> None:
        scene = Scene()
        async with scene.dispatcher() as dispatcher:
            await settled()
            late = queued("notif-late")
            release = scene.store.hold_claims()
            await scene.store.add(queued("notif-early"))
            dispatcher.wake(queued("notif-early"))
            await settled()
            await scene.store.add(late)
            dispatcher.wake(late)
            await settled()
            release.set()
            await settled()
            assert scene.attempted() == ["notif-early", "notif-late"]

    run(test())
