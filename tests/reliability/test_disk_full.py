"""Promise: nothing that was answered is missing when the disk is full, and it goes on after that.

The disk is a file system of a few MiB, which something else fills, where mounting one is permitted;
and everywhere a limit on the size of files, which fails the log of the database the same way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from random import Random
from typing import Any, Final

import pytest
from reliability.figures import Note
from reliability.scale import chance, scale
from sqlalchemy.engine import Connection
from support.samples import LEASE
from support.shortage import Shortage, limited_files, small_disk
from support.sqlmodel_stores import MIB, on_every, opened, raw, sized

from pinguin_adapters.sqlmodel_store import SqlModelNotificationRepository, disk_reserve, writer
from pinguin_adapters.sqlmodel_store.rows import TABLE
from pinguin_adapters.sqlmodel_store.worker import Request
from pinguin_core import (
    Channel,
    Notification,
    Receipt,
    StoreFull,
    StoreUnavailable,
)

TURNS: Final = scale(1, 30)
ROUNDS: Final = 10
SIZE: Final = 48 * MIB  # more than is stored in all rounds
CALLERS: Final = 8
PATIENCE: Final = 60 + 10 * ROUNDS
ENOUGH: Final = 3  # refusals, after which a caller has seen that the disk is full

Short = Callable[[Path, int], AbstractContextManager[Shortage]]
SHORTAGES: Final = [
    pytest.param(small_disk, id="small disk"),
    pytest.param(limited_files, id="limited files"),
]


@pytest.fixture(autouse=True)
def look_always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Notice at once that there is room again, so that no test waits for it."""
    monkeypatch.setattr(disk_reserve, "_PAUSE", 0)


@pytest.fixture(params=[disk_reserve.RESERVE, 0])
def reserve(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep a reserve, which refuses before the disk does, or none."""
    monkeypatch.setattr(disk_reserve, "RESERVE", request.param)


@dataclass
class Answers:
    """What the store's callers were answered."""

    added: list[str] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)
    refusals: int = 0


def mail(number: int, random: Random) -> Notification:
    return sized(f"notif-{number}", random.choice([100, 1_000, 20_000]), datetime.now(UTC))


async def add_until_refused(
    store: SqlModelNotificationRepository, numbers: Iterator[int], random: Random, answers: Answers
) -> None:
    refusals = 0
    while refusals < ENOUGH:
        notification = mail(next(numbers), random)
        try:
            await store.add(notification)
            answers.added.append(str(notification.id))
        except (StoreFull, StoreUnavailable):
            refusals += 1
    answers.refusals += refusals


async def deliver(store: SqlModelNotificationRepository, limit: int, answers: Answers) -> int:
    claimed = await store.claim_due(Channel.EMAIL, datetime.now(UTC), LEASE, limit)
    for each in claimed:
        await store.save(each.succeed(Receipt("r"), datetime.now(UTC)))
        answers.sent.append(str(each.id))
    return len(claimed)


async def deliver_meanwhile(store: SqlModelNotificationRepository, answers: Answers) -> None:
    while True:
        try:
            await deliver(store, 4, answers)
        except (StoreFull, StoreUnavailable):
            answers.refusals += 1


async def hammered(shortage: Shortage, random: Random) -> Answers:
    """Fill the disk again and again, while it is worked with; what was full must go on after."""
    answers, numbers = Answers(), count()
    async with opened(shortage.path) as store:
        await store.add(mail(next(numbers), random))
        for _ in range(ROUNDS):
            shortage.begin(random.randrange(600_000))
            delivering = asyncio.create_task(deliver_meanwhile(store, answers))
            await asyncio.gather(
                *(add_until_refused(store, numbers, random, answers) for _ in range(CALLERS))
            )
            delivering.cancel()
            await asyncio.wait([delivering])
            shortage.end()
            after = mail(next(numbers), random)
            await store.add(after)
            answers.added.append(str(after.id))
            while await deliver(store, 100, answers):
                continue
    return answers


def missing(path: Path, answers: Answers) -> Sequence[str]:
    """What was answered and is not there, and whatever else is wrong with the file."""
    with raw(path) as connection:
        states = dict(connection.execute(f"SELECT id, state FROM {TABLE.name}").fetchall())
        ((verdict,),) = connection.execute("PRAGMA integrity_check").fetchall()
    lost = [f"{name} was accepted and is not there" for name in answers.added if name not in states]
    unsent = [
        f"{name} was saved as sent and is {states.get(name)}"
        for name in answers.sent
        if states.get(name) != "sent"
    ]
    return [*lost, *unsent, *([] if verdict == "ok" else [verdict])]


@pytest.mark.parametrize("turn", range(TURNS))
@pytest.mark.usefixtures("reserve")
@pytest.mark.parametrize("short", SHORTAGES)
def test_a_full_disk_loses_nothing_and_is_survived(
    tmp_path: Path, note: Note, short: Short, turn: int
) -> None:
    with short(tmp_path, SIZE) as shortage:
        answers = asyncio.run(
            asyncio.wait_for(hammered(shortage, chance(f"disk full {turn}")), timeout=PATIENCE)
        )
        assert missing(shortage.path, answers) == []
    note(shortages=ROUNDS, accepted=len(answers.added), refused=answers.refusals)
    assert answers.refusals >= ROUNDS * CALLERS * ENOUGH
    assert len(answers.sent) >= ROUNDS


@pytest.mark.parametrize("short", SHORTAGES)
def test_a_store_that_answers_before_it_has_committed_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, short: Short
) -> None:
    """The negative control."""
    commit, failed = writer.commit, count()

    def hopeful(connection: Connection, requests: Sequence[Request[Any]], **how: Any) -> None:
        commit(connection, requests, **how)
        for request in requests:
            if isinstance(request.outcome, StoreFull | StoreUnavailable) and next(failed) % 3 == 0:
                request.outcome = None if isinstance(request.task, writer.Write) else []

    monkeypatch.setattr(writer, "commit", hopeful)
    monkeypatch.setattr(disk_reserve, "RESERVE", 0)  # which keeps most commits from failing
    with short(tmp_path, SIZE) as shortage:
        answers = asyncio.run(
            asyncio.wait_for(hammered(shortage, chance("disk full")), timeout=PATIENCE)
        )
        assert any(
            "was accepted and is not there" in each for each in missing(shortage.path, answers)
        )


def test_outcomes_are_recorded_while_nothing_new_is_accepted(tmp_path: Path) -> None:
    """That is what the reserve is for: what was delivered and not recorded is delivered again."""

    async def scenario(shortage: Shortage, random: Random) -> None:
        answers, numbers = Answers(), count()
        async with opened(shortage.path) as store:
            await add_until_refused(store, numbers, random, answers)
            while await deliver(store, 8, answers):
                with pytest.raises(StoreFull, match="reserved for deliveries' outcomes"):
                    await store.add(mail(next(numbers), random))
            assert sorted(answers.sent) == sorted(answers.added)
            assert len(answers.sent) >= 100

    with small_disk(tmp_path, 40 * MIB) as shortage:
        asyncio.run(asyncio.wait_for(scenario(shortage, chance("reserve")), timeout=PATIENCE))


def test_a_commit_that_failed_is_not_tried_again(tmp_path: Path) -> None:
    """A second synchronisation may succeed without having written what the first one lost."""
    begun: list[object] = []

    async def scenario(shortage: Shortage, random: Random) -> None:
        async with opened(shortage.path) as store:
            await store.add(mail(0, random))
            shortage.begin(0)
            begun.clear()
            with pytest.raises((StoreFull, StoreUnavailable)):
                await store.add(mail(1, random))
            assert len(begun) == 1

    with on_every("begin", begun.append), limited_files(tmp_path, 0) as shortage:
        asyncio.run(scenario(shortage, chance("once")))
