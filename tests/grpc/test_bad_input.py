"""Every bad input gets its status and names its field, and leaves nothing behind."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from grpclib.const import Status
from support.grpc_serving import TOKEN, CountingRepository, run, serving
from support.raw_http2 import AUTHORISED, GET, SEND, Answer, framed, raw_connection

from pinguin_grpc.codec import encode, make
from pinguin_grpc.wire.pinguin import (
    EmailAttachment,
    GetNotificationStatusRequest,
    NotificationRequest,
    NotificationType,
)
from pinguin_grpc.wire_format import write_varint

EMAIL, SMS = NotificationType.EMAIL, NotificationType.SMS
INVALID = Status.INVALID_ARGUMENT
HEALTH = "/grpc.health.v1.Health/Check"
REFLECTION = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
SMALL = 32 * 1024
"""The largest message of these servers, in bytes."""
MANY = 1000
"""As many fields as a request may have in all; those of a good one come in addition."""


@dataclass(frozen=True)
class Row:
    """One bad input: what is sent, and what must come back."""

    name: str
    body: bytes
    status: Status = INVALID
    fields: tuple[str, ...] = ()
    path: str = SEND
    headers: Iterable[tuple[str, str]] = AUTHORISED
    changes: Mapping[str, str] = field(default_factory=dict)


def request(**values: object) -> bytes:
    """Return a framed e-mail request; it is a good one but for what is given."""
    good = {"recipient": "ada@example.com", "subject": "Hello", "message": "Good news"}
    return framed(encode(make(NotificationRequest, **{**good, **values})))


def with_keys(*keys: str) -> list[tuple[str, str]]:
    return [*AUTHORISED, *(("idempotency-key", key) for key in keys)]


def sms(**values: object) -> bytes:
    good = {"notification_type": SMS, "recipient": "+15550100123", "subject": ""}
    return request(**{**good, **values})


def raw(message: bytes, **values: object) -> bytes:
    """Return a request that is good but for what is appended to its bytes."""
    return framed(request(**values)[5:] + message)


def field_of(number: int, value: bytes, wire_type: int = 2) -> bytes:
    return bytes([number << 3 | wire_type, len(value)]) + value


def nested(tag: bytes, fields: bytes) -> bytes:
    return tag + write_varint(len(fields)) + fields


def timestamp(inner: bytes) -> bytes:
    return raw(field_of(5, inner))


def status_request(notification_id: str) -> bytes:
    return framed(encode(make(GetNotificationStatusRequest, notification_id=notification_id)))


def seconds(number: int) -> bytes:
    return b"\x08" + write_varint(number)


def nanos(number: int) -> bytes:
    return b"\x10" + write_varint(number)


FIRST_SECOND = int(datetime(1, 1, 1, tzinfo=UTC).timestamp())
LAST_SECOND = int(datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp())

EMAIL_RECIPIENTS = {
    "empty": "",
    "blank": " ",
    "no at sign": "ada",
    "no domain": "ada@",
    "no local part": "@example.com",
    "one label": "ada@example",
    "two at signs": "ada@@example.com",
    "empty label": "ada@example..com",
    "label begins with a hyphen": "ada@-example.com",
    "label ends with a hyphen": "ada@example-.com",
    "final dot": "ada@example.com.",
    "two addresses": "ada@example.com,bob@example.com",
    "two addresses with a semicolon": "ada@example.com;bob@example.com",
    "display name": "Ada <ada@example.com>",
    "angle brackets": "<ada@example.com>",
    "trailing newline": "ada@example.com\n",
    "a header injected": "ada@example.com\r\nBcc: eve@example.org",
    "space in the domain": "ada@exa mple.com",
    "space in the local part": "ada lovelace@example.com",
    "leading space": " ada@example.com",
    "leading dot": ".ada@example.com",
    "trailing dot in the local part": "ada.@example.com",
    "two dots in the local part": "ada..l@example.com",
    "quoted local part": '"ada"@example.com',
    "address literal": "ada@[192.0.2.1]",
    "numeric address": "ada@192.0.2.1",
    "local part in pieces": "a\u0308da@example.com",
    "local part with a penguin": "ada\N{PENGUIN}@example.com",
    "local part of 65": "a" * 65 + "@example.com",
    "255 characters": "a@" + ".".join(["a" * 49] * 5) + ".com",
    "label of 64": "ada@" + "a" * 64 + ".com",
    "NUL": "ada@example.com\0",
    "zero width space": "ada@exam\u200bple.com",
    "a comment": "ada(comment)@example.com",
    "percent and bang route": "@relay.example:ada@example.com",
    "snowman domain": "ada@☃.example",
    "combining mark first": "ada@\u0301bc.example",
    "mixed directions": "ada@aא1b.example",
    "a telephone number": "+15550100123",
    "a number for the last label": "ada@bücher.123",
    "too long in ASCII": "a" * 64 + "@" + ("ä" + "a" * 28 + ".") * 6 + "example",
}

SMS_RECIPIENTS = {
    "empty": "",
    "no plus": "15550100123",
    "spaces": "+1 555 010 0123",
    "hyphens": "+1-555-010-0123",
    "leading zero": "+05550100123",
    "one digit": "+1",
    "16 digits": "+1" + "5" * 15,
    "letters": "+1555010012a",
    "full-width digits": "+１５５５０１００１２３",  # noqa: RUF001 (the point)
    "Arabic digits": "+٤٩١٥٥٥٠١٠٠",
    "a channel before it": "whatsapp:+15550100123",
    "a scheme before it": "tel:+15550100123",
    "trailing newline": "+15550100123\n",
    "two plus signs": "++15550100123",
    "two numbers": "+15550100123,+15550100124",
    "an e-mail address": "ada@example.com",
}

SUBJECTS = {
    "newline": "a\nb",
    "carriage return": "a\rBcc: eve@example.org",
    "NUL": "a\0b",
    "tab": "a\tb",
    "delete": "a\x7fb",
    "next line": "a\x85b",
    "line separator": "a\u2028b",
    "paragraph separator": "a\u2029b",
    "999 characters": "a" * 999,
}

MESSAGES = {"empty": "", "blank": "   ", "only newlines": "\r\n\n", "NUL": "a\0b"}

KEYS = {"space": "two words", "not ASCII": "clé", "delete": "a\x7fb", "256 characters": "k" * 256}

NOT_YET = {
    "attachments": [make(EmailAttachment, filename="a.txt")],
    "html_message": "<p>",
    "reply_to": "bob@example.com",
    "priority": 1,
}

FIELD_ROWS = [
    *(
        Row(f"e-mail to: {name}", request(recipient=value), fields=("recipient",))
        for name, value in EMAIL_RECIPIENTS.items()
    ),
    *(
        Row(f"SMS to: {name}", sms(recipient=value), fields=("recipient",))
        for name, value in SMS_RECIPIENTS.items()
    ),
    *(
        Row(f"subject: {name}", request(subject=value), fields=("subject",))
        for name, value in SUBJECTS.items()
    ),
    *(
        Row(f"message: {name}", request(message=value), fields=("message",))
        for name, value in MESSAGES.items()
    ),
    *(
        Row(f"SMS message: {name}", sms(message=value), fields=("message",))
        for name, value in {**MESSAGES, "1,601 characters": "a" * 1601}.items()
    ),
    *(
        Row(f"not yet: {name}", request(**{name: value}), fields=(name,))
        for name, value in NOT_YET.items()
    ),
    *(
        Row(f"key: {name}", request(idempotency_key=value), fields=("idempotency_key",))
        for name, value in KEYS.items()
    ),
    *(
        Row(f"key in metadata: {name}", request(), fields=("idempotency-key",),
            headers=with_keys(value))
        for name, value in KEYS.items()
    ),
    Row("key: twice in metadata", request(), fields=("idempotency-key",),
        headers=with_keys("k", "k")),
    Row("key: another in metadata", request(idempotency_key="k"), fields=("idempotency_key",),
        headers=with_keys("l")),
    Row("key: an SMS with a bad one", sms(idempotency_key="ä"), fields=("idempotency_key",)),
    Row("not yet: expires_at", raw(b"\x9a\x01\x02\x08\x01"), fields=("expires_at",)),
    Row("SMS subject with a newline", sms(subject="a\nb"), fields=("subject",)),
    Row("type 2", request(notification_type=2), fields=("notification_type",)),
    Row("type -1", request(notification_type=-1), fields=("notification_type",)),
    Row("everything empty", framed(b""), fields=("recipient", "message")),
    Row(
        "everything wrong",
        request(recipient="ada", subject="a\nb", message=" ", reply_to="bob@example.com"),
        fields=("recipient", "subject", "message", "idempotency-key", "reply_to"),
        headers=with_keys("two words"),
    ),
]  # fmt: skip

TIMESTAMP_ROWS = [
    Row(f"scheduled_time: {name}", timestamp(inner), fields=("scheduled_time",))
    for name, inner in {
        "a second too late": seconds(LAST_SECOND + 1),
        "far too late": seconds(2**63 - 1),
        "a second too early": seconds(FIRST_SECOND - 1),
        "far too early": seconds(-(2**63)),
        "rounded up past the last year": seconds(LAST_SECOND) + nanos(999_999_001),
        "negative nanos": nanos(-1),
        "a whole second of nanos": nanos(1_000_000_000),
        "seconds of wrong type": b"\x0a\x01a",
        "nanos of wrong type": b"\x15\x00\x00\x00\x00",
        "truncated": b"\x08\x80",
        "a number of 11 bytes": b"\x08" + b"\x80" * 10 + b"\x01",
        "a group": b"\x1b\x1c",
        "garbage": b"\xff\xff\xff",
    }.items()
]

BYTES_ROWS = [
    *(
        Row(f"bytes: {name}", framed(body), fields=fields)
        for name, body, fields in (
            ("truncated text", b"\x12\x20ada", ("recipient",)),
            ("recipient not UTF-8", b"\x12\x02\xff\xfe", ("recipient",)),
            ("recipient with a surrogate", b"\x12\x03\xed\xa0\x80", ("recipient",)),
            ("subject not UTF-8", b"\x1a\x01\x80", ("subject",)),
            ("message with an overlong slash", b"\x22\x02\xc0\xaf", ("message",)),
            ("recipient a number", b"\x10\x01", ("recipient",)),
            ("recipient of fixed width", b"\x15\x01\x02\x03\x04", ("recipient",)),
            ("type a text", b"\x0a\x01a", ("notification_type",)),
            ("type beyond 32 bits", b"\x08\xff\xff\xff\xff\x7f", ("notification_type",)),
            ("type of 11 bytes", b"\x08" + b"\x80" * 10 + b"\x01", ("notification_type",)),
            ("type beyond 64 bits", b"\x08" + b"\xff" * 9 + b"\x7f", ("notification_type",)),
            ("type cut off", b"\x08", ("notification_type",)),
            ("priority beyond 32 bits", b"\xa0\x01\x80\x80\x80\x80\x10", ("priority",)),
            ("attachment truncated", b"\x32\x02\x0a\x05", ("attachments.filename",)),
            ("attachment not UTF-8", b"\x32\x03\x0a\x01\xff", ("attachments.filename",)),
            ("time twice", b"\x2a\x02\x08\x01\x2a\x02\x10\x01", ("scheduled_time",)),
            ("group begins", b"\x3b\x3c", ()),
            ("group ends", b"\x3c", ()),
            ("field 0", b"\x00\x00", ()),
            ("field number too large", b"\xf8\xff\xff\xff\xff\x01\x00", ()),
            ("wire type 6", b"\x3e\x00", ()),
            ("wire type 7", b"\x3f\x00", ()),
            ("unknown text cut off", b"\x3a\x05a", ()),
            ("unknown 32 bits cut off", b"\x3d\x00", ()),
            ("unknown 64 bits cut off", b"\x39\x00", ()),
            ("unknown number cut off", b"\x38\x80", ()),
            ("a length beyond all bounds", b"\x3a" + b"\xff" * 9 + b"\x01", ()),
            ("tag cut off", b"\x80", ()),
            ("JSON", b'{"recipient": "ada@example.com"}', ()),
            ("noise", bytes(range(200, 256)), ()),
        )
    ),
    Row("bytes: a good request, then a tag", raw(b"\x12"), fields=("recipient",)),
    Row(
        "bytes: a group where the id should be",
        framed(b"\x0b\x0c"),
        path=GET,
        fields=("notification_id",),
    ),
    Row("bytes: id not UTF-8", framed(b"\x0a\x01\xff"), path=GET, fields=("notification_id",)),
    *(
        Row(f"bytes: too many fields, {name}", raw(fields))
        for name, fields in {
            "unknown": b"\x60\x00" * MANY,
            "the same one": b"\x08\x00" * MANY,
            "empty attachments": b"\x32\x00" * MANY,
            "in an attachment": nested(b"\x32", b"\x60\x00" * MANY),
            "in many attachments": nested(b"\x32", b"\x0a\x00" * 9) * (MANY // 10),
            "in the time": nested(b"\x2a", b"\x08\x00" * MANY),
        }.items()
    ),
    Row("bytes: too many fields for a status", framed(b"\x60\x00" * 1001), path=GET),
    Row("bytes: health request", framed(b"\x0a\x05a"), path=HEALTH),
    Row("bytes: reflection request", framed(b"\x0a\x05a"), path=REFLECTION),
]

GOOD = request()
GZIP = {"grpc-encoding": "gzip"}
BOMB = gzip.compress(b"\0" * (SMALL + 1))
LARGE = Status.RESOURCE_EXHAUSTED

FRAME_ROWS = [
    Row("body: nothing", b""),
    Row("body: half a prefix", b"\0\0\0"),
    Row("body: a prefix and nothing", framed(b"", length=4)),
    Row("body: cut off", framed(GOOD[5:], length=len(GOOD))),
    Row("body: two messages", GOOD + GOOD),
    Row("body: a byte too many", GOOD + b"\0"),
    Row("body: flag 2", framed(GOOD[5:], flag=2)),
    Row("body: nothing, for health", b"", path=HEALTH),
    Row("body: half a prefix, for reflection", b"\0\0", path=REFLECTION),
    Row("body: 1 byte too large", framed(b"\0" * (SMALL + 1)), LARGE),
    Row("body: 4 GiB announced", framed(b"", length=2**32 - 1), LARGE),
    Row("body: too large for health", framed(b"\0" * (SMALL + 1)), LARGE, path=HEALTH),
    Row("gzip: not said", framed(gzip.compress(GOOD[5:]), flag=1), Status.UNIMPLEMENTED),
    Row("gzip: said to be snappy", framed(b"a", flag=1), Status.UNIMPLEMENTED,
        changes={"grpc-encoding": "snappy"}),
    Row("gzip: is none", framed(b"none", flag=1), changes=GZIP),
    Row("gzip: cut off", framed(gzip.compress(GOOD[5:])[:-3], flag=1), changes=GZIP),
    Row("gzip: with more behind", framed(gzip.compress(GOOD[5:]) + b"a", flag=1), changes=GZIP),
    Row("gzip: empty", framed(b"", flag=1), changes=GZIP),
    Row("gzip: a bomb", framed(BOMB, flag=1), LARGE, changes=GZIP),
    Row("gzip: bad inside", framed(gzip.compress(b"\x12\x02\xff\xfe"), flag=1), changes=GZIP,
        fields=("recipient",)),
]  # fmt: skip

NOBODY = Status.UNAUTHENTICATED
TOKEN_ROWS = [
    *(
        Row(f"token: {name}", GOOD, NOBODY, headers=[("authorization", value) for value in values])
        for name, values in {
            "missing": [],
            "empty": [""],
            "scheme only": ["Bearer"],
            "scheme and space": ["Bearer "],
            "no scheme": [TOKEN],
            "wrong": ["Bearer wrong"],
            "basic": [f"Basic {TOKEN}"],
            "cut off": [f"Bearer {TOKEN[:-1]}"],
            "one more character": [f"Bearer {TOKEN}x"],
            "upper case": [f"Bearer {TOKEN.upper()}"],
            "twice": [f"Bearer {TOKEN}"] * 2,
            "right, then wrong": [f"Bearer {TOKEN}", "Bearer wrong"],
            "joined by a comma": [f"Bearer {TOKEN}, Bearer {TOKEN}"],
            "tab for a space": [f"Bearer\t{TOKEN}"],
            "not ASCII": ["Bearer tokén"],
        }.items()
    ),
    Row("token: missing, for a status", status_request("notif-1"), NOBODY, path=GET, headers=[]),
    Row("token: missing, for health", framed(b""), NOBODY, path=HEALTH, headers=[]),
    Row("token: missing, for reflection", framed(b""), NOBODY, path=REFLECTION, headers=[]),
    Row("token: missing, for no method", GOOD, NOBODY, path="/a/b", headers=[]),
    Row("token: missing, and a bad body", b"\xff\xff", NOBODY, headers=[]),
    Row("token: missing, and too large", framed(b"", length=2**31), NOBODY, headers=[]),
]

ID_ROWS = [
    *(
        Row(f"id: {name}", status_request(value), path=GET, fields=("notification_id",))
        for name, value in {
            "empty": "",
            "blank": " ",
            "space": "notif 1",
            "65 characters": "x" * 65,
            "not ASCII": "notif-ä",
            "newline": "notif-1\n",
            "path": "../notif-1",
            "quote": "notif-1' OR '1'='1",
            "NUL": "notif-1\0",
            "percent": "notif-%",
        }.items()
    ),
    Row("id: unknown", status_request("notif-404"), Status.NOT_FOUND, path=GET),
]

LATE = Status.DEADLINE_EXCEEDED
CALL_ROWS = [
    *(
        Row(f"deadline: {value!r}", GOOD, status, fields, changes={"grpc-timeout": value})
        for value, status, fields in (
            ("0S", LATE, ()),
            ("0n", LATE, ()),
            ("1n", LATE, ()),
            ("1", INVALID, ("grpc-timeout",)),
            ("1s", INVALID, ("grpc-timeout",)),
            ("-1S", INVALID, ("grpc-timeout",)),
            ("1.5S", INVALID, ("grpc-timeout",)),
            ("123456789S", INVALID, ("grpc-timeout",)),
            ("S", INVALID, ("grpc-timeout",)),
        )
    ),
    *(
        Row(f"no such call: {path}", GOOD, Status.UNIMPLEMENTED, path=path)
        for path in (
            "/pinguin.NotificationService/CancelNotification",
            "/pinguin.NotificationService/sendNotification",
            "/pinguin.NotificationService/",
            "/SendNotification",
            "/",
            "nonsense",
        )
    ),
]

ROWS = [
    *FIELD_ROWS,
    *TIMESTAMP_ROWS,
    *BYTES_ROWS,
    *FRAME_ROWS,
    *TOKEN_ROWS,
    *ID_ROWS,
    *CALL_ROWS,
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_bad_input_is_refused_by_name_and_leaves_nothing_behind(row: Row) -> None:
    repository = CountingRepository()

    async def call() -> tuple[Answer, Answer, list[tuple[str, Exception]]]:
        async with (
            serving(repository, max_message_bytes=SMALL) as service,
            raw_connection(service.port) as connection,
        ):
            answer = await connection.call(row.path, row.body, row.headers, row.changes)
            health = await connection.call(HEALTH, framed(b""))
            return answer, health, service.observer.troubles

    answer, next_answer, troubles = run(call())

    assert (row.status, list(row.fields)) == (answer.status, answer.fields)
    assert answer.text
    assert all(name in answer.text for name in row.fields)
    assert Status.OK is next_answer.status, "the connection serves on"
    assert repository.rows == 0
    assert troubles == []


def test_the_good_request_of_this_table_is_good() -> None:
    repository = CountingRepository()

    async def call() -> list[Status | None]:
        async with serving(repository) as service, raw_connection(service.port) as connection:
            bodies = (GOOD, sms(), framed(gzip.compress(GOOD[5:]), flag=1))
            answers = [await connection.call(SEND, body, changes=GZIP) for body in bodies]
            return [answer.status for answer in answers]

    assert run(call()) == [Status.OK] * 3
    assert repository.rows == 3


def test_the_table_is_long_enough_to_mean_something() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS) >= 150
