"""Every step in every state, and what each step does to everything else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from support.samples import (
    BUSY,
    EVERY_STATE,
    LEASE,
    LOST,
    NEVER_AGAIN,
    RECEIPT,
    REFUSED,
    SMS,
    SOON,
    TICK,
    FixedDelay,
    queued,
    sending,
)

from pinguin_core import (
    Attempt,
    Cancelled,
    Channel,
    Failed,
    IdempotencyConflict,
    InvalidTransition,
    InvalidValue,
    Notification,
    Outcome,
    PermanentDeliveryError,
    Queued,
    Receipt,
    Sending,
    Sent,
)
from pinguin_core.notification import CRASHED, INTERRUPTED, MAX_CRASHES, MOST_ATTEMPTS
from pinguin_core.testing.fakes import NOON

LATER = NOON + timedelta(minutes=5)
DELAY = timedelta(seconds=30)
Step = Callable[[Notification], Notification]

STEPS: dict[str, Step] = {
    "start": lambda it: it.start(LATER, LEASE),
    "claim": lambda it: it.claim(LATER, LEASE),
    "succeed": lambda it: it.succeed(RECEIPT, LATER),
    "fail": lambda it: it.fail(BUSY, LATER, SOON),
    "expire": lambda it: it.expire(LATER),
    "interrupt": lambda it: it.interrupt(LATER),
    "give_back": lambda it: it.give_back(LATER),
    "postpone": lambda it: it.postpone(BUSY, LATER, LATER + LEASE),
    "hold": lambda it: it.hold("enough for today", LATER, LATER + LEASE),
    "orphan": lambda it: it.orphan(NOON + TICK),
    "cancel": lambda it: it.cancel(LATER),
    "reschedule": lambda it: it.reschedule(LATER + LEASE, LATER),
    "requeue": lambda it: it.requeue(LATER),
}


def ended(outcome: Outcome, code: str, text: str) -> tuple[Attempt, ...]:
    """The history of one whose first attempt began at noon and has just ended."""
    return (Attempt(1, NOON, LATER, outcome, code, text),)


ALLOWED: dict[tuple[str, str], dict[str, object]] = {
    ("Queued", "start"): {"state": Sending(LATER + LEASE), "attempts": 1},
    ("Queued", "claim"): {"state": Sending(LATER + LEASE), "attempts": 1},
    ("Queued", "cancel"): {"state": Cancelled(LATER)},
    ("Queued", "reschedule"): {
        "state": Queued(LATER + LEASE),
        "scheduled_at": LATER + LEASE,
    },
    ("Sending", "succeed"): {
        "state": Sent(LATER, RECEIPT.provider_message_id),
        "history": ended(Outcome.SENT, RECEIPT.code, RECEIPT.reply),
    },
    ("Sending", "fail"): {
        "state": Queued(LATER + DELAY, BUSY.reason),
        "retries": 1,
        "history": ended(Outcome.FAILED, BUSY.code, BUSY.reason),
    },
    ("Sending", "expire"): {
        "state": Queued(LATER, CRASHED),
        "crashes": 1,
        "possible_duplicate": True,
        "history": ended(Outcome.CRASHED, "", CRASHED),
    },
    ("Sending", "postpone"): {
        "state": Queued(LATER + LEASE, BUSY.reason),
        "history": ended(Outcome.FAILED, BUSY.code, BUSY.reason),
    },
    ("Sending", "interrupt"): {
        "state": Queued(LATER, INTERRUPTED),
        "possible_duplicate": True,
        "history": ended(Outcome.INTERRUPTED, "", INTERRUPTED),
    },
    ("Sending", "hold"): {
        "state": Queued(LATER + LEASE, "held until 2030-01-01 12:06:00 UTC: enough for today"),
        "attempts": 0,
    },
    ("Sending", "give_back"): {"state": Queued(LATER), "attempts": 0},
    ("Sending", "orphan"): {"state": Sending(NOON + TICK), "updated_at": NOON},
    ("Sending", "claim"): {
        "state": Sending(LATER + LEASE, CRASHED),
        "crashes": 1,
        "attempts": 2,
        "possible_duplicate": True,
        "history": ended(Outcome.CRASHED, "", CRASHED),
        "version": 4,
    },
    ("Failed", "requeue"): {"state": Queued(LATER, REFUSED.reason)},
}


@pytest.mark.parametrize("state", EVERY_STATE)
@pytest.mark.parametrize("step", STEPS)
def test_each_step_does_what_its_state_allows_and_nothing_else(state: str, step: str) -> None:
    before = EVERY_STATE[state]
    copy = replace(before)
    changes = ALLOWED.get((state, step))
    if changes is None:
        with pytest.raises(InvalidTransition) as refused:
            STEPS[step](before)
        assert refused.value.state == state
        assert refused.value.step == {"claim": "start"}.get(step, step)
    else:
        expected = {"version": before.version + 1, "updated_at": LATER, **changes}
        assert STEPS[step](before) == replace(before, **expected)  # type: ignore[arg-type]  # a table
    assert before == copy


def test_it_begins_queued_and_due_at_once() -> None:
    it = queued()
    assert it == Notification(it.id, it.message, Queued(NOON), NOON, NOON)
    assert (it.version, it.attempts, it.retries, it.crashes) == (1, 0, 0, 0)
    assert not it.possible_duplicate
    assert it.last_error == ""


@pytest.mark.parametrize(
    ("scheduled_at", "due_at"),
    [(NOON - TICK, NOON), (NOON, NOON), (NOON + TICK, NOON + TICK), (LATER, LATER)],
)
def test_a_scheduled_one_is_due_then_and_a_past_one_at_once(
    scheduled_at: datetime, due_at: datetime
) -> None:
    it = queued(scheduled_at=scheduled_at)
    assert it.state == Queued(due_at)
    assert it.wake_at == it.date == due_at
    assert it.scheduled_at == scheduled_at


def test_times_are_kept_in_utc_whatever_zone_they_come_in() -> None:
    zone = timezone(timedelta(hours=2))
    it = queued(now=NOON.astimezone(zone), scheduled_at=LATER.astimezone(zone))
    for moment in (it.created_at, it.updated_at, it.scheduled_at, it.wake_at):
        assert moment is not None
        assert moment.tzinfo is UTC
    moved = it.reschedule(LATER.astimezone(zone), NOON)
    assert moved.wake_at is not None
    assert moved.wake_at.tzinfo is UTC


@pytest.mark.parametrize("field", ["now", "scheduled_at"])
def test_a_time_without_a_zone_is_refused(field: str) -> None:
    naive = {field: NOON.replace(tzinfo=None)}
    with pytest.raises(InvalidValue, match=field):
        queued(**naive)  # type: ignore[arg-type]  # one table for both
    with pytest.raises(InvalidValue, match="scheduled_at"):
        queued().reschedule(NOON.replace(tzinfo=None), NOON)


@pytest.mark.parametrize("early", [TICK, timedelta(days=300)])
def test_nothing_starts_before_it_is_due(early: timedelta) -> None:
    it = queued(scheduled_at=LATER)
    with pytest.raises(InvalidTransition):
        it.start(LATER - early, LEASE)
    with pytest.raises(InvalidTransition):
        it.claim(LATER - early, LEASE)
    assert it.start(LATER, LEASE).state == Sending(LATER + LEASE)


@pytest.mark.parametrize(
    "end",
    [
        lambda it: it.fail(BUSY, NOON, SOON),
        lambda it: it.postpone(BUSY, NOON, NOON),
        lambda it: it.hold("enough for today", NOON, NOON),
        lambda it: it.interrupt(NOON),
        lambda it: it.give_back(NOON),
        lambda it: it.orphan(NOON),
    ],
    ids=["fail", "postpone", "hold", "interrupt", "give_back", "orphan"],
)
def test_nothing_is_due_again_before_the_scheduled_time_when_the_clock_is_set_back(
    end: Callable[[Notification], Notification],
) -> None:
    assert end(queued(scheduled_at=LATER).start(LATER, LEASE)).wake_at == LATER


def test_the_history_keeps_what_is_in_doubt_and_the_newest() -> None:
    it = queued().start(NOON, LEASE).fail(LOST, NOON, SOON)
    for _ in range(2 * MOST_ATTEMPTS):
        due_at = it.wake_at
        assert due_at is not None
        it = it.start(due_at, LEASE).postpone(BUSY, due_at, due_at + DELAY)
    newest = range(it.attempts - MOST_ATTEMPTS + 2, it.attempts + 1)
    assert [each.number for each in it.history] == [1, *newest]
    assert it.doubts == it.history[:1]


def test_a_lease_holds_until_its_last_microsecond() -> None:
    it = sending()
    with pytest.raises(InvalidTransition):
        it.expire(NOON + LEASE - TICK)
    with pytest.raises(InvalidTransition):
        it.claim(NOON + LEASE - TICK, LEASE)
    assert it.expire(NOON + LEASE).state == Queued(NOON + LEASE, CRASHED)


def test_a_late_report_is_still_taken() -> None:
    """Whether somebody else has it by then, only the store can tell: by the version."""
    assert sending().succeed(RECEIPT, NOON + 2 * LEASE).state == Sent(
        NOON + 2 * LEASE, RECEIPT.provider_message_id
    )


@pytest.mark.parametrize("policy", [SOON, NEVER_AGAIN])
def test_a_permanent_refusal_is_final_whatever_the_policy_says(policy: FixedDelay) -> None:
    failed = sending().fail(REFUSED, LATER, policy)
    assert failed.state == Failed(LATER, REFUSED.reason)
    assert failed.retries == 0
    assert not failed.possible_duplicate


def test_a_transient_failure_is_final_when_the_policy_gives_no_more_retries() -> None:
    failed = sending().fail(BUSY, LATER, NEVER_AGAIN)
    assert failed.state == Failed(LATER, BUSY.reason)
    assert failed.retries == 0
    assert failed.last_error == BUSY.reason


def test_the_policy_is_asked_for_the_next_retry_with_what_the_provider_asked() -> None:
    asked: list[tuple[int, timedelta | None]] = []

    class Noting:
        def delay(self, retry: int, retry_after: timedelta | None = None) -> timedelta:
            asked.append((retry, retry_after))
            return DELAY

    first = sending().fail(BUSY, NOON, Noting())
    first.start(NOON + DELAY, LEASE).fail(LOST, LATER, Noting())
    assert asked == [(1, None), (2, None)]


def test_a_delay_beyond_all_time_does_not_break_the_step() -> None:
    forever = FixedDelay(timedelta.max)
    assert sending().fail(BUSY, NOON, forever).wake_at == datetime.max.replace(tzinfo=UTC)


def test_an_ambiguous_failure_marks_it_for_good() -> None:
    doubtful = sending().fail(LOST, NOON, SOON)
    assert doubtful.possible_duplicate
    sent = doubtful.start(LATER, LEASE).succeed(RECEIPT, LATER)
    refused = doubtful.start(LATER, LEASE).fail(REFUSED, LATER, SOON)
    retried = doubtful.start(LATER, LEASE).fail(BUSY, LATER, SOON)
    assert sent.possible_duplicate
    assert retried.possible_duplicate
    assert refused.possible_duplicate
    assert sending().fail(LOST, NOON, NEVER_AGAIN).possible_duplicate


def test_the_last_error_stays_visible_until_it_is_sent() -> None:
    it = sending().fail(BUSY, NOON, SOON)
    assert it.last_error == BUSY.reason
    assert (it := it.start(LATER, LEASE)).last_error == BUSY.reason
    assert it.succeed(RECEIPT, LATER).last_error == ""


def test_it_fails_when_it_has_outlived_too_many_workers() -> None:
    it = queued()
    for crash in range(MAX_CRASHES):
        it = it.claim(NOON + crash * LEASE, LEASE)
        assert isinstance(it.state, Sending)
    it = it.claim(NOON + MAX_CRASHES * LEASE, LEASE)
    assert it.state == Failed(NOON + MAX_CRASHES * LEASE, CRASHED)
    assert (it.crashes, it.retries, it.attempts) == (MAX_CRASHES, 0, MAX_CRASHES)


def test_a_claim_that_nobody_heard_of_was_no_attempt() -> None:
    it = sending().claim(NOON + LEASE, LEASE, is_unheard=True)
    assert it.state == Sending(NOON + 2 * LEASE)
    assert (it.attempts, it.crashes, it.possible_duplicate, it.history) == (1, 0, False, ())


def test_crashes_use_up_no_retries() -> None:
    it = sending().claim(NOON + LEASE, LEASE).fail(BUSY, LATER, SOON)
    assert (it.retries, it.crashes, it.attempts) == (1, 1, 2)


def test_a_requeued_one_has_all_its_retries_again_and_remembers_its_attempts() -> None:
    crashed = sending().claim(NOON + LEASE, LEASE).fail(BUSY, NOON + LEASE, SOON)
    failed = crashed.claim(LATER, LEASE).fail(REFUSED, LATER, SOON)
    assert (failed.retries, failed.crashes, failed.attempts) == (1, 1, 3)
    again = failed.requeue(LATER)
    assert (again.retries, again.crashes, again.attempts) == (0, 0, 3)
    assert again.last_error == REFUSED.reason


def test_a_time_that_was_rescheduled_into_the_past_means_at_once() -> None:
    moved = queued(scheduled_at=LATER).reschedule(NOON - LEASE, NOON)
    assert moved.wake_at == NOON
    assert moved.scheduled_at == NOON - LEASE


@pytest.mark.parametrize(("state", "it"), EVERY_STATE.items())
def test_only_queued_and_sending_ones_will_be_looked_at_again(state: str, it: Notification) -> None:
    assert it.is_final == (state not in {"Queued", "Sending"})
    assert (it.wake_at is None) == it.is_final


def test_it_leaves_by_the_way_of_its_message() -> None:
    assert queued().channel is Channel.EMAIL
    assert queued(message=SMS).channel is Channel.SMS


@pytest.mark.parametrize("told", ["550 \udcff", "550 \0"])
def test_what_a_provider_says_can_always_be_stored(told: str) -> None:
    """An outcome that no store can keep would be lost, and the message sent again."""
    assert PermanentDeliveryError(told).reason == "550 ?"
    assert Receipt(told).provider_message_id == "550 ?"


def test_the_history_tells_of_every_attempt() -> None:
    it = sending().fail(LOST, NOON + TICK, SOON)
    it = it.start(LATER, LEASE).expire(LATER + LEASE)
    it = it.start(LATER + LEASE, LEASE).succeed(RECEIPT, LATER + 2 * LEASE)
    assert it.history == (
        Attempt(1, NOON, NOON + TICK, Outcome.UNCLEAR, LOST.code, LOST.reason),
        Attempt(2, LATER, LATER + LEASE, Outcome.CRASHED, "", CRASHED),
        Attempt(3, LATER + LEASE, LATER + 2 * LEASE, Outcome.SENT, RECEIPT.code, RECEIPT.reply),
    )


def test_of_an_orphaned_attempt_the_beginning_is_still_known() -> None:
    orphaned = sending().orphan(NOON + TICK)
    assert orphaned.wake_at == NOON + TICK
    (crashed,) = orphaned.expire(LATER).history
    assert (crashed.started_at, crashed.ended_at) == (NOON, LATER)


def test_a_lease_that_is_over_cannot_end_early() -> None:
    with pytest.raises(InvalidTransition):
        sending().orphan(NOON + LEASE)


def test_a_worker_that_claims_again_what_it_still_holds_has_not_crashed() -> None:
    held = sending()
    again = held.claim(NOON + LEASE, LEASE)
    renewed = held.renew(again)
    assert renewed == replace(held, state=again.state, version=again.version)
    assert renewed.wake_at == NOON + 2 * LEASE
    for one, other in ((queued(), again), (held, queued())):
        with pytest.raises(InvalidTransition):
            one.renew(other)


def test_a_request_is_for_the_notification_that_it_made() -> None:
    it = queued(scheduled_at=LATER)
    assert it.unless_other_than(queued(scheduled_at=LATER)) is it
    for other in (queued(), queued(message=SMS, scheduled_at=LATER)):
        with pytest.raises(IdempotencyConflict):
            it.unless_other_than(other)
