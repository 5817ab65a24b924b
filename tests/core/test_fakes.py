"""The fakes keep the promises of the ports, or they would prove nothing."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from support.samples import BUSY, EMAIL, LEASE, SMS, TICK, queued
from support.settling import run, settled

from pinguin_core import (
    Channel,
    Clock,
    DuplicateNotification,
    Email,
    IdGenerator,
    NotificationNotFound,
    NotificationRepository,
    Receipt,
    Sender,
    Sending,
    Sms,
    StaleNotification,
    TransientDeliveryError,
)
from pinguin_core.testing.fakes import (
    NOON,
    CountingIds,
    FailingSender,
    ManualClock,
    MemoryRepository,
    RecordingSender,
)


def test_they_fit_the_ports() -> None:
    repository: NotificationRepository = MemoryRepository()
    email: Sender[Email] = RecordingSender()
    sms: Sender[Sms] = FailingSender(lambda: BUSY)
    clock: Clock = ManualClock()
    ids: IdGenerator = CountingIds()
    assert all((repository, email, sms, clock, ids))


def test_the_repository_keeps_one_of_each_id() -> None:
    async def test() -> None:
        store = MemoryRepository()
        await store.add(queued())
        with pytest.raises(DuplicateNotification):
            await store.add(queued(message=SMS))
        assert await store.get(queued().id) == queued()
        with pytest.raises(NotificationNotFound):
            await store.get(queued("notif-2").id)

    run(test())


def test_the_repository_overwrites_only_the_version_before() -> None:
    async def test() -> None:
        store = MemoryRepository()
        started = queued().start(NOON, LEASE)
        with pytest.raises(StaleNotification):
            await store.save(started)
        await store.add(queued())
        await store.save(started)
        for stale in (queued(), started, started.expire(NOON + LEASE).start(NOON + LEASE, LEASE)):
            with pytest.raises(StaleNotification):
                await store.save(stale)
        assert await store.get(started.id) == started

    run(test())


def test_the_repository_claims_the_earliest_due_of_a_channel_within_the_limit() -> None:
    async def test() -> None:
        store = MemoryRepository()
        for n in (3, 1, 2):
            await store.add(queued(f"notif-{n}", scheduled_at=NOON + n * TICK))
        await store.add(queued("notif-0", SMS))
        assert await store.next_wake(Channel.EMAIL) == NOON + TICK
        assert await store.claim_due(Channel.EMAIL, NOON, LEASE, 9) == []
        claimed = await store.claim_due(Channel.EMAIL, NOON + 2 * TICK, LEASE, 1)
        claimed = [*claimed, *await store.claim_due(Channel.EMAIL, NOON + 2 * TICK, LEASE, 9)]
        assert [str(it.id) for it in claimed] == ["notif-1", "notif-2"]
        assert all(it.state == Sending(NOON + 2 * TICK + LEASE) for it in claimed)
        assert await store.next_wake(Channel.EMAIL) == NOON + 3 * TICK

    run(test())


def test_the_repository_takes_over_what_a_lease_no_longer_holds() -> None:
    async def test() -> None:
        store = MemoryRepository()
        await store.add(queued())
        await store.claim_due(Channel.EMAIL, NOON, LEASE, 1)
        assert await store.claim_due(Channel.EMAIL, NOON + LEASE - TICK, LEASE, 1) == []
        (again,) = await store.claim_due(Channel.EMAIL, NOON + LEASE, LEASE, 1)
        assert (again.attempts, again.crashes) == (2, 1)

    run(test())


def test_the_recording_sender_raises_what_it_was_given_and_then_delivers() -> None:
    async def test() -> None:
        sender = RecordingSender[Email](errors=[BUSY])
        it = queued()
        with pytest.raises(TransientDeliveryError):
            await sender.send(EMAIL, id=it.id, date=NOON)
        assert await sender.send(EMAIL, id=it.id, date=NOON) == Receipt("fake-notif-1")
        assert (len(sender.attempts), len(sender.delivered)) == (2, 1)

    run(test())


def test_the_failing_sender_never_delivers() -> None:
    async def test() -> None:
        sender = FailingSender(lambda: BUSY)
        for _ in range(3):
            with pytest.raises(TransientDeliveryError):
                await sender.send(SMS, id=queued().id, date=NOON)
        assert sender.calls == 3

    run(test())


def test_the_manual_clock_wakes_those_whose_time_has_come() -> None:
    async def test() -> None:
        clock = ManualClock()
        await clock.sleep_until(NOON)
        soon = asyncio.create_task(clock.sleep_until(NOON + timedelta(seconds=1)))
        late = asyncio.create_task(clock.sleep_until(NOON + timedelta(seconds=2)))
        await settled()
        clock.advance(timedelta(seconds=1) - TICK)
        await settled()
        assert not soon.done()
        clock.advance(TICK)
        await settled()
        assert soon.done()
        assert not late.done()
        late.cancel()

    run(test())


def test_the_manual_clock_lets_nobody_wake_early_when_it_is_set_back_at_once() -> None:
    async def test() -> None:
        clock = ManualClock()
        sleeper = asyncio.create_task(clock.sleep_until(NOON + TICK))
        await settled()
        clock.advance(TICK)
        clock.advance(-TICK)
        await settled()
        assert not sleeper.done()
        clock.advance(TICK)
        await settled()
        assert sleeper.done()

    run(test())


def test_counting_ids_count() -> None:
    ids = CountingIds()
    assert [str(ids.next_id(NOON)) for _ in range(3)] == ["notif-1", "notif-2", "notif-3"]
