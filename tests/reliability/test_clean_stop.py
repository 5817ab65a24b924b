"""Promise: a service that is told to stop answers every call that it accepted, and loses nothing.

Nor does it send anything twice: deliveries that are under way come to their end. Callers ask
without pause while SIGTERM comes at a moment that chance chooses; afterwards the next service takes
over what is left.
"""

from __future__ import annotations

import asyncio
import signal
import time
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from random import Random
from typing import Final

from reliability.callers import Callers, Unanswered, all_ended, all_hung_up, client_of
from reliability.figures import Note
from reliability.ledger import Ledger, complaints
from reliability.scale import chance, scale
from support.recording_relay import RecordingRelay
from support.service_defects import Defect
from support.service_process import ServiceSetup, service_process
from support.waiting import PATIENCE

ROUNDS: Final = scale(100, 1_000)
CALLERS: Final = 8
LONGEST_LOAD: Final = 0.15  # seconds before the signal
LONGEST_STOP: Final = 10.0
CONTROL_ROUNDS: Final = 5


async def stopped_again_and_again(
    setup: ServiceSetup, relay: RecordingRelay, rounds: int, random: Random, patience: float
) -> tuple[Ledger, list[str]]:
    """Stop so many services; return what happened to requests, and how the stops went wrong."""
    ledger = Ledger(copies=relay.copies)
    callers = Callers(ledger)
    troubles = [
        trouble
        for _ in range(rounds)
        for trouble in await _stopped(setup, callers, random.uniform(0, LONGEST_LOAD))
    ]
    async with service_process(setup) as last:
        await last.ready()
        await all_ended(setup.database, patience)
    return ledger, troubles


async def _stopped(setup: ServiceSetup, callers: Callers, load: float) -> list[str]:
    async with service_process(setup) as service, AsyncExitStack() as stack:
        port = await service.ready()
        calling = [
            asyncio.create_task(_ask_until_turned_away(callers, port)) for _ in range(CALLERS)
        ]
        stack.callback(lambda: [each.cancel() for each in calling])
        await asyncio.sleep(load)
        began = time.monotonic()
        service.signal(signal.SIGTERM)
        code = await service.ended()
        took = time.monotonic() - began
        wrong = await all_hung_up(calling)
    return [
        *([f"it ended with {code}"] if code != 0 else []),
        *([f"it took {took:.1f} seconds to stop"] if took > LONGEST_STOP else []),
        *wrong,
    ]


async def _ask_until_turned_away(callers: Callers, port: int) -> None:
    async with client_of(port) as client:
        with suppress(Unanswered):
            while True:
                await callers.ask(client, callers.new_recipient())


def outcome(
    folder: Path, rounds: int, defect: Defect | None = None, patience: float = PATIENCE
) -> tuple[Ledger, list[str]]:
    """What happened to requests, and everything that breaks the promise."""

    async def scenario() -> tuple[Ledger, list[str]]:
        async with RecordingRelay() as relay:
            setup = ServiceSetup(folder, relay.port, defect)
            ledger, troubles = await stopped_again_and_again(
                setup, relay, rounds, chance("clean stop"), patience
            )
        return ledger, [*troubles, *complaints(ledger, setup.database)]

    return asyncio.run(asyncio.wait_for(scenario(), PATIENCE + 5 * rounds))


def test_a_clean_stop_loses_nothing_and_repeats_nothing(tmp_path: Path, note: Note) -> None:
    ledger, found = outcome(tmp_path, ROUNDS)
    note(stops=ROUNDS, notifications=len(ledger.answers))
    assert found[:5] == [], f"see {tmp_path}"
    assert len(ledger.answers) >= ROUNDS * CALLERS / 2, "too few calls for a load"


def test_a_service_that_ends_at_once_is_found_out(tmp_path: Path) -> None:
    """The negative control."""
    _, found = outcome(tmp_path, CONTROL_ROUNDS, Defect.EXITS_AT_ONCE, patience=1)
    assert any("that was not answered" in each for each in found)
