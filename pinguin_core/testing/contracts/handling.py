"""What `NotificationRepository` promises of its handles, however they are left.

What one has done, the others see.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Final

import pytest

from pinguin_core.errors import StaleNotification
from pinguin_core.message import Channel
from pinguin_core.notification import Notification
from pinguin_core.ports import NotificationRepository
from pinguin_core.testing.contracts.samples import HOUR, KEY, LEASE, RECEIPT, SMS, keyed, queued
from pinguin_core.testing.contracts.storage import (
    Connect,
    StorageContract,
    with_storage,
    with_store,
)
from pinguin_core.testing.fakes import NOON

_LIMIT: Final = 15.0  # seconds, in which any call has ended
_TURNS: Final = 5  # of the event loop; how far a call has got


class Handling(StorageContract):
    """Tests of handles that are used one after another, closed, left behind or broken off."""

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

    @with_store
    async def test_calls_that_are_broken_off_leave_the_store_usable(
        self, store: NotificationRepository
    ) -> None:
        """However far they had got; what they were about is done, or it is not."""
        for turns in range(_TURNS):
            before, first = queued(f"before-{turns}"), queued(f"first-{turns}", SMS)
            await store.add(first)
            await _broken_off(turns, store.add(before))
            await _broken_off(turns, store.save(first.reschedule(NOON + HOUR, NOON)))
            await _broken_off(turns, store.claim_due(Channel.SMS, NOON, LEASE, 1))
            await asyncio.wait_for(_is_usable(store, f"after-{turns}"), _LIMIT)

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


async def _broken_off(turns: int, call: Coroutine[Any, Any, object]) -> None:
    """Begin something, let the event loop turn some times, and cancel it."""
    task = asyncio.create_task(call)
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    with suppress(asyncio.CancelledError, StaleNotification):
        await asyncio.wait_for(task, _LIMIT)


async def _is_usable(store: NotificationRepository, name: str) -> None:
    await store.add(queued(name))
    await store.save(queued(name).reschedule(NOON, NOON))
    assert await store.claim_due(Channel.EMAIL, NOON, LEASE, 100)


async def _sees(store: NotificationRepository, notification: Notification) -> None:
    assert notification == await store.get(notification.id)
    assert notification == await store.find(KEY)
    assert notification.wake_at == await store.next_wake(Channel.EMAIL)


async def _add_and_break(connect: Connect, notification: Notification) -> None:
    async with connect() as store:
        await store.add(notification)
        raise ZeroDivisionError
