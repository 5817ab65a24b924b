"""Promise: a worker that was suspended for longer than its lease overwrites nothing afterwards.

A process is stopped by SIGSTOP in the middle of an attempt: when the relay has a command or a
message from it, whose reply is kept back, or when it is about to store the outcome. Another process
takes over when the lease is over, and delivers. Then the first one goes on.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, Final

from reliability.figures import Note
from reliability.ledger import stored
from reliability.scale import chance, scale
from support.recording_relay import RecordingRelay
from support.sqlmodel_stores import email, opened, raw
from support.suspended_worker import LEASE, REFUSED, SUSPENDED, Worker, WorkerSetup, worker
from support.waiting import PATIENCE, in_time

from pinguin_adapters.sqlmodel_store import SqlModelNotificationRepository
from pinguin_core import Notification, NotificationId
from pinguin_core.history import Outcome

PAIRS: Final = 5
"""How many pairs of workers are tried at a time; most of a round is waiting for a lease."""

ROUNDS: Final = scale(50, 500) // PAIRS  # for each pair
SHORT: Final = timedelta(seconds=0.2)
BEHIND: Final = LEASE - SHORT
"""How far the first one's clock is behind, so that its leases are short by the second one's."""

STORING: Final = "storing"
MOMENTS: Final = ("MAIL", "RCPT", "DATA", "END", STORING)


class Suspender:
    """Answers a relay's commands, but at one of them stops who gave it, and keeps the reply."""

    def __init__(self) -> None:
        self.stops_at = ""
        self.stopped = asyncio.Event()
        self.victim: Worker | None = None
        self._kept: list[Callable[[], None]] = []

    def answer(self, verb: str, reply: Callable[[], None]) -> None:
        if verb != self.stops_at or self.victim is None:
            reply()
            return
        self.victim.signal(signal.SIGSTOP)
        self.stops_at = ""
        self._kept.append(reply)
        self.stopped.set()

    def let_go(self) -> None:
        while self._kept:
            self._kept.pop()()
        self.stopped.clear()


@dataclass
class Pair:
    """Two workers on one database, each with a relay of its own."""

    database: Path
    store: SqlModelNotificationRepository
    first: Worker
    second: Worker
    suspender: Suspender
    relays: tuple[RecordingRelay, RecordingRelay]

    async def round(self, name: NotificationId, moment: str) -> list[str]:
        """Suspend the first worker at a moment; return whatever breaks the promise."""
        due = datetime.now(UTC) - BEHIND
        await self.store.add(Notification.queue(name, email().message, due))
        await self._suspend_first(name, moment)
        self.second.begin()
        await self.second.told("Sent")
        await self.second.end()
        before = self._row(name)
        self.suspender.let_go()
        self.first.signal(signal.SIGCONT)
        told = await self.first.told(REFUSED, "Sent", "Queued", "Failed")
        await self.first.end()
        return [
            f"{name}, suspended at {moment}: {each}" for each in self._wrong(name, before, told)
        ]

    async def _suspend_first(self, name: NotificationId, moment: str) -> None:
        self.suspender.stops_at = moment
        if moment == STORING:
            self.first.begin(suspended_at=name)
            await self.first.told(SUSPENDED)
        else:
            self.first.begin()
            await in_time(self.suspender.stopped, f"a worker to come to {moment}")

    def _row(self, name: NotificationId) -> tuple[Any, ...]:
        with raw(self.database) as connection:
            query = "SELECT * FROM pinguin_notification WHERE id = ?"
            row: tuple[Any, ...] = connection.execute(query, [str(name)]).fetchone()
            return row

    def _wrong(self, name: NotificationId, before: tuple[Any, ...], told: str) -> list[str]:
        (it,) = [each for each in stored(self.database) if each.id == str(name)]
        outcomes = [outcome for _, outcome in it.attempts]
        names = {copy.message_id for relay in self.relays for copy in relay.copies}
        copies = [each for each in names if each.startswith(f"<{name}@")]
        return [
            wrong
            for is_right, wrong in (
                (told == REFUSED, f"what it stored was not refused ({told})"),
                (self._row(name) == before, f"it overwrote {before}"),
                (it.state == "sent" and it.possible_duplicate, f"it is {it}"),
                (outcomes == [Outcome.CRASHED, Outcome.SENT], f"its history is {outcomes}"),
                (len(copies) == 1, f"its copies have the names {copies}"),
            )
            if not is_right
        ]


async def suspended_again_and_again(
    database: Path, rounds: int, random: Random, *, is_fenced: bool
) -> list[str]:
    suspender = Suspender()
    async with AsyncExitStack() as stack:
        relays = RecordingRelay(suspender.answer), RecordingRelay()
        for relay in relays:
            await stack.enter_async_context(relay)
        setups = [
            WorkerSetup(database, relay.port, behind, is_fenced)
            for relay, behind in zip(relays, (BEHIND, timedelta(0)), strict=True)
        ]
        first, second = [await stack.enter_async_context(worker(setup)) for setup in setups]
        suspender.victim = first
        store = await stack.enter_async_context(opened(database))
        pair = Pair(database, store, first, second, suspender, relays)
        return [
            wrong
            for number in range(rounds)
            for wrong in await pair.round(NotificationId(f"notif-{number}"), random.choice(MOMENTS))
        ]


def outcome(folder: Path, rounds: int, *, is_fenced: bool = True) -> list[str]:
    """Everything that breaks the promise."""

    async def scenario() -> list[str]:
        pairs = [
            suspended_again_and_again(
                folder / f"{number}.db", rounds, chance(f"suspended {number}"), is_fenced=is_fenced
            )
            for number in range(PAIRS)
        ]
        return [wrong for each in await asyncio.gather(*pairs) for wrong in each]

    return asyncio.run(asyncio.wait_for(scenario(), PATIENCE * (1 + rounds)))


def test_a_worker_that_was_suspended_overwrites_nothing(tmp_path: Path, note: Note) -> None:
    assert outcome(tmp_path, ROUNDS)[:5] == [], f"see {tmp_path}"
    note(suspensions=PAIRS * ROUNDS)


def test_a_store_that_does_not_compare_is_found_out(tmp_path: Path) -> None:
    """The negative control."""
    assert len(outcome(tmp_path, 1, is_fenced=False)) >= PAIRS
