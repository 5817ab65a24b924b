"""Promise: a killed process loses nothing that it answered, and what is sent twice is marked.

Callers ask without pause, each request under a key; whoever gets no answer asks again. Meanwhile
the service is killed at moments that chance chooses, and started again on the same database; and
now and then the relay hangs up instead of saying that it took a message. Three records tell what
happened: the callers', the relay's and the database.
"""

from __future__ import annotations

import asyncio
import signal
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from random import Random
from typing import Final

import pytest
from reliability.callers import Callers, Unanswered, all_ended, all_hung_up, client_of, left
from reliability.figures import Note
from reliability.ledger import Ledger, Moment, complaints, figures
from reliability.scale import chance, scale
from support.recording_relay import RecordingRelay, Reply
from support.service_defects import Defect
from support.service_process import ServiceProcess, ServiceSetup, service_process
from support.waiting import PATIENCE, in_time

from pinguin_core.notification import MAX_CRASHES
from pinguin_grpc.client import PinguinClient

KILLS: Final = scale(250, 5_000)
CALLERS: Final = 16
CONTROL_TURNS: Final = 5
CONTROL_PATIENCE: Final = 5.0  # seconds for which a control waits for what never ends
LIFE: Final = 0.15  # seconds for which a service is left alive at the most, once it is ready
START: Final = 0.06  # seconds after which one is killed at the latest that is not to become ready
EARLY: Final = 0.1  # the share of those
SPARED: Final = MAX_CRASHES - 2
"""What has outlived so many services is delivered before the next is killed, or would be taken for
the cause; the next but one may be killed with it again before that is seen."""

LAG: Final = 0.2  # seconds for which a caller waits at the most until its mail has arrived
SLOWEST_REPLY: Final = 0.01  # seconds
LOST: Final = 0.02  # the share of the relay's replies that get lost
RETRY_SOON: Final = {"RETRY_INTERVAL_SEC": "0.1"}


class Whereabouts:
    """Where the service is, while it is somewhere."""

    def __init__(self) -> None:
        self._client: PinguinClient | None = None
        self._is_there = asyncio.Event()

    def moved(self, client: PinguinClient | None) -> None:
        self._client = client
        if client is None:
            self._is_there.clear()
        else:
            self._is_there.set()

    async def client(self) -> PinguinClient:
        while self._client is None:  # it may be gone again before whoever waits wakes up
            await in_time(self._is_there, "a service")
        return self._client


class Loop:
    """A service that is killed, and those who use it.

    Attributes:
        troubles: whatever went wrong besides.
    """

    def __init__(
        self, setup: ServiceSetup, relay: RecordingRelay, random: Random, patience: float
    ) -> None:
        self.ledger = Ledger(copies=relay.copies)
        self.troubles: list[str] = []
        self._setup = setup
        self._relay = relay
        self._random = random
        self._patience = patience
        self._callers = Callers(self.ledger)
        self._service = Whereabouts()
        self._enough = False

    def answer(self, verb: str, reply: Reply) -> None:
        """Let the relay answer, but a little later, or hang up instead."""
        if verb != "END":
            reply()
            return
        is_lost = self._random.random() < LOST
        say = partial(self._lose, reply) if is_lost else reply
        pause = self._random.uniform(0, SLOWEST_REPLY)
        asyncio.get_running_loop().call_later(pause, say)

    def _lose(self, reply: Reply) -> None:
        self.ledger.lost_replies[reply.recipient].append(time.time())
        reply.hang_up()

    async def run(self, kills: int) -> None:
        calling = [asyncio.create_task(self._call_until_enough()) for _ in range(CALLERS)]
        try:
            for _ in range(kills):
                await self._live_and_be_killed()
            await self._live_and_stop(calling)
        finally:
            for each in calling:
                each.cancel()

    async def _live_and_be_killed(self) -> None:
        async with service_process(self._setup) as service:
            if self._random.random() < EARLY and not self._some_are_to_be_spared():
                await asyncio.sleep(self._random.uniform(0, START))
                await self._kill(service)
                return
            async with client_of(await service.ready()) as client:
                self._service.moved(client)
                await asyncio.sleep(self._random.uniform(0, LIFE))
                await all_ended(self._setup.database, self._patience, crashes=SPARED)
                self._service.moved(None)
                await self._kill(service)

    def _some_are_to_be_spared(self) -> bool:
        return bool(self.ledger.answers) and left(self._setup.database, SPARED) > 0

    async def _kill(self, service: ServiceProcess) -> None:
        after = time.time()
        service.signal(signal.SIGKILL)
        code = await service.ended()
        self.ledger.kills.append(Moment(after, time.time()))
        if code != -signal.SIGKILL:
            self.troubles.append(f"a service ended by itself, with {code}")

    async def _live_and_stop(self, calling: list[asyncio.Task[None]]) -> None:
        self._enough = True
        async with (
            service_process(self._setup) as service,
            client_of(await service.ready()) as client,
        ):
            self._service.moved(client)
            self.troubles += await all_hung_up(calling)
            await all_ended(self._setup.database, self._patience)

    async def _call_until_enough(self) -> None:
        while not self._enough:
            recipient = self._callers.new_recipient()
            await self._call_until_answered(recipient)
            with suppress(TimeoutError):  # it may be lost
                await asyncio.wait_for(self._relay.arrived(recipient), LAG)

    async def _call_until_answered(self, recipient: str) -> None:
        while True:
            client = await self._service.client()
            with suppress(Unanswered):
                return await self._callers.ask(client, recipient)


def outcome(
    folder: Path, kills: int, defect: Defect | None = None, patience: float = PATIENCE
) -> tuple[Ledger, Path, list[str]]:
    """What happened to requests, the database, and everything that breaks the promise."""
    random = chance("kill")

    async def scenario() -> tuple[Ledger, Path, list[str]]:
        async with RecordingRelay() as relay:
            setup = ServiceSetup(folder, relay.port, defect, RETRY_SOON)
            loop = Loop(setup, relay, random, patience)
            relay.answer = loop.answer
            await loop.run(kills)
        found = [*loop.troubles, *complaints(loop.ledger, setup.database)]
        return loop.ledger, setup.database, found

    return asyncio.run(asyncio.wait_for(scenario(), 3 * PATIENCE + 2 * kills))


def test_killing_loses_nothing_and_all_duplicates_are_explained(tmp_path: Path, note: Note) -> None:
    ledger, database, found = outcome(tmp_path, KILLS)
    note(**figures(ledger, database))
    assert found[:5] == [], f"see {tmp_path}"
    assert len(ledger.answers) >= KILLS, "too few calls for a load"
    assert len(ledger.copies) > len(ledger.answers), "no attempt was hit"
    assert ledger.lost_replies, "no reply was lost"


@pytest.mark.parametrize(
    ("defect", "kills", "complaint"),
    [
        (Defect.WRITES_BEHIND, 10, "was answered and is lost"),
        (Defect.IGNORES_KEYS, 10, "was asked for once, and there are"),
        (Defect.NAMES_EACH_ATTEMPT_ANEW, 10, "has copies under another name"),
        (Defect.FORGETS_OUTCOMES, 1, "is sending, not sent"),
        (Defect.MARKS_NO_DUPLICATES, 10, "is marked wrongly"),
    ],
)
def test_defects_are_found_out(tmp_path: Path, defect: Defect, kills: int, complaint: str) -> None:
    """The negative controls. So few kills need not do harm on a busy machine: a few more may."""
    found: list[str] = []
    for turn in range(CONTROL_TURNS):
        folder = tmp_path / str(turn)
        folder.mkdir()
        found += outcome(folder, kills, defect, CONTROL_PATIENCE)[2]
        if any(complaint in each for each in found):
            return
    pytest.fail(f"nothing was found out but {found[:5]}")
