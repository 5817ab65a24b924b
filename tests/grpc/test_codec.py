"""The codec agrees with Google's runtime on what is well-formed, and refuses the rest."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.protobuf_oracle import google_class

from pinguin_grpc.codec import StrictCodec, decode, encode, make, values_of
from pinguin_grpc.wire.pinguin import (
    Attempt,
    AttemptOutcome,
    EmailAttachment,
    NotificationRequest,
    NotificationResponse,
    NotificationType,
    Status,
)
from pinguin_grpc.wire_format import MalformedMessage, write_varint

GOOGLE_REQUEST = google_class("NotificationRequest")
GOOGLE_RESPONSE = google_class("NotificationResponse")

FIRST = datetime(1, 1, 1, tzinfo=UTC)
INT32 = st.integers(-(2**31), 2**31 - 1)
TEXT = st.text()
MOMENTS = st.none() | st.datetimes(timezones=st.just(UTC))
ATTACHMENTS = st.lists(
    st.builds(make, st.just(EmailAttachment), filename=TEXT, data=st.binary()), max_size=3
)
ATTEMPTS = st.lists(
    st.builds(
        make,
        st.just(Attempt),
        number=INT32,
        started_at=MOMENTS,
        ended_at=MOMENTS,
        outcome=st.sampled_from(list(AttemptOutcome)),
        code=TEXT,
        text=TEXT,
    ),
    max_size=3,
)
RESPONSES = st.builds(
    make,
    st.just(NotificationResponse),
    notification_id=TEXT,
    notification_type=st.sampled_from(list(NotificationType)),
    message=TEXT,
    status=st.sampled_from(list(Status)),
    retry_count=INT32,
    scheduled_time=MOMENTS,
    attachments=ATTACHMENTS,
    last_error=TEXT,
    next_attempt_time=MOMENTS,
    possible_duplicate=st.booleans(),
    attempts=ATTEMPTS,
)
REQUEST_FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "notification_type": st.sampled_from([0, 1]),
        "recipient": TEXT,
        "subject": TEXT,
        "message": TEXT,
        "html_message": TEXT,
        "priority": INT32,
    },
)


@given(RESPONSES)
def test_what_is_encoded_is_what_googles_runtime_would_write(response: Any) -> None:
    encoded = encode(response)

    assert encoded == GOOGLE_RESPONSE.FromString(encoded).SerializeToString(deterministic=True)
    assert bytes(response) == encoded, "and betterproto"


@given(RESPONSES)
def test_what_is_encoded_can_be_decoded(response: Any) -> None:
    decoded = decode(NotificationResponse, encode(response))

    assert values_of(response) == values_of(decoded)


@given(REQUEST_FIELDS, MOMENTS, st.lists(st.tuples(TEXT, st.binary()), max_size=2))
def test_what_googles_runtime_writes_is_read_alike(
    fields: dict[str, Any], moment: datetime | None, attachments: list[tuple[str, bytes]]
) -> None:
    message = GOOGLE_REQUEST(**fields)
    for filename, data in attachments:
        message.attachments.add(filename=filename, data=data)
    if moment is not None:
        message.scheduled_time.FromDatetime(moment)

    decoded = values_of(decode(NotificationRequest, message.SerializeToString()))

    assert {name: getattr(message, name) for name in fields} == {n: decoded[n] for n in fields}
    assert moment == decoded["scheduled_time"]
    assert attachments == [(each.filename, each.data) for each in decoded["attachments"]]


@given(st.binary(max_size=40))
def test_bytes_are_read_as_googles_runtime_reads_them_or_refused(data: bytes) -> None:
    try:
        decoded = decode(NotificationRequest, data)
    except MalformedMessage:
        return
    theirs = GOOGLE_REQUEST.FromString(data)

    names = ("notification_type", "recipient", "subject", "message", "priority")
    assert [getattr(theirs, n) for n in names] == [values_of(decoded)[n] for n in names]


@given(RESPONSES, st.data())
def test_what_is_cut_off_is_never_taken_for_the_whole(response: Any, data: st.DataObject) -> None:
    encoded = encode(response)
    cut = data.draw(st.integers(0, max(0, len(encoded) - 1)))

    try:
        decoded = decode(NotificationResponse, encoded[:cut])
    except MalformedMessage:
        return
    assert encoded[:cut] == encode(decoded), "it was cut between two fields"


@given(RESPONSES, st.binary(max_size=20))
def test_what_nobody_knows_is_stepped_over(response: Any, payload: bytes) -> None:
    unknown = b"\xfa\x07" + write_varint(len(payload)) + payload + b"\xf8\x07\x01"

    decoded = decode(NotificationResponse, unknown + encode(response) + unknown)

    assert values_of(response) == values_of(decoded)


COUNTED = {
    "known": (1, b"\x12\x00"),
    "unknown": (1, b"\x60\x00"),
    "the same one again": (2, b"\x08\x00\x08\x00"),
    "an attachment with a name": (2, b"\x32\x02\x0a\x00"),
    "an attachment with an unknown field": (2, b"\x32\x02\x60\x00"),
    "a moment with its seconds": (2, b"\x2a\x02\x08\x01"),
    "a moment with an unknown field": (2, b"\x2a\x02\x60\x00"),
}


@pytest.mark.parametrize(("number", "data"), COUNTED.values(), ids=COUNTED)
def test_fields_are_counted_wherever_they_stand(number: int, data: bytes) -> None:
    decode(NotificationRequest, data, max_fields=number)

    with pytest.raises(MalformedMessage) as caught:
        decode(NotificationRequest, data, max_fields=number - 1)
    assert str(caught.value) == (
        f"the request holds more than {number - 1} fields, those within others included"
    )


def test_the_go_services_tenant_id_is_accepted_and_ignored() -> None:
    decoded = decode(NotificationRequest, b"\x12\x03a@b\x3a\x06tenant")

    assert decoded.recipient == "a@b"
    assert encode(decoded) == b"\x12\x03a@b"


def test_of_a_field_that_comes_twice_the_last_one_counts() -> None:
    assert decode(NotificationRequest, b"\x12\x01a\x12\x01b").recipient == "b"


def test_varints_may_be_longer_than_they_need_to_be() -> None:
    assert decode(NotificationRequest, b"\x92\x00\x81\x80\x00a").recipient == "a"


@pytest.mark.parametrize(
    ("nanos", "microseconds"),
    [(0, 0), (1, 1), (999, 1), (1000, 1), (1001, 2), (999_999_000, 999_999), (999_999_001, 10**6)],
)
def test_a_moment_finer_than_a_microsecond_is_rounded_up(nanos: int, microseconds: int) -> None:
    inner = b"\x08\x01\x10" + write_varint(nanos)
    decoded = decode(NotificationRequest, b"\x2a" + write_varint(len(inner)) + inner)

    expected = datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)
    assert expected == decoded.scheduled_time


def test_a_moment_that_is_given_but_empty_is_1970_and_one_that_is_not_given_is_none() -> None:
    assert datetime(1970, 1, 1, tzinfo=UTC) == decode(NotificationRequest, b"\x2a\0").scheduled_time
    assert decode(NotificationRequest, b"").scheduled_time is None


def test_an_unknown_enum_value_is_kept_as_a_number() -> None:
    assert decode(NotificationResponse, b"\x30\x07").status == 7


def test_lists_are_not_shared_between_messages() -> None:
    decode(NotificationRequest, b"").attachments.append(EmailAttachment())

    assert decode(NotificationRequest, b"").attachments == []


def test_what_the_constructor_makes_is_encoded_too() -> None:
    attachment = EmailAttachment(filename="a.txt")
    request = NotificationRequest(recipient="ada@example.com", attachments=[attachment])

    assert bytes(request) == encode(request)


def test_messages_of_googles_runtime_pass_through_the_same_codec() -> None:
    codec = StrictCodec()
    encoded = codec.encode(GOOGLE_REQUEST(recipient="a"), GOOGLE_REQUEST)

    assert codec.decode(encoded, GOOGLE_REQUEST).recipient == "a"
    with pytest.raises(MalformedMessage):
        codec.decode(b"\x12\x05", GOOGLE_REQUEST)


def test_errors_hold_nothing_of_what_was_sent() -> None:
    with pytest.raises(MalformedMessage) as caught:
        decode(NotificationRequest, b"\x12\x0csecret\xff\xff\xff\xff\xff\xff")

    assert str(caught.value) == "recipient: must be valid UTF-8"
    assert "secret" not in repr(caught.value)
    assert caught.value.__context__ is None or caught.value.__suppress_context__


WITHOUT_RUST = """
import sys
sys.modules["betterproto_rust_codec"] = None
import betterproto
from pinguin_grpc.codec import decode, encode
from pinguin_grpc.wire.pinguin import NotificationRequest
assert "patch" not in betterproto.Message.parse.__name__
data = bytes.fromhex(sys.argv[1])
sys.stdout.write(encode(decode(NotificationRequest, data)).hex())
"""


def test_all_is_the_same_without_betterprotos_rust_codec() -> None:
    data = b"\x08\x01\x12\x10\xc3\xa4da@example.com\x2a\x04\x08\x01\x10\x01\x32\x03\x0a\x01a"
    here = encode(decode(NotificationRequest, data)).hex()

    command = [sys.executable, "-c", WITHOUT_RUST, data.hex()]
    there = subprocess.run(command, capture_output=True, check=True, timeout=20, text=True)

    assert here == there.stdout
