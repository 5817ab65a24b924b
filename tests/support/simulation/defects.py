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

from pinguin_core import (
    Channel,
    DeliveryError,
    DuplicateNotification,
    Email,
    Notification,
    NotificationId,
    PermanentDeliveryError,
    PhoneNumber,
    Queued,
    Receipt,
    Sending,
    SmsCount,
    SmsLedger,
    SmsQuota,
    TransientDeliveryError,
)
from pinguin_core.flow import is_not_taken
from pinguin_core.sms_quota import Wait

FEW: Final = 50  # SMS
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


class TriesBoth:
    """Knows no relay that is down, and may go over to the second when it should not."""

    def __init__(self, primary: Provider, fallback: Provider, **_: object) -> None:
        self._primary = primary
        self._fallback = fallback

    def may_go_over(self, error: DeliveryError) -> bool:
        raise NotImplementedError

    async def send(self, message: Email, *, id: NotificationId, date: datetime) -> Receipt:
        try:
            return await self._primary.send(message, id=id, date=date)
        except DeliveryError as error:
            if not self.may_go_over(error):
                raise
            return await self._fallback.send(message, id=id, date=date)


class SendsToTheOtherWhatIsInDoubt(TriesBoth):
    def may_go_over(self, error: DeliveryError) -> bool:
        return isinstance(error, TransientDeliveryError) and error.of_provider


class SendsToTheOtherWhatWasRefused(TriesBoth):
    def may_go_over(self, error: DeliveryError) -> bool:
        return isinstance(error, PermanentDeliveryError) or is_not_taken(error)


class SeesOnlyWhatIsSent:
    """Counts no SMS that are under way."""

    def __init__(self, ledger: SmsLedger) -> None:
        self._ledger = ledger

    async def has_sent_sms(self, provider_message_id: str, since: datetime) -> bool:
        return await self._ledger.has_sent_sms(provider_message_id, since)

    async def count_sms(
        self, since: datetime, *, before: Notification, to: PhoneNumber | None = None
    ) -> SmsCount:
        count = await self._ledger.count_sms(since, before=before, to=to)
        return replace(count, under_way=0)


class WaitsForAMonth(SmsQuota):
    async def wait_of(self, claimed: Notification, now: datetime) -> Wait | None:
        wait = await super().wait_of(claimed, now)
        return wait and replace(wait, until=wait.until + timedelta(days=30))


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
    "goes over in doubt": (Parts(pair=SendsToTheOtherWhatIsInDoubt), "one attempt asked"),
    "goes over when refused": (Parts(pair=SendsToTheOtherWhatWasRefused), "one attempt asked"),
    "counts only what is sent": (
        Parts(
            quota=lambda ledger, **limits: SmsQuota(SeesOnlyWhatIsSent(ledger), **limits),
            sms_per_day=FEW,
        ),
        "SMS were sent on",
    ),
    "lets SMS wait for a month": (
        Parts(quota=WaitsForAMonth, sms_per_day=FEW),
        "never came to an end",
    ),
    "looks nothing up": (Parts(sms=Provider), "though it had been taken"),
    "retries for ever": (Parts(policy=lambda _: RetriesForEver()), "retries, "),
}
"""By what each breaks: the parts that do, and what must be complained of."""
