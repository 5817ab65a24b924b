"""Promise: an hour without the provider fails nothing, and it is not stormed meanwhile, nor when it
comes back.

Ten thousand e-mails are due. Time is virtual.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final

import pytest
from support.dispatching import NotingObserver
from support.samples import queued
from support.simulation.virtual_time import START, VirtualTimeLoop, WallClock
from support.sorted_repository import SortedRepository

from pinguin_core import (
    Dispatcher,
    Email,
    NotificationId,
    Receipt,
    TransientDeliveryError,
    flow,
)

DUE: Final = 10_000
FEWER: Final = 1_000
HOUR: Final = 3600.0  # seconds
FIRST: Final = 1.0  # seconds in which the outage is noticed
PROBE: Final = timedelta(seconds=30)
CONCURRENCY: Final = 16
RATE: Final = 50
BURST: Final = 5  # a tenth of a second's worth of the rate
NEVER: Final = 1_000_000
ROUNDING: Final = 1e-6


@dataclass
class Provider:
    """Is down for an hour. Afterwards each message takes it a tenth of a second."""

    asked: list[float] = field(default_factory=list)
    took: list[str] = field(default_factory=list)
    under_way: int = 0
    most_under_way: int = 0
    is_stormed: bool = False

    async def send(self, message: Email, *, id: NotificationId, date: datetime) -> Receipt:
        now = asyncio.get_running_loop().time()
        self.asked.append(now)
        if now < HOUR:
            raise TransientDeliveryError("connection refused", of_provider=True)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        self.is_stormed |= self.under_way > 1 + len(self.took)
        await asyncio.sleep(0.1)
        self.under_way -= 1
        self.took.append(id.value)
        return Receipt(f"sim-{id}")


def complaints(
    rate: float | None, *, due: int = DUE, probe_interval: timedelta = PROBE
) -> list[str]:
    """Let the hour pass, and return everything that breaks the promise."""
    loop = VirtualTimeLoop()
    provider, store, observer = Provider(), SortedRepository(), NotingObserver()
    dispatcher = Dispatcher(
        store,
        email=provider,
        clock=WallClock(loop),
        observer=observer,
        concurrency=CONCURRENCY,
        probe_interval=probe_interval,
        email_rate=rate,
    )

    async def survive() -> None:
        for number in range(due):
            await store.add(queued(f"notif-{number}", now=START))
        async with dispatcher:
            await asyncio.sleep(HOUR + 2 * PROBE.total_seconds() + 1.2 * due / RATE)

    try:
        loop.run_until_complete(survive())
    finally:
        loop.close()
    return [
        *_of_ends(observer, due),
        *_of_probes(provider),
        *_of_the_drain(provider, due, rate),
    ]


def _of_ends(observer: NotingObserver, due: int) -> Iterator[str]:
    last = {change.id: type(change.state).__name__ for change in observer.changes}
    if (ends := Counter(last.values())) != {"Sent": due}:
        yield f"not all were sent: {ends}"
    if any(change.retries > 1 for change in observer.changes):
        yield "held ones used up retries"
    if [is_up for _, is_up, _ in observer.providers] != [False, True]:
        yield f"the outage was told of as {observer.providers}"


def _of_probes(provider: Provider) -> Iterator[str]:
    noticing = sum(at < FIRST for at in provider.asked)
    if noticing > CONCURRENCY:
        yield f"{noticing} attempts until the outage was noticed"
    probes = [at for at in provider.asked if FIRST <= at < HOUR]
    if min(after - before for before, after in pairwise(probes)) < PROBE.total_seconds() - ROUNDING:
        yield f"{len(probes)} probes, some too close to each other"


def _of_the_drain(provider: Provider, due: int, rate: float | None) -> Iterator[str]:
    drain = [at for at in provider.asked if at >= HOUR]
    if len(drain) != due or len(set(provider.took)) != due:
        yield f"{len(drain)} attempts for {len(set(provider.took))} messages"
    if provider.most_under_way > CONCURRENCY:
        yield f"{provider.most_under_way} at once"
    if provider.is_stormed:
        yield "a storm when it came back"
    a_second_later = zip(drain, drain[RATE + BURST :], strict=False)
    if rate and any(after - before < 1 - ROUNDING for before, after in a_second_later):
        yield f"more than {rate} in a second"


@pytest.mark.parametrize("rate", [None, RATE])
def test_an_hour_without_the_provider_is_survived_without_a_storm(rate: float | None) -> None:
    assert complaints(rate) == []


def without_limits(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(flow.Limit, "restart", lambda _: None)
    patch.setattr(flow.Limit, "cut", lambda *_: None)


@pytest.mark.parametrize(
    ("broken", "complaint"),
    [
        (lambda patch: patch.setattr(flow, "_FAILURES", NEVER), "not all were sent"),
        (without_limits, "a storm"),
        (lambda patch: patch.setattr(flow.Pace, "take", lambda *_: None), "in a second"),
    ],
    ids=["no breaker", "all at once", "no rate"],
)
def test_a_broken_variant_is_found_out(
    monkeypatch: pytest.MonkeyPatch,
    broken: Callable[[pytest.MonkeyPatch], None],
    complaint: str,
) -> None:
    """The negative control."""
    broken(monkeypatch)
    assert any(complaint in each for each in complaints(RATE, due=FEWER))


def test_probes_too_close_are_found_out() -> None:
    """The negative control of their distance."""
    found = complaints(RATE, due=FEWER, probe_interval=PROBE - timedelta(seconds=1))
    assert any("too close" in each for each in found)
