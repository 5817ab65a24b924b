"""The scripted SMTP server, as the provider of the sender contract."""

from __future__ import annotations

import asyncio
import email
import email.policy
from typing import Final, Self

from support.scripted_smtp import Answer, Received, ScriptedSmtp, Silence
from support.tcp_proxy import TcpProxy

from pinguin_core.testing.contracts import Arrival, Behaviour

_TROUBLE: Final[dict[Behaviour, tuple[str, Answer]]] = {
    Behaviour.REFUSE: ("RCPT", "550 5.1.1"),
    Behaviour.BE_BUSY: ("RCPT", "450 4.2.1"),
    Behaviour.HANG: ("MAIL", Silence.HANG),
    Behaviour.LOSE_ANSWERS: ("END", Silence.HANG_UP),
}
_PIECE: Final = 7  # bytes; every reply is longer


class SmtpProvider(ScriptedSmtp):
    """Takes e-mail, or behaves as it is told; its replies repeat the command, address and all."""

    behaviour = Behaviour.ACCEPT

    @property
    def arrived(self) -> list[Arrival]:
        return [_arrival(received) for received in self.messages]

    async def behave(self, behaviour: Behaviour) -> None:
        if self.behaviour is Behaviour.BE_UNREACHABLE:
            self._server = await asyncio.start_server(self._serve, self.host, self.port)
        self.behaviour = behaviour
        if behaviour is Behaviour.BE_UNREACHABLE:
            self._server.close()
        self.hang_up()
        await asyncio.wait_for(self.gone(), 10)

    def next_answer(self, verb: str, session: int) -> Answer:
        troubled, answer = _TROUBLE.get(self.behaviour, ("", ""))
        if verb != troubled:
            usual = super().next_answer(verb, session)
            return f"{usual}: {self._recipient(session)}" if verb == "END" else usual
        return f"{answer} not for {self.log[-1][1]}" if isinstance(answer, str) else answer

    def _recipient(self, session: int) -> str:
        commands = (command for number, command in reversed(self.log) if number == session)
        return next(command for command in commands if command.upper().startswith("RCPT"))


class DistantSmtpProvider(SmtpProvider):
    """The same at the end of a bad way, which is what hangs and cannot be reached.

    `way` is a proxy, which passes on a few bytes of its replies at a time.
    """

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        self.way = TcpProxy(self.host, self.port, piece=_PIECE)
        await self.way.open()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.way.close()
        await super().__aexit__(*exc)

    async def behave(self, behaviour: Behaviour) -> None:
        await self.way.close()
        if behaviour in {Behaviour.HANG, Behaviour.BE_UNREACHABLE}:
            await super().behave(Behaviour.ACCEPT)
        else:
            await super().behave(behaviour)
        if behaviour is not Behaviour.BE_UNREACHABLE:
            await self.way.open()
        if behaviour is Behaviour.HANG:
            self.way.hold()


def _arrival(received: Received) -> Arrival:
    message = email.message_from_bytes(received.content, policy=email.policy.default)
    return Arrival(
        received.recipient, message["Subject"], message.get_content(), message["Message-ID"]
    )
