"""Telling other processes on the same database of new work, so that they need not poll for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from threading import Lock
from types import TracebackType
from typing import Final, Protocol, Self, TypeAlias

from pinguin_adapters.sqlmodel_store.rows import TABLE
from pinguin_core.message import Channel

TOPIC: Final = f"'pinguin_' || '{TABLE.name}'::regclass::oid"
"""Under which name PostgreSQL tells, in SQL: the table's own number, for schemas are strangers."""

OnWake: TypeAlias = Callable[[Channel, datetime], None]
Wake: TypeAlias = tuple[Channel, datetime]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class Signals(Protocol):
    """Speaks and listens from entering its `async with` to leaving it. What is lost is polled for.

    Attributes:
        are_heard: whether anybody can be told at all.
    """

    are_heard: bool

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

    def announce(self, wakes: Iterable[Wake]) -> None:
        """Tell other processes when something of a channel is due; callable from any thread."""
        ...

    def subscribe(self, on_wake: OnWake) -> None:
        """Have a function called, on the event loop, for what other processes announce."""
        ...


class NoSignals:
    """Neither speaks nor listens: the database has no means to."""

    are_heard = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        pass

    def announce(self, wakes: Iterable[Wake]) -> None:
        """Do nothing."""

    def subscribe(self, on_wake: OnWake) -> None:
        """Do nothing."""


class Announcements:
    """What is to be announced, without what need not be: all hands are kept off the database.

    Whoever heard of an earlier moment that is yet to come looks into the store then, and finds the
    later ones there.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._unsaid: dict[Channel, datetime] = {}
        self._said: dict[Channel, datetime] = {}

    def add(self, wakes: Iterable[Wake], now: datetime) -> bool:
        """Note what is due; tell whether there is something new to say."""
        news = False
        with self._lock:
            for channel, moment in wakes:
                if not self._is_expected(channel, moment, now):
                    self._unsaid[channel] = self._said[channel] = moment
                    news = True
        return news

    def take(self) -> dict[Channel, datetime]:
        """Return what is to be said, which counts as said from then on."""
        with self._lock:
            unsaid, self._unsaid = self._unsaid, {}
        return unsaid

    def _is_expected(self, channel: Channel, moment: datetime, now: datetime) -> bool:
        if (unsaid := self._unsaid.get(channel)) is not None and unsaid <= moment:
            return True
        said = self._said.get(channel)
        return said is not None and now < said <= moment


def payload(channel: Channel, moment: datetime) -> str:
    """Write what one process tells the others: `email 1893499200000000`."""
    return f"{channel.value} {(moment - _EPOCH) // _MICROSECOND}"


def parsed(text: str) -> Iterable[Wake]:
    """Read it; what is not understood may mean anything, so it wakes every channel at once."""
    try:
        name, number = text.split()
        return [(Channel(name), _EPOCH + int(number) * _MICROSECOND)]
    except (ValueError, OverflowError):
        return AT_ONCE


AT_ONCE: Final = [(channel, datetime.min.replace(tzinfo=UTC)) for channel in Channel]
"""Every channel, now."""
