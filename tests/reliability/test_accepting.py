"""Promise: accepting does not depend on the providers.

Three services, each with a database and a relay of its own, are called at the same moments: one
whose relay takes everything, one whose relay refuses connections, one whose relay takes seconds for
each message. So whatever else this machine does disturbs all three alike. Of the calls of each
second the 99th percentile is noted; in an outage the median of these may be a fifth longer. Noise
can still spoil that: only what is too long three times is called too long.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import cycle, permutations
from pathlib import Path
from statistics import median
from typing import Final, TypeAlias

from reliability.callers import client_of
from reliability.figures import Note
from reliability.scale import scale
from support.recording_relay import RecordingRelay
from support.service_defects import Defect
from support.service_process import ServiceSetup, service_process

from pinguin_core import Email, EmailAddress
from pinguin_grpc.client import PinguinClient

SECONDS: Final = scale(20, 120)
FEWER_SECONDS: Final = 4
FIRST_SECONDS: Final = 2  # in which the outage is noticed; they do not count
RATE: Final = 80  # calls in a second to each
WITHOUT: Final = "no outage"
LIMIT: Final = 1.2
TRIES: Final = 3
DELAY: Final = 5.0  # seconds

Latencies: TypeAlias = dict[str, list[float]]
"""By the name of the service, in seconds."""


def after_a_delay(verb: str, reply: Callable[[], None]) -> None:
    """Answer as a relay does that takes long for each message."""
    asyncio.get_running_loop().call_later(DELAY if verb == "END" else 0, reply)


@asynccontextmanager
async def services(
    folder: Path, defect: Defect | None
) -> AsyncIterator[Mapping[str, PinguinClient]]:
    """Run the three services, and give a client of each."""
    async with AsyncExitStack() as stack:
        nobody = stack.enter_context(socket.socket())  # refuses, as it does not listen
        nobody.bind(("127.0.0.1", 0))
        fine = await stack.enter_async_context(RecordingRelay())
        slow = await stack.enter_async_context(RecordingRelay(after_a_delay))
        ports = {WITHOUT: fine.port, "refusing": nobody.getsockname()[1], "slow": slow.port}
        clients = {}
        for name, port in ports.items():
            (folder / name).mkdir()
            setup = ServiceSetup(folder / name, port, defect)
            service = await stack.enter_async_context(service_process(setup))
            client = client_of(await service.ready())
            clients[name] = await stack.enter_async_context(client)
        yield clients


async def called(clients: Mapping[str, PinguinClient], seconds: int) -> list[Latencies]:
    """Call all of them, and return how long each call took in each of the seconds."""
    found: list[Latencies] = [{name: [] for name in clients} for _ in range(seconds)]

    async def call(name: str, second: int) -> None:
        began = time.perf_counter()
        await clients[name].send(Email(EmailAddress("ada@example.com"), "Hi", "Hello"))
        found[second][name].append(time.perf_counter() - began)

    began = time.perf_counter()
    orders = cycle(permutations(clients))  # who is called first has the advantage
    async with asyncio.TaskGroup() as calls:
        for number in range(seconds * RATE):
            await asyncio.sleep(began + number / RATE - time.perf_counter())
            for name in next(orders):
                calls.create_task(call(name, number // RATE))
    return found


def ratios(found: Sequence[Latencies]) -> Mapping[str, float]:
    """Compare what accepting takes in each outage with what it takes without."""
    usual = {
        name: median(percentile_99(second[name]) for second in found[FIRST_SECONDS:])
        for name in found[0]
    }
    without = usual.pop(WITHOUT)
    return {name: in_outage / without for name, in_outage in usual.items()}


def percentile_99(values: Sequence[float]) -> float:
    return sorted(values)[len(values) * 99 // 100]


def measured(folder: Path, seconds: int, defect: Defect | None = None) -> Mapping[str, float]:
    """Measure how much longer accepting takes in each kind of outage."""

    async def measure() -> Mapping[str, float]:
        async with services(folder, defect) as clients:
            return ratios(await called(clients, FIRST_SECONDS + seconds))

    return asyncio.run(measure())


def test_accepting_takes_no_longer_in_an_outage(tmp_path: Path, note: Note) -> None:
    tries = []
    for number in range(TRIES):
        (folder := tmp_path / str(number)).mkdir()
        tries.append(measured(folder, SECONDS))
        if max(tries[-1].values()) <= LIMIT:
            note(tries=len(tries), times_as_long=max(tries[-1].values()))
            return
    raise AssertionError(f"accepting takes longer in an outage: {tries}")


def test_a_service_that_waits_for_its_provider_is_found_out(tmp_path: Path) -> None:
    """The negative control; noise can hide it too, so it is looked for as often."""
    tries = []
    for number in range(TRIES):
        (folder := tmp_path / str(number)).mkdir()
        tries.append(measured(folder, FEWER_SECONDS, Defect.WAITS_FOR_THE_PROVIDER))
        if min(tries[-1].values()) > LIMIT:
            return
    raise AssertionError(f"a service that waits for its provider looks like any other: {tries}")
