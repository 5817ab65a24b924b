"""The sessions that there are: in use, or open and waiting for their next message."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from datetime import timedelta
from typing import Final

from pinguin_adapters.smtp_sender.connecting import Connector
from pinguin_adapters.smtp_sender.dialogue import Dialogue
from pinguin_adapters.smtp_sender.progress import Progress
from pinguin_adapters.smtp_sender.replies import Phase, SessionUnusable
from pinguin_adapters.smtp_sender.session_limit import SessionLimit
from pinguin_core.errors import DeliveryError

_GRACE: Final = timedelta(seconds=2)
"""How long a relay may take over its goodbye."""


class SessionPool:
    """Lends sessions, no more at once than the relay bears; others wait in line for one.

    Those not in use are kept, and the most recently used is lent first. A session counts from
    before it is opened until its connection is gone, because that long it counts for the relay.

    Args:
        max_sessions: how many there may be at once, if the relay does not refuse them.
        idle_limit: how long a session is kept without being used.
        age_limit: after how long a session is given up.
        deliveries_per_session: after how many messages a session is given up.
    """

    def __init__(
        self,
        connector: Connector,
        *,
        max_sessions: int,
        idle_limit: timedelta,
        age_limit: timedelta,
        deliveries_per_session: int,
    ) -> None:
        self._connector = connector
        self._limit = SessionLimit(max_sessions)
        self._idle_limit = idle_limit.total_seconds()
        self._age_limit = age_limit.total_seconds()
        self._deliveries_per_session = deliveries_per_session
        self._open: set[Dialogue] = set()
        self._opening = 0
        self._late: set[asyncio.Task[Dialogue]] = set()
        self._line: deque[asyncio.Future[Dialogue | None]] = deque()
        self._kept: deque[Dialogue] = deque()
        self._retiring: set[Dialogue] = set()
        self._sweep: asyncio.TimerHandle | None = None
        self._closed = False

    async def borrow(self, progress: Progress) -> Dialogue:
        """Return a kept session, or a new one; wait for either as long as it takes.

        Raises:
            TransientDeliveryError: if no session can be opened now, and none is open.
        """
        while True:
            progress.phase = Phase.WAIT
            session = await self._turn() or await self._open_one(progress)
            if session is not None:
                return session

    async def replace(self, progress: Progress) -> Dialogue:
        """Return a new session in place of a kept one that has turned out dead, out of turn.

        Raises:
            TransientDeliveryError: if no session can be opened now, and none is open.
        """
        self._opening += 1
        return await self._open_one(progress) or await self.borrow(progress)

    def refused(self, session: Dialogue) -> bool:
        """Learn that the relay wants this session no more; return whether there are others."""
        self._open.discard(session)
        return self._learn_limit(self._counted)

    def give_back(self, session: Dialogue) -> None:
        """Keep a session for the next message; or retire it, if it has done enough."""
        if self._closed or not session.usable or self._is_worn(session):
            self._retire(session)
            return
        if not session.reused and session.deliveries:
            self._limit.granted()
        session.reused = True
        session.idle_since = asyncio.get_running_loop().time()
        self._kept.append(session)
        self._serve_line()
        self._plan_sweep()

    async def close(self) -> None:
        """Retire all sessions, now and those given back later; return when they are gone."""
        self._closed = True
        if self._sweep is not None:
            self._sweep.cancel()
        while self._kept:
            self._retire(self._kept.popleft())
        for opening in self._late:
            opening.cancel()
        if self._late:
            await asyncio.wait(self._late)
        if self._retiring:
            await asyncio.wait([session.closed for session in self._retiring])

    @property
    def _counted(self) -> int:
        return len(self._open) + self._opening

    async def _turn(self) -> Dialogue | None:
        """Wait in line for a kept session, or for leave to open one, which counts from then on."""
        turn: asyncio.Future[Dialogue | None] = asyncio.get_running_loop().create_future()
        self._line.append(turn)
        self._serve_line()
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._hand_on(turn.result())
            raise

    def _hand_on(self, session: Dialogue | None) -> None:
        if session is not None:
            self.give_back(session)
        else:
            self._opening -= 1
            self._serve_line()

    def _serve_line(self) -> None:
        while self._line:
            if self._line[0].done():  # cancelled
                self._line.popleft()
                continue
            session = self._take_kept()
            if session is None:
                if not self._limit.admits(self._counted, asyncio.get_running_loop().time()):
                    return
                self._opening += 1
            self._line.popleft().set_result(session)

    def _take_kept(self) -> Dialogue | None:
        while self._kept:
            session = self._kept.pop()
            if session.usable and not self._is_worn(session):
                return session
            self._retire(session)
        return None

    async def _open_one(self, progress: Progress) -> Dialogue | None:
        """Open a session that counts already; None if the relay wants no more than the others.

        If whoever wanted it gives up meanwhile, it is for another: a relay that lets strangers wait
        before it greets would otherwise do so again and again.
        """
        opening = asyncio.create_task(self._connector.open(progress))
        try:
            await asyncio.wait([opening])
        except asyncio.CancelledError:
            self._late.add(opening)
            opening.add_done_callback(self._take_late)
            if self._closed:
                opening.cancel()
            raise
        return self._opened(opening)

    def _opened(self, opening: asyncio.Task[Dialogue]) -> Dialogue | None:
        self._opening -= 1
        try:
            session = opening.result()
        except BaseException as error:
            crowded = isinstance(error, SessionUnusable) and error.crowded
            settled = crowded and self._learn_limit(self._counted)
            self._serve_line()
            if settled:
                return None
            raise
        self._open.add(session)
        session.closed.add_done_callback(lambda _: self._forget(session))
        return session

    def _take_late(self, opening: asyncio.Task[Dialogue]) -> None:
        self._late.discard(opening)
        with suppress(DeliveryError, asyncio.CancelledError):  # nobody waits for it any more
            session = self._opened(opening)
            if session is not None:
                self.give_back(session)

    def _learn_limit(self, others: int) -> bool:
        """Learn that one session more than these is too many; return whether there are any."""
        if others:
            self._limit.refused(others, asyncio.get_running_loop().time())
        return bool(others)

    def _forget(self, session: Dialogue) -> None:
        self._open.discard(session)
        self._retiring.discard(session)
        self._serve_line()

    def _is_worn(self, session: Dialogue) -> bool:
        age = asyncio.get_running_loop().time() - session.opened_at
        return session.deliveries >= self._deliveries_per_session or age >= self._age_limit

    def _retire(self, session: Dialogue) -> None:
        if not session.closed.done():
            self._retiring.add(session)
            session.retire(_GRACE)

    def _plan_sweep(self) -> None:
        if self._sweep is None and self._kept:
            when = self._kept[0].idle_since + self._idle_limit
            self._sweep = asyncio.get_running_loop().call_at(when, self._retire_idle)

    def _retire_idle(self) -> None:
        self._sweep = None
        oldest_allowed = asyncio.get_running_loop().time() - self._idle_limit
        while self._kept and self._kept[0].idle_since <= oldest_allowed:
            self._retire(self._kept.popleft())
        self._plan_sweep()
