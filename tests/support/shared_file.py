"""Processes that use one SQLite file as hard as they can, and what each of them saw."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Final
from unittest.mock import patch

from support.sqlmodel_processes import prepared_processes
from support.sqlmodel_stores import email, opened

from pinguin_adapters.sqlmodel_store import SqlModelNotificationRepository
from pinguin_adapters.sqlmodel_store.write_lock import WriteLock
from pinguin_core import Channel, Notification, NotificationId, PinguinError, Receipt

_CALLERS: Final = 2
_LEASE: Final = timedelta(minutes=1)
_PATIENCE: Final = 60.0


@dataclass
class Seen:
    """What one process saw.

    Attributes:
        accepted: how long each `add` took, in seconds.
        delivered: how many were claimed and saved.
        errors: what the store raised.
    """

    accepted: list[float] = field(default_factory=list)
    delivered: int = 0
    errors: list[str] = field(default_factory=list)


def used_by_all(paths: Sequence[Path], seconds: float, *, in_turn: bool = True) -> list[Seen]:
    """Have a process for each path use it, all at once, and return what each saw.

    Args:
        paths: the files; the same one for all who share it.
        seconds: for how long.
        in_turn: whether they take turns, as they should.
    """
    context = prepared_processes()
    ready = context.Barrier(len(paths))
    pipes = [context.Pipe(duplex=False) for _ in paths]
    processes = [
        context.Process(target=_use, args=(path, n, _Way(seconds, in_turn, ready), theirs))
        for n, (path, (_, theirs)) in enumerate(zip(paths, pipes, strict=True))
    ]
    try:
        for process in processes:
            process.start()
        seen = []
        for (ours, theirs), process in zip(pipes, processes, strict=True):
            theirs.close()
            assert ours.poll(seconds + _PATIENCE), f"{process.name} tells nothing"
            seen.append(ours.recv())
        return seen
    finally:
        for process in processes:
            process.kill()
            process.join()
        for ours, _ in pipes:
            ours.close()


@dataclass
class _Way:
    seconds: float
    in_turn: bool
    ready: Barrier


def _use(path: Path, number: int, way: _Way, tell: Connection) -> None:
    async def use() -> Seen:
        seen = Seen()
        async with opened(path) as store:
            await asyncio.to_thread(way.ready.wait, _PATIENCE)
            end = time.monotonic() + way.seconds
            await asyncio.gather(
                *(_accept(store, f"{number}-{caller}", end, seen) for caller in range(_CALLERS)),
                _deliver(store, end, seen),
            )
        return seen

    with nullcontext() if way.in_turn else patch.object(WriteLock, "take"):
        tell.send(asyncio.run(use()))


async def _accept(
    store: SqlModelNotificationRepository, caller: str, end: float, seen: Seen
) -> None:
    while (began := time.monotonic()) < end:
        name = NotificationId(f"notif-{caller}-{len(seen.accepted)}")
        try:
            await store.add(Notification.queue(name, email().message, datetime.now(UTC)))
            seen.accepted.append(time.monotonic() - began)
        except PinguinError as error:
            seen.errors.append(str(error))


async def _deliver(store: SqlModelNotificationRepository, end: float, seen: Seen) -> None:
    while time.monotonic() < end:
        try:
            claimed = await store.claim_due(Channel.EMAIL, datetime.now(UTC), _LEASE, 16)
            saves = (store.save(each.succeed(Receipt("r"), datetime.now(UTC))) for each in claimed)
            await asyncio.gather(*saves)
            seen.delivered += len(claimed)
        except PinguinError as error:
            seen.errors.append(str(error))
