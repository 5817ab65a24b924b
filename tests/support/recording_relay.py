"""A quick SMTP relay on loopback that takes everything, and records each copy that it took."""

from __future__ import annotations

import asyncio
import re
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Self, cast

_MESSAGE_ID: Final = re.compile(rb"^Message-ID: (\S+)\r$", re.MULTILINE)
_END: Final = b"\r\n.\r\n"
_REPLIES: Final = {
    "EHLO": "250 relay",
    "MAIL": "250 ok",
    "RCPT": "250 ok",
    "DATA": "354 go ahead",
    "END": "250 taken",
    "RSET": "250 ok",
    "NOOP": "250 ok",
    "QUIT": "221 bye",
}


@dataclass(frozen=True)
class Copy:
    """A message that the relay took.

    Attributes:
        at: when, in seconds since 1970.
    """

    recipient: str
    message_id: str
    at: float


@dataclass(frozen=True)
class Reply:
    """What a session is about to say; call it to have it said.

    Attributes:
        recipient: of the message that is under way.
    """

    recipient: str
    transport: asyncio.Transport
    line: str

    def __call__(self) -> None:
        self.transport.write(self.line.encode() + b"\r\n")

    def hang_up(self) -> None:
        """Say nothing, and end the session."""
        self.transport.abort()


@dataclass
class RecordingRelay:
    """Listens while its block runs.

    Attributes:
        answer: is given each verb with the reply to it, and calls that, now or later; `END` stands
            for the end of a message, which has been taken by then.
        copies: in the order in which they came.
    """

    answer: Callable[[str, Reply], None] = lambda _verb, reply: reply()
    copies: list[Copy] = field(default_factory=list)
    _arrived: dict[str, asyncio.Event] = field(default_factory=lambda: defaultdict(asyncio.Event))

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._sessions: set[asyncio.Transport] = set()
        self._server = await loop.create_server(lambda: _Session(self), "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._server.close()
        for transport in list(self._sessions):
            transport.abort()

    async def arrived(self, recipient: str) -> None:
        """Wait until a first copy for a recipient is here."""
        await self._arrived[recipient].wait()

    def opened(self, transport: asyncio.Transport) -> None:
        """Learn of a session; called by it, as the others are."""
        self._sessions.add(transport)

    def closed(self, transport: asyncio.Transport) -> None:
        self._sessions.discard(transport)

    def take(self, recipient: str, content: bytes) -> None:
        named = _MESSAGE_ID.search(content)
        name = named.group(1).decode() if named else ""
        self.copies.append(Copy(recipient, name, time.time()))
        self._arrived[recipient].set()


class _Session(asyncio.Protocol):
    def __init__(self, relay: RecordingRelay) -> None:
        self._relay = relay
        self._buffer = b""
        self._recipient = ""
        self._in_message = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._relay.opened(self._transport)
        self._reply("220 relay")()

    def connection_lost(self, exc: Exception | None) -> None:
        self._relay.closed(self._transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while True:
            end = _END if self._in_message else b"\r\n"
            taken, found, rest = self._buffer.partition(end)
            if not found:
                return
            self._buffer = rest
            if self._in_message:
                self._relay.take(self._recipient, taken + b"\r\n")
                self._obey("END")
            else:
                self._command(taken.decode())

    def _command(self, line: str) -> None:
        verb = line[:4].upper()
        if verb == "RCPT":
            self._recipient = line[line.index("<") + 1 : line.index(">")]
        self._obey(verb)

    def _obey(self, verb: str) -> None:
        self._in_message = verb == "DATA"
        self._relay.answer(verb, self._reply(_REPLIES.get(verb, "500 what?")))

    def _reply(self, line: str) -> Reply:
        return Reply(self._recipient, self._transport, line)
