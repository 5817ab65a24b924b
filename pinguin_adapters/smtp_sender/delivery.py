"""One attempt to hand one message over, and how far it has got."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from pinguin_adapters.smtp_sender.dialogue import Dialogue, DialogueBroken
from pinguin_adapters.smtp_sender.envelope import Envelope
from pinguin_adapters.smtp_sender.pool import SessionPool
from pinguin_adapters.smtp_sender.progress import Progress
from pinguin_adapters.smtp_sender.replies import Reply, SessionUnusable, trouble
from pinguin_adapters.smtp_sender.transaction import Transaction

_FOR_THE_OUTCOME: Final = 1 / 3
"""The share of an attempt's time that is left for the reply to the message (RFC 5321 4.5.3.2.6).

Who gives up before the final dot has left may send again; who gives up after it makes a copy.
"""


class Delivery:
    """One attempt.

    Args:
        time_limit: how long it may take. A third is for the reply to the message: if the message
            has not left by then, it is not sent.
        patience: how long a kept session that may be dead is waited for; see `Transaction`.
        trace: told of each reply, in a form that may be shown.
    """

    def __init__(
        self,
        envelope: Envelope,
        pool: SessionPool,
        *,
        time_limit: timedelta,
        patience: timedelta,
        trace: Callable[[str], None] | None = None,
    ) -> None:
        self._progress = Progress()
        self._time_limit = time_limit.total_seconds()
        self._trace = trace
        self._envelope = envelope
        self._pool = pool
        self._patience = patience

    async def run(self) -> Reply:
        """Hand the message over, and return the reply by which the relay took it.

        That a kept session has ended meanwhile, or is one more than the relay bears, costs nothing:
        the message goes through another.

        Raises:
            DeliveryError: if the relay did not take it, or time ran out.
        """
        ends_at = asyncio.get_running_loop().time() + self._time_limit
        try:
            async with asyncio.timeout_at(ends_at - self._time_limit * _FOR_THE_OUTCOME) as limit:
                return await self._run(lambda: limit.reschedule(ends_at))
        except TimeoutError:
            raise trouble(self._progress.phase, "timed out") from None

    async def _run(self, on_end: Callable[[], None]) -> Reply:
        session = await self._pool.borrow(self._progress)
        while True:
            try:
                return await self._through(session, on_end)
            except SessionUnusable as error:
                if session.reused and error.ended:
                    session = await self._pool.replace(self._progress)
                elif error.crowded and self._pool.refused(session):
                    session = await self._pool.borrow(self._progress)
                else:
                    raise

    async def _through(self, session: Dialogue, on_end: Callable[[], None]) -> Reply:
        """Hand the message over in a session, and give that back."""
        transaction = Transaction(
            session,
            self._envelope,
            self._progress,
            patience=self._patience,
            on_end=on_end,
            trace=self._trace,
        )
        try:
            return await transaction.run()
        except DialogueBroken as error:
            session.abort()
            raise trouble(self._progress.phase, str(error)) from error
        except asyncio.CancelledError:
            # A reply may have come unread, and the relay be waiting for content: it would take the
            # next commands for that.
            session.abort()
            raise
        finally:
            self._pool.give_back(session)
