"""The program whose power is cut: clients and workers on a store, and a record of each call.

Run as `python program.py FILE RECORD VARIANT`. Before each call it writes `asked NUMBER` to the
record, and after it `answered NUMBER ID=VERSION …`: what must be on stable storage from there on.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from enum import StrEnum
from functools import cache
from itertools import count
from pathlib import Path
from typing import Final, TypeVar
from unittest.mock import patch

from support.sqlmodel_stores import ADDRESS, on_every, opened

from pinguin_adapters.sqlmodel_store import SqlModelNotificationRepository, sqlite, sqlite_file
from pinguin_core import Channel, Email, EmailAddress, Notification, NotificationId, Receipt
from pinguin_core.testing.fakes import NOON

T = TypeVar("T")

SESSIONS: Final = 2  # so that the store is closed and opened again
_CLIENTS: Final = 6
_EACH: Final = 8  # that a client adds in a session
_WORKERS: Final = 2
_LEASE: Final = timedelta(minutes=1)
_LIMIT: Final = 4
_PAGES: Final = 64  # after which SQLite makes a checkpoint: many, in a short trace


class Variant(StrEnum):
    """What the program's store is like: as it should be, or broken so that a power cut shows it."""

    TRUE = "true"
    NORMAL = "normal"
    """`synchronous = NORMAL`: a commit is not synchronised."""
    OFF = "off"
    """`synchronous = OFF`: nothing is, not even before and after a checkpoint."""
    HASTY = "hasty"
    """`add` answers before the commit."""
    FOLDERS = "folders"
    """The folders that were made for the file are not synchronised."""


@cache
def words(name: str) -> tuple[str, str]:
    """Return the subject and the body of the notification of this name, which no other has."""
    return f"Letter {name}", f"This is {name}. " * 20


class Record:
    """Where calls are recorded. Each line is one write, so that a trace shows it in its place."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
        self._numbers = count(1)

    async def call(
        self, call: Awaitable[T], promised: Callable[[T], Mapping[NotificationId, int]]
    ) -> T:
        """Await a call, and record it with the versions that its answer promises to keep."""
        number = next(self._numbers)
        os.write(self._file, f"asked {number}\n".encode())
        answer = await call
        versions = " ".join(f"{name}={version}" for name, version in promised(answer).items())
        os.write(self._file, f"answered {number} {versions}\n".encode())
        return answer


def promise(stored: Notification) -> Callable[[object], Mapping[NotificationId, int]]:
    """Promise this version, whatever the answer is."""
    return lambda _: {stored.id: stored.version}


class Clients:
    """What add to a store, and what deliver from it.

    Args:
        store: the store.
        record: where each call is recorded.
        session: a number for the names.
    """

    def __init__(self, store: SqlModelNotificationRepository, record: Record, session: int) -> None:
        self._store, self._record, self._session = store, record, session
        self._adding = _CLIENTS

    async def work(self) -> None:
        """Add and deliver all at the same time, each as fast as it is answered."""
        clients = (self._add(number) for number in range(_CLIENTS))
        await asyncio.gather(*clients, *(self._deliver() for _ in range(_WORKERS)))

    async def _add(self, client: int) -> None:
        for number in range(_EACH):
            name = NotificationId(f"notif-{self._session}-{client}-{number}")
            new = Notification.queue(name, Email(EmailAddress(ADDRESS), *words(name)), NOON)
            await self._record.call(self._store.add(new), promise(new))
        self._adding -= 1

    async def _deliver(self) -> None:
        while True:
            is_last = not self._adding
            claimed = await self._record.call(
                self._store.claim_due(Channel.EMAIL, NOON, _LEASE, _LIMIT),
                lambda claimed: {each.id: each.version for each in claimed},
            )
            await asyncio.gather(*(self._save(each) for each in claimed))
            if is_last and not claimed:
                return

    async def _save(self, claimed: Notification) -> None:
        sent = claimed.succeed(Receipt("relay"), NOON)
        await self._record.call(self._store.save(sent), promise(sent))


@contextmanager
def synchronous(mode: str, shown: int) -> Iterator[None]:
    """Have SQLite promise something else than FULL."""
    settings = [each.replace("= FULL", f"= {mode}") for each in sqlite._SETTINGS]
    with patch.object(sqlite, "_SETTINGS", settings), patch.object(sqlite, "_FULL", shown):
        yield


@contextmanager
def hasty() -> Iterator[None]:
    """Answer before the commit."""
    slow, tasks = SqlModelNotificationRepository.add, set()

    async def add(store: SqlModelNotificationRepository, notification: Notification) -> None:
        tasks.add(asyncio.create_task(slow(store, notification)))

    with patch.object(SqlModelNotificationRepository, "add", add):
        yield


VARIANTS: Final[Mapping[Variant, Callable[[], AbstractContextManager[object]]]] = {
    Variant.TRUE: nullcontext,
    Variant.NORMAL: lambda: synchronous("NORMAL", 1),
    Variant.OFF: lambda: synchronous("OFF", 0),
    Variant.HASTY: hasty,
    Variant.FOLDERS: lambda: patch.object(sqlite_file, "_sync"),
}


def checkpoint_often(connection: sqlite3.Connection, _record: object) -> None:
    connection.execute(f"PRAGMA wal_autocheckpoint = {_PAGES}")


async def use(path: Path, record: Record) -> None:
    for session in range(SESSIONS):
        async with opened(path) as store:
            await Clients(store, record, session).work()


def main() -> None:
    path, record, variant = sys.argv[1:]
    with VARIANTS[Variant(variant)](), on_every("connect", checkpoint_often):
        asyncio.run(use(Path(path), Record(Path(record))))


if __name__ == "__main__":
    main()
