"""Between the wire's messages and the core's values: pure functions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from pinguin_core import (
    Attempt,
    Cancelled,
    Channel,
    Email,
    EmailAddress,
    Failed,
    IdempotencyKey,
    InvalidValue,
    Message,
    Notification,
    NotificationId,
    Outcome,
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
from pinguin_grpc.wire import pinguin as wire
from pinguin_grpc.wire.pinguin import (
    AttemptOutcome,
    GetNotificationStatusRequest,
    NotificationRequest,
    NotificationResponse,
    NotificationType,
    Status,
)

KEY_METADATA: Final = "idempotency-key"
"""The metadata that does what the field `idempotency_key` does."""

NOT_SUPPORTED: Final = (
    "attachments",
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

OUTCOMES: Final[Mapping[Outcome, int]] = {
    Outcome.SENT: AttemptOutcome.SENT,
    Outcome.REFUSED: AttemptOutcome.REFUSED,
    Outcome.FAILED: AttemptOutcome.FAILED,
    Outcome.UNCLEAR: AttemptOutcome.UNCLEAR,
    Outcome.CRASHED: AttemptOutcome.CRASHED,
    Outcome.INTERRUPTED: AttemptOutcome.INTERRUPTED,
}

# An answer that echoes the largest request must fit into what clients receive, however many
# attempts there were and however much somebody's own sender has to say of each.
_MOST_ATTEMPTS: Final = 100
_LONGEST_TEXT: Final = 300

_Fields = Mapping[str, Any]
_SOME_ADDRESS: Final = EmailAddress("ada@example.com")
_SOME_NUMBER: Final = PhoneNumber("+15550100123")
_SOME_TEXT: Final = "-"


class SendRequest(NamedTuple):
    """What a caller wants sent; see `NotificationService.send`."""

    message: Message
    scheduled_at: datetime | None
    idempotency_key: IdempotencyKey | None


def send_from_wire(
    request: NotificationRequest, keys_in_metadata: Sequence[str] = ()
) -> SendRequest:
    """Return what is to be sent.

    Raises:
        InvalidRequest: naming every field at fault.
    """
    fields = values_of(request)
    read = _READERS.get(fields["notification_type"])
    if read is None or any(fields[name] for name in NOT_SUPPORTED):
        raise InvalidRequest(_violations(fields, keys_in_metadata))
    try:
        key = _key(fields, keys_in_metadata)
        return SendRequest(read(fields), fields["scheduled_time"], key)
    except InvalidValue as error:
        raise InvalidRequest(_violations(fields, keys_in_metadata)) from error


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
        sms_segments=message.segments if isinstance(message, Sms) else 0,
        attempts=[_attempt(each) for each in notification.history[-_MOST_ATTEMPTS:]],
    )


def _attempt(attempt: Attempt) -> wire.Attempt:
    text = attempt.text
    return make(
        wire.Attempt,
        number=attempt.number,
        started_at=attempt.started_at,
        ended_at=attempt.ended_at,
        outcome=OUTCOMES[attempt.outcome],
        code=attempt.code,
        text=text if len(text) <= _LONGEST_TEXT else text[: _LONGEST_TEXT - 1] + "…",
    )


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().removesuffix("+00:00") + "Z"


def _key(fields: _Fields, in_metadata: Sequence[str]) -> IdempotencyKey | None:
    """Return the key, from wherever it came; an empty one is none."""
    if len(in_metadata) > 1:
        raise InvalidValue(KEY_METADATA, "must be given at most once")
    from_field = _key_from("idempotency_key", fields["idempotency_key"])
    from_metadata = _key_from(KEY_METADATA, "".join(in_metadata))
    if from_field and from_metadata and from_field != from_metadata:
        problem = f"must be the same as the metadata {KEY_METADATA}, where both are given"
        raise InvalidValue("idempotency_key", problem)
    return from_field or from_metadata


def _key_from(name: str, text: str) -> IdempotencyKey | None:
    try:
        return IdempotencyKey(text) if text else None
    except InvalidValue as error:
        raise InvalidValue(name, error.problem) from None


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
    if not address.value.isascii():
        _require_ascii_domain(address)
    return address


def _require_ascii_domain(address: EmailAddress) -> None:
    """Refuse what no relay could be told: the core's sieve knows no tables of IDNA 2008.

    Senders write domains in the same way, so nothing that is accepted fails there for its domain.
    """
    import idna

    local, _, domain = address.value.rpartition("@")
    try:
        written = idna.encode(domain, uts46=True, std3_rules=True).decode("ascii")
    except idna.IDNAError:
        raise InvalidValue(
            "email_address", "must have a valid internationalised domain name after the @"
        ) from None
    try:
        EmailAddress(f"{local}@{written}")
    except InvalidValue as error:
        problem = f"{error.problem}, also with the domain in ASCII (xn--…)"
        raise InvalidValue(error.field, problem) from None


def _violations(fields: _Fields, keys_in_metadata: Sequence[str]) -> list[FieldViolation]:
    """Name everything that is wrong with a request of which something is."""
    return [
        *_problems(fields, keys_in_metadata),
        *(FieldViolation(name, "is not supported yet") for name in NOT_SUPPORTED if fields[name]),
    ]


def _problems(fields: _Fields, keys_in_metadata: Sequence[str]) -> Iterable[FieldViolation]:
    probes: tuple[Callable[[_Fields], object], ...] = (
        *_PROBES.get(fields["notification_type"], (_refuse_type,)),
        lambda fields: _key(fields, keys_in_metadata),
    )
    for probe in probes:
        try:
            probe(fields)
        except InvalidValue as error:
            yield violation(error)


def _refuse_type(_: _Fields) -> None:
    raise InvalidValue("notification_type", "must be EMAIL (0) or SMS (1)")


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
