from __future__ import annotations

from datetime import timedelta

import pytest
from support.mutants import caught_by, promises

from pinguin_core import ExponentialBackoff, RetryPolicy
from pinguin_core.testing.contracts import RetryPolicyContract

SECOND = timedelta(seconds=1)


class TestExponentialBackoff(RetryPolicyContract):
    def policy(self) -> RetryPolicy:
        return ExponentialBackoff()


class TestBackoffWithoutRetries(RetryPolicyContract):
    def policy(self) -> RetryPolicy:
        return ExponentialBackoff(max_retries=0)


class Impatient:
    def delay(self, retry: int, retry_after: timedelta | None = None) -> timedelta | None:
        return SECOND if retry < 5 else None


class Tireless:
    def delay(self, retry: int, retry_after: timedelta | None = None) -> timedelta | None:
        return max(SECOND, retry_after or SECOND)


class GivesUpUnlessAsked:
    def delay(self, retry: int, retry_after: timedelta | None = None) -> timedelta | None:
        return (retry_after or SECOND) if retry_after or retry < 5 else None


class Backwards:
    def delay(self, retry: int, retry_after: timedelta | None = None) -> timedelta | None:
        return (retry_after or timedelta(0)) - SECOND if retry < 5 else None


class Examined(RetryPolicyContract):
    def __init__(self, mutant: RetryPolicy) -> None:
        self.mutant = mutant

    def policy(self) -> RetryPolicy:
        return self.mutant


@pytest.mark.parametrize(
    ("mutant", "catchers"),
    [
        (
            Impatient(),
            ["the_provider_is_given_the_time_it_asks_for", "any_life_under_it_is_a_sound_one"],
        ),
        (Tireless(), ["it_gives_up_in_the_end_and_for_good"]),
        (GivesUpUnlessAsked(), ["it_gives_up_in_the_end_and_for_good"]),
        (Backwards(), ["a_delay_is_never_negative", "any_life_under_it_is_a_sound_one"]),
    ],
)
def test_a_defect_is_caught(mutant: RetryPolicy, catchers: list[str]) -> None:
    assert catchers == caught_by(Examined(mutant), catchers)
    assert set(catchers) <= set(promises(Examined))
