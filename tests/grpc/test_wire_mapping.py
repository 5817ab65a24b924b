"""What a notification looks like on the wire, in each of its states."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pinguin_adapters.smtp_sender.mime import wire_address
from pinguin_core import (
    Channel,
    Email,
    EmailAddress,
    Notification,
    NotificationId,
    Outcome,
    PermanentDeliveryError,
    PhoneNumber,
    Receipt,
    Sms,
    TransientDeliveryError,
)
from pinguin_core.testing.fakes import NOON
from pinguin_grpc.codec import decode, encode, make
from pinguin_grpc.errors import InvalidRequest
from pinguin_grpc.limits import MAX_REQUEST, MIB
from pinguin_grpc.mapping import OUTCOMES, TYPES, send_from_wire, to_wire
from pinguin_grpc.wire.pinguin import (
    AttemptOutcome,
    NotificationRequest,
    NotificationResponse,
    NotificationType,
    Status,
)

MAIL = Email(EmailAddress("ada@example.com"), "Hello", "Good news")
TEXT_MESSAGE = Sms(PhoneNumber("+15550100123"), "Good news", subject="kept")
LEASE = timedelta(minutes=1)
QUEUED = Notification.queue(NotificationId("notif-1"), MAIL, NOON)
SENDING = QUEUED.start(NOON, LEASE)


class Once:
    """Allows one retry, after a minute."""

    def delay(self, retry: int, retry_after: timedelta | None = None) -> timedelta | None:
        return timedelta(minutes=1) if retry == 1 else None


LOST = TransientDeliveryError("the relay hung up", ambiguous=True)
RETRYING = SENDING.fail(LOST, NOON, Once())
STATES = {
    "queued": (QUEUED, Status.QUEUED, NOON, 0, "", False),
    "being sent": (SENDING, Status.QUEUED, None, 0, "", False),
    "sent": (SENDING.succeed(Receipt("<1@example.com>"), NOON), Status.SENT, None, 0, "", False),
    "retrying": (RETRYING, Status.QUEUED, NOON + LEASE, 1, "the relay hung up", True),
    "refused": (
        SENDING.fail(PermanentDeliveryError("no such user"), NOON, Once()),
        Status.FAILED,
        None,
        0,
        "no such user",
        False,
    ),
    "given up": (
        RETRYING.start(NOON + LEASE, LEASE).fail(LOST, NOON, Once()),
        Status.FAILED,
        None,
        1,
        "the relay hung up",
        True,
    ),
    "cancelled": (QUEUED.cancel(NOON), Status.CANCELLED, None, 0, "", False),
}


def on_the_wire(notification: Notification) -> NotificationResponse:
    return decode(NotificationResponse, encode(to_wire(notification)))


@pytest.mark.parametrize("row", STATES.values(), ids=STATES)
def test_each_state_has_its_status(
    row: tuple[Notification, Status, datetime | None, int, str, bool],
) -> None:
    response = on_the_wire(row[0])

    assert row[1:] == (
        response.status,
        response.next_attempt_time,
        response.retry_count,
        response.last_error,
        response.possible_duplicate,
    )


def test_what_was_asked_for_is_echoed() -> None:
    later = NOON + timedelta(days=1)
    response = on_the_wire(Notification.queue(NotificationId("notif-2"), TEXT_MESSAGE, NOON, later))

    assert (
        response.notification_id,
        response.notification_type,
    ) == ("notif-2", NotificationType.SMS)
    assert (
        response.recipient,
        response.subject,
        response.message,
    ) == ("+15550100123", "kept", "Good news")
    assert later == response.scheduled_time == response.next_attempt_time


@pytest.mark.parametrize(
    ("message", "segments"),
    [(MAIL, 0), (TEXT_MESSAGE, 1), (Sms(TEXT_MESSAGE.to, "ж" * 71), 2)],
)
def test_the_segments_of_an_sms_are_told(message: Email | Sms, segments: int) -> None:
    it = Notification.queue(NotificationId("notif-2"), message, NOON)
    assert on_the_wire(it).sms_segments == segments


def test_only_a_scheduled_notification_has_a_scheduled_time() -> None:
    assert on_the_wire(QUEUED).scheduled_time is None


def test_the_provider_s_name_for_the_message_is_told_once_it_is_sent() -> None:
    assert not on_the_wire(SENDING).provider_message_id
    sent = SENDING.succeed(Receipt("<1@example.com>"), NOON)
    assert on_the_wire(sent).provider_message_id == "<1@example.com>"


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (NOON, "2030-01-01T12:00:00Z"),
        (NOON + timedelta(microseconds=1), "2030-01-01T12:00:00.000001Z"),
        (NOON.astimezone(timezone(timedelta(hours=2))), "2030-01-01T12:00:00Z"),
    ],
)
def test_times_of_creation_and_change_are_rfc_3339_in_utc(moment: datetime, text: str) -> None:
    notification = Notification(QUEUED.id, MAIL, QUEUED.state, moment, moment)

    assert (text, text) == (to_wire(notification).created_at, to_wire(notification).updated_at)


@given(
    st.sampled_from([MAIL, TEXT_MESSAGE]),
    st.none() | st.datetimes(timezones=st.just(UTC)),
)
def test_a_request_says_what_its_message_said(message: Email | Sms, at: datetime | None) -> None:
    request = make(
        NotificationRequest,
        notification_type=TYPES[message.channel],
        recipient=message.to.value,
        subject=message.subject,
        message=message.body,
        scheduled_time=at,
    )
    assert (message, at, None) == send_from_wire(decode(NotificationRequest, encode(request)))


@pytest.mark.parametrize(
    "address",
    [
        "ada@bücher.example",
        "ada@例え.example",
        "ada@xn--bcher-kva.example",
        "a+b@x.test",
        "zoë@bücher.example",
        "用户@example.com",
    ],
)
def test_internationalised_and_special_addresses_are_accepted(address: str) -> None:
    asked = send_from_wire(make(NotificationRequest, recipient=address, message="Hi"))

    assert address == asked.message.to.value


def test_every_channel_has_a_type_on_the_wire() -> None:
    assert set(Channel) == TYPES.keys()


def test_every_outcome_of_an_attempt_has_its_own_on_the_wire() -> None:
    """Never 0, which says that it is not known."""
    assert set(Outcome) == OUTCOMES.keys()
    assert {int(outcome) for outcome in OUTCOMES.values()} == set(range(1, len(Outcome) + 1))
    assert {each.name for each in Outcome} == {AttemptOutcome(n).name for n in OUTCOMES.values()}


def test_attempts_are_told_in_their_order() -> None:
    again = RETRYING.start(NOON + LEASE, LEASE)
    sent = again.succeed(Receipt("<1@example.com>", "250", "queued as 4XyZ"), NOON + 2 * LEASE)

    first, second = on_the_wire(sent).attempts

    assert (first.number, first.outcome) == (1, AttemptOutcome.UNCLEAR)
    assert (first.started_at, first.ended_at, first.code) == (NOON, NOON, "")
    assert first.text == "the relay hung up"
    assert (second.number, second.outcome) == (2, AttemptOutcome.SENT)
    assert (second.started_at, second.ended_at) == (NOON + LEASE, NOON + 2 * LEASE)
    assert (second.code, second.text) == ("250", "queued as 4XyZ")


def test_an_attempt_under_way_is_not_told() -> None:
    assert on_the_wire(SENDING).attempts == []


def test_of_very_many_attempts_the_latest_are_told_and_of_very_long_words_the_beginning() -> None:
    wordy = PermanentDeliveryError("x" * 1000)
    failed = SENDING.fail(wordy, NOON, Once())
    for _ in range(149):
        failed = failed.requeue(NOON).start(NOON, LEASE).fail(wordy, NOON, Once())

    attempts = on_the_wire(failed).attempts

    assert [each.number for each in attempts] == list(range(51, 151))
    assert {each.text for each in attempts} == {"x" * 299 + "…"}


def test_the_answer_to_the_largest_request_fits_what_clients_receive() -> None:
    """Or the caller would take for refused what was accepted, and send it again."""
    overhead = len(encode(make(NotificationRequest, recipient="ada@example.com"))) + 5
    body = "x" * (MAX_REQUEST - overhead)  # its tag takes a byte, its length four
    request = make(NotificationRequest, recipient="ada@example.com", message=body)
    message = send_from_wire(request).message
    queued = Notification.queue(NotificationId("n" * 64), message, NOON, NOON)
    wordy = PermanentDeliveryError("€" * 1000, code="550 5.1.1")
    refused = queued.start(NOON, LEASE).fail(wordy, NOON, Once())
    for _ in range(200):
        refused = refused.requeue(NOON).start(NOON, LEASE).fail(wordy, NOON, Once())

    assert len(encode(request)) == MAX_REQUEST
    assert len(encode(to_wire(refused))) < 4 * MIB


LABELS = st.text(
    st.characters(categories=("L", "M", "N")) | st.sampled_from("-09aä"), min_size=1, max_size=60
)


@given(st.integers(1, 64), st.lists(LABELS, min_size=2, max_size=5))
@example(1, ["bücher", "123"])
@example(64, ["ä" + "a" * 28] * 6)
@example(1, ["\u0345", "example"])
def test_what_is_accepted_can_be_written_down_for_a_relay(local: int, labels: list[str]) -> None:
    """Both sides hold the same rule, which neither may import from the other."""
    recipient = f"{'a' * local}@{'.'.join(labels)}"
    request = make(NotificationRequest, recipient=recipient, message="Hello")
    with suppress(InvalidRequest):
        address = send_from_wire(request).message.to
        assert isinstance(address, EmailAddress)
        assert wire_address(address).isascii()
