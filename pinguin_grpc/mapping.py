"""Between the wire's messages and the core's values: pure functions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from pinguin_core import (
    Cancelled,
    Channel,
    Email,
    EmailAddress,
    Failed,
    InvalidValue,
    Message,
    Notification,
    NotificationId,
    PhoneNumber,
    Queued,
    Sending,
    Sent,
    Sms,
    State,
)
from pinguin_grpc.codec import make, values_of
from pinguin_grpc.details import FieldViolation
from pinguin_grpc.errors import InvalidRequest, violation
from pinguin_grpc.wire.pinguin import (
    GetNotificationStatusRequest,
    NotificationRequest,
    NotificationResponse,
    NotificationType,
    Status,
)

NOT_SUPPORTED: Final = (
    "attachments",
    "idempotency_key",
    "html_message",
    "reply_to",
    "expires_at",
    "priority",
)
"""Fields that the wire contract has and this version does not honour: refused when they are set."""

TYPES: Final[Mapping[Channel, int]] = {
    Channel.EMAIL: NotificationType.EMAIL,
    Channel.SMS: NotificationType.SMS,
}

_STATUSES: Final[Mapping[type[State], int]] = {
    Queued: Status.QUEUED,
    Sending: Status.QUEUED,  # to callers, what is not final waits
    Sent: Status.SENT,
    Failed: Status.FAILED,
    Cancelled: Status.CANCELLED,
}

_Fields = Mapping[str, Any]
_SOME_ADDRESS: Final = EmailAddress("ada@example.com")
_SOME_NUMBER: Final = PhoneNumber("+15550100123")
_SOME_TEXT: Final = "-"


def message_from_wire(request: NotificationRequest) -> tuple[Message, datetime | None]:
    """Return what to send, and when it is scheduled for, if it is.

    Raises:
        InvalidRequest: naming every field at fault.
    """
    fields = values_of(request)
    read = _READERS.get(fields["notification_type"])
    if read is None or any(fields[name] for name in NOT_SUPPORTED):
        raise InvalidRequest(_violations(fields))
    try:
        return read(fields), fields["scheduled_time"]
    except InvalidValue as error:
        raise InvalidRequest(_violations(fields)) from error


def id_from_wire(request: GetNotificationStatusRequest) -> NotificationId:
    """Return the id that is asked for.

    Raises:
        InvalidValue: if it cannot be one.
    """
    return NotificationId(values_of(request)["notification_id"])


def to_wire(notification: Notification) -> NotificationResponse:
    """Tell how a notification stands."""
    message, state = notification.message, notification.state
    return make(
        NotificationResponse,
        notification_id=notification.id.value,
        notification_type=TYPES[message.channel],
        recipient=message.to.value,
        subject=message.subject,
        message=message.body,
        status=_STATUSES[type(state)],
        provider_message_id=state.provider_message_id if isinstance(state, Sent) else "",
        retry_count=notification.retries,
        created_at=_rfc3339(notification.created_at),
        updated_at=_rfc3339(notification.updated_at),
        scheduled_time=notification.scheduled_at,
        last_error=notification.last_error,
        next_attempt_time=state.due_at if isinstance(state, Queued) else None,
        possible_duplicate=notification.possible_duplicate,
    )


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().removesuffix("+00:00") + "Z"


def _email(fields: _Fields) -> Email:
    return Email(_address(fields), fields["subject"], fields["message"])


def _sms(fields: _Fields) -> Sms:
    return Sms(PhoneNumber(fields["recipient"]), fields["message"], fields["subject"])


_READERS: Final[Mapping[int, Callable[[_Fields], Message]]] = {
    NotificationType.EMAIL: _email,
    NotificationType.SMS: _sms,
}


def _address(fields: _Fields) -> EmailAddress:
    address = EmailAddress(fields["recipient"])
    if not address.domain.isascii():
        _check_international_domain(address)
    return address


def _check_international_domain(address: EmailAddress) -> None:
    """Look more closely than the core can, whose sieve knows no IDNA tables."""
    from email_validator import EmailNotValidError, validate_email

    try:
        validate_email(address.value, check_deliverability=False, globally_deliverable=False)
    except EmailNotValidError:
        raise InvalidValue(
            "email_address", "must have a valid internationalised domain name after the @"
        ) from None


def _violations(fields: _Fields) -> list[FieldViolation]:
    """Name everything that is wrong with a request of which something is."""
    return [
        *_problems(fields),
        *(FieldViolation(name, "is not supported yet") for name in NOT_SUPPORTED if fields[name]),
    ]


def _problems(fields: _Fields) -> Iterable[FieldViolation]:
    probes = _PROBES.get(fields["notification_type"])
    if probes is None:
        yield FieldViolation("notification_type", "must be EMAIL (0) or SMS (1)")
        return
    for probe in probes:
        try:
            probe(fields)
        except InvalidValue as error:
            yield violation(error)


_PROBES: Final[Mapping[int, tuple[Callable[[_Fields], object], ...]]] = {
    NotificationType.EMAIL: (
        _address,
        lambda fields: Email(_SOME_ADDRESS, fields["subject"], _SOME_TEXT),
        lambda fields: Email(_SOME_ADDRESS, "", fields["message"]),
    ),
    NotificationType.SMS: (
        lambda fields: PhoneNumber(fields["recipient"]),
        lambda fields: Sms(_SOME_NUMBER, _SOME_TEXT, fields["subject"]),
        lambda fields: Sms(_SOME_NUMBER, fields["message"]),
    ),
}
"""What makes each part of a message by itself, so that one bad part does not hide another."""
