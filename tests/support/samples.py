"""Messages and notifications that tests of the core talk about."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from pinguin_core import (
    Email,
    EmailAddress,
    Notification,
    NotificationId,
    PermanentDeliveryError,
    PhoneNumber,
    Receipt,
    Sms,
    TransientDeliveryError,
)
from pinguin_core.testing.fakes import NOON

TICK: Final = timedelta(microseconds=1)
LEASE: Final = timedelta(minutes=1)

EMAIL: Final = Email(EmailAddress("ada@example.com"), "Hi", "Hello")
SMS: Final = Sms(PhoneNumber("+15550100123"), "Hello")
RECEIPT: Final = Receipt("<notif-1@example.com>", "250", "2.0.0 queued as 4XyZ")
REFUSED: Final = PermanentDeliveryError("550 no such user", code="550 5.1.1")
BUSY: Final = TransientDeliveryError("450 busy", code="450")
LOST: Final = TransientDeliveryError("connection lost after the dot", ambiguous=True)


@dataclass(frozen=True)
class FixedDelay:
    """A retry policy that always answers the same."""

    answer: timedelta | None

    def delay(self, retry: int, retry_after: timedelta | None = None) -> timedelta | None:
        return self.answer


SOON: Final = FixedDelay(timedelta(seconds=30))
NEVER_AGAIN: Final = FixedDelay(None)


def queued(
    name: str = "notif-1",
    message: Email | Sms = EMAIL,
    now: datetime = NOON,
    scheduled_at: datetime | None = None,
) -> Notification:
    return Notification.queue(NotificationId(name), message, now, scheduled_at)


def sending() -> Notification:
    return queued().start(NOON, LEASE)


EVERY_STATE: Final = {
    "Queued": queued(),
    "Sending": sending(),
    "Sent": sending().succeed(RECEIPT, NOON),
    "Failed": sending().fail(REFUSED, NOON, SOON),
    "Cancelled": queued().cancel(NOON),
}
