"""How many SMS may leave in a day: a bound on what a stolen token or a loop can cost."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from pinguin_core.errors import InvalidValue
from pinguin_core.message import Sms
from pinguin_core.notification import Notification
from pinguin_core.ports import SmsLedger
from pinguin_core.values import PhoneNumber

_DAY: Final = timedelta(days=1)
_RECHECK: Final = timedelta(minutes=1)
"""How long an SMS waits at the most when only others that are under way stand in its way: they may
fail, or wait for this one."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Why something may not be sent yet, and until when."""

    until: datetime
    reason: str


class SmsQuota:
    """Limits the SMS of a day, which begins at midnight UTC.

    What was sent that day by any process counts, and what is being sent. What is in doubt counts as
    sent, save for itself: it keeps its place when it is looked up or sent again. It counts once, so
    a sender that sends such SMS again should be a `Reconciler`, which sends no copies. What is
    beyond a limit waits for the next day.

    Args:
        counter: the store that the dispatcher delivers from.
        per_day: how many SMS may be sent; 1 or more, any number if absent.
        per_recipient_per_day: how many may be sent to one number.
        uniform: draws a float evenly from between its two arguments, both included.

    Raises:
        InvalidValue: for a number out of range.
    """

    def __init__(
        self,
        counter: SmsLedger,
        *,
        per_day: int | None = None,
        per_recipient_per_day: int | None = None,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        limits = {"per_day": per_day, "per_recipient_per_day": per_recipient_per_day}
        for field, limit in limits.items():
            if limit is not None and limit < 1:
                raise InvalidValue(field, "must be 1 or more")
        self._counter = counter
        self._per_day = per_day
        self._per_recipient_per_day = per_recipient_per_day
        self._uniform = uniform

    async def wait_of(self, claimed: Notification, now: datetime) -> Wait | None:
        """Return why a claimed SMS may not be sent yet; or None, if it may.

        Raises:
            StoreUnavailable: if that cannot be told.
        """
        if not isinstance(claimed.message, Sms):
            return None
        to = claimed.message.to
        return await self._beyond(
            self._per_recipient_per_day, "SMS a day to one recipient", claimed, now, to
        ) or await self._beyond(self._per_day, "SMS a day", claimed, now)

    async def _beyond(
        self,
        limit: int | None,
        what: str,
        claimed: Notification,
        now: datetime,
        to: PhoneNumber | None = None,
    ) -> Wait | None:
        if limit is None:
            return None
        today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        count = await self._counter.count_sms(today, before=claimed, to=to)
        if count.sent >= limit:
            return Wait(today + _DAY, f"the limit of {limit} {what} is reached")
        if count.sent + count.under_way >= limit:
            reason = f"the limit of {limit} {what} is reached by those that are being sent"
            # Processes that hold each other up must not come back together and do so again.
            return Wait(now + _RECHECK * self._uniform(0.5, 1.0), reason)
        return None
