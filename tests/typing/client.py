"""The client of a running service, as other Python services use it: type-checked, never run."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from typing import assert_never, assert_type

from pinguin_core import Channel, Email, EmailAddress, PhoneNumber, PinguinError, Sms
from pinguin_grpc.client import (
    CallRefused,
    FieldViolation,
    NotificationStatus,
    PinguinClient,
    ServiceUnreachable,
    Status,
)


async def call() -> datetime | None:
    async with PinguinClient(
        "notify.example.com",
        50051,
        token="secret",
        tls=ssl.create_default_context(),
        timeout=timedelta(seconds=5),
    ) as client:
        assert_type(client, PinguinClient)
        email = Email(to=EmailAddress("ada@example.com"), subject="Hi", body="Hello")
        accepted = await client.send(email, scheduled_at=datetime(2030, 1, 1, tzinfo=UTC))
        assert_type(accepted, NotificationStatus)
        await client.send(Sms(PhoneNumber("+15550100123"), "Hello"))
        shown = await client.status(accepted.id)
        assert_type(shown.channel, Channel)
        return shown.next_attempt_at


def tell(status: Status) -> str:
    match status:
        case Status.QUEUED | Status.UNKNOWN:
            return "wait"
        case Status.SENT | Status.CANCELLED:
            return "done"
        case Status.FAILED:
            return "failed"
        case _:
            assert_never(status)


def explain(error: PinguinError) -> str:
    match error:
        case CallRefused(status_name=name, field_violations=violations):
            assert_type(violations, tuple[FieldViolation, ...])
            return name + ", ".join(violation.field for violation in violations)
        case ServiceUnreachable(reason=reason):
            return reason
        case _:
            return str(error)
