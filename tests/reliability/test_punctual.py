"""Promise: what is scheduled is released at its time, never early, and within a second of it.

A service and its relay on a real clock. That something is early is never forgiven; that the machine
was busy with something else is, unless it is three times.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from reliability.callers import client_of
from reliability.figures import Note
from reliability.scale import chance, scale
from support.recording_relay import RecordingRelay
from support.service_defects import Defect
from support.service_process import ServiceSetup, service_process
from support.waiting import PATIENCE

from pinguin_core import Email, EmailAddress

SPAN: Final = scale(3, 120)  # seconds over which they are due
IN_A_SECOND: Final = 60
AHEAD: Final = timedelta(seconds=3)  # of the first: until then all are accepted
LATEST: Final = 1.0
TRIES: Final = 3


async def released(folder: Path, defect: Defect | None) -> list[float]:
    """Schedule notifications, and return by how many seconds each was late."""
    moments = chance("punctual")
    async with RecordingRelay() as relay:
        setup = ServiceSetup(folder, relay.port, defect)
        async with (
            service_process(setup) as service,
            client_of(await service.ready()) as client,
        ):
            first = datetime.now(UTC) + AHEAD
            due: Mapping[str, datetime] = {
                f"r{number}@example.com": first + timedelta(seconds=moments.uniform(0, SPAN))
                for number in range(SPAN * IN_A_SECOND)
            }
            await asyncio.gather(
                *(
                    client.send(Email(EmailAddress(to), "Subject", "Body"), scheduled_at=at)
                    for to, at in due.items()
                )
            )
            await asyncio.gather(*map(relay.arrived, due))
        return sorted(copy.at - due[copy.recipient].timestamp() for copy in relay.copies)


def lateness(folder: Path, defect: Defect | None = None) -> list[float]:
    return asyncio.run(asyncio.wait_for(released(folder, defect), PATIENCE + SPAN))


def percentile_99(late: list[float]) -> float:
    return late[len(late) * 99 // 100]


def test_what_is_scheduled_is_released_at_its_time(tmp_path: Path, note: Note) -> None:
    tries: list[float] = []
    for number in range(TRIES):
        (folder := tmp_path / str(number)).mkdir()
        late = lateness(folder)
        assert late[0] >= 0, "released early"
        tries.append(percentile_99(late))
        if tries[-1] <= LATEST:
            break
    note(scheduled=SPAN * IN_A_SECOND, tries=len(tries), percentile_99_late=tries[-1])
    assert tries[-1] <= LATEST, tries


def test_what_is_released_early_is_found_out(tmp_path: Path) -> None:
    assert lateness(tmp_path, Defect.RELEASES_EARLY)[0] < 0


def test_what_is_released_late_is_found_out(tmp_path: Path) -> None:
    assert percentile_99(lateness(tmp_path, Defect.RELEASES_LATE)) > LATEST
