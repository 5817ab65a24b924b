"""One attempt to hand one message over, and how far it has got."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from pinguin_adapters.smtp_sender.connecting import Connector
from pinguin_adapters.smtp_sender.dialogue import Dialogue, DialogueBroken
from pinguin_adapters.smtp_sender.pool import SessionPool
from pinguin_adapters.smtp_sender.progress import Progress
from pinguin_adapters.smtp_sender.replies import (
    Phase,
    Reply,
    Verdict,
    judge,
    quoted,
    refusal,
    trouble,
)
from pinguin_core.message import Email

_MOST_WORDS: Final = 50
_WORD = re.compile(r"[^\s<>()\[\]\"',;]{4,}")


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message as SMTP carries it, and as it was before."""

    sender: str
    recipient: str
    content: bytes
    email: Email

    def private(self, text: str) -> Iterator[str]:
        """Yield what a relay's text must not reveal, should the relay repeat it."""
        recipient = self.email.to.value
        yield from (recipient, self.recipient, recipient.rpartition("@")[0], self.email.subject)
        words = {word for word in _WORD.findall(text) if not word.isalpha()}  # links, codes
        # To look for many in a long body takes seconds; of such a reply, they are all hidden.
        few = len(words) <= _MOST_WORDS
        yield from (word for word in words if not few or word in self.email.body)


class Delivery:
    """One attempt. Give it a time limit from outside; `progress` then tells what took so long.

    Args:
        trace: told of each reply, in a form that may be shown.
    """

    def __init__(
        self,
        envelope: Envelope,
        pool: SessionPool,
        connector: Connector,
        trace: Callable[[str], None] | None = None,
    ) -> None:
        self.progress = Progress()
        self._trace = trace
        self._envelope = envelope
        self._pool = pool
        self._connector = connector
        self._session: Dialogue | None = None

    async def run(self) -> None:
        """Hand the message over.

        Raises:
            DeliveryError: if the relay did not take it.
        """
        async with self._pool.places:
            try:
                await self._hand_over(await self._session_with_mail())
            except DialogueBroken as error:
                raise trouble(self.progress.phase, str(error)) from error
            except asyncio.CancelledError:
                self._hang_up()
                raise
            finally:
                if self._session is not None:
                    self._pool.give_back(self._session)

    def _hang_up(self) -> None:
        """Give the session up: a reply may have come unread, and the relay be waiting for content.

        It would take the next commands for that.
        """
        if self._session is not None:
            self._session.abort()

    async def _session_with_mail(self) -> Dialogue:
        """Return a session that has accepted MAIL; a kept one that turns out dead costs nothing."""
        kept = self._pool.take()
        if kept is not None and (reply := await self._mail_on_kept(kept)) is not None:
            self._check(kept, reply)
            return kept
        fresh = self._session = await self._connector.open(self.progress)
        self._check(fresh, await self._mail(fresh))
        return fresh

    async def _mail_on_kept(self, kept: Dialogue) -> Reply | None:
        """Return a kept session's reply to MAIL; None, and hang up, if it is not usable any more.

        A session whose other end vanished without a word is waited for no longer than a
        connection.
        """
        self._session = kept
        try:
            async with asyncio.timeout(self._connector.timeout.total_seconds()):
                reply = await self._mail(kept)
        except (DialogueBroken, TimeoutError):
            reply = None
        if reply is None or not kept.usable:
            kept.abort()
            return None
        return reply

    async def _mail(self, session: Dialogue) -> Reply:
        if session.in_transaction:
            await self._reset(session)
        session.in_transaction = True
        return await self._command(session, Phase.MAIL, f"MAIL FROM:<{self._envelope.sender}>")

    async def _reset(self, session: Dialogue) -> None:
        reply = await self._command(session, Phase.RSET, "RSET")
        if judge(Phase.RSET, reply) is not Verdict.ACCEPTED:
            raise DialogueBroken("the relay does not begin anew")

    async def _hand_over(self, session: Dialogue) -> None:
        recipient = f"RCPT TO:<{self._envelope.recipient}>"
        self._check(session, await self._command(session, Phase.RCPT, recipient))
        self._check(session, await self._command(session, Phase.DATA, "DATA"))
        self.progress.phase = Phase.CONTENT
        if await session.transmit(self._envelope.content):
            self.progress.phase = Phase.END
        session.deliveries += 1
        self._check(session, self._traced(await session.outcome()))
        session.in_transaction = False

    async def _command(self, session: Dialogue, phase: Phase, line: str) -> Reply:
        self.progress.phase = phase
        return self._traced(await session.command(line))

    def _traced(self, reply: Reply) -> Reply:
        if self._trace is not None:
            said = quoted(reply, self._envelope.private(reply.text))
            self._trace(f"SMTP {self.progress.phase.value}: {said}")
        return reply

    def _check(self, session: Dialogue, reply: Reply) -> None:
        phase = self.progress.phase
        verdict = judge(phase, reply)
        if verdict is Verdict.ACCEPTED:
            return
        if verdict is None:
            session.abort()  # who knows what it will take our next words for
        raise refusal(phase, reply, self._envelope.private(reply.text))
