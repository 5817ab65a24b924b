"""An SMTP server on loopback that answers as a test tells it to, and keeps what it receives."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections import defaultdict
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final, Self, TypeAlias

LINE_END: Final = re.compile(rb"\r\n")
STRICT: Final = re.compile(rb"\r\n\.\r\n")
LAX: Final = re.compile(rb"(?:\r\n|\r|\n)\.(?:\r\n|\r|\n)")
"""What the most careless servers take for the end of a message."""


class Silence(Enum):
    """Ways not to answer."""

    HANG = auto()
    HANG_UP = auto()
    STOP_READING = auto()
    """Asks for the message, then reads no more of it."""


@dataclass(frozen=True)
class AndHangUp:
    """Gives an answer, and hangs up after it."""

    answer: str


Answer: TypeAlias = str | AndHangUp | Silence

_DEFAULTS: Final[dict[str, str]] = {
    "CONNECT": "220 scripted ready",
    "EHLO": "250 scripted",
    "STARTTLS": "220 go ahead",
    "AUTH": "235 2.7.0 welcome",
    "MAIL": "250 2.1.0 ok",
    "RCPT": "250 2.1.5 ok",
    "DATA": "354 go ahead",
    "END": "250 2.0.0 queued",
    "RSET": "250 2.0.0 forgotten",
    "QUIT": "221 2.0.0 bye",
}


@dataclass(frozen=True)
class Received:
    """A message that the server took, or would have."""

    sender: str
    recipient: str
    content: bytes
    session: int
    encrypted: bool


@dataclass
class ScriptedSmtp:
    """Answers each verb with the next of its scripted answers, then with a friendly default.

    Attributes:
        script: answers by verb; `CONNECT` is the greeting, `END` follows the final dot.
        extensions: what EHLO offers.
        interjection: what it says before it stops reading in the middle of a message.
        log: every command with its session's number, in order of arrival.
    """

    script: dict[str, list[Answer]] = field(default_factory=dict)
    extensions: tuple[str, ...] = ()
    interjection: str = ""
    tls: ssl.SSLContext | None = None
    implicit: bool = False
    end_of_data: re.Pattern[bytes] = STRICT
    host: str = "127.0.0.1"
    log: list[tuple[int, str]] = field(default_factory=list)
    messages: list[Received] = field(default_factory=list)
    sessions: int = 0
    open_sessions: int = 0
    most_open_sessions: int = 0
    _arrived: dict[str, asyncio.Semaphore] = field(
        default_factory=lambda: defaultdict(lambda: asyncio.Semaphore(0))
    )
    _sessions: set[asyncio.Task[None]] = field(default_factory=set)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(
            self._serve, self.host, 0, ssl=self.tls if self.implicit else None
        )
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._server.close()
        self.hang_up()
        await asyncio.gather(*self._sessions, return_exceptions=True)

    def hang_up(self) -> None:
        """End all sessions at once."""
        for session in self._sessions:
            session.cancel()

    async def gone(self) -> None:
        """Wait until all sessions have ended."""
        while self._sessions:
            await asyncio.wait(self._sessions)

    async def reached(self, verb: str) -> None:
        """Wait until this verb has arrived once more than it was waited for."""
        await self._arrived[verb].acquire()

    def verbs(self, session: int | None = None) -> list[str]:
        """The verbs that arrived, in one session or in all."""
        return [
            command.partition(" ")[0] for number, command in self.log if session in {None, number}
        ]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._sessions.add(task)
        self.sessions += 1
        self.open_sessions += 1
        self.most_open_sessions = max(self.most_open_sessions, self.open_sessions)
        try:
            await _Session(self, self.sessions, reader, writer).run()
        except (OSError, EOFError, asyncio.CancelledError):
            pass
        finally:
            self.open_sessions -= 1
            self._sessions.discard(task)
            writer.transport.abort()

    def next_answer(self, verb: str) -> Answer:
        """Take the next answer to a verb from the script."""
        self._arrived[verb].release()
        scripted = self.script.get(verb)
        if scripted:
            return scripted.pop(0)
        if verb == "EHLO" and self.extensions:
            lines = ["scripted", *self.extensions]
            last = f"250 {lines.pop()}"
            return "\r\n".join([*(f"250-{line}" for line in lines), last])
        return _DEFAULTS.get(verb, "500 5.5.1 what?")


class _Session:
    def __init__(
        self,
        server: ScriptedSmtp,
        number: int,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.server = server
        self.number = number
        self.reader = reader
        self.writer = writer
        self.buffer = b""
        self.sender = self.recipient = ""

    async def run(self) -> None:
        await self.answer("CONNECT")
        while True:
            command = (await self.read_until(LINE_END)).decode()
            await self.obey(command)

    async def obey(self, command: str) -> None:
        self.server.log.append((self.number, command))
        verb = command.partition(" ")[0].upper()
        if verb == "MAIL":
            self.sender = command
        elif verb == "RCPT":
            self.recipient = command
        code = await self.answer(verb)
        if verb == "DATA" and code == "354":
            await self.take_message()
        elif verb == "STARTTLS" and code == "220":
            assert self.server.tls is not None
            await self.writer.start_tls(self.server.tls)
        elif verb == "AUTH" and code == "334":
            await self.obey("AUTH " + (await self.read_until(LINE_END)).decode())
        elif verb == "QUIT":
            raise EOFError

    async def take_message(self) -> None:
        content = await self.read_until(self.server.end_of_data)
        encrypted = self.writer.get_extra_info("sslcontext") is not None
        self.server.messages.append(
            Received(
                self.sender[len("MAIL FROM:<") : -1],
                self.recipient[len("RCPT TO:<") : -1],
                content.replace(b"\r\n..", b"\r\n.") + b"\r\n",
                self.number,
                encrypted,
            )
        )
        await self.answer("END")

    async def answer(self, verb: str) -> str:
        answer = self.server.next_answer(verb)
        match answer:
            case str():
                self.say(answer)
                return answer[:3]
            case AndHangUp(last):
                self.say(last)
                await self.writer.drain()
                self.writer.close()
            case Silence():
                await self.be_silent(answer)
        raise EOFError

    async def be_silent(self, how: Silence) -> None:
        if how is Silence.HANG:
            await self.reader.read()
        elif how is Silence.STOP_READING:
            self.say("354 go ahead")
            await self.reader.readexactly(1)
            if self.server.interjection:
                self.say(self.server.interjection)
            await asyncio.Event().wait()

    def say(self, answer: str) -> None:
        self.writer.write(answer.encode("latin-1") + b"\r\n")

    async def read_until(self, end: re.Pattern[bytes]) -> bytes:
        while not (match := end.search(self.buffer)):
            data = await self.reader.read(65536)
            if not data:
                raise EOFError
            self.buffer += data
        taken, self.buffer = self.buffer[: match.start()], self.buffer[match.end() :]
        return taken
