"""What holds of any notifications in a repository, whichever they are."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from pinguin_core.message import Channel
from pinguin_core.notification import Notification, Queued, Sending
from pinguin_core.ports import NotificationRepository
from pinguin_core.testing.contracts.samples import HOUR, LEASE
from pinguin_core.testing.contracts.storage import StorageContract, for_all
from pinguin_core.testing.fakes import NOON
from pinguin_core.testing.strategies import around, lived_notifications, notifications


class Claim(NamedTuple):
    """A claim, and the population that it meets."""

    population: list[Notification]
    now: datetime
    limit: int


class Laws(StorageContract):
    """Tests with many random examples."""

    def test_every_notification_comes_back_as_it_was(self) -> None:
        for_all(self, _populations(notifications()), _comes_back)

    def test_exactly_what_is_due_is_claimed_and_in_order(self) -> None:
        for_all(self, _claims(), _claims_what_is_due)

    def test_the_next_wake_is_the_minimum(self) -> None:
        for_all(self, _populations(notifications()), _next_wake_is_minimum)


async def _comes_back(store: NotificationRepository, population: list[Notification]) -> None:
    await _fill(store, population)
    for notification in population:
        kept = await store.get(notification.id)
        assert notification == kept
        assert _moments(notification) == _moments(kept)
        key = notification.idempotency_key
        assert key is None or notification == await store.find(key)


async def _claims_what_is_due(store: NotificationRepository, claim: Claim) -> None:
    await _fill(store, claim.population)
    claimed = await store.claim_due(Channel.EMAIL, claim.now, LEASE, claim.limit)
    before = {notification.id: notification for notification in claim.population}
    due = sorted(
        wake_at
        for notification in claim.population
        if notification.channel is Channel.EMAIL
        and (wake_at := notification.wake_at) is not None
        and wake_at <= claim.now
    )
    assert due[: claim.limit] == [before[each.id].wake_at for each in claimed]
    expected = before | {each.id: before[each.id].claim(claim.now, LEASE) for each in claimed}
    assert [expected[each.id] for each in claimed] == list(claimed)
    assert expected == {name: await store.get(name) for name in expected}


async def _next_wake_is_minimum(
    store: NotificationRepository, population: list[Notification]
) -> None:
    await _fill(store, population)
    for channel in Channel:
        moments = [each.wake_at for each in population if each.channel is channel]
        expected = min((moment for moment in moments if moment is not None), default=None)
        assert expected == await store.next_wake(channel)


async def _fill(store: NotificationRepository, population: Sequence[Notification]) -> None:
    for notification in population:
        await store.add(notification)


def _moments(notification: Notification) -> list[str | None]:
    """Write the moments down with their zone, which comparing them ignores."""
    its, state = notification, notification.state
    ended_at = None if isinstance(state, Queued | Sending) else state.at
    moments = [its.created_at, its.updated_at, its.scheduled_at, its.wake_at, ended_at]
    moments += [moment for each in its.history for moment in (each.started_at, each.ended_at)]
    return [None if moment is None else moment.isoformat() for moment in moments]


def _populations(
    each: SearchStrategy[Notification], at_most: int = 4
) -> SearchStrategy[list[Notification]]:
    return st.lists(each, max_size=at_most, unique_by=(lambda its: its.id, _key_of))


def _key_of(notification: Notification) -> str:
    """Return what no two may share: of those without a key, their id, which can be no key."""
    return str(notification.idempotency_key or f" {notification.id}")


def _claims() -> SearchStrategy[Claim]:
    times = st.just(NOON + 2 * HOUR) | around(NOON, NOON + HOUR)
    population = _populations(lived_notifications(), at_most=6)
    return st.builds(Claim, population, times, st.integers(0, 6))
