"""Which of the messages that Twilio lists an attempt in doubt may have left there.

https://www.twilio.com/docs/messaging/api/message-resource#read-multiple-message-resources
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

from pinguin_adapters.twilio_sender.replies import Reply, sid_in
from pinguin_core.history import Attempt
from pinguin_core.message import Sms
from pinguin_core.values import PhoneNumber

LONGEST_LIST: Final = 16 * 1024 * 1024
"""Bytes of a list that are read: more than a thousand of the longest messages need."""

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


def filters_for(sms: Sms, from_number: PhoneNumber) -> Mapping[str, str]:
    """Ask for the newest thousand messages, as many as there are in a page, to the recipient.

    Not by DateSent: that is empty until Twilio has passed a message on, so a message that waits at
    Twilio might be left out, and be sent again.
    """
    return {"To": sms.to.value, "From": from_number.value, "PageSize": "1000"}


def left_by(
    sms: Sms, from_number: PhoneNumber, doubts: Sequence[Attempt], reply: Reply, now: datetime
) -> Sequence[Listed] | None:
    """Return the listed messages that can be this one, the oldest first.

    That is: same sender, recipient and text, and made while one of the attempts was under way, or
    soon after it.

    Args:
        sms: what was to be sent, and to whom.
        from_number: from which number.
        doubts: the attempts.
        reply: the list.
        now: when it came, by the clock that timed the attempts.

    Returns:
        None if the reply holds no list that can be read.
    """
    entries = _entries(reply.body)
    if entries is None:
        return None
    behind = (_moment(reply.date) or now) - now
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
    return sorted(found, key=lambda listed: listed.created_at)


def _entries(body: bytes) -> list[Mapping[str, object]] | None:
    try:
        page = json.loads(body)
    except (ValueError, RecursionError):
        return None
    messages = page.get("messages") if isinstance(page, dict) else None
    if not isinstance(messages, list):
        return None
    return [message for message in messages if isinstance(message, dict)]


def _listed(entry: Mapping[str, object]) -> Listed | None:
    sid, created_at = sid_in(entry), _moment(entry.get("date_created"))
    return None if sid is None or created_at is None else Listed(sid, created_at)


def _is_of(attempt: Attempt, created_at: datetime) -> bool:
    return attempt.started_at - EARLY <= created_at <= attempt.ended_at + LATE


def _moment(text: object) -> datetime | None:
    """Read a date of RFC 5322 or RFC 9110."""
    if not isinstance(text, str):
        return None
    try:
        moment = parsedate_to_datetime(text)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def _text(body: object) -> str | None:
    """Write a text so that only differences are left that a recipient would see."""
    return _LINE_END.sub("\n", body).strip() if isinstance(body, str) else None
