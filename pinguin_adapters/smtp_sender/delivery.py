"""One attempt to hand one message over, and how far it has got."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta

from pinguin_adapters.smtp_sender.dialogue import Dialogue, DialogueBroken
from pinguin_adapters.smtp_sender.envelope import Envelope
from pinguin_adapters.smtp_sender.pool import SessionPool
from pinguin_adapters.smtp_sender.progress import Progress
from pinguin_adapters.smtp_sender.replies import Reply, SessionUnusable, trouble
from pinguin_adapters.smtp_sender.transaction import Transaction


class Delivery:
    """One attempt. Give it a time limit from outside; `progress` then tells what took so long.

    Args:
        patience: how long a kept session that may be dead is waited for; see `Transaction`.
        trace: told of each reply, in a form that may be shown.
    """

    def __init__(
        self,
        envelope: Envelope,
        pool: SessionPool,
        *,
        patience: timedelta,
        trace: Callable[[str], None] | None = None,
    ) -> None:
        self.progress = Progress()
        self._trace = trace
        self._envelope = envelope
        self._pool = pool
        self._patience = patience

    async def run(self) -> Reply:
        """Hand the message over, and return the reply by which the relay took it.

        That a kept session has ended meanwhile, or is one more than the relay bears, costs nothing:
        the message goes through another.

        Raises:
            DeliveryError: if the relay did not take it.
        """
        session = await self._pool.borrow(self.progress)
        while True:
            try:
                return await self._through(session)
            except SessionUnusable as error:
                if session.reused and error.ended:
                    session = await self._pool.replace(self.progress)
                elif error.crowded and self._pool.refused(session):
                    session = await self._pool.borrow(self.progress)
                else:
                    raise

    async def _through(self, session: Dialogue) -> Reply:
        """Hand the message over in a session, and give that back."""
        transaction = Transaction(
            session, self._envelope, self.progress, patience=self._patience, trace=self._trace
        )
        try:
            return await transaction.run()
        except DialogueBroken as error:
            session.abort()
            raise trouble(self.progress.phase, str(error)) from error
        except asyncio.CancelledError:
            # A reply may have come unread, and the relay be waiting for content: it would take the
            # next commands for that.
            session.abort()
            raise
        finally:
            self._pool.give_back(session)
