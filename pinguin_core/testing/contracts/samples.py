"""The messages and notifications that the contracts' examples talk about."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from pinguin_core.errors import PermanentDeliveryError, TransientDeliveryError
from pinguin_core.message import Email, Message, Sms
from pinguin_core.notification import Notification, Receipt
from pinguin_core.retry import ExponentialBackoff
from pinguin_core.testing.fakes import NOON
from pinguin_core.testing.strategies import longest
from pinguin_core.values import EmailAddress, IdempotencyKey, NotificationId, PhoneNumber

TICK: Final = timedelta(microseconds=1)
HOUR: Final = timedelta(hours=1)
LEASE: Final = timedelta(minutes=1)

EMAIL: Final = Email(EmailAddress("ada@example.com"), "Hi", "Hello")
SMS: Final = Sms(PhoneNumber("+15550100123"), "Hello")
RECEIPT: Final = Receipt("<notif-1@example.com>", "250", "2.0.0 queued as 4XyZ")
REFUSED: Final = PermanentDeliveryError("550 no such user", code="550 5.1.1")
BUSY: Final = TransientDeliveryError("451 try again later", code="451")
LOST: Final = TransientDeliveryError("connection lost after the dot", ambiguous=True)
BACKOFF: Final = ExponentialBackoff(uniform=longest)
KEY: Final = IdempotencyKey("0b1f6a3e-5c1d-4e0a-9a55-1f8f7c0d2e11")


def queued(
    name: str = "notif-1", message: Message = EMAIL, due_at: datetime = NOON
) -> Notification:
    """Queue at noon what is due then, or later."""
    return Notification.queue(NotificationId(name), message, NOON, due_at)


def keyed(name: str = "notif-1", key: IdempotencyKey = KEY) -> Notification:
    """Queue at noon what was asked for under a key."""
    return Notification.queue(NotificationId(name), EMAIL, NOON, idempotency_key=key)
