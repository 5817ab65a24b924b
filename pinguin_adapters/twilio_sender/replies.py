"""Which reply of Twilio means what: one table, and the errors that follow from it.

The codes are explained at https://www.twilio.com/docs/api/errors.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import Enum, auto
from functools import cached_property
from typing import Final

from pinguin_core.errors import DeliveryError, PermanentDeliveryError, TransientDeliveryError
from pinguin_core.masking import scrub

LONGEST_WAIT: Final = timedelta(days=1)
"""The longest that Twilio may make us wait, whatever it says."""

_SID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SECONDS = re.compile(r"[0-9]{1,9}")


class Verdict(Enum):
    """What a reply means for the attempt."""

    SENT = auto()
    RETRY = auto()
    """It was not processed."""
    FAIL = auto()
    CONFIGURATION = auto()
    """Twilio objects to us, not to the message: an operator must act, then it can be sent."""
    IN_DOUBT = auto()
    """It may have been processed all the same."""


VERDICTS: Final[Mapping[str, Verdict]] = {
    "2": Verdict.SENT,
    "3": Verdict.CONFIGURATION,  # we follow no redirects
    "4": Verdict.FAIL,
    "5": Verdict.IN_DOUBT,
    "401": Verdict.CONFIGURATION,
    "403": Verdict.CONFIGURATION,
    "404": Verdict.CONFIGURATION,
    "405": Verdict.CONFIGURATION,
    "407": Verdict.CONFIGURATION,
    "408": Verdict.RETRY,
    "429": Verdict.RETRY,
    "20003": Verdict.CONFIGURATION,  # authentication
    "20404": Verdict.CONFIGURATION,  # no such account
    "20429": Verdict.RETRY,  # too many requests
    "21211": Verdict.FAIL,  # invalid recipient
    "21212": Verdict.CONFIGURATION,  # invalid sender
    "21408": Verdict.FAIL,  # region not permitted
    "21606": Verdict.CONFIGURATION,  # the sender is not ours, or cannot send SMS
    "21608": Verdict.CONFIGURATION,  # trial account, recipient not verified
    "21610": Verdict.FAIL,  # the recipient unsubscribed
    "21612": Verdict.FAIL,  # no route to the recipient
    "21614": Verdict.FAIL,  # not a mobile number
    "21617": Verdict.FAIL,  # text too long
}
"""Verdicts by Twilio's error code, by HTTP status, or by its first digit: the first that is there
counts. None there: it is in doubt."""


@dataclass(frozen=True)
class Reply:
    """What Twilio answered.

    Attributes:
        status: the HTTP status.
        body: the body as it came, or the beginning of it.
        retry_after: the header of this name.
    """

    status: int
    body: bytes
    retry_after: str | None = None

    @property
    def sid(self) -> str | None:
        """The name that Twilio gave the message, if it can be read."""
        sid = self._fields.get("sid")
        return sid if isinstance(sid, str) and _SID.fullmatch(sid) else None

    @property
    def code(self) -> int | None:
        """Twilio's own code for what is wrong, if it can be read."""
        code = self._fields.get("code")
        return code if type(code) is int else None

    @property
    def message(self) -> str:
        """What is wrong, in Twilio's words; empty if they cannot be read."""
        message = self._fields.get("message")
        return message if isinstance(message, str) else ""

    @cached_property
    def _fields(self) -> dict[str, object]:
        try:
            fields = json.loads(self.body)
        except (ValueError, RecursionError):
            return {}
        return fields if isinstance(fields, dict) else {}


def judge(reply: Reply) -> Verdict:
    """Look a reply up in the table."""
    status = str(reply.status)
    keys = [str(reply.code), status, status[0]] if status[0] == "4" else [status, status[0]]
    return next((VERDICTS[key] for key in keys if key in VERDICTS), Verdict.IN_DOUBT)


def refusal(reply: Reply, now: datetime, hide: Iterable[str] = ()) -> DeliveryError:
    """Return the error that a reply other than the hoped-for amounts to.

    What is in `hide` is not repeated, should Twilio repeat it.
    """
    reason = _describe(reply, hide)
    wait = wait_from(reply.retry_after, now)
    match judge(reply):
        case Verdict.FAIL:
            return PermanentDeliveryError(reason)
        case Verdict.RETRY:
            return TransientDeliveryError(reason, retry_after=wait)
        case Verdict.CONFIGURATION:
            return TransientDeliveryError(f"{reason} (check the account's configuration)")
        case Verdict.SENT:
            reason = f"{reason}, without the message's SID"
    return TransientDeliveryError(reason, retry_after=wait, ambiguous=True)


def wait_from(retry_after: str | None, now: datetime) -> timedelta | None:
    """Read a Retry-After header, a number of seconds or a date (RFC 9110 10.2.3).

    Returns:
        The time to wait, from none to `LONGEST_WAIT`; or None without a header that says one.
    """
    if retry_after is None:
        return None
    if _SECONDS.fullmatch(retry_after):
        wait = timedelta(seconds=int(retry_after))
    else:
        try:
            until = parsedate_to_datetime(retry_after)
            wait = (until if until.tzinfo else until.replace(tzinfo=UTC)) - now
        except (ValueError, OverflowError):
            return None
    return min(max(wait, timedelta(0)), LONGEST_WAIT)


def _describe(reply: Reply, hide: Iterable[str]) -> str:
    code = "" if reply.code is None else f", error {reply.code}"
    words = scrub(reply.message, hide)
    return f"Twilio: HTTP {reply.status}{code}" + (f": {words}" if words else "")
