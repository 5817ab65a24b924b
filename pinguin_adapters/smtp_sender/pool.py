"""Sessions that wait, open, for their next message."""

from __future__ import annotations

import asyncio
from collections import deque
from datetime import timedelta
from typing import Final

from pinguin_adapters.smtp_sender.dialogue import Dialogue

_GRACE: Final = timedelta(seconds=2)
"""How long a relay may take over its goodbye."""


class SessionPool:
    """Keeps sessions that are not in use, the most recently used first.

    Args:
        max_sessions: how many sessions may be in use at once; see `places`.
        idle_limit: how long a session is kept without being used.
        deliveries_per_session: after how many messages a session is given up.
    """

    def __init__(
        self, *, max_sessions: int, idle_limit: timedelta, deliveries_per_session: int
    ) -> None:
        self.places = asyncio.Semaphore(max_sessions)
        self._idle_limit = idle_limit.total_seconds()
        self._deliveries_per_session = deliveries_per_session
        self._kept: deque[Dialogue] = deque()
        self._retiring: set[Dialogue] = set()
        self._sweep: asyncio.TimerHandle | None = None
        self._closed = False

    def take(self) -> Dialogue | None:
        """Return a session that was kept and seems alive, if there is one."""
        while self._kept:
            session = self._kept.pop()
            if session.usable:
                return session
            session.abort()
        return None

    def give_back(self, session: Dialogue) -> None:
        """Keep a session for the next message; or retire it, if it has done enough."""
        used_up = session.deliveries >= self._deliveries_per_session
        if self._closed or used_up or not session.usable:
            self._retire(session)
            return
        session.idle_since = asyncio.get_running_loop().time()
        self._kept.append(session)
        self._plan_sweep()

    async def close(self) -> None:
        """Retire all sessions, now and those given back later; return when they are gone."""
        self._closed = True
        if self._sweep is not None:
            self._sweep.cancel()
        while self._kept:
            self._retire(self._kept.popleft())
        if self._retiring:
            await asyncio.wait([session.closed for session in self._retiring])

    def _retire(self, session: Dialogue) -> None:
        self._retiring.add(session)
        session.closed.add_done_callback(lambda _: self._retiring.discard(session))
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
