from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.dispatching import BrokenObserver
from support.samples import queued
from support.settling import run

from pinguin_core import NullObserver, SystemClock, TimeSortedIds
from pinguin_core.system import GuardedObserver
from pinguin_core.testing.fakes import NOON

FORM = re.compile(r"notif-[0-9ABCDEFGHJKMNPQRSTVWXYZ]{28}")
MOMENTS = st.datetimes(datetime(1970, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 (hypothesis adds the zone)


class JumpingClock(SystemClock):
    """Tells the times it was given, the last one for ever."""

    def __init__(self, *times: datetime) -> None:
        self.times = list(times)

    def now(self) -> datetime:
        return self.times.pop(0) if self.times[1:] else self.times[0]


def test_the_clock_tells_the_time_in_utc() -> None:
    before = datetime.now(UTC)
    now = SystemClock().now()
    assert before <= now <= datetime.now(UTC)
    assert now.tzinfo is UTC


def test_sleeping_ends_when_the_time_has_come_and_not_before() -> None:
    async def test() -> None:
        clock = SystemClock()
        moment = clock.now() + timedelta(milliseconds=20)
        await clock.sleep_until(moment)
        assert clock.now() >= moment

    run(test())


@pytest.mark.parametrize("ago", [timedelta(0), timedelta(days=1)])
def test_what_has_come_is_not_waited_for(ago: timedelta) -> None:
    run(SystemClock().sleep_until(datetime.now(UTC) - ago))


def test_a_clock_set_back_meanwhile_makes_sleep_longer() -> None:
    moment = NOON + timedelta(microseconds=1)
    clock = JumpingClock(NOON, NOON - timedelta(milliseconds=2), NOON, moment)
    run(clock.sleep_until(moment))
    assert clock.times == [moment]


def test_a_clock_set_forward_meanwhile_ends_it_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock is looked at every so often: nobody sleeps a day through."""
    monkeypatch.setattr("pinguin_core.system._LONGEST_SLEEP", 0.001)
    clock = JumpingClock(NOON, NOON + timedelta(days=2))
    run(clock.sleep_until(NOON + timedelta(days=1)))


@given(MOMENTS)
def test_ids_have_one_form(moment: datetime) -> None:
    assert FORM.fullmatch(str(TimeSortedIds().next_id(moment)))


@given(MOMENTS, st.timedeltas(timedelta(microseconds=1), timedelta(days=300)))
def test_ids_sort_by_their_time(moment: datetime, later: timedelta) -> None:
    ids = TimeSortedIds()
    try:
        after = ids.next_id(moment + later)
    except OverflowError:
        return
    assert ids.next_id(moment) < after


def test_ids_of_one_moment_differ() -> None:
    ids = TimeSortedIds()
    assert len({ids.next_id(NOON) for _ in range(10_000)}) == 10_000


def test_all_eighty_random_bits_vary() -> None:
    ids = [str(TimeSortedIds().next_id(NOON))[-16:] for _ in range(300)]
    assert all(len(set(column)) > 20 for column in zip(*ids, strict=True))


def test_a_guard_passes_everything_on_and_reports_what_comes_back() -> None:
    async def test() -> None:
        reported: list[object] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: reported.append(context["exception"]))
        for observer in (NullObserver(), BrokenObserver()):
            GuardedObserver(observer).on_change(queued())
            GuardedObserver(observer).on_trouble("testing", ValueError())
        assert [type(error) for error in reported] == [ZeroDivisionError] * 2

    run(test())
