"""What `NotificationRepository` promises to many callers at once, through several handles."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Sequence
from contextlib import AsyncExitStack
from typing import Final

from pinguin_core.errors import DuplicateNotification, PinguinError, StaleNotification
from pinguin_core.message import Channel, Email
from pinguin_core.notification import Notification, Sending
from pinguin_core.ports import NotificationRepository
from pinguin_core.testing.contracts.samples import EMAIL, HOUR, LEASE, RECEIPT, TICK, keyed, queued
from pinguin_core.testing.contracts.storage import Connect, StorageContract, with_storage
from pinguin_core.testing.fakes import NOON
from pinguin_core.values import IdempotencyKey

_HANDLES: Final = 3
_CALLERS: Final = 6
_ROUNDS: Final = 8
_MANY: Final = 48


class Racing(StorageContract):
    """Tests of who wins."""

    @with_storage
    async def test_no_notification_is_claimed_by_two(self, connect: Connect) -> None:
        async with AsyncExitStack() as stack:
            callers = await _callers(stack, connect)
            for number in range(_MANY):
                await callers[0].add(queued(f"notif-{number}", due_at=NOON + number * TICK))
            claimed = await asyncio.gather(*(_claim_all(store) for store in callers))
        _each_once(claimed)

    @with_storage
    async def test_no_expired_claim_is_taken_by_two(self, connect: Connect) -> None:
        async with AsyncExitStack() as stack:
            callers = await _callers(stack, connect)
            many = [queued(f"notif-{number}") for number in range(_MANY)]
            await asyncio.gather(*map(callers[0].add, many))
            dead = await callers[0].claim_due(Channel.EMAIL, NOON, LEASE, _MANY)
            assert len(dead) == _MANY
            claimed = await asyncio.gather(*(_claim_all(store) for store in callers))
        _each_once(claimed)

    @with_storage
    async def test_of_concurrent_saves_one_wins(self, connect: Connect) -> None:
        async with AsyncExitStack() as stack:
            callers = await _callers(stack, connect)
            for number in range(_ROUNDS):
                first = queued(f"notif-{number}")
                await callers[0].add(first)
                versions = [first.cancel(NOON + turn * HOUR) for turn in range(_CALLERS)]
                saves = [store.save(each) for store, each in zip(callers, versions, strict=True)]
                winner = await _only_winner(saves, StaleNotification)
                assert versions[winner] == await callers[-1].get(first.id)

    @with_storage
    async def test_of_concurrent_adds_of_one_id_one_wins(self, connect: Connect) -> None:
        async with AsyncExitStack() as stack:
            callers = await _callers(stack, connect)
            for number in range(_ROUNDS):
                versions = [
                    queued(f"notif-{number}", Email(EMAIL.to, "Hi", f"I am {turn}"))
                    for turn in range(_CALLERS)
                ]
                adds = [store.add(each) for store, each in zip(callers, versions, strict=True)]
                winner = await _only_winner(adds, DuplicateNotification)
                assert versions[winner] == await callers[-1].get(versions[winner].id)

    @with_storage
    async def test_of_concurrent_adds_of_one_key_one_wins(self, connect: Connect) -> None:
        """And everybody who was refused finds the winner."""
        async with AsyncExitStack() as stack:
            callers = await _callers(stack, connect)
            for number in range(_ROUNDS):
                key = IdempotencyKey(f"key-{number}")
                rivals = [keyed(f"notif-{number}-{turn}", key) for turn in range(_CALLERS)]
                adds = [store.add(each) for store, each in zip(callers, rivals, strict=True)]
                winner = await _only_winner(adds, DuplicateNotification)
                found = await asyncio.gather(*(store.find(key) for store in callers))
                assert [rivals[winner]] * _CALLERS == found

    @with_storage
    async def test_a_claim_and_a_cancellation_exclude_each_other(self, connect: Connect) -> None:
        async with AsyncExitStack() as stack:
            callers = await _callers(stack, connect)
            for number in range(_ROUNDS):
                first = queued(f"notif-{number}")
                await callers[0].add(first)
                claimed, cancelled = await asyncio.gather(
                    callers[1].claim_due(Channel.EMAIL, NOON, LEASE, 1),
                    _succeeds(callers[2].save(first.cancel(NOON)), StaleNotification),
                )
                assert cancelled == (not claimed)
                kept = await callers[0].get(first.id)
                assert isinstance(kept.state, Sending) == bool(claimed)

    @with_storage
    async def test_the_end_of_a_claim_and_its_outcome_exclude_each_other(
        self, connect: Connect
    ) -> None:
        """The worker that was too slow saves what came of it, while another takes it from him."""
        async with AsyncExitStack() as stack:
            callers = await _callers(stack, connect)
            for number in range(_ROUNDS):
                await callers[0].add(queued(f"notif-{number}"))
                [slow] = await callers[0].claim_due(Channel.EMAIL, NOON, LEASE, 1)
                taken, saved = await asyncio.gather(
                    callers[1].claim_due(Channel.EMAIL, NOON + LEASE, LEASE, 1),
                    _succeeds(callers[2].save(slow.succeed(RECEIPT, NOON)), StaleNotification),
                )
                assert saved == (not taken)
                kept = await callers[0].get(slow.id)
                assert isinstance(kept.state, Sending) == bool(taken)

    @with_storage
    async def test_concurrent_adds_of_many_are_all_kept(self, connect: Connect) -> None:
        """One that is refused takes none of its neighbours with it."""
        many = [queued(f"notif-{number}") for number in range(_MANY)]
        async with AsyncExitStack() as stack:
            callers = await _callers(stack, connect)
            adds = [callers[at % _CALLERS].add(each) for at, each in enumerate([*many, many[0]])]
            added = await asyncio.gather(*(_succeeds(each, DuplicateNotification) for each in adds))
            assert sum(added) == _MANY
            assert many == [await callers[0].get(each.id) for each in many]


async def _callers(stack: AsyncExitStack, connect: Connect) -> Sequence[NotificationRepository]:
    """Open several handles, each used by more than one caller."""
    handles = [await stack.enter_async_context(connect()) for _ in range(_HANDLES)]
    return (handles * _CALLERS)[:_CALLERS]


async def _claim_all(store: NotificationRepository) -> list[Notification]:
    """Claim until nothing is left; but no more often than there can be something."""
    all_claimed: list[Notification] = []
    for _ in range(_MANY + 1):
        claimed = await store.claim_due(Channel.EMAIL, NOON + HOUR, LEASE, 3)
        if not claimed:
            break
        all_claimed += claimed
    return all_claimed


def _each_once(claimed: Sequence[Sequence[Notification]]) -> None:
    times = Counter(str(notification.id) for each in claimed for notification in each)
    assert {f"notif-{number}": 1 for number in range(_MANY)} == times


async def _succeeds(work: Awaitable[None], refusal: type[PinguinError]) -> bool:
    try:
        await work
    except refusal:
        return False
    return True


async def _only_winner(works: Sequence[Awaitable[None]], refusal: type[PinguinError]) -> int:
    won = await asyncio.gather(*(_succeeds(work, refusal) for work in works))
    assert sum(won) == 1
    return won.index(True)
