"""What is sent, and to whom."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeAlias

from pinguin_core.errors import InvalidValue
from pinguin_core.segments import count_segments
from pinguin_core.values import EmailAddress, PhoneNumber

MAX_SUBJECT: Final = 998
"""Characters in a subject: the length of one line of a message (RFC 5322 2.1.1)."""

MAX_SMS_TEXT: Final = 1600
"""Characters in the text of an SMS: the most that Twilio joins from segments
(https://www.twilio.com/docs/api/errors/21617)."""

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_SURROGATE = re.compile("[\ud800-\udfff]")


class Channel(Enum):
    """The ways by which a message can leave."""

    EMAIL = "email"
    SMS = "sms"


@dataclass(frozen=True, slots=True)
class Email:
    """A plain-text e-mail to one recipient.

    `subject` is one line of at most 998 characters without control characters; it may be empty.
    `body` holds something besides white space; its lines may end in CR, LF or both.

    Raises:
        InvalidValue: naming `subject` or `body`.
    """

    to: EmailAddress
    subject: str
    body: str

    def __post_init__(self) -> None:
        _check_subject(self.subject)
        _check_body(self.body)

    @property
    def channel(self) -> Channel:
        """`Channel.EMAIL`."""
        return Channel.EMAIL


@dataclass(frozen=True, slots=True)
class Sms:
    """A text message to one telephone.

    `body` has at most 1,600 characters and holds something besides white space. `subject` is kept
    and reported, because callers may give one, but an SMS has none: it is never sent.

    Raises:
        InvalidValue: naming `subject` or `body`.
    """

    to: PhoneNumber
    body: str
    subject: str = ""

    def __post_init__(self) -> None:
        _check_subject(self.subject)
        _check_body(self.body)
        if len(self.body) > MAX_SMS_TEXT:
            raise InvalidValue("body", f"must have at most {MAX_SMS_TEXT} characters in an SMS")

    @property
    def channel(self) -> Channel:
        """`Channel.SMS`."""
        return Channel.SMS

    @property
    def segments(self) -> int:
        """Of how many segments it consists; see `count_segments`."""
        return count_segments(self.body)


Message: TypeAlias = Email | Sms


def _check_subject(subject: str) -> None:
    if len(subject) > MAX_SUBJECT:
        raise InvalidValue("subject", f"must have at most {MAX_SUBJECT} characters")
    if not subject.isprintable() and _CONTROL.search(subject):
        raise InvalidValue("subject", "must be one line without control characters")


def _check_body(body: str) -> None:
    if not body or body.isspace():
        raise InvalidValue("body", "must not be empty")
    if "\0" in body or (not body.isascii() and _SURROGATE.search(body)):
        raise InvalidValue("body", "must not contain NUL characters or lone surrogates")
