"""One message in one session: MAIL, RCPT, DATA, and the message itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from typing import Final, TypeAlias

from pinguin_adapters.smtp_sender.dialogue import Dialogue, DialogueBroken
from pinguin_adapters.smtp_sender.envelope import Envelope
from pinguin_adapters.smtp_sender.progress import Progress
from pinguin_adapters.smtp_sender.replies import (
    Phase,
    Reply,
    Verdict,
    judge,
    not_in_ascii,
    quoted,
    refusal,
    too_large,
)
from pinguin_core.errors import DeliveryError

_Command: TypeAlias = tuple[Phase, str]

_IN_DOUBT: Final = timedelta(seconds=5)
"""How long a session may be idle and still be taken for alive."""

_GRACE: Final = timedelta(seconds=2)
"""How long a relay may take over the replies that no longer matter."""


class Transaction:
    """Hands one message over in one session.

    Where the relay takes several commands at once (RFC 2920), they leave together, and each reply
    still counts for its own phase.

    Args:
        progress: learns of each phase.
        patience: how long a session that was kept for a while may leave its first command
            unanswered; its other end may have vanished without a word.
        on_end: called when the final dot has left.
        trace: told of each reply, in a form that may be shown.
    """

    def __init__(
        self,
        session: Dialogue,
        envelope: Envelope,
        progress: Progress,
        *,
        patience: timedelta,
        on_end: Callable[[], None],
        trace: Callable[[str], None] | None,
    ) -> None:
        self._session = session
        self._envelope = envelope
        self._progress = progress
        self._patience = patience
        self._on_end = on_end
        self._trace = trace

    async def run(self) -> Reply:
        """Return the reply by which the relay took the message.

        Raises:
            DeliveryError: if the relay refused.
            DialogueBroken: if the session broke; `progress` tells where.
        """
        first, *others = self._groups()
        if self._session.reused and len(first) == 1:
            await self._in_time(first)
        else:
            await self._exchange(first)
        for group in others:
            await self._exchange(group)
        return await self._hand_over()

    def _groups(self) -> Sequence[Sequence[_Command]]:
        """Return the commands, those together that may leave together."""
        commands = list(self._commands())
        if not self._session.offers.pipelining:
            return [[command] for command in commands]
        # A relay may well hold the first reply back until it has the last: whether it is alive
        # can only be asked with a single command.
        return [commands[:1], commands[1:]] if self._is_in_doubt() else [commands]

    def _commands(self) -> Iterable[_Command]:
        envelope, offers = self._envelope, self._session.offers
        size = len(envelope.content)  # RFC 1870 3: as sent, without the dots that are doubled
        if offers.max_size is not None and size > offers.max_size:
            raise too_large(size, offers.max_size)
        ours_is_ascii = envelope.sender.isascii()
        is_ascii = ours_is_ascii and envelope.recipient.isascii()
        if not (is_ascii or offers.utf8):
            raise not_in_ascii(ours=not ours_is_ascii)
        if self._session.in_transaction:
            yield Phase.RSET, "RSET"
        size_is = f" SIZE={size}" if offers.size else ""
        utf8 = "" if is_ascii else " BODY=8BITMIME SMTPUTF8"
        phase = Phase.MAIL_UTF8 if ours_is_ascii and not is_ascii else Phase.MAIL
        yield phase, f"MAIL FROM:<{envelope.sender}>{size_is}{utf8}"
        yield Phase.RCPT, f"RCPT TO:<{envelope.recipient}>"
        yield Phase.DATA, "DATA"

    def _is_in_doubt(self) -> bool:
        now = asyncio.get_running_loop().time()
        return self._session.reused and now - self._session.idle_since > _IN_DOUBT.total_seconds()

    async def _in_time(self, group: Sequence[_Command]) -> None:
        try:
            async with asyncio.timeout(self._patience.total_seconds()):
                await self._exchange(group)
        except TimeoutError:
            raise DialogueBroken("the relay stopped answering") from None

    async def _exchange(self, group: Sequence[_Command]) -> None:
        self._session.ask(*(line for _, line in group))
        self._session.in_transaction = True
        for position, (phase, _) in enumerate(group, start=1):
            self._progress.phase = phase
            refused = self._refusal(phase, await self._reply(phase))
            if refused is not None:
                await self._settle(group[position:])
                raise refused

    async def _hand_over(self) -> Reply:
        self._progress.phase = Phase.CONTENT
        if await self._session.transmit(self._envelope.content):
            self._progress.phase = Phase.END
            self._on_end()
        self._session.deliveries += 1
        phase = self._progress.phase
        reply = await self._reply(phase)
        refused = self._refusal(phase, reply)
        if refused is not None:
            raise refused
        self._session.in_transaction = False
        return reply

    async def _settle(self, unanswered: Sequence[_Command]) -> None:
        """Leave the session ready for another message, though commands followed the refused one.

        The relay may ask for the message all the same. Then it gets an empty one, as RFC 2920 3.1
        has it, which goes to nobody; whatever it replies to that. If there is somebody whom it
        might go to, we hang up instead.
        """
        has_recipient = False
        try:
            async with asyncio.timeout(_GRACE.total_seconds()):
                for phase, _ in unanswered:
                    accepted = judge(phase, await self._reply(phase)) is Verdict.ACCEPTED
                    has_recipient |= accepted and phase is Phase.RCPT
                    if accepted and phase is Phase.DATA:
                        await self._send_nothing(has_recipient=has_recipient)
        except (DialogueBroken, TimeoutError):
            self._session.abort()

    async def _send_nothing(self, *, has_recipient: bool) -> None:
        if has_recipient:
            raise DialogueBroken("out of step")
        await self._session.transmit(b"")
        await self._session.reply()

    async def _reply(self, phase: Phase) -> Reply:
        reply = await self._session.reply()
        if self._trace is not None:
            said = quoted(reply, self._envelope.private(reply.words))
            self._trace(f"SMTP {phase.value}: {said}")
        return reply

    def _refusal(self, phase: Phase, reply: Reply) -> DeliveryError | None:
        verdict = judge(phase, reply)
        if verdict is Verdict.ACCEPTED:
            return None
        if phase is Phase.RSET:
            raise DialogueBroken("the relay does not accept RSET")
        out_of_step = verdict is None  # who knows what it will take our next words for
        if out_of_step or verdict is Verdict.CROWDED:
            self._session.abort()
        return refusal(phase, reply, self._envelope.private(reply.words))
