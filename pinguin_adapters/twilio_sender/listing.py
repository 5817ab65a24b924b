"""Which of the messages that Twilio lists an attempt in doubt may have left there.

https://www.twilio.com/docs/messaging/api/message-resource#read-multiple-message-resources
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, TypeGuard

from pinguin_adapters.twilio_sender.replies import Reply, moment_in, sid_in
from pinguin_core.history import Attempt
from pinguin_core.message import Sms
from pinguin_core.values import PhoneNumber

LONGEST_PAGE: Final = 16 * 1024 * 1024
"""Bytes of a page that are read: more than a thousand of the longest messages need."""

MOST_PAGES: Final = 20
"""How many pages of the list are read."""

EARLY: Final = timedelta(seconds=2)
"""By how much a message may seem older than the attempt that made it: both Twilio's times, that of
the message and that of the reply by which clocks are compared, are cut to seconds."""

LATE: Final = timedelta(minutes=1)
"""How long after the end of an attempt Twilio may still work at its request."""

_TRIAL: Final = "Sent from your Twilio trial account - "
"""What Twilio puts before each text of a trial account."""

_LINE_END = re.compile(r"\r\n|\r")


@dataclass(frozen=True, slots=True)
class Listed:
    """A message as Twilio lists it.

    Attributes:
        created_at: when Twilio got it, by Twilio's clock, cut to seconds.
    """

    sid: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Page:
    """What a page of the list says of a message.

    Attributes:
        found: what can be that message.
        rest: the path of the next page; None if there is none, or no younger message can be there.
    """

    found: Sequence[Listed]
    rest: str | None


def filters_for(sms: Sms, from_number: PhoneNumber) -> Mapping[str, str]:
    """Ask for the messages to the recipient, a thousand in a page: Twilio has no larger ones.

    Not by DateSent: that is empty until Twilio has passed a message on, so a message that waits at
    Twilio might be left out, and be sent again.
    """
    return {"To": sms.to.value, "From": from_number.value, "PageSize": "1000"}


def page_in(
    sms: Sms, from_number: PhoneNumber, doubts: Sequence[Attempt], reply: Reply, now: datetime
) -> Page | None:
    """Read which of the listed messages can be this one, and where the list goes on.

    That is: same sender, recipient and text, and made while one of the attempts was under way, or
    soon after it. The newest are listed first, so after a page on which all are older than the
    first of the attempts there are no more.

    Args:
        sms: what was to be sent, and to whom.
        from_number: from which number.
        doubts: the attempts, oldest first.
        reply: the page.
        now: when it came, by the clock that timed the attempts.

    Returns:
        None if the reply holds no page that can be read.
    """
    page = _fields(reply.body)
    entries, rest = page.get("messages"), page.get("next_page_uri") or None
    if not isinstance(entries, list) or not (rest is None or _is_path(rest)):
        return None
    entries = [entry for entry in entries if isinstance(entry, dict)]
    behind = (moment_in(reply.date) or now) - now
    wanted = (sms.to.value, from_number.value)
    texts = {_text(sms.body), _text(_TRIAL + sms.body)}
    found = [
        listed
        for entry in entries
        if (entry.get("to"), entry.get("from")) == wanted
        and _text(entry.get("body")) in texts
        and (listed := _listed(entry))
        and any(_is_of(attempt, listed.created_at - behind) for attempt in doubts)
    ]
    moments = [moment for entry in entries if (moment := moment_in(entry.get("date_created")))]
    is_past = bool(moments) and max(moments) - behind < doubts[0].started_at - EARLY
    return Page(found, None if is_past else rest)


def _fields(body: bytes) -> Mapping[str, Any]:
    try:
        page = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return page if isinstance(page, dict) else {}


def _is_path(uri: object) -> TypeGuard[str]:
    """Tell whether it says where on the same host something is: none other gets our token."""
    return isinstance(uri, str) and uri.startswith("/")


def _listed(entry: Mapping[str, object]) -> Listed | None:
    sid, created_at = sid_in(entry), moment_in(entry.get("date_created"))
    return None if sid is None or created_at is None else Listed(sid, created_at)


def _is_of(attempt: Attempt, created_at: datetime) -> bool:
    return attempt.started_at - EARLY <= created_at <= attempt.ended_at + LATE


def _text(body: object) -> str | None:
    """Write a text so that only differences are left that a recipient would see."""
    return _LINE_END.sub("\n", body).strip() if isinstance(body, str) else None
