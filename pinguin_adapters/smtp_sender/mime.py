"""Email → the bytes that travel after DATA: a pure function, safe for every valid `Email`.

The header block is written by hand: it holds exactly the fields below, each from a value that
cannot contain a line end, and it costs a tenth of what `email.message` takes. The bytes are ASCII,
but for addresses that are not (RFC 6532); every line ends in CRLF, and none is longer than 998
characters.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from datetime import datetime
from email.utils import format_datetime
from functools import lru_cache
from typing import Final

import idna

from pinguin_core.errors import InvalidValue
from pinguin_core.message import Email
from pinguin_core.values import EmailAddress, NotificationId

_MAX_FOLDED: Final = 76  # characters in a line with encoded-words (RFC 2047 2)
_MAX_LINE: Final = 998  # characters in any line (RFC 5322 2.1.1)
_WORD_BYTES: Final = 39  # as an encoded-word, these fill the first line after "Subject: "
_PLAIN_SUBJECT = re.compile(r"(?:[!-~]+(?: [!-~]+)*)?")
_PLAIN: Final = b"\t\r\n" + bytes(range(ord(" "), ord("~") + 1))
_NOT_ASCII: Final = bytes(range(128, 256))
_WITHIN_CHARACTER: Final = {bytes([byte]) for byte in range(0b1000_0000, 0b1100_0000)}  # UTF-8


def message_id(id: NotificationId, from_address: EmailAddress) -> str:
    """Return the Message-ID of a notification: the same at each attempt."""
    return f"<{id}@{ascii_domain(from_address.domain)}>"


def build(email: Email, *, from_address: EmailAddress, id: NotificationId, date: datetime) -> bytes:
    """Write an e-mail down as it is transmitted, except for the dots to be doubled in transit.

    Raises:
        InvalidValue: if a domain is not a valid internationalised name (RFC 5891).
    """
    encoding, body = _encode_body(email.body)
    header = (
        f"From: {wire_address(from_address)}\r\n"
        f"To: {wire_address(email.to)}\r\n"
        f"Subject: {_encode_subject(email.subject)}\r\n"
        f"Date: {format_datetime(date)}\r\n"
        f"Message-ID: {message_id(id, from_address)}\r\n"
        "MIME-Version: 1.0\r\n"
        'Content-Type: text/plain; charset="utf-8"\r\n'
        f"Content-Transfer-Encoding: {encoding}\r\n"
        "\r\n"
    )
    return header.encode() + body


def wire_address(address: EmailAddress) -> str:
    """Return an address as SMTP takes it: the domain in ASCII.

    What is before the `@` stays as it is; if that is not ASCII, SMTPUTF8 is needed (RFC 6531).

    Raises:
        InvalidValue: if the domain is not a valid internationalised name.
    """
    if address.value.isascii():
        return address.value
    local, _, domain = address.value.rpartition("@")
    return EmailAddress(f"{local}@{ascii_domain(domain)}").value


@lru_cache(maxsize=4096)
def ascii_domain(domain: str) -> str:
    """Return a domain name by its A-labels (IDNA 2008, RFC 5891).

    Raises:
        InvalidValue: if it has none.
    """
    if domain.isascii():
        return domain
    try:
        return idna.encode(domain, uts46=True, std3_rules=True).decode("ascii")
    except idna.IDNAError as error:
        raise InvalidValue(
            "email_address", "must have a valid internationalised domain name after the @"
        ) from error


def _encode_subject(subject: str) -> str:
    if not _PLAIN_SUBJECT.fullmatch(subject) or "=?" in subject:
        return _encoded_words(subject)
    if len(subject) <= _MAX_FOLDED - len("Subject: "):
        return subject
    return _fold(subject)


def _fold(subject: str) -> str:
    """Break a line before some of its single spaces; a reader joins it to the same text."""
    lines = [""]
    room = _MAX_FOLDED - len("Subject:")
    for word in subject.split(" "):
        if len(word) >= _MAX_FOLDED - len("Subject:"):
            return _encoded_words(subject)
        if len(lines[-1]) + 1 + len(word) > room:
            lines.append("")
            room = _MAX_FOLDED
        lines[-1] += " " + word
    return "\r\n".join(lines)[1:]


def _encoded_words(text: str) -> str:
    """Write a text as encoded-words, each with whole characters, one to a line (RFC 2047)."""
    words = (base64.b64encode(part).decode("ascii") for part in _parts(text.encode()))
    return "\r\n ".join(f"=?utf-8?b?{word}?=" for word in words)


def _parts(data: bytes) -> Iterator[bytes]:
    start = 0
    while start < len(data):
        end = start + _WORD_BYTES
        while data[end : end + 1] in _WITHIN_CHARACTER:
            end -= 1
        yield data[start:end]
        start = end


def _encode_body(body: str) -> tuple[str, bytes]:
    """Choose the simplest transfer encoding that is true of the body, and apply it."""
    data = _with_crlf(body).encode()
    if not data.translate(None, _PLAIN) and not _has_long_line(data):
        return "7bit", data
    others = len(data) - len(data.translate(None, _NOT_ASCII))
    if others * 6 > len(data):  # where quoted-printable grows longer than base64
        return "base64", base64.encodebytes(data).replace(b"\n", b"\r\n")
    return "quoted-printable", binascii.b2a_qp(data)


def _has_long_line(data: bytes) -> bool:
    """Tell whether a line, each of which ends in CRLF, is longer than may be.

    Where the next so many bytes hold ends of lines, the last of them is the one to go on from:
    there may be millions of short lines, and this takes a thousand steps for each million bytes.
    """
    start = 0
    while start < len(data):
        end = data.rfind(b"\r\n", start, start + _MAX_LINE + len(b"\r\n"))
        if end < 0:
            return True
        start = end + len(b"\r\n")
    return False


def _with_crlf(body: str) -> str:
    """End every line in CRLF, the last one too, whichever line ends the body has."""
    if "\r" in body:
        body = body.replace("\r\n", "\n").replace("\r", "\n")
    if not body.endswith("\n"):
        body += "\n"
    return body.replace("\n", "\r\n")
