"""The contract of a retry policy: any life that a notification can lead under it is a sound one."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from pinguin_core.errors import DeliveryError, InvalidTransition, TransientDeliveryError
from pinguin_core.history import Attempt, Outcome
from pinguin_core.notification import (
    CRASHED,
    HELD,
    INTERRUPTED,
    MAX_CRASHES,
    Cancelled,
    Failed,
    Notification,
    Queued,
    Receipt,
    Sending,
    Sent,
)
from pinguin_core.retry import RetryPolicy
from pinguin_core.testing.contracts.base import Contract, thoroughly
from pinguin_core.testing.contracts.samples import BUSY, HOUR, LEASE, LOST, TICK, keyed
from pinguin_core.testing.fakes import NOON
from pinguin_core.testing.strategies import outcomes

_MOST_RETRIES = 1_000
_LIVES = 4  # for each example: they are short, and nothing is stored
_OF_AN_ATTEMPT = ["postpone", "hold", "give_back", "interrupt", "orphan", "expire", "renew"]
_OTHERS = ["reschedule", "requeue", "start", "cancel"]
_Step = Callable[[Notification, datetime], Notification]


def _offs() -> st.SearchStrategy[timedelta]:
    return st.sampled_from([timedelta(0), TICK, -TICK])


def _mostly() -> st.SearchStrategy[bool]:
    return st.sampled_from([True, True, True, False])


def _delays() -> st.SearchStrategy[timedelta]:
    return st.sampled_from([timedelta(0), TICK, HOUR])


def _waits() -> st.SearchStrategy[timedelta | None]:
    return st.none() | st.timedeltas(timedelta(0), 24 * HOUR)


def _retries() -> st.SearchStrategy[int]:
    return st.integers(1, 5) | st.integers(1, _MOST_RETRIES)


class RetryPolicyContract(Contract):
    """All that a `RetryPolicy` promises, as tests. Inherit it and define `policy`.

    ```python
    class TestMyPolicy(RetryPolicyContract):
        def policy(self) -> RetryPolicy:
            return MyPolicy(max_retries=5)
    ```
    """

    def policy(self) -> RetryPolicy:
        """Make a policy; one that gives up after at most 1,000 retries."""
        raise NotImplementedError(f"{type(self).__name__} must define policy()")

    def test_a_delay_is_never_negative(self) -> None:
        @thoroughly(self)
        @given(retry=_retries(), asked=_waits())
        def check(retry: int, asked: timedelta | None) -> None:
            delay = self.policy().delay(retry, asked)
            assert delay is None or delay >= timedelta(0)

        check()

    def test_the_provider_is_given_the_time_it_asks_for(self) -> None:
        @thoroughly(self)
        @given(retry=_retries(), asked=st.timedeltas(timedelta(0), 24 * HOUR))
        def check(retry: int, asked: timedelta) -> None:
            delay = self.policy().delay(retry, asked)
            assert delay is None or delay >= asked

        check()

    def test_it_gives_up_in_the_end_and_for_good(self) -> None:
        """Also while the provider asks for time."""
        for asked in None, timedelta(0), HOUR:
            policy = self.policy()
            delays = [policy.delay(retry, asked) for retry in range(1, _MOST_RETRIES + 2)]
            assert None in delays
            assert {None} == set(delays[delays.index(None) :])

    def test_any_life_under_it_is_a_sound_one(self) -> None:
        run_state_machine_as_test(
            lambda: NotificationMachine(self.policy()),  # type: ignore[arg-type]  # documented: "anything which returns an instance"
            settings=settings(
                thoroughly(self, stateful_step_count=50), max_examples=_LIVES * self.examples
            ),
        )


@dataclass(frozen=True)
class Change:
    """What a step is to change of the counts, and how it ends the attempt that was under way."""

    attempts: int = 0
    retries: int = 0
    crashes: int = 0
    ends: tuple[Outcome, str, str] | None = None


_NOTHING: Final = Change()
_BEGUN: Final = Change(attempts=1)
_UNDONE: Final = Change(attempts=-1)
_CRASH: Final = Change(crashes=1, ends=(Outcome.CRASHED, "", CRASHED))
_BROKEN_OFF: Final = Change(ends=(Outcome.INTERRUPTED, "", INTERRUPTED))


class NotificationMachine(RuleBasedStateMachine):
    """One notification, a clock, and whoever may lay hands on it.

    Each step is tried in every state, and all that it changes is looked at.
    """

    def __init__(self, policy: RetryPolicy) -> None:
        super().__init__()
        self.policy = policy
        self.begin()

    @precondition(lambda self: self.it.is_final)
    @rule()
    def begin(self) -> None:
        """Look at another one, since hardly anything more can happen to this."""
        self.now = NOON
        self.it = keyed()
        self.is_doubted = False

    @rule()
    def set_the_clock_back(self) -> None:
        """Have it noon again."""
        self.now = NOON

    @rule(off=_offs())
    def claim(self, off: timedelta) -> None:
        """Claim it; possible from the moment on that it waits for, and never before."""
        self.wait(off)
        if self.is_under_way() and self.is_due():
            last = self.it.crashes + 1 == MAX_CRASHES
            change = replace(_CRASH, attempts=0 if last else 1)
            self.take(lambda it, now: it.claim(now, LEASE), change, versions=1 if last else 2)
            assert isinstance(self.it.state, Failed if last else Sending)
        else:
            self.take(lambda it, now: it.claim(now, LEASE), _BEGUN, allowed=self.is_due())

    @rule(outcome=outcomes(), is_claimed=_mostly())
    def report(self, outcome: Receipt | DeliveryError, *, is_claimed: bool) -> None:
        """Report what came of an attempt, which was begun just now or perhaps never."""
        if is_claimed:
            self.begin_an_attempt()
        if isinstance(outcome, Receipt):
            self.succeed(outcome)
        else:
            self.fail(outcome)

    @rule(name=st.sampled_from(_OF_AN_ATTEMPT), ahead=_delays(), is_claimed=_mostly())
    def interfere_with_an_attempt(self, name: str, ahead: timedelta, *, is_claimed: bool) -> None:
        """Take a step that is there for an attempt, which was begun just now or perhaps never."""
        if is_claimed:
            self.begin_an_attempt()
        getattr(self, name)(ahead)

    @rule(name=st.sampled_from(_OTHERS), ahead=_delays())
    def interfere(self, name: str, ahead: timedelta) -> None:
        """Take a step that is there for what waits, or has failed."""
        getattr(self, name)(ahead)

    @invariant()
    def counts_agree(self) -> None:
        """Compare what was counted."""
        assert 0 <= self.it.crashes <= MAX_CRASHES
        assert 0 <= self.it.crashes + self.it.retries <= self.it.attempts

    @invariant()
    def the_history_is_whole(self) -> None:
        """Compare it with what was counted."""
        numbers = [attempt.number for attempt in self.it.history]
        assert list(range(1, self.it.attempts + 1 - self.is_under_way())) == numbers

    def succeed(self, receipt: Receipt) -> None:
        """Report that the provider took it; what was found was taken once for certain."""
        self.is_doubted &= not (self.is_under_way() and receipt.found)
        change = Change(ends=(Outcome.SENT, receipt.code, receipt.reply))
        if self.take(lambda it, now: it.succeed(receipt, now), change):
            assert Sent(self.now, receipt.provider_message_id) == self.it.state

    def fail(self, error: DeliveryError) -> None:
        """Report that an attempt has failed."""
        asked = getattr(error, "retry_after", None)
        is_retried = (
            isinstance(error, TransientDeliveryError)
            and self.policy.delay(self.it.retries + 1, asked) is not None
        )
        change = replace(_failed(error), retries=int(is_retried))
        if self.take(lambda it, now: it.fail(error, now, self.policy), change):
            assert error.reason == self.it.last_error
            assert isinstance(self.it.state, Queued if is_retried else Failed)
            if self.it.wake_at is not None:
                assert self.it.wake_at >= self.in_time(self.now + (asked or timedelta(0)))

    def postpone(self, ahead: timedelta) -> None:
        """Put it off while the provider is down: that costs it nothing."""
        error, until = LOST if ahead else BUSY, self.now + ahead
        if self.take(lambda it, now: it.postpone(error, now, until), _failed(error)):
            assert Queued(self.in_time(until), error.reason) == self.it.state

    def hold(self, ahead: timedelta) -> None:
        """Put it off before anything was sent."""
        until = self.now + ahead
        if self.take(lambda it, now: it.hold("enough", now, until), _UNDONE):
            assert self.it.wake_at == self.in_time(until)
            assert self.it.last_error.startswith(HELD)

    def give_back(self, ahead: timedelta) -> None:
        """Undo a claim of which nothing came."""
        error = self.it.last_error
        self.now += ahead
        if self.take(Notification.give_back, _UNDONE):
            assert Queued(self.in_time(self.now), error) == self.it.state

    def interrupt(self, ahead: timedelta) -> None:
        """Break an attempt off."""
        self.now += ahead
        if self.take(Notification.interrupt, _BROKEN_OFF):
            assert Queued(self.in_time(self.now), INTERRUPTED) == self.it.state

    def orphan(self, ahead: timedelta) -> None:
        """End the lease of a worker that is known to be dead; when it began is still known."""
        self.now += ahead
        before = self.it
        allowed = self.is_under_way() and not self.is_due()
        if self.take(Notification.orphan, _NOTHING, allowed=allowed, at=before.updated_at):
            assert before.wake_at is not None
            ends = min(before.wake_at, self.in_time(self.now))
            assert Sending(ends, before.last_error) == self.it.state

    def expire(self, ahead: timedelta) -> None:
        """Take it from a worker whose lease is over."""
        self.now += ahead
        if self.take(Notification.expire, _CRASH, allowed=self.is_under_way() and self.is_due()):
            assert self.it.is_final == (self.it.crashes == MAX_CRASHES)
            assert self.it.wake_at in {None, self.now}

    def renew(self, ahead: timedelta) -> None:
        """Take over the lease of a claim that one has made again oneself: it was no crash."""
        self.wait(ahead)
        with suppress(InvalidTransition):
            claimed = self.it.claim(self.now, LEASE)
            if self.take(
                lambda it, _: it.renew(claimed),
                _NOTHING,
                allowed=self.is_under_way() and not claimed.is_final,
                at=self.it.updated_at,
                versions=claimed.version - self.it.version,
            ):
                assert claimed.state == self.it.state

    def start(self, ahead: timedelta) -> None:
        """Begin an attempt."""
        self.now += ahead
        error = self.it.last_error
        allowed = isinstance(self.it.state, Queued) and self.is_due()
        if self.take(lambda it, now: it.start(now, LEASE), _BEGUN, allowed=allowed):
            assert Sending(self.now + LEASE, error) == self.it.state

    def cancel(self, ahead: timedelta) -> None:
        """Call it back."""
        self.now += ahead
        if self.take(Notification.cancel, _NOTHING, allowed=isinstance(self.it.state, Queued)):
            assert Cancelled(self.now) == self.it.state

    def reschedule(self, ahead: timedelta) -> None:
        """Move its time."""
        moment, error = self.now + ahead, self.it.last_error
        if self.take(
            lambda it, now: it.reschedule(moment, now),
            _NOTHING,
            allowed=isinstance(self.it.state, Queued),
            scheduled_at=moment,
        ):
            assert Queued(max(self.now, moment), error) == self.it.state

    def requeue(self, ahead: timedelta) -> None:
        """Give a failed one another life."""
        self.now += ahead
        reason = self.it.last_error
        change = Change(retries=-self.it.retries, crashes=-self.it.crashes)
        if self.take(Notification.requeue, change, allowed=isinstance(self.it.state, Failed)):
            assert Queued(self.now, reason) == self.it.state

    def begin_an_attempt(self) -> None:
        """Have an attempt begun just now: of another one, unless this one waits or has failed."""
        if isinstance(self.it.state, Failed):
            self.requeue(timedelta(0))
        elif not isinstance(self.it.state, Queued):
            self.begin()
        self.claim(timedelta(0))

    def wait(self, off: timedelta) -> None:
        """Let the moment come at which it is due or its lease is over, give or take a tick."""
        if self.it.wake_at is not None:
            self.now = max(self.now, self.it.wake_at + off)

    def is_due(self) -> bool:
        """Tell whether the moment that it waits for has come."""
        return self.it.wake_at is not None and self.it.wake_at <= self.now

    def is_under_way(self) -> bool:
        """Tell whether a worker has it."""
        return isinstance(self.it.state, Sending)

    def in_time(self, moment: datetime) -> datetime:
        """Return what is not before the scheduled time."""
        return max(moment, self.it.scheduled_at or moment)

    def take(
        self,
        step: _Step,
        change: Change,
        *,
        allowed: bool | None = None,
        at: datetime | None = None,
        scheduled_at: datetime | None = None,
        versions: int = 1,
    ) -> bool:
        """Take a step, look at all that it changes, and say whether the state allowed it.

        Only the new state is for the caller to look at.

        Args:
            step: what is done.
            change: what is counted with it.
            allowed: whether it must be possible; while a worker has it, if not given.
            at: what `updated_at` becomes; now, if not given.
            scheduled_at: what it becomes; it stays, if not given.
            versions: how many it makes.
        """
        before = self.it
        if not (self.is_under_way() if allowed is None else allowed):
            with pytest.raises(InvalidTransition):
                step(before, self.now)
            return False
        self.it = after = step(before, self.now)
        ended = _ended(before, change, self.now)
        self.is_doubted |= any(attempt.is_in_doubt for attempt in ended)
        expected = replace(
            before,
            state=after.state,
            updated_at=at or self.now,
            scheduled_at=scheduled_at or before.scheduled_at,
            attempts=before.attempts + change.attempts,
            retries=before.retries + change.retries,
            crashes=before.crashes + change.crashes,
            possible_duplicate=self.is_doubted,
            history=before.history + ended,
            version=before.version + versions,
        )
        assert expected == after
        return True


def _failed(error: DeliveryError) -> Change:
    if not isinstance(error, TransientDeliveryError):
        outcome = Outcome.REFUSED
    else:
        outcome = Outcome.UNCLEAR if error.ambiguous else Outcome.FAILED
    return Change(ends=(outcome, error.code, error.reason))


def _ended(before: Notification, change: Change, now: datetime) -> tuple[Attempt, ...]:
    if change.ends is None:
        return ()
    return (Attempt(before.attempts, before.updated_at, now, *change.ends),)
