"""The contract of a retry policy: any life that a notification can lead under it is a sound one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

from pinguin_core.errors import DeliveryError, InvalidTransition
from pinguin_core.notification import MAX_CRASHES, Notification, Receipt, Sending
from pinguin_core.retry import RetryPolicy
from pinguin_core.testing.contracts.base import Contract, thoroughly
from pinguin_core.testing.contracts.samples import HOUR, LEASE, TICK, queued
from pinguin_core.testing.fakes import NOON
from pinguin_core.testing.strategies import outcomes

_MOST_RETRIES = 1_000
_Step = Callable[[Notification, datetime], Notification]


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
        policy = self.policy()
        delays = [policy.delay(retry) for retry in range(1, _MOST_RETRIES + 2)]
        assert None in delays
        assert {None} == set(delays[delays.index(None) :])

    def test_any_life_under_it_is_a_sound_one(self) -> None:
        run_state_machine_as_test(
            lambda: NotificationMachine(self.policy()),  # type: ignore[arg-type]  # documented: "anything which returns an instance"
            settings=thoroughly(self, stateful_step_count=40),
        )


class NotificationMachine(RuleBasedStateMachine):
    """One notification, a clock, and whoever may lay hands on it."""

    def __init__(self, policy: RetryPolicy) -> None:
        super().__init__()
        self.policy = policy
        self.now = NOON
        self.it = queued()

    @rule(off=st.sampled_from([timedelta(0), TICK, -TICK]))
    def wait(self, off: timedelta) -> None:
        """Let the moment come at which it is due or its lease is over, give or take a tick."""
        if self.it.wake_at is not None:
            self.now = max(self.now, self.it.wake_at + off)

    @rule()
    def claim(self) -> None:
        """Claim it; possible from the moment on that it waits for, and never before."""
        due = self.it.wake_at is not None and self.it.wake_at <= self.now
        assert due == self.step(lambda it, now: it.claim(now, LEASE))

    @rule(outcome=outcomes())
    def report(self, outcome: Receipt | DeliveryError) -> None:
        """Report what came of an attempt; possible while there is one."""
        before = self.it
        held = isinstance(before.state, Sending)
        assert held == self.step(lambda it, now: _reported(it, outcome, now, self.policy))
        if held and self.it.wake_at is not None:
            assert self.it.wake_at >= self.now
            assert before.retries + 1 == self.it.retries

    @rule(step=st.sampled_from([Notification.cancel, Notification.requeue, Notification.interrupt]))
    def interfere(self, step: _Step) -> None:
        """Call it back, or give it another life."""
        self.step(step)

    @invariant()
    def counts_agree(self) -> None:
        """Compare what was counted."""
        assert 0 <= self.it.crashes <= MAX_CRASHES
        assert 0 <= self.it.crashes + self.it.retries <= self.it.attempts

    @invariant()
    def the_history_is_whole(self) -> None:
        """Compare it with what was counted, and with itself."""
        under_way = isinstance(self.it.state, Sending)
        numbers = [attempt.number for attempt in self.it.history]
        assert list(range(1, self.it.attempts + 1 - under_way)) == numbers
        moments = [at for each in self.it.history for at in (each.started_at, each.ended_at)]
        assert sorted(moments) == moments

    def step(self, step: _Step) -> bool:
        """Take a step, and say whether the state allowed it."""
        try:
            after = step(self.it, self.now)
        except InvalidTransition:
            return False
        assert after.version > self.it.version
        assert after.updated_at == self.now
        assert after.attempts >= self.it.attempts
        self.it = after
        return True


def _reported(
    it: Notification, outcome: Receipt | DeliveryError, now: datetime, policy: RetryPolicy
) -> Notification:
    if isinstance(outcome, Receipt):
        return it.succeed(outcome, now)
    return it.fail(outcome, now, policy)


def _waits() -> st.SearchStrategy[timedelta | None]:
    return st.none() | st.timedeltas(timedelta(0), 24 * HOUR)


def _retries() -> st.SearchStrategy[int]:
    return st.integers(1, 5) | st.integers(1, _MOST_RETRIES)
