"""What `NotificationRepository` promises of `claim_due` and `next_wake`."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from pinguin_core.errors import StaleNotification
from pinguin_core.message import Channel
from pinguin_core.notification import MAX_CRASHES, Failed, Notification, Sending
from pinguin_core.ports import NotificationRepository
from pinguin_core.testing.contracts.samples import (
    BACKOFF,
    EMAIL,
    HOUR,
    KEY,
    LEASE,
    LOST,
    RECEIPT,
    REFUSED,
    SMS,
    TICK,
    keyed,
    queued,
)
from pinguin_core.testing.contracts.storage import StorageContract, with_store
from pinguin_core.testing.fakes import NOON
from pinguin_core.testing.strategies import LAST_MOMENT
from pinguin_core.values import NotificationId


class Claiming(StorageContract):
    """Tests of what is due, and who gets it."""

    @with_store
    async def test_an_empty_storage_has_nothing_to_claim(
        self, store: NotificationRepository
    ) -> None:
        assert await _claim(store, LAST_MOMENT - HOUR) == []
        assert await store.next_wake(Channel.EMAIL) is None

    @with_store
    async def test_a_notification_is_due_at_its_very_moment(
        self, store: NotificationRepository
    ) -> None:
        notification = queued(due_at=NOON + HOUR)
        await store.add(notification)
        assert await _claim(store, NOON + HOUR - TICK) == []
        claimed = await _claim(store, NOON + HOUR)
        assert [notification.start(NOON + HOUR, LEASE)] == claimed

    @with_store
    async def test_what_is_claimed_is_stored_as_it_was_given(
        self, store: NotificationRepository
    ) -> None:
        await store.add(keyed())
        [claimed] = await _claim(store, NOON + HOUR)
        assert Sending(NOON + HOUR + LEASE) == claimed.state
        assert claimed == await store.get(claimed.id) == await store.find(KEY)

    @with_store
    async def test_the_outcome_of_a_claim_can_be_saved(self, store: NotificationRepository) -> None:
        await store.add(queued())
        [claimed] = await _claim(store, NOON)
        await store.save(claimed.succeed(RECEIPT, NOON))
        assert claimed.succeed(RECEIPT, NOON) == await store.get(claimed.id)

    @with_store
    async def test_the_earliest_is_claimed_first(self, store: NotificationRepository) -> None:
        """Not the one added first, nor the one with the first id."""
        for name, due_at in {"b": NOON + TICK, "c": NOON + HOUR, "a": NOON + 2 * HOUR}.items():
            await store.add(queued(name, due_at=due_at))
        await store.add(queued("d", due_at=NOON))
        assert _names(await _claim(store, NOON + 3 * HOUR)) == ["d", "b", "c", "a"]

    @with_store
    async def test_of_one_moment_the_first_id_is_claimed_first(
        self, store: NotificationRepository
    ) -> None:
        """However often it was held until then, while others came."""
        for name in ("c", "a"):
            await store.add(queued(name))
        for claimed in await _claim(store, NOON):
            await store.save(claimed.hold("a limit is reached", NOON, NOON + HOUR))
        for name in ("d", "b"):
            await store.add(queued(name, due_at=NOON + HOUR))
        assert _names(await _claim(store, NOON + HOUR, limit=3)) == ["a", "b", "c"]
        assert _names(await _claim(store, NOON + HOUR, limit=3)) == ["d"]

    @with_store
    async def test_an_expired_claim_is_due_at_the_end_of_its_lease(
        self, store: NotificationRepository
    ) -> None:
        """In its turn among those that wait, neither before them nor after them."""
        await store.add(queued("notif-2"))
        await _claim(store, NOON)
        await store.add(queued("notif-1", due_at=NOON + LEASE - TICK))
        await store.add(queued("notif-3", due_at=NOON + LEASE + TICK))
        assert _names(await _claim(store, NOON + HOUR)) == ["notif-1", "notif-2", "notif-3"]

    @with_store
    async def test_none_is_claimed_where_none_is_asked_for(
        self, store: NotificationRepository
    ) -> None:
        await store.add(queued())
        assert await _claim(store, NOON, limit=0) == []
        assert queued() == await store.get(queued().id)

    @with_store
    async def test_no_more_are_claimed_than_asked_for(self, store: NotificationRepository) -> None:
        five = [queued(f"notif-{number}", due_at=NOON + number * TICK) for number in range(5)]
        for notification in five:
            await store.add(notification)
        assert _names(await _claim(store, NOON + HOUR, limit=2)) == ["notif-0", "notif-1"]
        assert five[2:] == [await store.get(notification.id) for notification in five[2:]]
        assert _names(await _claim(store, NOON + HOUR, limit=2)) == ["notif-2", "notif-3"]
        assert _names(await _claim(store, NOON + HOUR, limit=2)) == ["notif-4"]

    @with_store
    async def test_the_other_channel_is_left_alone(self, store: NotificationRepository) -> None:
        await store.add(queued("notif-1", EMAIL))
        await store.add(queued("notif-2", SMS))
        assert _names(await _claim(store, NOON, channel=Channel.SMS)) == ["notif-2"]
        assert queued("notif-1", EMAIL) == await store.get(queued("notif-1").id)
        assert _names(await _claim(store, NOON, channel=Channel.EMAIL)) == ["notif-1"]

    @with_store
    async def test_the_other_channel_does_not_count_towards_the_limit(
        self, store: NotificationRepository
    ) -> None:
        await store.add(queued("notif-1", SMS))
        await store.add(queued("notif-2", EMAIL, NOON + TICK))
        assert _names(await _claim(store, NOON + HOUR, limit=1)) == ["notif-2"]

    @with_store
    async def test_a_claim_holds_until_its_lease_is_over(
        self, store: NotificationRepository
    ) -> None:
        """At the very end, and not before, the next one gets it, as after a crash."""
        await store.add(queued())
        [claimed] = await _claim(store, NOON)
        assert await _claim(store, NOON + LEASE - TICK) == []
        assert [claimed.claim(NOON + LEASE, LEASE)] == await _claim(store, NOON + LEASE)

    @with_store
    async def test_a_crash_is_counted(self, store: NotificationRepository) -> None:
        await store.add(queued())
        await _claim(store, NOON)
        [claimed] = await _claim(store, NOON + LEASE)
        kept = await store.get(claimed.id)
        assert (kept.crashes, kept.attempts, kept.possible_duplicate) == (1, 2, True)

    @with_store
    async def test_a_worker_cannot_save_once_his_claim_was_taken_away(
        self, store: NotificationRepository
    ) -> None:
        await store.add(queued())
        [dead] = await _claim(store, NOON)
        [taken] = await _claim(store, NOON + LEASE)
        with pytest.raises(StaleNotification):
            await store.save(dead.succeed(RECEIPT, NOON + LEASE))
        assert taken == await store.get(taken.id)

    @with_store
    async def test_a_refused_save_does_not_move_what_is_waited_for(
        self, store: NotificationRepository
    ) -> None:
        await store.add(queued())
        [dead] = await _claim(store, NOON)
        [taken] = await _claim(store, NOON + LEASE)
        for late in dead.succeed(RECEIPT, NOON), dead.interrupt(NOON):
            with pytest.raises(StaleNotification):
                await store.save(late)
            assert await store.next_wake(Channel.EMAIL) == taken.wake_at == NOON + 2 * LEASE
            assert await _claim(store, NOON + LEASE) == []
        assert _names(await _claim(store, NOON + 2 * LEASE)) == ["notif-1"]

    @with_store
    async def test_what_outlived_too_many_workers_fails(
        self, store: NotificationRepository
    ) -> None:
        """It is handed out once more, failed already, and then never again."""
        await store.add(queued())
        for crash in range(MAX_CRASHES):
            await _claim(store, NOON + crash * LEASE)
        [failed] = await _claim(store, NOON + MAX_CRASHES * LEASE)
        assert isinstance(failed.state, Failed)
        assert failed == await store.get(failed.id)
        assert await _claim(store, NOON + HOUR) == []

    @with_store
    async def test_what_fails_in_claiming_counts_towards_the_limit(
        self, store: NotificationRepository
    ) -> None:
        for name in "notif-1", "notif-2":
            await store.add(replace(queued(name), state=Sending(NOON), crashes=MAX_CRASHES - 1))
        for _ in range(2):
            [failed] = await _claim(store, NOON, limit=1)
            assert isinstance(failed.state, Failed)
        assert await _claim(store, NOON) == []

    @with_store
    async def test_what_is_final_is_never_claimed(self, store: NotificationRepository) -> None:
        """Neither sent, nor failed, nor cancelled, whether saved so or added so."""
        for number, life in enumerate(_ends()):
            first, *later = [_named(version, f"saved-{number}") for version in life]
            await store.add(first)
            for version in later:
                await store.save(version)
            await store.add(_named(life[-1], f"added-{number}"))
        assert await _claim(store, LAST_MOMENT - HOUR) == []
        assert await store.next_wake(Channel.EMAIL) is None

    @with_store
    async def test_a_retry_is_claimed_at_its_new_time(self, store: NotificationRepository) -> None:
        await store.add(queued())
        [claimed] = await _claim(store, NOON)
        retry = claimed.fail(LOST, NOON, BACKOFF)
        await store.save(retry)
        assert retry.wake_at is not None
        assert await _claim(store, retry.wake_at - TICK) == []
        assert [retry.start(retry.wake_at, LEASE)] == await _claim(store, retry.wake_at)

    @with_store
    async def test_what_was_rescheduled_is_claimed_at_its_new_time(
        self, store: NotificationRepository
    ) -> None:
        await store.add(queued())
        await store.save(queued().reschedule(NOON + HOUR, NOON))
        assert await _claim(store, NOON + HOUR - TICK) == []
        assert _names(await _claim(store, NOON + HOUR)) == ["notif-1"]

    @with_store
    async def test_what_failed_can_be_queued_again(self, store: NotificationRepository) -> None:
        await store.add(queued())
        [claimed] = await _claim(store, NOON)
        await store.save(claimed.fail(REFUSED, NOON, BACKOFF))
        await store.save(claimed.fail(REFUSED, NOON, BACKOFF).requeue(NOON + HOUR))
        assert _names(await _claim(store, NOON + HOUR)) == ["notif-1"]

    @with_store
    async def test_the_next_wake_is_the_earliest(self, store: NotificationRepository) -> None:
        await store.add(queued("notif-1", due_at=NOON + HOUR))
        await store.add(queued("notif-2", due_at=NOON + TICK))
        await store.add(queued("notif-3", due_at=NOON + 2 * HOUR))
        assert await store.next_wake(Channel.EMAIL) == NOON + TICK

    @with_store
    async def test_the_next_wake_is_in_utc(self, store: NotificationRepository) -> None:
        await store.add(queued())
        wake_at = await store.next_wake(Channel.EMAIL)
        assert wake_at is not None
        assert timedelta(0) == wake_at.utcoffset()

    @with_store
    async def test_the_next_wake_sees_the_end_of_a_lease(
        self, store: NotificationRepository
    ) -> None:
        await store.add(queued("notif-1"))
        await store.add(queued("notif-2", due_at=NOON + HOUR))
        await _claim(store, NOON)
        assert await store.next_wake(Channel.EMAIL) == NOON + LEASE

    @with_store
    async def test_the_next_wake_belongs_to_its_channel(
        self, store: NotificationRepository
    ) -> None:
        await store.add(queued("notif-1", SMS))
        assert await store.next_wake(Channel.EMAIL) is None
        await store.add(queued("notif-2", EMAIL, NOON + HOUR))
        assert await store.next_wake(Channel.EMAIL) == NOON + HOUR
        assert await store.next_wake(Channel.SMS) == NOON

    @with_store
    async def test_the_end_of_time_can_be_waited_for(self, store: NotificationRepository) -> None:
        await store.add(queued(due_at=LAST_MOMENT))
        assert await store.next_wake(Channel.EMAIL) == LAST_MOMENT
        assert await _claim(store, NOON + HOUR) == []


async def _claim(
    store: NotificationRepository,
    now: datetime,
    *,
    channel: Channel = Channel.EMAIL,
    limit: int = 10,
) -> list[Notification]:
    return list(await store.claim_due(channel, now, LEASE, limit))


def _names(notifications: list[Notification]) -> list[str]:
    return [str(notification.id) for notification in notifications]


def _ends() -> list[list[Notification]]:
    """List the ways in which a life can end, each as the versions that it takes."""
    first = queued()
    sending = first.start(NOON, LEASE)
    return [
        [first, sending, sending.succeed(RECEIPT, NOON)],
        [first, sending, sending.fail(REFUSED, NOON, BACKOFF)],
        [first, first.cancel(NOON)],
    ]


def _named(notification: Notification, name: str) -> Notification:
    return replace(notification, id=NotificationId(name))
