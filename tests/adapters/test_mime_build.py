from __future__ import annotations

import email
import email.message
import email.policy
import re
import string
from datetime import UTC, datetime
from email.header import decode_header, make_header
from email.utils import getaddresses, parsedate_to_datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pinguin_adapters.smtp_sender import mime
from pinguin_core import Email, EmailAddress, InvalidValue, NotificationId
from pinguin_core.testing.fakes import NOON

FIELDS = [
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
]
FROM = EmailAddress("pinguin@mail.example.com")
TO = EmailAddress("ada@example.com")
ID = NotificationId("notif-1")

ATOM = string.ascii_letters + string.digits + "!#$%&'*+/=?^_`{|}~-"
ATOMS = (
    st.lists(st.text(ATOM, min_size=1, max_size=30), min_size=1, max_size=2)
    .map(".".join)
    .filter(lambda local: "?=" not in local)
)
ENCODED_WORDS = st.sampled_from(
    ["=?utf-8?q?a=2C_b=40c?=", "=?utf-8?b?QQ==?=", "=?us-ascii?q?=0D=0ABcc:_x?=", "=?", "?="]
)
LOCAL_PARTS = st.one_of(ATOMS, st.sampled_from(["=?", "?=", "=?utf-8?q?="]))
DOMAINS = st.sampled_from(
    [
        "example.com",
        "a.co",
        "bücher.example",
        "例え.テスト",
        "xn--bcher-kva.example",
        "BÜCHER.example",
    ]
)
ADDRESSES = st.builds("{}@{}".format, LOCAL_PARTS, DOMAINS).map(EmailAddress)
LINE = st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"])
SUBJECTS = st.one_of(
    st.text(LINE, max_size=998),
    st.text(string.ascii_letters + "  ", max_size=998),
    st.lists(st.one_of(ENCODED_WORDS, st.text(LINE, max_size=9)), max_size=20).map(" ".join),
)
BODIES = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=3000),
    st.lists(
        st.sampled_from(["\n", "\r", "\r\n", ".", "..", "a", " ", "\t", "é", "=", "a" * 999]),
        max_size=60,
    ).map("".join),
).filter(lambda body: bool(body) and not body.isspace())


def build(message: Email, from_address: EmailAddress = FROM) -> bytes:
    return mime.build(message, from_address=from_address, id=ID, date=NOON)


def modern(data: bytes) -> email.message.EmailMessage:
    return email.message_from_bytes(data, policy=email.policy.default)


def normalised(body: str) -> bytes:
    lines = re.split("\r\n|\r|\n", body)
    if lines[-1]:
        lines.append("")
    return "\r\n".join(lines).encode()


def decoded_body(message: email.message.Message) -> bytes:
    """The body as the bytes that a reader sees, its line ends those of the wire."""
    payload = message.get_payload(decode=True)
    assert isinstance(payload, bytes)
    return payload


@given(to=ADDRESSES, subject=SUBJECTS, body=BODIES)
@example(to=TO, subject="=?UTF-8?Q?x=0D=0ABcc:_a@b?=", body="Hello")
def test_any_email_arrives_as_it_was_written(to: EmailAddress, subject: str, body: str) -> None:
    data = build(Email(to, subject, body))
    ascii_to = mime.wire_address(to)

    parsed = modern(data)
    assert parsed.keys() == FIELDS
    assert not parsed.defects
    assert parsed["Subject"] == subject
    (only,) = parsed["To"].addresses
    assert (only.display_name, f"{only.username}@{only.domain}") == ("", ascii_to)

    old = email.message_from_bytes(data)
    assert old.keys() == FIELDS
    assert str(make_header(decode_header(old["Subject"]))) == subject
    assert getaddresses([old["To"]]) == [("", ascii_to)]
    assert decoded_body(old) == normalised(body)


@given(to=ADDRESSES, subject=SUBJECTS, body=BODIES)
def test_what_travels_is_ascii_in_short_lines(to: EmailAddress, subject: str, body: str) -> None:
    data = build(Email(to, subject, body))
    assert data.isascii()
    assert data.endswith(b"\r\n")
    assert b"\0" not in data
    lines = data.split(b"\r\n")
    assert not any(b"\r" in line or b"\n" in line for line in lines)
    assert max(map(len, lines)) <= 998


@given(subject=SUBJECTS)
def test_a_subject_is_folded_at_76(subject: str) -> None:
    data = build(Email(TO, subject, "Hello"))
    block = data[data.index(b"Subject:") : data.index(b"\r\nDate:")]
    lines = block.split(b"\r\n")
    assert max(map(len, lines)) <= 76
    assert all(line.startswith(b" ") and line.strip() for line in lines[1:])


@given(body=BODIES)
def test_the_transfer_encoding_is_true(body: str) -> None:
    data = build(Email(TO, "Hi", body))
    encoding = modern(data)["Content-Transfer-Encoding"]
    lines = data.partition(b"\r\n\r\n")[2].split(b"\r\n")
    assert encoding in {"7bit", "quoted-printable", "base64"}
    assert max(map(len, lines)) <= (998 if encoding == "7bit" else 76)


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        ("Hello", "7bit"),
        ("a" * 998, "7bit"),
        ("a" * 999, "quoted-printable"),
        ("a\n" * 3000 + "a" * 998 + "\n" + "a" * 998, "7bit"),
        ("a\n" * 3000 + "a" * 999 + "\n" + "a" * 998, "quoted-printable"),
        ("Short\n" + "a" * 999 + "\nshort", "quoted-printable"),
        ("The café is open.", "quoted-printable"),
        ("\x1b[2J wipes a terminal", "quoted-printable"),
        ("こんにちは", "base64"),
    ],
)
def test_the_simplest_encoding_is_chosen(body: str, encoding: str) -> None:
    parsed = modern(build(Email(TO, "Hi", body)))
    assert parsed["Content-Transfer-Encoding"] == encoding


def test_an_ordinary_message_is_plain_to_read() -> None:
    expected = (
        "From: pinguin@mail.example.com\r\n"
        "To: ada@example.com\r\n"
        "Subject: Your order\r\n"
        "Date: Tue, 01 Jan 2030 12:00:00 +0000\r\n"
        "Message-ID: <notif-1@mail.example.com>\r\n"
        "MIME-Version: 1.0\r\n"
        'Content-Type: text/plain; charset="utf-8"\r\n'
        "Content-Transfer-Encoding: 7bit\r\n"
        "\r\n"
        "Hello\r\n"
    )
    assert build(Email(TO, "Your order", "Hello")).decode() == expected


def test_a_long_plain_subject_is_folded_at_spaces() -> None:
    data = build(Email(TO, "word " * 30 + "end", "Hello"))
    assert b"=?" not in data
    assert b"word\r\n word" in data


def test_international_domains_travel_in_ascii() -> None:
    message = Email(EmailAddress("ada@bücher.example"), "Hi", "Hello")
    data = build(message, EmailAddress("post@straße.example"))
    assert b"To: ada@xn--bcher-kva.example\r\n" in data
    assert b"From: post@xn--strae-oqa.example\r\n" in data
    assert b"Message-ID: <notif-1@xn--strae-oqa.example>\r\n" in data


def test_what_stands_before_the_at_stays_as_it_is() -> None:
    """In UTF-8 (RFC 6532); the rest of the message is ASCII all the same."""
    data = build(Email(EmailAddress("zoë@bücher.example"), "Grüße", "Schön"))
    assert "To: zoë@xn--bcher-kva.example\r\n".encode() in data
    assert data.replace("zoë".encode(), b"").isascii()


@pytest.mark.parametrize("domain", ["a\u0301\u0301.例え\u0640", "①⑴.example", "\u0301a.example"])
def test_a_domain_that_has_no_ascii_form_is_refused(domain: str) -> None:
    with pytest.raises(InvalidValue, match="valid internationalised domain"):
        mime.wire_address(EmailAddress(f"ada@{domain}"))


def test_the_date_is_the_one_given() -> None:
    date = datetime(2031, 2, 3, 4, 5, 6, 789, tzinfo=UTC)
    data = mime.build(Email(TO, "Hi", "Hello"), from_address=FROM, id=ID, date=date)
    assert parsedate_to_datetime(modern(data)["Date"]) == date.replace(microsecond=0)
