"""What must hold of every simulation, read from the records of callers, store and providers.

Nothing here comes from the core but the names of states: its rules are written down once more.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Final

from support.simulation.records import Answer, Ask, Claim, Records, Request, Trouble

from pinguin_core import Attempt, Email, Failed, Outcome, Queued, Sent, Sms

_MAX_CRASHES: Final = 5
_FOR_EVER: Final = float("inf")
_TIME_TO_LOOK: Final = timedelta(seconds=4)  # of a lease: for the look and for storing the outcome

_STEPS: Final = {
    ("Queued", 1, "Sending"),
    ("Sending", 1, "Queued"),
    ("Sending", 1, "Sent"),
    ("Sending", 1, "Failed"),
    ("Sending", 1, "Sending"),  # its worker is seen to be dead
    ("Sending", 2, "Sending"),  # taken from one worker and given to another
}
"""From where to where a stored notification may go, and by how many versions."""

_IN_DOUBT: Final = frozenset({Outcome.UNCLEAR, Outcome.CRASHED, Outcome.INTERRUPTED})
"""What is recorded of an attempt that may have delivered."""

_EXCUSES: Final = {
    Outcome.UNCLEAR: {Trouble.STOPPED},
    Outcome.INTERRUPTED: {Trouble.CLOSED},
    Outcome.CRASHED: {
        Trouble.KILLED,
        Trouble.STOPPED,
        Trouble.CLOSED,
        Trouble.UNSTORED,
        Trouble.CLOCK_SET,
    },
}
"""What must have happened for an attempt to end so although it delivered, and was told of it."""

_LOSES_LEASES: Final = frozenset({Trouble.STOPPED, Trouble.UNSTORED, Trouble.CLOCK_SET})
"""What may make a lease end before the attempt does, so that nobody counts it."""


def complaints(records: Records, max_retries: int) -> list[str]:
    """Everything that breaks a promise."""
    found = [*records.oddities, *_of_requests(records)]
    requests = {str(request.number): request for request in records.requests}
    sms_of_days = Counter[date]()
    for name, versions in records.versions.items():
        if request := requests.get(versions[0].message.body):
            story = _Story(records, name, request, max_retries)
            found += [f"{name}: {complaint}" for complaint in story.complaints()]
            if (day := story.sms_day()) is not None:
                sms_of_days[day] += 1
    return [*found, *_of_days(sms_of_days, records.sms_per_day)]


def _of_days(sms: Mapping[date, int], per_day: int | None) -> Iterator[str]:
    """No more are sent in a day than may be."""
    for day, count in sms.items():
        if per_day is not None and count > per_day:
            yield f"{count} SMS were sent on {day}, more than {per_day}"


def _of_requests(records: Records) -> Iterator[str]:
    """Nothing that was answered is lost, and no request makes two."""
    made: defaultdict[str, set[str]] = defaultdict(set)
    for name, versions in records.versions.items():
        made[versions[0].message.body].add(name)
    for request in records.requests:
        names = made.pop(str(request.number), set())
        answers = {answer.value for answer in request.answers}
        if lost := answers - names:
            yield f"request {request.number}: {lost} was answered, and is not stored"
        if len(names) > 1:
            yield f"request {request.number} has made two: {names}"
        if request.key is not None and not answers:
            yield f"request {request.number} was never answered"
    if made:
        yield f"nobody asked for {sorted(made)}"


class _Story:
    """What is recorded of one notification."""

    def __init__(self, records: Records, name: str, request: Request, max_retries: int) -> None:
        self._max_retries = max_retries
        self._request = request
        self._versions = records.versions[name]
        self._last = self._versions[-1]
        self._claims = records.claims[name]
        self._ended = {(each.number, each.started_at): each.outcome for each in self._last.history}
        self._asks = records.asks[name]
        self._claim_of = {ask.at: self._last_claim_before(ask) for ask in self._asks}
        self._asks_of: defaultdict[tuple[int, datetime] | None, list[Ask]] = defaultdict(list)
        self._disturbances = records.disturbances
        self._looks = records.looks[name]
        self._tries_again_in_doubt = records.tries_again_in_doubt
        self._name = name
        self._ended_at = records.ended.get(name, _FOR_EVER)
        for ask in self._asks:
            claim = self._claim_of[ask.at]
            self._asks_of[None if claim is None else _began(claim)].append(ask)

    def complaints(self) -> Iterator[str]:
        yield from self._steps()
        yield from self._content()
        yield from self._early()
        yield from self._attempts()
        yield from self._outcome()
        yield from self._copies()
        yield from self._goes_over()
        yield from self._looked_up()
        if not isinstance(self._last.state, Sent | Failed):
            yield f"never came to an end: {self._last.state}"

    def sms_day(self) -> date | None:
        """When an SMS was taken, or may have been, if others saw it to be under way until then."""
        state = self._last.state
        if not isinstance(self._last.message, Sms) or not isinstance(state, Sent | Failed):
            return None
        if isinstance(state, Failed) and not self._last.possible_duplicate:
            return None
        attempt = self._last.history[-1]
        begun = (attempt.number, attempt.started_at)
        claim = next(each for each in self._claims if _began(each) == begun)
        lease = claim.notification.wake_at
        lost = any(
            each.trouble in _LOSES_LEASES
            and each.process in ("", claim.process)
            and each.id in ("", self._name)
            and each.until >= claim.asked_at
            and each.since <= self._ended_at
            for each in self._disturbances
        )
        return None if lost or lease is None or state.at > lease else state.at.date()

    def _steps(self) -> Iterator[str]:
        first = self._versions[0]
        if (first.version, type(first.state)) != (1, Queued):
            yield f"began as {first.state}, version {first.version}"
        for before, after in pairwise(self._versions):
            by = after.version - before.version
            was, became = type(before.state).__name__, type(after.state).__name__
            if (was, by, became) not in _STEPS:
                yield f"version {before.version} {was} became {after.version} {became}"

    def _content(self) -> Iterator[str]:
        wanted = (self._request.message, self._request.scheduled_at, self._request.key)
        for each in self._versions:
            if (each.message, each.scheduled_at, each.idempotency_key) != wanted:
                yield f"version {each.version} is not what was asked for"

    def _early(self) -> Iterator[str]:
        before = {after.version: earlier.wake_at for earlier, after in pairwise(self._versions)}
        for claim in self._claims:
            for due_at in (self._request.scheduled_at, before[claim.notification.version]):
                if due_at is not None and claim.wall < due_at:
                    yield f"began early, at {claim.wall}, due at {due_at}"

    def _attempts(self) -> Iterator[str]:
        last = self._last
        numbers = [attempt.number for attempt in last.history]
        if numbers != list(range(1, last.attempts + 1)) or last.attempts > len(self._claims):
            yield f"{last.attempts} of {len(self._claims)} attempts, recorded as {numbers}"
        outcomes = [each.outcome for each in last.history]
        if last.retries > self._max_retries or last.crashes > _MAX_CRASHES:
            yield f"{last.retries} retries, {last.crashes} crashes"
        if not self._tries_again_in_doubt and Outcome.UNCLEAR in outcomes[:-1]:
            yield "was tried again after an attempt in doubt"
        excused = sum(self._need_not_count(attempt) for attempt in last.history)
        if last.attempts > 1 + self._max_retries + excused:
            yield f"{last.attempts} attempts, of which only {excused} do not count"

    def _need_not_count(self, attempt: Attempt) -> bool:
        """Whoever was asked in it was down, or nobody was; or its worker did not end it."""
        if attempt.outcome is Outcome.FAILED:
            asks = self._asks_of[attempt.number, attempt.started_at]
            return all(ask.holds for ask in asks)
        return attempt.outcome in _IN_DOUBT - {Outcome.UNCLEAR}

    def _outcome(self) -> Iterator[str]:
        in_doubt = any(attempt.outcome in _IN_DOUBT for attempt in self._last.history)
        if self._last.possible_duplicate != in_doubt:
            yield f"possible_duplicate is {self._last.possible_duplicate}"
        copies = sum(ask.accepted_at is not None for ask in self._asks)
        if isinstance(self._last.state, Sent) and not copies:
            yield "is Sent, and the provider never took it"
        if isinstance(self._last.state, Failed) and copies and not in_doubt:
            yield f"is Failed for certain, and the provider took {copies}"

    def _copies(self) -> Iterator[str]:
        """Each copy is told of as sent, or it is known why not."""
        for ask in self._asks_of[None]:
            yield f"{ask.process} sent it at {ask.at}, which it had not claimed for that"
        for ask in self._asks:
            claim = self._claim_of[ask.at]
            if claim and ask.accepted_at is not None and not self._is_accounted_for(ask, claim):
                yield f"the copy of {ask.at} cannot be accounted for: {self._last.history}"

    def _goes_over(self) -> Iterator[str]:
        """An attempt goes on from a relay to another one only if the first took nothing."""
        for asks in self._asks_of.values():
            names = [ask.provider for ask in asks]
            if len(set(names)) < len(names) or not all(ask.holds for ask in asks[:-1]):
                yield f"one attempt asked {names}, at {asks[-1].at} too"

    def _looked_up(self) -> Iterator[str]:
        """No text message leaves, or fails in doubt, that the provider's list shows as sent."""
        if isinstance(self._request.message, Email):
            return
        first = min((ask.accepted_at or _FOR_EVER for ask in self._asks), default=_FOR_EVER)
        for ask in self._asks:
            claim = self._claim_of[ask.at]
            if claim is not None and first < claim.at:
                yield f"was sent at {ask.at}, though it had been taken at {first}"
        if self._failed_in_doubt and self._last_look not in {Answer.NONE, Answer.NOT_FOUND}:
            lease_until = self._lease_when_it_failed
            if lease_until is None or lease_until - self._last.updated_at > _TIME_TO_LOOK:
                yield f"failed in doubt, after the looks {self._looks}"

    @property
    def _failed_in_doubt(self) -> bool:
        outcomes = [attempt.outcome for attempt in self._last.history]
        return isinstance(self._last.state, Failed) and outcomes[-1:] == [Outcome.UNCLEAR]

    @property
    def _lease_when_it_failed(self) -> datetime | None:
        """By when the outcome had to be stored, as far as its worker knew when it came about."""
        began = (each for each in self._versions[:-1] if each.updated_at <= self._last.updated_at)
        return max(began, key=lambda each: each.version).wake_at

    @property
    def _last_look(self) -> Answer | None:
        """What was told last after the provider was asked for the last time, if anything."""
        last = max((ask.at for ask in self._asks), default=0)
        return self._looks[-1].answer if self._looks and self._looks[-1].at > last else None

    def _last_claim_before(self, ask: Ask) -> Claim | None:
        """The last claim before; but one that only renewed the process's own began no attempt."""
        claims = (
            each
            for each in self._claims
            if each.process == ask.process and each.at <= ask.at and _began(each) in self._ended
        )
        return max(claims, key=lambda claim: claim.at, default=None)

    def _window(self, ask: Ask, claim: Claim) -> tuple[float, float]:
        """When what made others send it again must have happened."""
        later = [each.asked_at for each in self._claims if each.at > claim.at]
        until = [each.at for each in self._asks if each.at > ask.at]
        return min([claim.at, *later[:1]]), min(until, default=_FOR_EVER)

    def _is_accounted_for(self, ask: Ask, claim: Claim) -> bool:
        outcome = self._ended[_began(claim)]
        if outcome is Outcome.SENT:
            return ask.is_told or self._last_look is Answer.FOUND
        if outcome is Outcome.UNCLEAR and not ask.is_told:
            return True
        since, until = self._window(ask, claim)
        return any(
            outcome in _EXCUSES
            and each.trouble in _EXCUSES[outcome]
            and each.process in ("", claim.process)
            and each.id in ("", self._name)
            and each.until >= since
            and each.since <= until
            for each in self._disturbances
        )


def _began(claim: Claim) -> tuple[int, datetime]:
    """Say of the attempt that a claim begins what its history will: its number, and when."""
    return claim.notification.attempts, claim.notification.updated_at
