"""Learning that a worker is dead, so that nobody waits for the end of its leases.

A worker is an open store. Each puts its name on its claims, and is on the roll of its database in a
way that ends with its process, however that dies. All look now and then whether somebody has claims
who is no longer on the roll. Should they be wrong, then the versions of notifications still keep
the worker that was taken for dead from overwriting anything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable
from collections.abc import Set as AbstractSet
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from types import TracebackType
from typing import Protocol, Self

from sqlalchemy.engine import Connection

from pinguin_adapters.sqlmodel_store.reader import Question
from pinguin_adapters.sqlmodel_store.signals import OnWake, Wake
from pinguin_adapters.sqlmodel_store.statements import CLAIMANTS, Bulk
from pinguin_adapters.sqlmodel_store.troubles import Troubles
from pinguin_adapters.sqlmodel_store.worker import Worker
from pinguin_adapters.sqlmodel_store.writer import EndClaims, Task
from pinguin_core.ports import Observer


class Roll(Protocol):
    """Who works on a database, as one of its workers sees it.

    Attributes:
        pause: seconds from one look to the next.
    """

    pause: float

    @property
    def name(self) -> str | None:
        """What this worker's claims are marked with.

        None while it is not on the roll: claims without a name wait for the end of their lease.
        """
        ...

    def attend(self) -> AbstractContextManager[Connection]:
        """Connect, for looks to be taken through; at the end, leave the roll."""
        ...

    def look(self, connection: Connection, /) -> Collection[str]:
        """See to it that this worker is on the roll, and return who has claims and is dead."""
        ...


def claimants(connection: Connection) -> set[str]:
    """Return the names of all who have claims whose lease is not over."""
    return set(connection.execute(CLAIMANTS, {"now": datetime.now(UTC)}).scalars())


class Absences:
    """Counts the looks in a row in which somebody was absent.

    Looks are counted instead of seconds because nobody can be missed while nobody looks, as when
    the whole machine is suspended.

    Args:
        enough: after how many looks somebody is taken for dead.
    """

    def __init__(self, enough: int) -> None:
        self._enough = enough
        self._counts: dict[str, int] = {}

    def note(self, absent: AbstractSet[str]) -> set[str]:
        """Count a look, and return who is taken for dead."""
        self._counts = {name: self._counts.get(name, 0) + 1 for name in absent}
        return {name for name, count in self._counts.items() if count >= self._enough}

    def forget(self) -> None:
        """Begin anew, after a look that failed."""
        self._counts = {}


class Watch:
    """Ends the claims of dead workers, from entering its `async with` to leaving it.

    Trouble stops nothing: the claims wait for their lease then.

    Args:
        roll: is looked at, and stayed on.
        looking: looks, on a thread of its own.
        writing: ends the claims.
        overwrite: the statement to end them with.
        observer: is told of trouble.
    """

    def __init__(
        self,
        roll: Roll,
        looking: Worker[Question],
        writing: Worker[Task],
        overwrite: Bulk,
        observer: Observer,
    ) -> None:
        self._roll = roll
        self._looking = looking
        self._writing = writing
        self._overwrite = overwrite
        self._listeners: list[OnWake] = []
        self._troubles = Troubles(observer, "looking for the claims of dead workers")

    async def __aenter__(self) -> Self:
        await self._round()
        self._rounds = asyncio.create_task(self._go_on())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._rounds.cancel()
        await asyncio.wait([self._rounds])

    @property
    def name(self) -> str | None:
        """See `Roll.name`."""
        return self._roll.name

    def subscribe(self, on_wake: OnWake) -> None:
        """Have a function called, on the event loop, for what can be claimed anew."""
        self._listeners.append(on_wake)

    async def _go_on(self) -> None:
        while True:
            await asyncio.sleep(self._roll.pause)
            await self._round()

    async def _round(self) -> None:
        try:
            dead = await self._looking.ask(self._roll.look)
            if dead:
                end = EndClaims(self._overwrite, tuple(dead), datetime.now(UTC))
                self._tell(await self._writing.ask(end))
        except Exception as error:  # noqa: BLE001 (a watch that ended would find nobody ever again)
            self._troubles.tell(error)
        else:
            self._troubles.end()

    def _tell(self, wakes: Iterable[Wake]) -> None:
        for channel, moment in wakes:
            for on_wake in tuple(self._listeners):
                on_wake(channel, moment)
