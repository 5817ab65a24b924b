"""What `NotificationRepository` promises of its handles: what one has done, the others see."""

from __future__ import annotations

import pytest

from pinguin_core.message import Channel
from pinguin_core.notification import Notification
from pinguin_core.ports import NotificationRepository
from pinguin_core.testing.contracts.samples import HOUR, KEY, LEASE, RECEIPT, keyed, queued
from pinguin_core.testing.contracts.storage import Connect, StorageContract, with_storage
from pinguin_core.testing.fakes import NOON


class Handling(StorageContract):
    """Tests of several handles, used one after another."""

    @with_storage
    async def test_what_was_answered_survives_a_crash(self, connect: Connect) -> None:
        """It is there for another handle while the first, which stopped working, is still open."""
        first, second = queued("notif-1"), queued("notif-2")
        async with connect() as crashed:
            await crashed.add(first)
            await crashed.add(second)
            await crashed.save(first.cancel(NOON))
            async with connect() as store:
                assert first.cancel(NOON) == await store.get(first.id)
                assert second == await store.get(second.id)

    @with_storage
    async def test_what_was_answered_survives_closing(self, connect: Connect) -> None:
        notification = queued()
        with pytest.raises(ZeroDivisionError):
            await _add_and_break(connect, notification)
        async with connect() as store:
            assert notification == await store.get(notification.id)

    @with_storage
    async def test_what_another_handle_added_is_claimed(self, connect: Connect) -> None:
        async with connect() as here, connect() as there:
            await here.add(queued())
            assert await there.next_wake(Channel.EMAIL) == NOON
            [claimed] = await there.claim_due(Channel.EMAIL, NOON, LEASE, 1)
            assert claimed == await here.get(claimed.id)
            assert not await here.claim_due(Channel.EMAIL, NOON, LEASE, 1)

    @with_storage
    async def test_what_another_handle_changed_is_seen(self, connect: Connect) -> None:
        """Also by one that has looked before, and has not written since."""
        async with connect() as here, connect() as there:
            assert await here.find(KEY) is None
            assert await here.next_wake(Channel.EMAIL) is None
            await there.add(first := keyed())
            await _sees(here, first)
            await there.save(later := first.reschedule(NOON + HOUR, NOON))
            await _sees(here, later)
            [claimed] = await there.claim_due(Channel.EMAIL, NOON + HOUR, LEASE, 1)
            await _sees(here, claimed)
            await there.save(sent := claimed.succeed(RECEIPT, NOON + HOUR))
            await _sees(here, sent)


async def _sees(store: NotificationRepository, notification: Notification) -> None:
    assert notification == await store.get(notification.id)
    assert notification == await store.find(KEY)
    assert notification.wake_at == await store.next_wake(Channel.EMAIL)


async def _add_and_break(connect: Connect, notification: Notification) -> None:
    async with connect() as store:
        await store.add(notification)
        raise ZeroDivisionError
