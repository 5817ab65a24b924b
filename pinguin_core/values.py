"""Values that are valid by construction: whoever holds one need not check it again."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from pinguin_core.errors import InvalidValue

MAX_ADDRESS: Final = 254
"""Characters in an e-mail address (RFC 5321 4.5.3.1.3, less the angle brackets); before the `@`
bytes of UTF-8 count."""

MAX_LOCAL_PART: Final = 64
"""Bytes before the `@` of an e-mail address (RFC 5321 4.5.3.1.1); in UTF-8, if it is not ASCII."""

MAX_IDEMPOTENCY_KEY: Final = 255
"""Characters in an idempotency key."""

_MAX_LABEL: Final = 63  # RFC 1035 2.3.4
_NOTIFICATION_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_IDEMPOTENCY_KEY = re.compile(r"[!-~]+")
_E164 = re.compile(r"\+[1-9][0-9]{1,14}")
_DOT_ATOM = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_ENCODED_WORD = re.compile(r"=\?.+\?.+\?.*\?=")  # RFC 2047 2
_NOT_PLAIN: Final = (
    "must be one plain e-mail address, as in ada@example.com: "
    "before the @ only letters, digits, single inner dots and !#$%&'*+/=?^_`{|}~-"
)
_HOST_NAME = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+"
    r"(?![0-9]+\Z)[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
)


@dataclass(frozen=True, slots=True, order=True)
class NotificationId:
    """The name of one notification: 1 to 64 letters, digits, `-` and `_` of ASCII.

    Raises:
        InvalidValue: for anything else.
    """

    value: str

    def __post_init__(self) -> None:
        if not _NOTIFICATION_ID.fullmatch(self.value):
            raise InvalidValue(
                "notification_id", "must be 1 to 64 letters, digits, '-' or '_', as in notif-…"
            )

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """A caller's own name for a request, by which it can be made again without harm.

    1 to 255 visible ASCII characters without spaces, so that it also travels as gRPC metadata;
    a random UUID is a good one.

    Raises:
        InvalidValue: for anything else; the field is `idempotency_key`.
    """

    value: str

    def __post_init__(self) -> None:
        if len(self.value) > MAX_IDEMPOTENCY_KEY:
            problem = f"must have at most {MAX_IDEMPOTENCY_KEY} characters"
            raise InvalidValue("idempotency_key", problem)
        if not _IDEMPOTENCY_KEY.fullmatch(self.value):
            problem = "must be visible ASCII characters without spaces, as in a random UUID"
            raise InvalidValue("idempotency_key", problem)

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class EmailAddress:
    """Exactly one e-mail address, without a display name: `local-part@domain`.

    The local part is a dot-atom of at most 64 bytes (RFC 5322 3.2.3), in which letters and digits
    of all scripts may stand, in normal form C (RFC 6532 3.1), but no encoded-word (RFC 2047); the
    domain is a host name of at least two labels, which may be internationalised (RFC 5890); the
    whole has at most 254 characters.

    Raises:
        InvalidValue: for anything else; the field is `email_address`.
    """

    value: str

    def __post_init__(self) -> None:
        _check_address(self.value)

    @property
    def domain(self) -> str:
        """What stands after the `@`, as it was written."""
        return self.value.rpartition("@")[2]

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class PhoneNumber:
    """A telephone number in E.164 form: `+`, then 2 to 15 ASCII digits of which the first is not 0.

    Raises:
        InvalidValue: for anything else; the field is `phone_number`.
    """

    value: str

    def __post_init__(self) -> None:
        if not self.value:
            raise InvalidValue("phone_number", "must not be empty")
        if not _E164.fullmatch(self.value):
            raise InvalidValue(
                "phone_number",
                "must be a number in E.164 form: '+', country code and digits, as in +15550100123",
            )

    def __str__(self) -> str:
        return self.value


def require_aware(moment: datetime, field: str) -> datetime:
    """Return the moment in UTC.

    Raises:
        InvalidValue: for a datetime without a zone, whose moment nobody can know, and for one
            that leaves the years 1 to 9999 when it is expressed in UTC.
    """
    if moment.tzinfo is None or moment.utcoffset() is None:
        raise InvalidValue(field, "must be timezone-aware, as in datetime.now(UTC)")
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise InvalidValue(field, "must be in the years 1 to 9999 of UTC") from error


def _check_address(address: str) -> None:
    field = "email_address"
    if not address:
        raise InvalidValue(field, "must not be empty")
    if len(address) > MAX_ADDRESS:
        raise InvalidValue(field, f"must have at most {MAX_ADDRESS} characters")
    local, at, domain = address.rpartition("@")
    if not at:
        raise InvalidValue(field, "must be one e-mail address, as in ada@example.com")
    if len(local) > MAX_LOCAL_PART:
        raise InvalidValue(field, f"must have at most {MAX_LOCAL_PART} characters before the @")
    if not _DOT_ATOM.fullmatch(local if local.isascii() else _with_ascii_letters(local)):
        raise InvalidValue(field, _NOT_PLAIN)
    if not local.isascii():
        _check_international_local_part(local, domain, field)
    if "=?" in local and _ENCODED_WORD.search(local):
        raise InvalidValue(field, "must not contain an encoded-word, as in =?utf-8?q?ada?=")
    if not _is_domain(domain):
        raise InvalidValue(field, "must have a full domain name after the @, as in ada@example.com")


def _check_international_local_part(local: str, domain: str, field: str) -> None:
    if len(local.encode()) > MAX_LOCAL_PART:
        raise InvalidValue(field, f"must have at most {MAX_LOCAL_PART} bytes before the @")
    if len(f"{local}@".encode()) + len(domain) > MAX_ADDRESS:
        raise InvalidValue(field, f"must have at most {MAX_ADDRESS} bytes")
    if not unicodedata.is_normalized("NFC", local):
        raise InvalidValue(field, "must be in Unicode's normal form C before the @")


def _with_ascii_letters(text: str) -> str:
    """Put an ASCII letter for each letter, mark and digit of another script."""
    return "".join("x" if _is_of_a_word(char) and not char.isascii() else char for char in text)


def _is_of_a_word(char: str) -> bool:
    return unicodedata.category(char)[0] in "LMN"


def _is_domain(domain: str) -> bool:
    if domain.isascii():
        return _HOST_NAME.fullmatch(domain) is not None
    labels = domain.split(".")
    return len(labels) > 1 and all(map(_is_international_label, labels))


def _is_international_label(label: str) -> bool:
    """Tell whether a label can be one of an internationalised name (a first sieve of RFC 5892)."""
    return (
        0 < len(label) <= _MAX_LABEL
        and not label.startswith("-")
        and not label.endswith("-")
        and all(char == "-" or _is_of_a_word(char) for char in label)
    )
