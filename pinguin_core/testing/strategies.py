"""Hypothesis strategies for all that a store or a sender may be handed.

What is drawn is often awkward (exotic Unicode, long texts, the ends of time) and shrinks to what is
easy to read: `ada@example.com`, `Hi`, noon of the first of January 2030.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Final

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from pinguin_core.errors import (
    DeliveryError,
    InvalidTransition,
    PermanentDeliveryError,
    ProviderDown,
    ProviderMisconfigured,
    TransientDeliveryError,
)
from pinguin_core.history import Attempt, Outcome
from pinguin_core.message import MAX_SMS_TEXT, MAX_SUBJECT, Email, Message, Sms
from pinguin_core.notification import (
    Cancelled,
    Failed,
    Notification,
    Queued,
    Receipt,
    Sending,
    Sent,
    State,
)
from pinguin_core.retry import ExponentialBackoff
from pinguin_core.testing import awkward
from pinguin_core.testing.fakes import NOON
from pinguin_core.values import (
    MAX_LOCAL_PART,
    EmailAddress,
    IdempotencyKey,
    NotificationId,
    PhoneNumber,
)

__all__ = [
    "FIRST_MOMENT",
    "LAST_MOMENT",
    "TICK",
    "around",
    "attempts",
    "bodies",
    "email_addresses",
    "emails",
    "idempotency_keys",
    "lived_notifications",
    "longest",
    "messages",
    "moments",
    "notification_ids",
    "notifications",
    "outcomes",
    "phone_numbers",
    "reasons",
    "retry_policies",
    "shifted",
    "shortest",
    "sms",
    "states",
    "subjects",
    "transient_errors",
]

TICK: Final = timedelta(microseconds=1)
"""The smallest difference between two moments."""

FIRST_MOMENT: Final = datetime.min.replace(tzinfo=UTC)
LAST_MOMENT: Final = datetime.max.replace(tzinfo=UTC)

_ATOM: Final = "abcdefghijklmnopqrstuvwxyzABCXYZ0123456789!#$%&'*+/=?^_`{|}~-"
_LONGEST_DOMAIN: Final = ".".join(["d" * 63, "e" * 63, "f" * 61])
_DOMAINS: Final = ["example.com", "mail.example.org", "x.y.EXAMPLE.net", _LONGEST_DOMAIN]
_WORLD_DOMAINS: Final = ["bücher.example", "straße.de", "例え.jp", "пример.рф"]
_WORLD_LOCAL_PARTS: Final = ["zoë.müller", "用户", "ада", "ü" * (MAX_LOCAL_PART // 2)]
_Step = Callable[[Notification, datetime], Notification]
_MOST_COUNTED: Final = 2**31 - 1
_LONGEST_REASON: Final = 200


def around(*moments: datetime) -> SearchStrategy[datetime]:
    """Draw one of the moments, or the microsecond before or after it."""
    return st.builds(
        shifted, st.sampled_from(moments), st.sampled_from([timedelta(0), TICK, -TICK])
    )


def shifted(moment: datetime, by: timedelta) -> datetime:
    """Add, without leaving the years 1 to 9999."""
    try:
        return moment + by
    except OverflowError:
        return LAST_MOMENT if by > timedelta(0) else FIRST_MOMENT


def moments() -> SearchStrategy[datetime]:
    """Draw a moment in UTC, with the ends of time among them."""
    extremes = st.sampled_from([FIRST_MOMENT, LAST_MOMENT, datetime(1970, 1, 1, tzinfo=UTC)])
    return st.just(NOON) | around(NOON) | extremes | st.datetimes(timezones=st.just(UTC))


def notification_ids() -> SearchStrategy[NotificationId]:
    """Draw an id."""
    easy = st.integers(1, 99).map("notif-{}".format)
    return (easy | st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True)).map(NotificationId)


def idempotency_keys() -> SearchStrategy[IdempotencyKey]:
    """Draw a caller's name for a request."""
    easy = st.integers(1, 99).map("key-{}".format)
    return (easy | st.from_regex(r"[!-~]{1,255}", fullmatch=True)).map(IdempotencyKey)


def email_addresses(*, international: bool = True) -> SearchStrategy[EmailAddress]:
    """Draw an e-mail address.

    Args:
        international: draw addresses outside ASCII, too, on either side of the `@`.
    """
    atoms = st.lists(st.text(_ATOM, min_size=1, max_size=MAX_LOCAL_PART), min_size=1, max_size=3)
    local = atoms.map(".".join).filter(
        lambda part: len(part) <= MAX_LOCAL_PART and "?=" not in part  # no encoded-word
    )
    easy = st.sampled_from(["ada@example.com", "grace.hopper@example.org"])
    domains = st.sampled_from([*_DOMAINS, *(_WORLD_DOMAINS if international else [])])
    if international:
        local |= st.sampled_from(_WORLD_LOCAL_PARTS)
    hard = st.builds("{}@{}".format, local, domains)
    return (easy | hard).map(EmailAddress)


def phone_numbers() -> SearchStrategy[PhoneNumber]:
    """Draw a telephone number."""
    numbers = st.just(15550100123) | st.integers(10, 10**15 - 1)
    return numbers.map("+{}".format).map(PhoneNumber)


def subjects() -> SearchStrategy[str]:
    """Draw a subject, which may be empty."""
    letters = st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp"))
    longest = st.sampled_from(["s" * MAX_SUBJECT, "ü😀 " * (MAX_SUBJECT // 3)])
    easy = st.sampled_from(["Hi", "", *awkward.TEXTS])
    return easy | st.text(letters, max_size=60) | longest


def bodies(*, at_most: int = 1_600) -> SearchStrategy[str]:
    """Draw a body: text of any kind, in one line or many.

    Args:
        at_most: how many characters it has at the most.
    """
    letters = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
    pieces = st.text(letters, min_size=1, max_size=min(80, at_most)) | st.sampled_from(
        awkward.LINES
    )
    many = st.builds(_repeated, pieces, st.sampled_from([2, 50, at_most]), st.just(at_most))
    easy = st.sampled_from(["Hello", *awkward.TEXTS, *awkward.LINES])
    return (easy | pieces | many).filter(lambda body: bool(body.strip()))


def emails(*, international: bool = True) -> SearchStrategy[Email]:
    """Draw an e-mail."""
    return st.builds(Email, email_addresses(international=international), subjects(), bodies())


def sms() -> SearchStrategy[Sms]:
    """Draw an SMS; some have a subject, which is kept and never sent."""
    return st.builds(Sms, phone_numbers(), bodies(at_most=MAX_SMS_TEXT), st.just("") | subjects())


def messages() -> SearchStrategy[Message]:
    """Draw a message of either kind."""
    return emails() | sms()


def reasons() -> SearchStrategy[str]:
    """Draw what may be told of a failed attempt: one line."""
    letters = st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp"))
    easy = st.sampled_from(["450 busy", "550 no such user"])
    return easy | st.text(letters, min_size=1, max_size=_LONGEST_REASON)


def states() -> SearchStrategy[State]:
    """Draw a state with any data."""
    errors = st.just("") | reasons()
    return st.one_of(
        st.builds(Queued, moments(), errors),
        st.builds(Sending, moments(), errors),
        st.builds(Sent, moments(), _provider_ids()),
        st.builds(Failed, moments(), reasons()),
        st.builds(Cancelled, moments()),
    )


def attempts() -> SearchStrategy[Attempt]:
    """Draw an attempt that has ended, with any data."""
    return st.builds(
        Attempt,
        number=_counts(),
        started_at=moments(),
        ended_at=moments(),
        outcome=st.sampled_from(Outcome),
        code=_codes(),
        text=st.just("") | reasons(),
    )


def notifications() -> SearchStrategy[Notification]:
    """Draw a notification with any combination of fields, reachable or not: a store keeps all."""
    return st.builds(
        Notification,
        id=notification_ids(),
        message=messages(),
        state=states(),
        created_at=moments(),
        updated_at=moments(),
        scheduled_at=st.none() | moments(),
        attempts=_counts(),
        retries=_counts(),
        crashes=_counts(),
        possible_duplicate=st.booleans(),
        idempotency_key=st.none() | idempotency_keys(),
        history=st.just(()) | st.lists(attempts(), max_size=3).map(tuple),
        version=st.just(1) | st.integers(1, _MOST_COUNTED),
    )


def outcomes() -> SearchStrategy[Receipt | DeliveryError]:
    """Draw what a sender may answer."""
    receipts = st.builds(
        Receipt, _provider_ids(), _codes(), st.just("") | reasons(), found=st.booleans()
    )
    permanent = st.builds(
        PermanentDeliveryError, reasons(), code=_codes(), asked=st.sampled_from([True, False])
    )
    return st.one_of(receipts, transient_errors(), permanent)


def transient_errors() -> SearchStrategy[TransientDeliveryError]:
    """Draw an error after which the attempt is made again, of any kind."""
    waits = st.none() | st.timedeltas(timedelta(0), timedelta(days=1))
    ours = st.builds(
        TransientDeliveryError,
        reasons(),
        code=_codes(),
        retry_after=waits,
        ambiguous=st.booleans(),
        of_provider=st.booleans(),
    )
    kinds = (ProviderDown, ProviderMisconfigured)
    theirs = (st.builds(kind, reasons(), code=_codes(), retry_after=waits) for kind in kinds)
    return st.one_of(ours, *theirs)


def retry_policies() -> SearchStrategy[ExponentialBackoff]:
    """Draw a retry policy whose delays are not random: the shortest it may draw, or the longest."""
    bases = st.timedeltas(timedelta(milliseconds=1), timedelta(hours=1))
    caps = st.timedeltas(timedelta(hours=1), timedelta(days=1))
    draws = st.sampled_from([shortest, longest])
    return st.builds(ExponentialBackoff, bases, caps, st.integers(0, 10), draws)


def shortest(low: float, high: float) -> float:
    """Draw the lower end: an `ExponentialBackoff.uniform` for tests."""
    return min(low, high)


def longest(low: float, high: float) -> float:
    """Draw the upper end: an `ExponentialBackoff.uniform` for tests."""
    return max(low, high)


def lived_notifications(
    ids: SearchStrategy[NotificationId] | None = None,
) -> SearchStrategy[Notification]:
    """Draw a notification that has come where it is by its own steps, from noon on.

    Args:
        ids: what it may be called; anything if absent.
    """
    due = st.none() | around(NOON, NOON + timedelta(hours=1))
    ids = notification_ids() if ids is None else ids
    keys = st.none() | idempotency_keys()
    born = st.builds(Notification.queue, ids, messages(), st.just(NOON), due, keys)
    return st.builds(_live, born, st.lists(_steps(), max_size=8))


def _steps() -> SearchStrategy[_Step]:
    lease = timedelta(minutes=1)
    claim: _Step = lambda it, now: it.claim(max(now, it.wake_at or now), lease)  # noqa: E731 (so short are all)
    reports = st.builds(_reporting, outcomes(), retry_policies())
    postponed = st.builds(_postponing, transient_errors())
    others: list[_Step] = [
        Notification.give_back,
        lambda it, now: it.hold("the day's limit is reached", now, now + lease),
        Notification.interrupt,
        Notification.orphan,
        Notification.cancel,
        Notification.requeue,
        lambda it, now: it.reschedule(now + lease, now),
    ]
    return st.just(claim) | reports | postponed | st.sampled_from(others)


def _reporting(outcome: Receipt | DeliveryError, policy: ExponentialBackoff) -> _Step:
    if isinstance(outcome, Receipt):
        return lambda it, now: it.succeed(outcome, now)
    return lambda it, now: it.fail(outcome, now, policy)


def _postponing(error: TransientDeliveryError) -> _Step:
    return lambda it, now: it.postpone(error, now, now + timedelta(minutes=1))


def _live(notification: Notification, steps: list[_Step]) -> Notification:
    for step in steps:
        with suppress(InvalidTransition):
            notification = step(notification, notification.updated_at + TICK)
    return notification


def _repeated(piece: str, times: int, at_most: int) -> str:
    return (piece * times)[:at_most]


def _counts() -> SearchStrategy[int]:
    return st.just(0) | st.integers(0, _MOST_COUNTED)


def _codes() -> SearchStrategy[str]:
    return st.sampled_from(["", "450 4.2.1", "20429"])


def _provider_ids() -> SearchStrategy[str]:
    easy = st.sampled_from(["<notif-1@example.com>", "SM00000000000000000000000000000001"])
    return easy | reasons()
