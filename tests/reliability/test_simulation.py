"""Promises: nothing accepted is lost, no duplicate goes unmarked or unexplained, never early.

Three processes of the service share a store that fails, deliver to providers that refuse, hang and
drop, and are stopped, killed and restarted, while the wall clock jumps and callers ask again. Time
is virtual, and all chance comes from a seed, which brings everything back.
"""

from __future__ import annotations

from multiprocessing import get_context

import pytest
from reliability.figures import Note
from reliability.scale import SEED, scale
from support.simulation.checker import complaints
from support.simulation.defects import DEFECTS, FEW
from support.simulation.records import Trouble
from support.simulation.world import MAX_RETRIES, Parts, digest_of, simulate

from pinguin_core import Sms

SEEDS = scale(20, 1_000)
EVENTS = 100_000
FEWER_EVENTS = 15_000
TRIES = 10


@pytest.mark.parametrize("number", range(SEEDS))
def test_every_promise_holds_whatever_happens(number: int, note: Note) -> None:
    records = simulate(f"{SEED} {number}", EVENTS)
    last = [versions[-1] for versions in records.versions.values()]
    copies = [sum(ask.accepted_at is not None for ask in asks) for asks in records.asks.values()]
    note(
        events=len(records.trace),
        notifications=len(last),
        marked=sum(each.possible_duplicate for each in last),
        further_copies=sum(each - 1 for each in copies if each),
    )
    assert complaints(records, MAX_RETRIES)[:5] == []
    assert len(records.trace) >= EVENTS


def test_nothing_leaves_before_its_time_while_the_wall_clock_jumps_by_up_to_an_hour() -> None:
    records = simulate(f"{SEED} jumps", EVENTS, clock_set_every=5)
    assert complaints(records, MAX_RETRIES)[:5] == []
    jumps = [each for each in records.disturbances if each.trouble is Trouble.CLOCK_SET]
    scheduled = [each for each in records.requests if each.scheduled_at is not None]
    assert len(jumps) >= 50
    assert len(scheduled) >= 500


def test_a_limit_on_sms_holds_that_is_reached_day_by_day() -> None:
    records = simulate(f"{SEED} limit", FEWER_EVENTS, Parts(sms_per_day=FEW))
    assert complaints(records, MAX_RETRIES)[:5] == []
    assert sum(isinstance(request.message, Sms) for request in records.requests) > 3 * FEW


def test_a_seed_brings_back_every_event_in_another_process_too() -> None:
    with get_context("spawn").Pool(1) as pool:
        there = pool.apply_async(digest_of, ("same", FEWER_EVENTS)).get(60)
    assert there == digest_of("same", FEWER_EVENTS)
    assert there != digest_of("another", FEWER_EVENTS)


@pytest.mark.parametrize(("parts", "complaint"), DEFECTS.values(), ids=DEFECTS)
def test_a_broken_variant_is_found_out(parts: Parts, complaint: str) -> None:
    """The negative control: within a few seeds."""
    found = (
        each
        for number in range(TRIES)
        for each in complaints(simulate(f"{SEED} {number}", FEWER_EVENTS, parts), MAX_RETRIES)
    )
    assert any(complaint in each for each in found)
