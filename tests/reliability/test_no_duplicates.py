"""Promise: as long as nothing is killed and no reply is lost, everything arrives once."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Final

from reliability.callers import Callers, all_ended, client_of
from reliability.figures import Note
from reliability.ledger import Ledger, complaints
from reliability.scale import scale
from support.recording_relay import RecordingRelay
from support.service_defects import Defect
from support.service_process import ServiceSetup, service_process
from support.waiting import PATIENCE

SENDS: Final = scale(5_000, 100_000)
CONTROL_SENDS: Final = 1_000
CALLERS: Final = 32
SLOWEST: Final = 50  # sends in a second


async def sent(folder: Path, count: int, defect: Defect | None = None) -> list[str]:
    """Send so many through the service; return everything that breaks the promise."""
    async with RecordingRelay() as relay:
        setup = ServiceSetup(folder, relay.port, defect)
        ledger = Ledger(copies=relay.copies)
        async with (
            service_process(setup) as service,
            client_of(await service.ready()) as client,
        ):
            callers = Callers(ledger)

            async def call(recipients: list[str]) -> None:
                for recipient in recipients:
                    await callers.ask(client, recipient)

            recipients = [callers.new_recipient() for _ in range(count)]
            await asyncio.gather(*(call(recipients[each::CALLERS]) for each in range(CALLERS)))
            await all_ended(setup.database, PATIENCE + count / SLOWEST)
            service.signal(signal.SIGTERM)
            assert await service.ended() == 0
        assert len(ledger.answers) == count
        return complaints(ledger, setup.database)


def outcome(folder: Path, count: int, defect: Defect | None = None) -> list[str]:
    return asyncio.run(asyncio.wait_for(sent(folder, count, defect), PATIENCE + count / SLOWEST))


def test_everything_arrives_once(tmp_path: Path, note: Note) -> None:
    assert outcome(tmp_path, SENDS)[:5] == [], f"see {tmp_path}"
    note(sends=SENDS)


def test_what_is_sent_twice_is_found_out(tmp_path: Path) -> None:
    """The negative control: a sender that does so with one in 500."""
    found = outcome(tmp_path, CONTROL_SENDS, Defect.SENDS_SOME_TWICE)
    assert [each for each in found if "has 2 copies" in each]
