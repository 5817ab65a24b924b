"""Starting and stopping: what is under way ends, nothing more begins, nobody waits for ever."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import pytest
from support.dispatching import HeldSender, NotingObserver, Scene, TroubledRepository
from support.samples import LEASE, SMS, queued
from support.settling import run, settled

from pinguin_core import (
    Dispatcher,
    Email,
    Notification,
    NotificationId,
    PhoneNumber,
    Queued,
    Receipt,
    Sms,
    SmsQuota,
    StoreUnavailable,
)
from pinguin_core.notification import INTERRUPTED
from pinguin_core.ports import SmsCount
from pinguin_core.testing.fakes import NOON, RecordingSender

AT_ONCE = timedelta(0)


def test_what_a_stop_finds_before_its_sender_has_it_leaves_no_doubt() -> None:
    class Ledger(TroubledRepository):
        async def count_sms(
            self, since: datetime, *, before: Notification, to: PhoneNumber | None = None
        ) -> SmsCount:
            await asyncio.Event().wait()
            return await super().count_sms(since, before=before, to=to)

    async def test() -> None:
        store = Ledger()
        scene = Scene(store=store)
        sms: RecordingSender[Sms] = RecordingSender()
        await store.add(queued(message=SMS))
        quota = SmsQuota(store, per_day=1)
        async with scene.dispatcher(sms=sms, sms_quota=quota, drain_timeout=AT_ONCE):
            await settled()
        stored = await scene.stored()
        assert (type(stored.state), stored.attempts, stored.history) == (Queued, 0, ())
        assert not stored.possible_duplicate
        assert sms.attempts == []

    run(test())


def test_attempts_under_way_are_waited_for_and_stored() -> None:
    async def test() -> None:
        scene = Scene()
        sender: HeldSender[Email] = HeldSender()
        await scene.store.add(queued())
        dispatcher = scene.dispatcher(sender)
        async with dispatcher:
            await settled()
            stopping = asyncio.create_task(dispatcher.__aexit__(None, None, None))
            await settled()
            assert not stopping.done()
            sender.let_go()
            await stopping
            assert await scene.state_of() == "Sent"

    run(test())


def test_nothing_is_claimed_once_it_stops() -> None:
    async def test() -> None:
        scene = Scene()
        sender: HeldSender[Email] = HeldSender()
        dispatcher = scene.dispatcher(sender, concurrency=1)
        for n in range(3):
            await scene.store.add(queued(f"notif-{n}"))
        async with dispatcher:
            await settled()
            stopping = asyncio.create_task(dispatcher.__aexit__(None, None, None))
            await settled()
            sender.let_go()
            await stopping
            await scene.store.add(queued("notif-new"))
            dispatcher.wake(queued("notif-new"))
            await settled()
        assert scene.store.calls.count("claim_due") == 1
        assert [str(delivery.id) for delivery in sender.begun] == ["notif-0"]

    run(test())


def test_what_a_claim_under_way_brings_is_still_delivered() -> None:
    """It is claimed: leaving it would let it wait for the end of its lease."""

    async def test() -> None:
        scene = Scene()
        release = scene.store.hold_claims()
        await scene.store.add(queued())
        dispatcher = scene.dispatcher()
        await dispatcher.__aenter__()
        await settled()
        stopping = asyncio.create_task(dispatcher.__aexit__(None, None, None))
        await settled()
        release.set()
        await stopping
        assert await scene.state_of() == "Sent"

    run(test())


def test_a_claim_that_fails_meanwhile_does_not_delay_the_stop() -> None:
    async def test() -> None:
        scene = Scene()
        dispatcher = scene.dispatcher()
        scene.store.fail_next("claim_due", StoreUnavailable("down"))
        scene.store.on_call = lambda: stopping.append(
            asyncio.create_task(dispatcher.__aexit__(None, None, None))
        )
        stopping: list[asyncio.Task[None]] = []
        await dispatcher.__aenter__()
        await settled()
        assert [stop.done() for stop in stopping] == [True]

    run(test())


def test_attempts_that_outlast_the_drain_are_broken_off_and_given_back() -> None:
    """They are due at once, for whoever runs next; the stop is neither a retry nor a crash."""

    async def test() -> None:
        scene = Scene()
        sender: HeldSender[Email] = HeldSender()
        await scene.store.add(queued())
        async with scene.dispatcher(sender, drain_timeout=AT_ONCE):
            await settled()
        assert sender.cancelled == 1
        stored = await scene.stored()
        assert stored.state == Queued(NOON, INTERRUPTED)
        assert (stored.retries, stored.crashes, stored.possible_duplicate) == (0, 0, True)
        assert scene.observer.states == ["Sending", "Queued"]
        assert scene.observer.troubles == []
        async with scene.dispatcher():
            await settled()
        assert await scene.state_of() == "Sent"

    run(test())


def test_what_cannot_be_given_back_waits_for_the_end_of_its_lease() -> None:
    async def test() -> None:
        scene = Scene()
        sender: HeldSender[Email] = HeldSender()
        await scene.store.add(queued())
        scene.store.fail_next("save", StoreUnavailable("down"))
        async with scene.dispatcher(sender, drain_timeout=AT_ONCE):
            await settled()
        assert (await scene.stored()).wake_at == NOON + LEASE
        assert [where for where, _ in scene.observer.troubles] == ["storing the outcome of notif-1"]

    run(test())


def test_an_attempt_that_is_cancelled_before_its_first_step_is_held_by_nobody() -> None:
    """It is made when its lease is over, and not taken for one that is still under way."""

    class CancellingTheFirst(NotingObserver):
        def on_change(self, notification: Notification) -> None:
            if not self.changes:
                asyncio.get_running_loop().call_soon(self.cancel)
            super().on_change(notification)

        def cancel(self) -> None:
            for task in asyncio.all_tasks():
                if getattr(task.get_coro(), "__name__", "") == "_attempt":
                    task.cancel()

    async def test() -> None:
        scene = Scene(observer=CancellingTheFirst())
        await scene.store.add(queued())
        async with scene.dispatcher():
            await settled()
            assert scene.email.attempts == []
            scene.clock.advance(LEASE)
            await settled()
        assert await scene.state_of() == "Sent"
        assert len(scene.email.attempts) == 1

    run(test())


def test_an_outcome_that_waits_for_the_store_is_abandoned_too() -> None:
    async def test() -> None:
        scene = Scene()
        await scene.store.add(queued())
        scene.store.fail_next("save", *[StoreUnavailable("down")] * 10)
        async with scene.dispatcher(drain_timeout=AT_ONCE):
            await settled()
        assert await scene.state_of() == "Sending"

    run(test())


class StubbornSender:
    """Cannot be cancelled."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()

    async def send(self, message: Email, *, id: NotificationId, date: datetime) -> Receipt:
        while not self.gate.is_set():
            try:
                await self.gate.wait()
            except asyncio.CancelledError:
                continue
        return Receipt("at last")


def test_a_sender_that_ignores_its_cancellation_cannot_hold_up_the_stop() -> None:
    async def test() -> None:
        scene = Scene()
        sender = StubbornSender()
        await scene.store.add(queued())
        async with scene.dispatcher(sender, drain_timeout=AT_ONCE):
            await settled()
        assert await scene.state_of() == "Sending"
        sender.gate.set()
        await settled()

    run(test())


def test_a_stop_that_is_itself_cancelled_leaves_nothing_running() -> None:
    async def test() -> None:
        others = asyncio.all_tasks()
        scene = Scene()
        sender: HeldSender[Email] = HeldSender()
        await scene.store.add(queued())
        dispatcher = scene.dispatcher(sender)
        await dispatcher.__aenter__()
        await settled()
        stopping = asyncio.create_task(dispatcher.__aexit__(None, None, None))
        await settled()
        stopping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stopping
        assert sender.cancelled == 1
        assert asyncio.all_tasks() == others

    run(test())


def test_it_stops_at_once_when_it_has_only_just_begun() -> None:
    async def test() -> None:
        scene = Scene()
        async with scene.dispatcher():
            pass
        assert scene.store.calls == []

    run(test())


def test_an_idle_one_stops_at_once_and_leaves_nothing_running() -> None:
    async def test() -> None:
        others = asyncio.all_tasks()
        scene = Scene()
        async with scene.dispatcher():
            await settled()
        await settled()
        assert asyncio.all_tasks() == others

    run(test())


def test_the_error_of_its_block_is_passed_on() -> None:
    async def test() -> None:
        with pytest.raises(ZeroDivisionError):
            async with Scene().dispatcher():
                raise ZeroDivisionError

    run(test())


def test_it_can_be_entered_again_also_on_another_loop() -> None:
    scene = Scene()
    dispatcher = scene.dispatcher()

    async def round_of(name: str) -> None:
        async with dispatcher:
            await settled()
            await scene.store.add(queued(name))
            dispatcher.wake(queued(name))
            await settled()
            assert await scene.state_of(name) == "Sent"

    async def two_rounds() -> None:
        await round_of("notif-1")
        await round_of("notif-2")

    run(two_rounds())
    run(round_of("notif-3"))


def test_it_cannot_be_entered_twice_at_once() -> None:
    async def test() -> None:
        scene = Scene()
        async with scene.dispatcher() as dispatcher:
            with pytest.raises(RuntimeError, match="already running"):
                await dispatcher.__aenter__()
            await scene.store.add(queued())
            dispatcher.wake(queued())
            await settled()
            assert await scene.state_of() == "Sent"

    run(test())


def test_without_senders_there_is_nothing_to_do() -> None:
    async def test() -> None:
        scene = Scene()
        async with Dispatcher(scene.store) as dispatcher:
            dispatcher.wake(queued())
            await settled()
        assert scene.store.calls == []

    run(test())
