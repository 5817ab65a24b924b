"""The client of a running service, as other Python services use it: type-checked, never run."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from typing import assert_never, assert_type

from pinguin_core import (
    Channel,
    Email,
    EmailAddress,
    IdempotencyKey,
    PhoneNumber,
    PinguinError,
    Sms,
)
from pinguin_grpc.client import (
    Attempt,
    CallRefused,
    FieldViolation,
    NotificationStatus,
    Outcome,
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
        await client.send(Sms(PhoneNumber("+15550100123"), "Hello"), idempotency_key="order-42")
        await client.send(email, idempotency_key=IdempotencyKey("order-43"))
        shown = await client.status(accepted.id)
        assert_type(shown.channel, Channel)
        assert_type(shown.attempts, tuple[Attempt, ...])
        return shown.next_attempt_at


def took(attempt: Attempt) -> timedelta | None:
    return None if attempt.outcome is Outcome.CRASHED else attempt.ended_at - attempt.started_at


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
        case ServiceUnreachable(reason=reason, may_pass=may_pass):
            assert_type(may_pass, bool)
            return reason
        case _:
            return str(error)
