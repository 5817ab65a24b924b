"""When things are delivered: at once, at their time, after their delay; never before."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.dispatching import HeldSender, Scene
from support.samples import BUSY, LEASE, TICK, queued
from support.settling import run, settled

from pinguin_core import Channel, Dispatcher, Email, NotificationId, Receipt
from pinguin_core.testing.fakes import NOON, ManualClock

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)


def test_what_waits_in_the_store_is_delivered_on_start() -> None:
    async def test() -> None:
        scene = Scene()
        await scene.store.add(queued())
        async with scene.dispatcher():
            await settled()
            assert await scene.state_of() == "Sent"

    run(test())


def test_new_work_is_delivered_at_once_without_the_clock_moving() -> None:
    async def test() -> None:
        scene = Scene()
        async with scene.dispatcher() as dispatcher:
            await settled()
            await scene.store.add(queued())
            await settled()
            assert scene.attempted() == []
            dispatcher.wake(queued())
            await settled()
            assert await scene.state_of() == "Sent"

    run(test())


def test_what_another_process_is_said_to_have_stored_is_delivered_at_once() -> None:
    async def test() -> None:
        scene = Scene()
        async with scene.dispatcher() as dispatcher:
            await settled()
            await scene.store.add(queued())
            dispatcher.wake_at(Channel.SMS, NOON)
            await settled()
            assert scene.attempted() == []
            dispatcher.wake_at(Channel.EMAIL, NOON)
            await settled()
            assert await scene.state_of() == "Sent"

    run(test())


def test_what_is_said_to_be_stored_on_a_channel_without_a_sender_is_left_alone() -> None:
    async def test() -> None:
        scene = Scene()
        dispatcher = Dispatcher(scene.store, clock=scene.clock)
        async with dispatcher:
            dispatcher.wake_at(Channel.EMAIL, NOON)
            await settled()
        assert scene.store.calls == []

    run(test())


def test_a_rumour_of_work_that_is_not_there_does_no_harm() -> None:
    async def test() -> None:
        scene = Scene()
        async with scene.dispatcher() as dispatcher:
            await settled()
            dispatcher.wake_at(Channel.EMAIL, datetime.min.replace(tzinfo=UTC))
            await settled()
            assert scene.attempted() == []
            await scene.store.add(queued())
            dispatcher.wake(queued())
            await settled()
            assert await scene.state_of() == "Sent"

    run(test())


def test_scheduled_work_is_delivered_at_its_very_microsecond() -> None:
    async def test() -> None:
        scene = Scene()
        due_at = NOON + 10 * MINUTE
        later = queued(scheduled_at=due_at)
        async with scene.dispatcher() as dispatcher:
            await scene.store.add(later)
            dispatcher.wake(later)
            await settled()
            scene.clock.set(due_at - TICK)
            await settled()
            assert scene.attempted() == []
            scene.clock.set(due_at)
            await settled()
            assert await scene.state_of() == "Sent"

    run(test())


def test_sooner_work_overtakes_later_work() -> None:
    async def test() -> None:
        scene = Scene()
        far = queued("notif-far", scheduled_at=NOON + 20 * MINUTE)
        near = queued("notif-near", scheduled_at=NOON + 10 * MINUTE)
        async with scene.dispatcher() as dispatcher:
            for notification in (far, near):
                await scene.store.add(notification)
                dispatcher.wake(notification)
                await settled()
            scene.clock.advance(10 * MINUTE)
            await settled()
            assert scene.attempted() == ["notif-near"]
            scene.clock.advance(10 * MINUTE)
            await settled()
            assert scene.attempted() == ["notif-near", "notif-far"]

    run(test())


def test_what_is_already_scheduled_is_remembered_while_other_work_comes_and_goes() -> None:
    async def test() -> None:
        scene = Scene()
        await scene.store.add(queued("notif-far", scheduled_at=NOON + 10 * MINUTE))
        async with scene.dispatcher() as dispatcher:
            await settled()
            await scene.store.add(queued("notif-now"))
            dispatcher.wake(queued("notif-now"))
            await settled()
            scene.clock.advance(10 * MINUTE)
            await settled()
            assert scene.attempted() == ["notif-now", "notif-far"]

    run(test())


def test_a_failed_attempt_is_made_again_after_its_delay() -> None:
    async def test() -> None:
        scene = Scene()
        scene.email.errors = [BUSY, BUSY]
        await scene.store.add(queued())
        async with scene.dispatcher():
            for expected in (1, 2, 3):
                await settled()
                assert len(scene.email.attempts) == expected
                scene.clock.advance(30 * SECOND - TICK)
                await settled()
                assert len(scene.email.attempts) == expected
                scene.clock.advance(TICK)
            assert await scene.state_of() == "Sent"

    run(test())


def test_what_other_processes_stored_is_found_by_asking_again() -> None:
    async def test() -> None:
        scene = Scene()
        async with scene.dispatcher(poll_interval=SECOND):
            await settled()
            await scene.store.add(queued())
            scene.clock.advance(SECOND - TICK)
            await settled()
            assert scene.attempted() == []
            scene.clock.advance(TICK)
            await settled()
            assert await scene.state_of() == "Sent"

    run(test())


def test_without_settings_what_others_stored_is_under_way_within_a_second() -> None:
    async def test() -> None:
        scene = Scene()
        async with Dispatcher(scene.store, email=scene.email, clock=scene.clock):
            await settled()
            await scene.store.add(queued())
            scene.clock.advance(SECOND - TICK)
            await settled()
            assert await scene.state_of() == "Sent"

    run(test())


def test_what_another_worker_left_is_taken_over_when_its_lease_ends() -> None:
    async def test() -> None:
        scene = Scene()
        await scene.store.add(queued())
        await scene.store.save(queued().start(NOON, LEASE))
        async with scene.dispatcher():
            await settled()
            scene.clock.advance(LEASE - TICK)
            await settled()
            assert scene.attempted() == []
            scene.clock.advance(TICK)
            await settled()
            stored = await scene.stored()
            assert (stored.crashes, stored.possible_duplicate) == (1, True)
            assert await scene.state_of() == "Sent"

    run(test())


def test_an_idle_dispatcher_asks_the_store_no_more_often_than_it_was_told() -> None:
    async def test() -> None:
        scene = Scene()
        async with scene.dispatcher(poll_interval=MINUTE):
            await settled()
            scene.store.calls.clear()
            for _ in range(30):
                scene.clock.advance(30 * SECOND)
                await settled()
            assert scene.store.calls == ["next_wake"] * 15

    run(test())


def test_new_work_is_delivered_when_the_wall_clock_was_set_back() -> None:
    async def test() -> None:
        scene = Scene()
        async with scene.dispatcher() as dispatcher:
            await settled()
            scene.clock.advance(-24 * 60 * MINUTE)
            fresh = queued(now=scene.clock.now())
            await scene.store.add(fresh)
            dispatcher.wake(fresh)
            await settled()
            assert await scene.state_of() == "Sent"

    run(test())


def test_the_work_of_other_processes_is_found_too_when_the_wall_clock_was_set_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Asking again must not wait until the clock is where it was: real time counts as well."""
    monkeypatch.setattr("pinguin_core.lane.BACKSTOP", timedelta(0))

    async def test() -> None:
        scene = Scene()
        sender: HeldSender[Email] = HeldSender()
        async with scene.dispatcher(sender, poll_interval=timedelta(milliseconds=1)):
            await settled()
            scene.clock.advance(-24 * 60 * MINUTE)
            await scene.store.add(queued(now=scene.clock.now()))
            await sender.began.wait()
            sender.let_go()

    run(test())


class TimekeepingSender:
    """Notes the time of each delivery."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.times: dict[str, datetime] = {}

    async def send(self, message: Email, *, id: NotificationId, date: datetime) -> Receipt:
        assert str(id) not in self.times
        self.times[str(id)] = self.clock.now()
        return Receipt("noted")


PLANS = st.lists(st.timedeltas(timedelta(minutes=-1), timedelta(minutes=5)), max_size=20)
STEPS = st.lists(st.timedeltas(timedelta(minutes=-1), timedelta(minutes=3)), max_size=20)


@settings(deadline=None, max_examples=100)
@given(PLANS, STEPS, st.integers(1, 4))
def test_nothing_is_ever_early_and_nothing_late_stays_behind(
    plan: list[timedelta], steps: list[timedelta], concurrency: int
) -> None:
    """Whatever is scheduled, and however the clock moves: also backwards."""

    async def test() -> None:
        scene = Scene()
        sender = TimekeepingSender(scene.clock)
        due = {f"notif-{n}": NOON + ahead for n, ahead in enumerate(plan)}
        async with scene.dispatcher(sender, concurrency=concurrency) as dispatcher:
            for name, moment in due.items():
                notification = queued(name, scheduled_at=moment)
                await scene.store.add(notification)
                dispatcher.wake(notification)
            latest = NOON
            for step in steps:
                await settled()
                scene.clock.advance(step)
                latest = max(latest, scene.clock.now())
            await settled()
            reached = max(latest, NOON) if steps else NOON
            assert sender.times.keys() == {name for name in due if due[name] <= reached}
            assert all(sender.times[name] >= due[name] for name in sender.times)

    run(test())
