"""Which reply of Twilio means what: one table, and the errors that follow from it.

Each code is explained at a page of its own, as 21606 is at
https://www.twilio.com/docs/api/errors/21606. Since July 2024 Twilio tells by new codes apart what a
few covered before (21211, 21212, 21606 and 21614). Here are the old ones and the new:
https://www.twilio.com/en-us/changelog/updates-to-the-error-code-dictionary-to-clarify-number-validatio
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

from pinguin_core.errors import (
    DeliveryError,
    PermanentDeliveryError,
    ProviderMisconfigured,
    TransientDeliveryError,
)
from pinguin_core.masking import scrub

LONGEST_WAIT: Final = timedelta(days=1)
"""The longest that Twilio may make us wait, whatever it says."""

_LEAST_CODE: Final = 10_000
_SID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SECONDS = re.compile(r"[0-9]+")
_MOST_DIGITS: Final = 9  # of seconds that are turned into a number; more are longer than any wait


class Verdict(Enum):
    """What a reply means for the attempt."""

    SENT = auto()
    RETRY = auto()
    """It was not processed; nor would others be."""
    AGAIN = auto()
    """It was not processed, for its recipient's sake; others would be."""
    FAIL = auto()
    CONFIGURATION = auto()
    """Twilio objects to us, not to the message: an operator must act, then it can be sent."""
    IN_DOUBT = auto()
    """It may have been processed all the same."""


ANY_CODE: Final = "code"

VERDICTS: Final[Mapping[str, Verdict]] = {
    ANY_CODE: Verdict.FAIL,
    "2": Verdict.SENT,
    "3": Verdict.CONFIGURATION,  # we follow no redirects
    "4": Verdict.RETRY,  # without a code: whoever says so, a proxy for instance, is not Twilio
    "5": Verdict.IN_DOUBT,
    "401": Verdict.CONFIGURATION,
    "403": Verdict.CONFIGURATION,
    "404": Verdict.CONFIGURATION,
    "405": Verdict.CONFIGURATION,
    "407": Verdict.CONFIGURATION,
    "408": Verdict.RETRY,
    "425": Verdict.RETRY,  # too early: RFC 8470 5.2
    "429": Verdict.RETRY,
    "10001": Verdict.CONFIGURATION,  # account not active: no funds, or against the terms
    "14107": Verdict.AGAIN,  # too many to one number in half a minute
    "20003": Verdict.CONFIGURATION,  # authentication
    "20005": Verdict.CONFIGURATION,  # account not active: no funds, or not activated yet
    "20404": Verdict.CONFIGURATION,  # no such account
    "20429": Verdict.RETRY,  # too many requests
    "21211": Verdict.FAIL,  # invalid recipient
    "21212": Verdict.CONFIGURATION,  # invalid sender
    "21408": Verdict.FAIL,  # region not permitted
    "21601": Verdict.CONFIGURATION,  # the sender is not ours, or cannot send SMS
    "21603": Verdict.CONFIGURATION,  # no valid sender
    "21606": Verdict.CONFIGURATION,  # the sender is not ours, or cannot send SMS
    "21607": Verdict.CONFIGURATION,  # trial account, not the sender that it was given
    "21608": Verdict.CONFIGURATION,  # trial account, recipient not verified
    "21610": Verdict.FAIL,  # the recipient unsubscribed
    "21611": Verdict.RETRY,  # the sender's queue is full
    "21612": Verdict.FAIL,  # no route to the recipient
    "21614": Verdict.FAIL,  # not a mobile number
    "21617": Verdict.FAIL,  # text too long
    "21659": Verdict.CONFIGURATION,  # the sender is not a number of Twilio's
    "21660": Verdict.CONFIGURATION,  # the sender is another account's
    "21661": Verdict.CONFIGURATION,  # the sender cannot send SMS
    "90010": Verdict.CONFIGURATION,  # account not active: suspended
}
"""Verdicts by Twilio's error code, by HTTP status, for any other code, or by the status's first
digit: the first that is there counts. None there: it is in doubt."""


@dataclass(frozen=True)
class Reply:
    """What Twilio answered.

    Attributes:
        status: the HTTP status.
        body: the body as it came, or the beginning of it.
        retry_after: the header of this name.
        date: likewise.
    """

    status: int
    body: bytes
    retry_after: str | None = None
    date: str | None = None

    @property
    def sid(self) -> str | None:
        """The name that Twilio gave the message, if it can be read."""
        return sid_in(self._fields)

    @property
    def code(self) -> int | None:
        """Twilio's own code for what is wrong, if it can be read; it has five digits."""
        code = self._fields.get("code")
        return code if type(code) is int and code >= _LEAST_CODE else None

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
    keys = [status, status[0]]
    if reply.code is not None and status[0] == "4":
        keys = [str(reply.code), status, ANY_CODE]
    return next((VERDICTS[key] for key in keys if key in VERDICTS), Verdict.IN_DOUBT)


def refusal(reply: Reply, now: datetime, hide: Iterable[str] = ()) -> DeliveryError:
    """Return the error that a reply other than the hoped-for amounts to.

    What is in `hide` is not repeated, should Twilio repeat it.
    """
    reason, code, wait = _describe(reply, hide), _code(reply), wait_after(reply, now)
    match judge(reply):
        case Verdict.FAIL:
            return PermanentDeliveryError(reason, code=code)
        case Verdict.RETRY:
            return TransientDeliveryError(reason, code=code, retry_after=wait, of_provider=True)
        case Verdict.AGAIN:
            return TransientDeliveryError(reason, code=code, retry_after=wait)
        case Verdict.CONFIGURATION:
            problem = f"{reason} (check the account's configuration)"
            return ProviderMisconfigured(problem, code=code)
        case Verdict.SENT:
            reason = f"{reason}, without the message's SID"
    return TransientDeliveryError(
        reason, code=code, retry_after=wait, ambiguous=True, of_provider=True
    )


def refusal_to_list(reply: Reply, now: datetime, hide: Iterable[str] = ()) -> DeliveryError:
    """Return the error that any reply amounts to which holds no list of messages.

    It is never final, nor does it add a doubt: nothing was sent.
    """
    reason, code = f"{_describe(reply, hide)} (looking up an earlier attempt)", _code(reply)
    if judge(reply) is Verdict.CONFIGURATION:
        return ProviderMisconfigured(f"{reason}; check the account's configuration", code=code)
    wait = wait_after(reply, now)
    return TransientDeliveryError(reason, code=code, retry_after=wait, of_provider=True)


def wait_after(reply: Reply, now: datetime) -> timedelta | None:
    """Read the Retry-After header, a number of seconds or a date (RFC 9110 10.2.3).

    A date is by the clock of whoever replied: it is compared with the reply's own, if there is one.

    Returns:
        The time to wait, from none to `LONGEST_WAIT`; or None without a header that says one.
    """
    retry_after = reply.retry_after or ""
    if _SECONDS.fullmatch(retry_after):
        digits = retry_after.lstrip("0") or "0"
        wait = timedelta(seconds=int(digits)) if len(digits) <= _MOST_DIGITS else LONGEST_WAIT
    elif (until := moment_in(retry_after)) is not None:
        wait = until - (moment_in(reply.date) or now)
    else:
        return None
    return min(max(wait, timedelta(0)), LONGEST_WAIT)


def moment_in(text: object) -> datetime | None:
    """Read a date of RFC 5322 or RFC 9110."""
    if not isinstance(text, str):
        return None
    try:
        moment = parsedate_to_datetime(text)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def sid_in(fields: Mapping[str, object]) -> str | None:
    """Read the name that Twilio gave a message."""
    sid = fields.get("sid")
    return sid if isinstance(sid, str) and _SID.fullmatch(sid) else None


def _code(reply: Reply) -> str:
    return str(reply.code or reply.status)


def _describe(reply: Reply, hide: Iterable[str]) -> str:
    code = "" if reply.code is None else f", error {reply.code}"
    words = scrub(reply.message, hide)
    return f"Twilio: HTTP {reply.status}{code}" + (f": {words}" if words else "")
