from __future__ import annotations

import random
from collections import Counter
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinguin_core import ExponentialBackoff, InvalidValue

HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)
MANY = 10**12


def longest(_: float, high: float) -> float:
    return high


def shortest(low: float, _: float) -> float:
    return low


@pytest.mark.parametrize(
    ("retry", "ceiling"),
    [
        (1, 30),
        (2, 60),
        (3, 120),
        (4, 240),
        (5, 480),
        (7, 1920),
        (8, 3600),
        (9, 3600),
        (10**9, 3600),
    ],
)
def test_each_delay_is_drawn_from_the_upper_half_under_a_doubling_capped_ceiling(
    retry: int, ceiling: int
) -> None:
    at_most = ExponentialBackoff(max_retries=MANY, uniform=longest)
    at_least = ExponentialBackoff(max_retries=MANY, uniform=shortest)
    assert at_most.delay(retry) == ceiling * SECOND
    assert at_least.delay(retry) == ceiling * SECOND / 2


@pytest.mark.parametrize(("max_retries", "last"), [(0, 0), (1, 1), (5, 5)])
def test_after_the_last_retry_there_is_none(max_retries: int, last: int) -> None:
    policy = ExponentialBackoff(max_retries=max_retries)
    assert all(policy.delay(retry) is not None for retry in range(1, last + 1))
    assert policy.delay(last + 1) is None
    assert policy.delay(last + 1, HOUR) is None


DURATIONS = st.timedeltas(min_value=timedelta(microseconds=1))


@given(DURATIONS, DURATIONS, st.integers(1, 10**9), st.none() | DURATIONS)
def test_no_delay_overflows_or_leaves_its_bounds(
    one: timedelta, other: timedelta, retry: int, retry_after: timedelta | None
) -> None:
    policy = ExponentialBackoff(min(one, other), max(one, other), max_retries=MANY)
    delay = policy.delay(retry, retry_after)
    assert delay is not None
    asked = retry_after or timedelta(0)
    assert max(policy.base / 2, asked) <= delay <= max(policy.cap, asked)


@given(st.integers(1, 40))
def test_the_ceiling_is_the_formula(retry: int) -> None:
    policy = ExponentialBackoff(SECOND, 1000 * HOUR, max_retries=MANY, uniform=longest)
    assert policy.delay(retry) == min(1000 * HOUR, SECOND * 2 ** (retry - 1))


@pytest.mark.parametrize(
    ("asked", "given_"),
    [(None, 30), (timedelta(0), 30), (29 * SECOND, 30), (31 * SECOND, 31), (24 * HOUR, 86400)],
)
def test_the_provider_can_ask_for_more_but_not_for_less(
    asked: timedelta | None, given_: int
) -> None:
    assert ExponentialBackoff(uniform=longest).delay(1, asked) == given_ * SECOND


@pytest.mark.parametrize("retry", [1, 2, 5])
def test_ten_thousand_that_failed_together_do_not_come_back_together(retry: int) -> None:
    """No second holds more than twice the mean."""
    policy = ExponentialBackoff(uniform=random.Random(retry).uniform)
    delays = [policy.delay(retry) for _ in range(10_000)]
    seconds = Counter(delay // SECOND for delay in delays if delay is not None)
    mean = 10_000 / (15 * 2 ** (retry - 1))
    assert max(seconds.values()) <= 2 * mean


@pytest.mark.parametrize(
    ("field", "arguments"),
    [
        ("base", {"base": timedelta(0)}),
        ("base", {"base": -SECOND}),
        ("cap", {"cap": timedelta(seconds=29)}),
        ("max_retries", {"max_retries": -1}),
    ],
)
def test_values_out_of_range_are_refused(field: str, arguments: dict[str, timedelta]) -> None:
    with pytest.raises(InvalidValue) as refused:
        ExponentialBackoff(**arguments)  # type: ignore[arg-type]  # one table for all arguments
    assert refused.value.field == field


def test_an_interval_longer_than_the_usual_cap_needs_its_own() -> None:
    assert ExponentialBackoff(2 * HOUR, 2 * HOUR, uniform=longest).delay(1) == 2 * HOUR
