"""What the service says of a notification, as a client reads it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Final

from pinguin_core import Channel
from pinguin_grpc.codec import values_of
from pinguin_grpc.mapping import TYPES
from pinguin_grpc.wire import pinguin as wire


class Status(Enum):
    """How a notification stands. SENT, FAILED and CANCELLED are final."""

    QUEUED = 0
    SENT = 1
    FAILED = 2
    UNKNOWN = 3
    CANCELLED = 4


class Outcome(Enum):
    """What came of an attempt; UNKNOWN is one that only a later version of the service names."""

    UNKNOWN = 0
    SENT = 1
    REFUSED = 2
    """For good: trying again is pointless."""
    FAILED = 3
    """In a way that a later attempt may not."""
    UNCLEAR = 4
    """The provider may have taken it all the same."""
    CRASHED = 5
    """Its worker stopped before it could report."""
    INTERRUPTED = 6
    """The service was stopped, and did not wait for it."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt to deliver a notification, which has ended.

    Attributes:
        number: which one it was, from 1.
        code: the provider's own code, such as `450 4.2.1`; empty if it gave none.
        text: what the provider said or what went wrong, in one line without the recipient or the
            content.
    """

    number: int
    started_at: datetime
    ended_at: datetime
    outcome: Outcome
    code: str
    text: str


@dataclass(frozen=True, slots=True)
class NotificationStatus:
    """What the service says of a notification. Its `repr` shows neither recipient nor content.

    Attributes:
        provider_message_id: the Message-ID of an e-mail, Twilio's SID of an SMS; empty before.
        retry_count: how many retries were begun or are waited for.
        last_error: what went wrong most recently; empty when nothing did.
        next_attempt_at: when the next attempt is due, while it waits for one.
        possible_duplicate: an attempt may have delivered it without the service's learning so.
        sms_segments: of how many segments an SMS consists; 0 of an e-mail.
        attempts: those that have ended, oldest first; of more than a hundred, the latest hundred.
    """

    id: str
    channel: Channel
    recipient: str = field(repr=False)
    subject: str = field(repr=False)
    body: str = field(repr=False)
    status: Status
    provider_message_id: str
    retry_count: int
    created_at: datetime
    updated_at: datetime
    scheduled_at: datetime | None
    last_error: str
    next_attempt_at: datetime | None
    possible_duplicate: bool
    sms_segments: int
    attempts: tuple[Attempt, ...]


def status_from(response: wire.NotificationResponse) -> NotificationStatus:
    """Read the service's answer."""
    fields = values_of(response)
    return NotificationStatus(
        id=fields["notification_id"],
        channel=_CHANNELS[fields["notification_type"]],
        recipient=fields["recipient"],
        subject=fields["subject"],
        body=fields["message"],
        status=_STATUSES.get(fields["status"], Status.UNKNOWN),
        provider_message_id=fields["provider_message_id"],
        retry_count=fields["retry_count"],
        created_at=datetime.fromisoformat(fields["created_at"]),
        updated_at=datetime.fromisoformat(fields["updated_at"]),
        scheduled_at=fields["scheduled_time"],
        last_error=fields["last_error"],
        next_attempt_at=fields["next_attempt_time"],
        possible_duplicate=fields["possible_duplicate"],
        sms_segments=fields["sms_segments"],
        attempts=tuple(_attempt_from(attempt) for attempt in fields["attempts"]),
    )


def _attempt_from(attempt: wire.Attempt) -> Attempt:
    fields = values_of(attempt)
    return Attempt(
        number=fields["number"],
        started_at=fields["started_at"],
        ended_at=fields["ended_at"],
        outcome=_OUTCOMES.get(fields["outcome"], Outcome.UNKNOWN),
        code=fields["code"],
        text=fields["text"],
    )


_CHANNELS: Final = {number: channel for channel, number in TYPES.items()}
_STATUSES: Final = {status.value: status for status in Status}
_OUTCOMES: Final = {outcome.value: outcome for outcome in Outcome}
