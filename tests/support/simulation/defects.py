"""Variants of the service that break a promise each, for the checker to find out."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from support.simulation.provider import Provider
from support.simulation.store import RecordingRepository
from support.simulation.world import Parts

from pinguin_core import Channel, DuplicateNotification, Notification, Queued, Sending

_SECOND: Final = timedelta(seconds=1)


class AnswersBeforeItWrites(RecordingRepository):
    async def add(self, notification: Notification) -> None:
        self._writing = asyncio.create_task(self._write(notification))

    async def _write(self, notification: Notification) -> None:
        await asyncio.sleep(1)
        with suppress(DuplicateNotification):
            await super().add(notification)


class OverwritesWhateverIsThere(RecordingRepository):
    async def save(self, notification: Notification) -> None:
        self.keep(notification)


class ForgetsKeys(RecordingRepository):
    async def add(self, notification: Notification) -> None:
        await super().add(notification)
        self._keys.clear()


class CutsSeconds(RecordingRepository):
    """As a column without fractions of a second does."""

    async def add(self, notification: Notification) -> None:
        assert isinstance(notification.state, Queued)
        due_at = notification.state.due_at.replace(microsecond=0)
        await super().add(replace(notification, state=Queued(due_at)))


class HidesDuplicates(RecordingRepository):
    def keep(self, notification: Notification) -> None:
        super().keep(replace(notification, possible_duplicate=False))


class KeepsLeasesForASecond(RecordingRepository):
    async def claim_due(
        self, channel: Channel, now: datetime, lease: timedelta, limit: int
    ) -> Sequence[Notification]:
        claimed = await super().claim_due(channel, now, lease, limit)
        for each in claimed:
            if isinstance(each.state, Sending):
                self.keep(replace(each, state=replace(each.state, lease_until=now + _SECOND)))
        return claimed


class RetriesForEver:
    def delay(self, retry: int, retry_after: timedelta | None = None) -> timedelta:
        return _SECOND


DEFECTS: Final[Mapping[str, tuple[Parts, str]]] = {
    "answers before it writes": (Parts(AnswersBeforeItWrites), "was answered, and is not stored"),
    "saves without comparing": (Parts(OverwritesWhateverIsThere), " became "),
    "forgets keys": (Parts(ForgetsKeys), "has made two"),
    "cuts seconds": (Parts(CutsSeconds), "began early"),
    "hides duplicates": (Parts(HidesDuplicates), "possible_duplicate is False"),
    "keeps leases for a second": (Parts(KeepsLeasesForASecond), "cannot be accounted for"),
    "looks nothing up": (Parts(sms=Provider), "though it had been taken"),
    "retries for ever": (Parts(policy=lambda _: RetriesForEver()), "retries, "),
}
"""By what each breaks: the parts that do, and what must be complained of."""
