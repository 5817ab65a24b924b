"""What every repository promises, asked of the one in memory and of the one in SQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Final, TypeAlias

import pytest
from support.sqlmodel_stores import email, opened, run, sms

from pinguin_core import (
    Channel,
    DuplicateNotification,
    Failed,
    Notification,
    NotificationId,
    NotificationNotFound,
    NotificationRepository,
    Receipt,
    Sending,
    Sent,
    StaleNotification,
)
from pinguin_core.notification import MAX_CRASHES
from pinguin_core.testing.fakes import NOON, MemoryRepository

Open: TypeAlias = Callable[[], AbstractAsyncContextManager[NotificationRepository]]

LEASE: Final = timedelta(minutes=1)
TICK: Final = timedelta(microseconds=1)
MAIL: Final = Channel.EMAIL


@asynccontextmanager
async def in_memory() -> AsyncIterator[MemoryRepository]:
    yield MemoryRepository()


@pytest.fixture(params=["memory", "sqlmodel"])
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    stores: dict[str, Open] = {
        "memory": in_memory,
        "sqlmodel": lambda: opened(tmp_path / "store.db"),
    }
    return stores[request.param]


async def claim(
    store: NotificationRepository,
    channel: Channel = MAIL,
    after: timedelta = timedelta(0),
    limit: int = 10,
) -> list[Notification]:
    return list(await store.claim_due(channel, NOON + after, LEASE, limit))


def names(notifications: list[Notification]) -> list[str]:
    return [str(notification.id) for notification in notifications]


def test_what_was_added_is_returned_as_it_was(open_store: Open) -> None:
    async def scenario() -> None:
        async with open_store() as store:
            await store.add(email())
            assert email() == await store.get(email().id)

    run(scenario())


def test_an_id_is_taken_only_once(open_store: Open) -> None:
    async def scenario() -> None:
        async with open_store() as store:
            await store.add(email("notif-1"))
            with pytest.raises(DuplicateNotification) as refusal:
                await store.add(sms("notif-1"))
            assert refusal.value.notification_id == "notif-1"
            assert email("notif-1") == await store.get(NotificationId("notif-1"))

    run(scenario())


def test_of_concurrent_adds_with_one_id_one_succeeds(open_store: Open) -> None:
    async def scenario() -> None:
        async with open_store() as store:
            outcomes = await asyncio.gather(
                *(store.add(email("notif-1")) for _ in range(5)),
                store.add(email("notif-2")),
                return_exceptions=True,
            )
            assert sum(isinstance(outcome, DuplicateNotification) for outcome in outcomes) == 4
            assert outcomes[-1] is None

    run(scenario())


def test_an_unknown_id_is_not_found(open_store: Open) -> None:
    async def scenario() -> None:
        async with open_store() as store:
            with pytest.raises(NotificationNotFound) as refusal:
                await store.get(NotificationId("notif-none"))
            assert refusal.value.notification_id == "notif-none"

    run(scenario())


def test_save_overwrites_the_version_before(open_store: Open) -> None:
    async def scenario() -> None:
        async with open_store() as store:
            await store.add(email())
            sending = email().start(NOON, LEASE)
            await store.save(sending)
            assert sending == await store.get(sending.id)

    run(scenario())


def test_save_refuses_every_other_version_and_changes_nothing(open_store: Open) -> None:
    async def scenario() -> None:
        async with open_store() as store:
            await store.add(email())
            sending = email().start(NOON, LEASE)
            await store.save(sending)
            for version in (1, 2, 4):
                with pytest.raises(StaleNotification):
                    await store.save(replace(sending, attempts=99, version=version))
            assert sending == await store.get(sending.id)

    run(scenario())


def test_save_refuses_what_was_never_added(open_store: Open) -> None:
    async def scenario() -> None:
        async with open_store() as store:
            with pytest.raises(StaleNotification) as refusal:
                await store.save(email().cancel(NOON))
            assert refusal.value.notification_id == "notif-1"

    run(scenario())


def test_of_concurrent_saves_of_one_version_one_succeeds(open_store: Open) -> None:
    async def scenario() -> None:
        async with open_store() as store:
            await store.add(email())
            sending = email().start(NOON, LEASE)
            await store.save(sending)
            outcomes = await asyncio.gather(
                *(store.save(sending.succeed(Receipt(f"r-{n}"), NOON)) for n in range(5)),
                return_exceptions=True,
            )
            winner = outcomes.index(None)
            assert sum(isinstance(outcome, StaleNotification) for outcome in outcomes) == 4
            assert Sent(NOON, f"r-{winner}") == (await store.get(email().id)).state

    run(scenario())


def test_claiming_takes_the_earliest_first_and_no_more_than_the_limit(open_store: Open) -> None:
    async def scenario() -> None:
        async with open_store() as store:
            for minute in (3, 1, 4, 2, 0):
                await store.add(email(f"notif-{minute}", NOON + timedelta(minutes=minute)))
            hour = timedelta(hours=1)
            first = await claim(store, after=hour, limit=3)
            rest = await claim(store, after=hour, limit=3)
            assert names(first) == ["notif-0", "notif-1", "notif-2"]
            assert names(rest) == ["notif-3", "notif-4"]
            assert await claim(store, after=hour, limit=3) == []

    run(scenario())


def test_what_is_claimed_is_stored_as_it_is_returned(open_store: Open) -> None:
    async def scenario() -> None:
        async with open_store() as store:
            await store.add(email())
            (claimed,) = await claim(store)
            assert email().start(NOON, LEASE) == claimed
            assert claimed == await store.get(claimed.id)

    run(scenario())


@pytest.mark.parametrize("claim_limit", [0, 1, 2])
def test_a_limit_is_exact(open_store: Open, claim_limit: int) -> None:
    async def scenario() -> None:
        async with open_store() as store:
            for n in range(4):
                await store.add(email(f"notif-{n}"))
            assert claim_limit == len(await claim(store, limit=claim_limit))

    run(scenario())


def test_channels_are_claimed_apart(open_store: Open) -> None:
    async def scenario() -> None:
        async with open_store() as store:
            await store.add(email("notif-mail"))
            await store.add(sms("notif-text"))
            assert names(await claim(store, Channel.SMS)) == ["notif-text"]
            assert names(await claim(store, Channel.EMAIL)) == ["notif-mail"]

    run(scenario())


@pytest.mark.parametrize(("early", "count"), [(TICK, 0), (0 * TICK, 1), (-TICK, 1)])
def test_nothing_is_claimed_a_microsecond_early(
    open_store: Open, early: timedelta, count: int
) -> None:
    async def scenario() -> None:
        async with open_store() as store:
            await store.add(email(due_at=NOON + timedelta(hours=1)))
            assert count == len(await claim(store, after=timedelta(hours=1) - early))

    run(scenario())


def test_a_lease_that_is_over_is_claimed_again_and_counted_as_a_crash(open_store: Open) -> None:
    async def scenario() -> None:
        async with open_store() as store:
            await store.add(email())
            (first,) = await claim(store)
            assert await claim(store, after=LEASE - TICK) == []
            (second,) = await claim(store, after=LEASE)
            assert (second.crashes, second.attempts, second.possible_duplicate) == (1, 2, True)
            assert second == await store.get(second.id)
            with pytest.raises(StaleNotification):
                await store.save(first.succeed(Receipt("late"), NOON + LEASE))
            await store.save(second.succeed(Receipt("in time"), NOON + LEASE))

    run(scenario())


def test_what_outlives_too_many_workers_fails(open_store: Open) -> None:
    async def scenario() -> None:
        async with open_store() as store:
            await store.add(email())
            for crash in range(MAX_CRASHES):
                (claimed,) = await claim(store, after=crash * LEASE)
                assert isinstance(claimed.state, Sending)
            (failed,) = await claim(store, after=MAX_CRASHES * LEASE)
            assert isinstance(failed.state, Failed)
            assert failed == await store.get(failed.id)
            assert await store.next_wake(MAIL) is None

    run(scenario())


def test_concurrent_claims_never_overlap(open_store: Open) -> None:
    async def scenario() -> None:
        async with open_store() as store:
            await asyncio.gather(*(store.add(email(f"notif-{n}")) for n in range(100)))
            claims = await asyncio.gather(*(claim(store, limit=7) for _ in range(20)))
            claimed = [name for part in claims for name in names(part)]
            assert 100 == len(claimed) == len(set(claimed))

    run(scenario())


def test_next_wake_is_the_earliest_of_its_channel(open_store: Open) -> None:
    async def scenario() -> None:
        async with open_store() as store:
            assert await store.next_wake(MAIL) is None
            await store.add(sms(due_at=NOON))
            await store.add(email("notif-late", NOON + 2 * LEASE))
            await store.add(email("notif-soon", NOON + TICK))
            assert await store.next_wake(MAIL) == NOON + TICK

    run(scenario())


def test_next_wake_counts_leases_and_forgets_what_is_final(open_store: Open) -> None:
    async def scenario() -> None:
        async with open_store() as store:
            await store.add(email())
            (claimed,) = await claim(store)
            assert await store.next_wake(MAIL) == NOON + LEASE
            await store.save(claimed.succeed(Receipt("r"), NOON))
            assert await store.next_wake(MAIL) is None

    run(scenario())


def test_a_read_sees_every_write_that_was_answered_before_it(open_store: Open) -> None:
    async def scenario() -> None:
        async with open_store() as store:
            for n in range(50):
                await store.add(email(f"notif-{n}"))
                assert email(f"notif-{n}") == await store.get(NotificationId(f"notif-{n}"))

    run(scenario())
