"""Stores, observers and callers that misbehave: the dispatcher goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from support.dispatching import BrokenObserver, HeldSender, Scene, TroubledRepository
from support.samples import BUSY, LEASE, TICK, queued
from support.settling import run, settled

from pinguin_core import (
    Channel,
    Email,
    Notification,
    StaleNotification,
    StoreFull,
    StoreUnavailable,
)
from pinguin_core.testing.fakes import NOON

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


def test_an_outcome_that_cannot_be_stored_within_the_lease_is_left_to_it() -> None:
    """Nothing is sent again before the lease is over, and nothing is stored after it."""

    async def test() -> None:
        scene = Scene()
        await scene.store.add(queued())
        scene.store.fail_next("save", *[StoreUnavailable("down")] * 1000)
        async with scene.dispatcher():
            for _ in range(60):
                await settled()
                assert len(scene.email.attempts) == 1
                scene.clock.set(min(scene.clock.now() + SECOND, NOON + LEASE - TICK))
            saves = scene.store.calls.count("save")
            scene.store.errors.clear()
            await settled()
            assert len(scene.email.attempts) == 1
            assert scene.store.calls.count("save") == saves == 60
            scene.clock.set(NOON + LEASE)
            await settled()
        stored = await scene.stored()
        assert (stored.crashes, stored.attempts) == (1, 2)
        assert await scene.state_of() == "Sent"

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


@pytest.mark.parametrize(("took", "sent"), [(15 * SECOND, 1), (15 * SECOND + TICK, 0)])
def test_nothing_is_sent_when_claiming_took_so_long_that_the_lease_may_not_last(
    took: timedelta, sent: int
) -> None:
    """With a lease of 60 s and attempts of up to 45 s, claiming may take 15 s."""

    async def test() -> None:
        scene = Scene()
        await scene.store.add(queued())
        scene.store.before_claim = lambda: scene.clock.set(NOON + took)
        async with scene.dispatcher():
            await settled()
            assert len(scene.email.attempts) == sent
            assert len(scene.observer.troubles) == 1 - sent
            scene.store.before_claim = lambda: None
            scene.clock.set(NOON + LEASE)
            await settled()
            assert await scene.state_of() == "Sent"

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
