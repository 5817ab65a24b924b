"""What the writing thread does: all that has gathered, in one transaction (group commit)."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain
from operator import attrgetter
from typing import Any, Final, NamedTuple, TypeAlias

from sqlalchemy.engine import Connection, Row

from pinguin_adapters.sqlmodel_store.errors import (
    Doubtful,
    Locked,
    Undone,
    UnreadableNotification,
    is_trouble,
    translated,
)
from pinguin_adapters.sqlmodel_store.reader import One
from pinguin_adapters.sqlmodel_store.rows import from_row, to_row
from pinguin_adapters.sqlmodel_store.signals import Wake
from pinguin_adapters.sqlmodel_store.statements import (
    BEFORE,
    CLAIMED_IDS,
    DUE,
    DUE_IDS,
    SET_ASIDE,
    Bulk,
    Values,
)
from pinguin_adapters.sqlmodel_store.worker import Request
from pinguin_core.errors import InvalidTransition, PinguinError
from pinguin_core.message import Channel
from pinguin_core.notification import Notification, Sending
from pinguin_core.values import NotificationId


class Write(NamedTuple):
    """Write one row.

    Args:
        refusal: makes the error for a row that the statement refuses.
        wake: when something of which channel is due once the row is there, if it then is.
    """

    bulk: Bulk
    values: Values
    refusal: Callable[[], PinguinError]
    wake: Wake | None

    @property
    def turn(self) -> Turn:
        """Its place in a transaction."""
        return (self.bulk.turn, self.values[0])

    def run(self, connection: Connection) -> PinguinError | None:
        """Write it, by itself."""
        return None if self.bulk.run(connection, [self.values]) else self.refusal()


_MOST_UNHEARD: Final = 1_000


class Unheard:
    """The newest of the claims that may have been committed although their callers got an error.

    Nothing was sent of what they claimed. To take that for crashes would mark it as a possible
    duplicate, and fail it after some. One instance serves all threads of a store.
    """

    def __init__(self) -> None:
        self._starts: dict[NotificationId, tuple[int, datetime]] = {}

    def note(self, claimed: object) -> None:
        """Note what came of a claim, if it came so far."""
        if isinstance(claimed, list):
            kept = [*self._starts.items(), *((each.id, _start(each)) for each in claimed)]
            self._starts = dict(kept[-_MOST_UNHEARD:])

    def __contains__(self, due: Notification) -> bool:
        """Tell whether it is still as such a claim left it."""
        return isinstance(due.state, Sending) and self._starts.get(due.id) == _start(due)


def _start(notification: Notification) -> tuple[int, datetime]:
    """Return what tells one attempt from all others, also when its worker was taken for dead."""
    return notification.attempts, notification.updated_at


@dataclass(frozen=True, slots=True)
class Claim:
    """Claim what is due; see `NotificationRepository.claim_due`.

    Args:
        name: what the worker is called that claims, if its death would be noticed.
        unheard: what the worker claimed without learning of it.
    """

    overwrite: Bulk
    channel: Channel
    now: datetime
    lease: timedelta
    limit: int
    name: str | None
    unheard: Unheard

    @property
    def turn(self) -> Turn:
        """Its place in a transaction: the last, since it alone never waits for others."""
        return (sys.maxsize, "")

    def run(self, connection: Connection) -> Sequence[Notification] | PinguinError:
        """Claim and return; or, if some cannot be read, set those aside and return the error."""
        try:
            due = [from_row(row) for row in self._select(connection, DUE)]
            due.sort(
                key=attrgetter("wake_at")
            )  # a row that had to be waited for stands where it once belonged
        except Exception as error:
            if is_trouble(error) or isinstance(error, Locked):
                raise
            if unreadable := self._set_unreadable_aside(connection):
                return unreadable[0]
            raise
        claimed = [
            each.claim(self.now, self.lease, is_unheard=each in self.unheard) for each in due
        ]
        rows = [
            self.overwrite.values(
                to_row(after, None if after.is_final else self.name) | {BEFORE: before.version}
            )
            for before, after in zip(due, claimed, strict=True)
        ]
        self.overwrite.run(connection, rows)
        return claimed

    def _select(self, connection: Connection, statement: Any) -> Sequence[Row[Any]]:
        chosen = {"channel": self.channel.value, "now": self.now, "limit": self.limit}
        return connection.execute(statement, chosen).all()

    def _set_unreadable_aside(self, connection: Connection) -> list[UnreadableNotification]:
        unreadable = []
        for (id,) in self._select(connection, DUE_IDS):  # noqa: A001 (the domain's word)
            try:
                One(id)(connection)
            except UnreadableNotification as error:
                connection.execute(SET_ASIDE, {"aside": id})
                unreadable.append(error)
        return unreadable


@dataclass(frozen=True, slots=True)
class EndClaims:
    """End the claims of dead workers, so that they can be claimed anew at once.

    Args:
        names: what the workers are called.
    """

    overwrite: Bulk
    names: Sequence[str]
    now: datetime

    @property
    def turn(self) -> Turn:
        """Its place in a transaction: the last, since it never waits for others either."""
        return (sys.maxsize, "")

    def run(self, connection: Connection) -> Sequence[Wake]:
        """End them, and return when something of which channel can be claimed."""
        rows, wakes = [], []
        chosen = {"names": self.names, "now": self.now}
        for (id,) in connection.execute(CLAIMED_IDS, chosen).all():  # noqa: A001 (the domain's word)
            # One that cannot be read is found, and told of, by whoever claims it after its lease.
            with suppress(UnreadableNotification, InvalidTransition):
                before = One(id)(connection)
                after = before.orphan(self.now)
                rows.append(self.overwrite.values(to_row(after) | {BEFORE: before.version}))
                wakes.append((after.channel, after.wake_at or self.now))
        self.overwrite.run(connection, rows)
        return wakes


Task: TypeAlias = Write | Claim | EndClaims
Turn: TypeAlias = tuple[int, str]
"""Where a task stands in its transaction. All keep to one order, lest they wait for each other."""

Hurrying: TypeAlias = Callable[[Connection], AbstractContextManager[None]]

_MOST_TIMES: Final = 5
_MOST_LOCKED: Final = 10  # tasks of a batch, each of which was waited for


class _Refused(Exception):
    """Not every row of a batch was written."""


def commit(
    connection: Connection,
    requests: Sequence[Request[Task]],
    hurrying: Hurrying,
    announce: Callable[[Iterable[Wake]], None] | None = None,
) -> None:
    """Do everything in one transaction, durably, and announce what was queued.

    When something is refused, or cannot be stored, or is locked by others, all is done again with a
    savepoint for each, so that it fails alone. When the database itself fails, so does everything:
    to try again is the callers' decision, since a second fsync may succeed without having written a
    thing. Only what was undone for certain is done again here, a few times.

    Args:
        connection: to write through.
        requests: what to do; each is given its outcome.
        hurrying: keeps what is done again from waiting for locks as long; see `Database`.
        announce: is told what was queued.
    """
    try:
        in_order = sorted(requests, key=lambda request: request.task.turn)
        _persistently(connection, in_order, hurrying)
    except Exception as error:  # noqa: BLE001 (whoever asked is told)
        for request in requests:
            if isinstance(error, Doubtful) and isinstance(request.task, Claim):
                request.task.unheard.note(request.outcome)
            request.outcome = translated(error)
    else:
        if announce:
            announce(_wakes(requests))


def _persistently(
    connection: Connection, requests: Sequence[Request[Task]], hurrying: Hurrying
) -> None:
    for _ in range(_MOST_TIMES - 1):
        try:
            return _once(connection, requests, hurrying)
        except Undone:
            continue
    return _once(connection, requests, hurrying)


def _once(connection: Connection, requests: Sequence[Request[Task]], hurrying: Hurrying) -> None:
    for request in requests:
        request.outcome = None
    try:
        _together(connection, requests)
    except Exception as error:
        if is_trouble(error):
            raise
        _apart(connection, requests, hurrying, locked=isinstance(error, Locked))


def _is_pointless(request: Request[Task]) -> bool:
    """Nobody would deliver what is claimed for a caller that is gone."""
    return isinstance(request.task, Claim) and request.answer.cancelled()


def _together(connection: Connection, requests: Sequence[Request[Task]]) -> None:
    writes: dict[Bulk, list[Values]] = defaultdict(list)
    for request in requests:
        if isinstance(request.task, Write):
            writes[request.task.bulk].append(request.task.values)
    with _transaction(connection):
        for bulk, rows in writes.items():
            if bulk.run(connection, rows) != len(rows):
                raise _Refused
        for request in requests:
            if not isinstance(request.task, Write) and not _is_pointless(request):
                request.outcome = request.task.run(connection)


def _apart(
    connection: Connection, requests: Sequence[Request[Task]], hurrying: Hurrying, locked: int
) -> None:
    """Do each by itself, `hurrying` from the first on that waited in vain, together or alone.

    Before that, locks are waited for as ever: those of another service that stores the same key end
    soon. When much is locked, all may be, and nothing more is waited for.
    """
    with _transaction(connection), ExitStack() as haste:
        if locked:
            haste.enter_context(hurrying(connection))
        for request in requests:
            if locked > _MOST_LOCKED:
                request.outcome = Locked()
            elif not _is_pointless(request):
                request.outcome = _alone(connection, request.task)
                if isinstance(request.outcome, Locked):
                    if not locked:
                        haste.enter_context(hurrying(connection))
                    locked += 1


def _alone(connection: Connection, task: Task) -> object:
    try:
        with connection.begin_nested():
            return task.run(connection)
    except Exception as error:
        if is_trouble(error):
            raise
        return translated(error)


@contextmanager
def _transaction(connection: Connection) -> Iterator[None]:
    """Commit at the end; what is lost from then on may have been stored, and is not `Undone`."""
    is_ending = False
    try:
        with connection.begin():
            yield
            is_ending = True
    except Undone as error:
        if is_ending:
            raise Doubtful(error) from None
        raise


def _wakes(requests: Sequence[Request[Task]]) -> Iterable[Wake]:
    """Find the earliest moment of each channel at which something is due that was stored."""
    earliest: dict[Channel, datetime] = {}
    for channel, moment in chain.from_iterable(map(_stored, requests)):
        earliest[channel] = min(moment, earliest.get(channel, moment))
    return earliest.items()


def _stored(request: Request[Task]) -> Sequence[Wake]:
    match request:
        case Request(task=Write(wake=wake), outcome=None) if wake:
            return [wake]
        case Request(task=EndClaims(), outcome=list(wakes)):
            return wakes
        case _:
            return ()
