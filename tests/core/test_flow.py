"""How much a lane starts: less for a busy provider, next to nothing for one that is down."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.samples import BUSY, LOST, REFUSED, TICK

from pinguin_core import (
    DeliveryError,
    NotificationId,
    PermanentDeliveryError,
    ProviderDown,
    ProviderMisconfigured,
    TransientDeliveryError,
)
from pinguin_core.flow import Breaker, Flow, Limit, Pace, is_answer, is_not_taken, is_trouble
from pinguin_core.testing.fakes import NOON

SECOND = timedelta(seconds=1)
INTERVAL = timedelta(seconds=30)
DOWN = TransientDeliveryError("connection refused", of_provider=True)
BAD_LOGIN = ProviderMisconfigured("535 no such login")
SILENT = TransientDeliveryError("timed out", ambiguous=True, of_provider=True)
UNASKED = PermanentDeliveryError("too large", asked=False)
IDS = [NotificationId(f"notif-{n}") for n in range(10)]


@pytest.mark.parametrize("error", [BUSY, LOST, REFUSED, DeliveryError("who knows")])
def test_what_is_about_the_message_is_the_providers_answer(error: DeliveryError) -> None:
    assert is_answer(error)
    assert not is_trouble(error)
    assert not is_not_taken(error)


@pytest.mark.parametrize("error", [DOWN, BAD_LOGIN, SILENT])
def test_what_would_befall_any_message_is_the_providers_trouble(error: DeliveryError) -> None:
    assert is_trouble(error)
    assert not is_answer(error)


def test_only_what_is_certainly_not_taken_may_go_elsewhere() -> None:
    assert [is_not_taken(each) for each in (DOWN, BAD_LOGIN, SILENT)] == [True, True, False]


def test_what_the_provider_was_not_asked_is_neither() -> None:
    assert not is_answer(UNASKED)
    assert not is_trouble(UNASKED)


def opened(*ids: int) -> Breaker:
    """A breaker that has seen these notifications fail, at noon."""
    breaker = Breaker(INTERVAL)
    for number in ids:
        breaker.fail(IDS[number], DOWN, NOON)
    return breaker


@pytest.mark.parametrize(
    ("ids", "is_open"),
    [
        ([0, 1, 2, 3, 4], True),
        ([0, 0, 0, 1, 2], True),
        ([0, 1, 2, 0, 1], True),
        ([0, 1, 2, 3], False),
        ([0, 0, 0, 0, 0, 0, 0], False),
        ([0, 1, 0, 1, 0, 1], False),
        ([0, 1, 0, 1, 0, 1, 2], True),
    ],
)
def test_it_opens_after_five_failures_in_a_row_of_three_notifications(
    ids: list[int],
    is_open: bool,  # noqa: FBT001 (a column of the table)
) -> None:
    assert (opened(*ids).probe_at(NOON) is not None) == is_open


def test_any_answer_between_them_begins_the_count_anew() -> None:
    breaker = opened(0, 1, 2, 3)
    assert not breaker.close()
    assert not breaker.fail(IDS[4], DOWN, NOON)
    assert breaker.probe_at(NOON) is None


@pytest.mark.parametrize("known", [BAD_LOGIN, ProviderDown("no way out")])
def test_what_a_sender_knows_opens_it_at_once(known: ProviderDown) -> None:
    breaker = Breaker(INTERVAL)
    assert breaker.fail(IDS[0], known, NOON)
    assert breaker.probe_at(NOON) == NOON + INTERVAL


def test_it_says_only_once_that_it_opens_and_that_it_closes() -> None:
    breaker = Breaker(INTERVAL)
    assert [breaker.fail(each, DOWN, NOON) for each in IDS] == [False] * 4 + [True] + [False] * 5
    assert [breaker.close(), breaker.close()] == [True, False]


def test_probes_are_an_interval_apart_however_long_each_takes() -> None:
    breaker = opened(0, 1, 2, 3, 4)
    assert breaker.probe_at(NOON) == NOON + INTERVAL
    breaker.begin(NOON + INTERVAL)
    assert breaker.probe_at(NOON + INTERVAL) == NOON + 2 * INTERVAL
    breaker.fail(IDS[5], DOWN, NOON + INTERVAL + SECOND)
    assert breaker.probe_at(NOON + INTERVAL + SECOND) == NOON + 2 * INTERVAL + SECOND


def test_a_provider_that_asks_for_more_time_gets_it() -> None:
    breaker = opened(0, 1, 2, 3)
    asking = TransientDeliveryError("429", retry_after=10 * INTERVAL, of_provider=True)
    breaker.fail(IDS[4], asking, NOON)
    assert breaker.probe_at(NOON) == NOON + 10 * INTERVAL


def test_a_straggler_does_not_shorten_what_was_asked_for() -> None:
    breaker = opened(0, 1, 2, 3)
    asking = TransientDeliveryError("429", retry_after=10 * INTERVAL, of_provider=True)
    breaker.fail(IDS[4], asking, NOON)
    breaker.fail(IDS[5], DOWN, NOON + SECOND)
    assert breaker.probe_at(NOON + SECOND) == NOON + 10 * INTERVAL


def test_a_probe_waits_for_a_place_as_others_do() -> None:
    flow = Flow(2, INTERVAL)
    flow.ill(IDS[0], BAD_LOGIN, NOON, NOON)
    due = NOON + INTERVAL
    assert [flow.places(under_way, due) for under_way in (0, 1, 2)] == [1, 1, 0]
    assert flow.next_place(2, due) is None


def test_a_wall_clock_that_is_set_back_does_not_put_the_probe_off_for_ever() -> None:
    breaker = opened(0, 1, 2, 3, 4)
    early = NOON - timedelta(hours=1)
    assert breaker.probe_at(early) == early + INTERVAL


def test_the_limit_is_halved_once_for_all_that_failed_together() -> None:
    limit = Limit(16)
    for _ in range(16):
        limit.cut(began=NOON, now=NOON + SECOND)
    assert limit.places == 8
    limit.cut(began=NOON + 2 * SECOND, now=NOON + 3 * SECOND)
    assert limit.places == 4


@given(st.integers(1, 50), st.lists(st.booleans(), max_size=60))
def test_the_limit_stays_between_one_and_the_most(most: int, went_well: list[bool]) -> None:
    limit = Limit(most)
    for number, well in enumerate(went_well):
        before = limit.places
        if well:
            limit.grow()
        else:
            limit.cut(NOON + number * SECOND + TICK, NOON + (number + 1) * SECOND)
        assert 1 <= limit.places <= most
        assert limit.places >= before if well else limit.places <= before


@given(
    st.floats(0.01, 5_000),
    st.lists(st.timedeltas(timedelta(0), timedelta(seconds=5)), min_size=1, max_size=40),
)
def test_no_more_than_the_rate_begins_in_any_span(rate: float, waits: list[timedelta]) -> None:
    """A tenth of a second's worth, or one, may come at once before it."""
    pace, now = Pace(rate), NOON
    begun: list[tuple[datetime, int]] = []
    for wait in waits:
        now += wait
        count = pace.places(now)
        pace.take(count)
        begun.append((now, count))
    for first in range(len(begun)):
        total = 0
        for at, count in begun[first:]:
            total += count
            span = (at - begun[first][0]).total_seconds()
            assert total <= span * rate + max(1.0, rate / 10) + 1e-6


@given(st.floats(0.01, 5_000))
def test_the_next_place_is_there_when_it_is_said_to_be(rate: float) -> None:
    pace = Pace(rate)
    pace.take(pace.places(NOON))
    assert pace.places(NOON) == 0
    assert pace.places(pace.next_place(NOON)) >= 1


def test_a_clock_that_is_set_back_gives_nothing_away() -> None:
    pace = Pace(1)
    pace.take(pace.places(NOON))
    assert pace.places(NOON - timedelta(hours=1)) == 0
    assert pace.places(NOON - timedelta(hours=1) + SECOND) == 1


def test_after_an_outage_it_begins_with_one_and_grows_by_what_goes_well() -> None:
    flow = Flow(4, INTERVAL)
    for each in IDS[:5]:
        flow.ill(each, DOWN, NOON, NOON)
    assert flow.places(0, NOON) == 0
    assert flow.next_place(0, NOON) == NOON + INTERVAL
    assert flow.places(0, NOON + INTERVAL) == 1
    flow.begin(1, NOON + INTERVAL)
    assert flow.places(1, NOON + INTERVAL) == 0
    assert flow.well()
    assert [flow.places(0, NOON + INTERVAL)] + [
        (flow.well(), flow.places(0, NOON + INTERVAL))[1] for _ in range(4)
    ] == [1, 2, 3, 4, 4]


def test_without_work_no_probe_is_counted() -> None:
    flow = Flow(4, INTERVAL)
    flow.ill(IDS[0], BAD_LOGIN, NOON, NOON)
    flow.begin(0, NOON + INTERVAL)
    assert flow.places(0, NOON + INTERVAL) == 1


def test_a_full_lane_waits_for_an_attempt_and_not_for_time() -> None:
    flow = Flow(2, INTERVAL, per_second=1)
    assert flow.next_place(2, NOON) is None
    assert flow.places(0, NOON) == 1
    flow.begin(1, NOON)
    assert flow.places(1, NOON) == 0
    place_at = flow.next_place(1, NOON)
    assert place_at is not None
    assert NOON + SECOND <= place_at <= NOON + SECOND + 2 * TICK


def test_a_probe_that_was_not_made_may_be_made_at_once() -> None:
    breaker = opened(0, 1, 2, 3, 4)
    first = NOON + INTERVAL
    breaker.begin(first)
    breaker.give_back(first, first + SECOND)
    assert breaker.probe_at(first + SECOND) == first + SECOND
    breaker.begin(first + SECOND)
    assert breaker.probe_at(first + SECOND) == first + SECOND + INTERVAL


def test_what_began_before_it_opened_was_no_probe() -> None:
    breaker = opened(0, 1, 2, 3, 4)
    breaker.give_back(NOON, NOON + SECOND)
    assert breaker.probe_at(NOON + SECOND) == NOON + INTERVAL
    breaker.begin(NOON + INTERVAL)
    breaker.give_back(NOON, NOON + INTERVAL)
    assert breaker.probe_at(NOON + INTERVAL) == NOON + 2 * INTERVAL


def test_an_attempt_that_was_not_made_leaves_its_place_in_the_rate() -> None:
    flow = Flow(10, INTERVAL, 1.0)
    assert flow.places(0, NOON) == 1
    flow.begin(1, NOON)
    assert flow.places(0, NOON) == 0
    flow.give_back(NOON, NOON)
    assert flow.places(0, NOON) == 1
    flow.give_back(NOON, NOON)
    assert flow.places(0, NOON) == 1
