"""A backlog of due notifications, and how it is worked off: what benchmarks of the store share."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from pinguin_core import (
    Channel,
    Email,
    EmailAddress,
    Notification,
    NotificationRepository,
    Receipt,
    SystemClock,
    TimeSortedIds,
)

MESSAGE: Final = Email(EmailAddress("ada@example.com"), "Your order", "It is on its way. " * 10)
LEASE: Final = timedelta(minutes=10)

clock, ids = SystemClock(), TimeSortedIds()


def backlog(count: int) -> list[Notification]:
    """Make notifications that are due now."""
    now = clock.now()
    return [Notification.queue(ids.next_id(now), MESSAGE, now) for _ in range(count)]


async def add(
    store: NotificationRepository, notifications: Sequence[Notification], burst: int
) -> None:
    """Add them in bursts."""
    for first in range(0, len(notifications), burst):
        await asyncio.gather(*map(store.add, notifications[first : first + burst]))


async def claim_and_save(store: NotificationRepository, batch: int) -> list[str]:
    """Claim in batches and save each as sent, until nothing is left; return the ids."""
    names: list[str] = []
    while claimed := await store.claim_due(Channel.EMAIL, clock.now(), LEASE, batch):
        now = clock.now()
        await asyncio.gather(*(store.save(each.succeed(Receipt("r"), now)) for each in claimed))
        names += [str(each.id) for each in claimed]
    return names
