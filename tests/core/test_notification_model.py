"""Any sequence of steps at any times, against what must hold of every notification."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from support.samples import EMAIL, LEASE, RECEIPT, REFUSED, TICK, FixedDelay, queued

from pinguin_core import (
    Failed,
    InvalidTransition,
    Notification,
    Queued,
    Sending,
    TransientDeliveryError,
)
from pinguin_core.notification import MAX_CRASHES
from pinguin_core.testing.fakes import NOON

DELAYS = st.none() | st.timedeltas(timedelta(0), timedelta(hours=2))
JUMPS = st.timedeltas(timedelta(0), timedelta(hours=1))


class Life(RuleBasedStateMachine):
    """One notification, a clock, and whoever may lay hands on it."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOON
        self.it = queued()
        self.doubted = False

    @initialize(ahead=st.none() | st.timedeltas(timedelta(hours=-1), timedelta(hours=2)))
    def begin(self, ahead: timedelta | None) -> None:
        scheduled_at = None if ahead is None else NOON + ahead
        self.it = queued(scheduled_at=scheduled_at)

    @rule(by=JUMPS)
    def time_passes(self, by: timedelta) -> None:
        self.now += by

    @precondition(lambda self: not self.it.is_final)
    @rule(off=st.sampled_from([-TICK, timedelta(0), TICK]))
    def time_nears_the_moment_that_counts(self, off: timedelta) -> None:
        assert self.it.wake_at is not None
        self.now = max(self.now, self.it.wake_at + off)

    @rule()
    def claim(self) -> None:
        due = self.it.wake_at is not None and self.it.wake_at <= self.now
        orphaned = isinstance(self.it.state, Sending)
        after = self.step(due, lambda: self.it.claim(self.now, LEASE))
        if after is not None:
            self.doubted |= orphaned
            assert after.crashes == self.it.crashes + orphaned
            self.it = after

    @rule()
    def expire(self) -> None:
        over = isinstance(self.it.state, Sending) and self.it.state.lease_until <= self.now
        after = self.step(over, lambda: self.it.expire(self.now))
        if after is not None:
            self.doubted = True
            assert isinstance(after.state, Failed) == (after.crashes == MAX_CRASHES)
            self.it = after

    @rule()
    def succeed(self) -> None:
        held = isinstance(self.it.state, Sending)
        self.it = self.step(held, lambda: self.it.succeed(RECEIPT, self.now)) or self.it

    @rule(ambiguous=st.booleans(), delay=DELAYS)
    def fail_for_now(self, ambiguous: bool, delay: timedelta | None) -> None:  # noqa: FBT001 (hypothesis passes it by name)
        error = TransientDeliveryError("busy", ambiguous=ambiguous)
        held = isinstance(self.it.state, Sending)
        after = self.step(held, lambda: self.it.fail(error, self.now, FixedDelay(delay)))
        if after is not None:
            self.doubted |= ambiguous
            assert after.is_final == (delay is None)
            assert delay is None or after.wake_at == self.now + delay
            self.it = after

    @rule()
    def fail_for_good(self) -> None:
        held = isinstance(self.it.state, Sending)
        after = self.step(held, lambda: self.it.fail(REFUSED, self.now, FixedDelay(LEASE)))
        assert after is None or after.is_final
        self.it = after or self.it

    @rule()
    def cancel(self) -> None:
        waits = isinstance(self.it.state, Queued)
        self.it = self.step(waits, lambda: self.it.cancel(self.now)) or self.it

    @rule(by=JUMPS)
    def reschedule(self, by: timedelta) -> None:
        waits = isinstance(self.it.state, Queued)
        moment = self.now + by
        self.it = self.step(waits, lambda: self.it.reschedule(moment, self.now)) or self.it

    @rule()
    def requeue(self) -> None:
        failed = isinstance(self.it.state, Failed)
        self.it = self.step(failed, lambda: self.it.requeue(self.now)) or self.it

    def step(self, allowed: bool, take: Any) -> Notification | None:  # noqa: FBT001 (always named at once)
        if not allowed:
            with pytest.raises(InvalidTransition):
                take()
            return None
        after: Notification = take()
        assert after.version > self.it.version
        assert after.updated_at == self.now
        assert after.attempts >= self.it.attempts
        return after

    @invariant()
    def what_never_changes(self) -> None:
        assert self.it.message is EMAIL
        assert self.it.created_at == NOON
        assert str(self.it.id) == "notif-1"

    @invariant()
    def doubt_is_never_forgotten_nor_made_up(self) -> None:
        assert self.it.possible_duplicate == self.doubted

    @invariant()
    def counts_agree(self) -> None:
        assert 0 <= self.it.crashes <= MAX_CRASHES
        assert self.it.crashes + self.it.retries <= self.it.attempts


Life.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestLife = Life.TestCase
