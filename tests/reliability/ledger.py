"""Three independent records of what a service did, and what in them contradicts its promises.

What the callers were answered, what the relay took, and what the database holds; and besides, when
the service was killed, and which of the relay's replies were lost. Each request is for a recipient
of its own, by whom it is known in all of them, and its key is the same.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from support.recording_relay import Copy
from support.sqlmodel_stores import raw

from pinguin_core.history import Outcome

_DOUBTFUL: Final = {Outcome.CRASHED, Outcome.INTERRUPTED, Outcome.UNCLEAR}
"""What may leave a copy behind that nobody knows of."""

_COLUMNS: Final = "recipient, id, state, possible_duplicate, provider_message_id, history"


class Moment(NamedTuple):
    """Something happened after the one and before the other, in seconds since 1970."""

    after: float
    before: float


@dataclass
class Ledger:
    """All records but the database.

    Attributes:
        asked: the recipients of all requests.
        answers: the ids that were answered to each of them.
        copies: what the relay took.
        kills: when the service was killed.
        lost_replies: when, in seconds since 1970, the relay took a copy for whom without a word.
    """

    asked: set[str] = field(default_factory=set)
    answers: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    copies: list[Copy] = field(default_factory=list)
    kills: list[Moment] = field(default_factory=list)
    lost_replies: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))


@dataclass(frozen=True)
class Stored:
    """A notification in the database."""

    recipient: str
    id: str
    state: str
    possible_duplicate: bool
    provider_message_id: str
    attempts: Sequence[tuple[Moment, Outcome]]

    @property
    def doubtful(self) -> Sequence[tuple[Moment, Outcome]]:
        return [each for each in self.attempts if each[1] in _DOUBTFUL]


def stored(database: Path) -> list[Stored]:
    """Read the database, as any other program would."""
    with raw(database) as connection:
        rows = connection.execute(f"SELECT {_COLUMNS} FROM pinguin_notification")
        return [
            Stored(to, name, state, bool(marked), sent_as, _attempts(history))
            for to, name, state, marked, sent_as, history in rows
        ]


def _attempts(history: str | None) -> Sequence[tuple[Moment, Outcome]]:
    return [
        (Moment(began / 1e6, ended / 1e6), Outcome(outcome))
        for _, began, ended, outcome, *_ in json.loads(history or "[]")
    ]


def figures(ledger: Ledger, database: Path) -> Mapping[str, int]:
    """How much there was, and how much of it more than once."""
    found = stored(database)
    return {
        "kills": len(ledger.kills),
        "lost_replies": sum(map(len, ledger.lost_replies.values())),
        "notifications": len(found),
        "marked": sum(each.possible_duplicate for each in found),
        "further_copies": len(ledger.copies) - len({each.recipient for each in ledger.copies}),
    }


def complaints(ledger: Ledger, database: Path) -> list[str]:
    """Everything that breaks a promise, once all has been delivered."""
    found = stored(database)
    copies: dict[str, list[Copy]] = defaultdict(list)
    for copy in ledger.copies:
        copies[copy.recipient].append(copy)
    rows = Counter(each.recipient for each in found)
    return [
        *_about_requests(ledger, {each.id: each for each in found}, rows),
        *(
            f"{each} {trouble}; copies: {copies[each.recipient]}"
            for each in found
            for trouble in _about(each, copies[each.recipient], ledger)
        ),
        *(
            f"{name} was sent {of}, and is not stored"
            for name, of in copies.items()
            if not rows[name]
        ),
    ]


def _about_requests(
    ledger: Ledger, by_id: Mapping[str, Stored], rows: Mapping[str, int]
) -> Iterator[str]:
    for recipient, ids in ledger.answers.items():
        if len(ids) > 1:
            yield f"{recipient} was answered with several ids: {sorted(ids)}"
        yield from (f"{name} was answered and is lost" for name in ids if name not in by_id)
        if not rows.get(recipient):
            yield f"{recipient} was answered, and is not stored"
    for recipient, count in rows.items():
        if count > 1:
            yield f"{recipient} was asked for once, and there are {count} notifications"
        if recipient not in ledger.answers:
            yield f"{recipient} was accepted, and that was not answered"
        if recipient not in ledger.asked:
            yield f"{recipient} was asked for by nobody"


def _about(it: Stored, copies: Sequence[Copy], ledger: Ledger) -> Iterator[str]:
    explained = sum(_is_explained(it.recipient, *each, ledger) for each in it.doubtful)
    if explained < len(it.doubtful):
        yield f"has doubtful attempts that nothing explains: {it.attempts}"
    if it.possible_duplicate != bool(it.doubtful):
        yield "is marked wrongly"
    if it.state != "sent":
        yield f"is {it.state}, not sent"
    if not copies:
        yield "was never delivered"
    if len(copies) > 1 + explained:
        yield f"has {len(copies)} copies, and {explained} attempts that explain another"
    if {copy.message_id for copy in copies} - {it.provider_message_id}:
        yield "has copies under another name"


def _is_explained(recipient: str, attempt: Moment, outcome: Outcome, ledger: Ledger) -> bool:
    match outcome:
        case Outcome.CRASHED:
            causes = ledger.kills
        case Outcome.UNCLEAR:
            causes = [Moment(at, at) for at in ledger.lost_replies.get(recipient, ())]
        case _:
            return False
    return any(cause.after <= attempt.before and attempt.after <= cause.before for cause in causes)
