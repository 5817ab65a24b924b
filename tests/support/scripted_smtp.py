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


@dataclass(frozen=True)
class BreakingOff:
    """Gives the beginning of an answer, and hangs up before the end of its line."""

    beginning: str


@dataclass(frozen=True)
class Flood:
    """Says the same again and again, until the other side has hung up."""

    piece: str


@dataclass(frozen=True)
class Held:
    """Gives an answer once the test says so."""

    answer: str
    released: asyncio.Event = field(default_factory=asyncio.Event)


Answer: TypeAlias = str | AndHangUp | BreakingOff | Flood | Held | Silence

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
        without_recipient: what came after DATA though no recipient was accepted.
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
    without_recipient: list[bytes] = field(default_factory=list)
    sessions: int = 0
    open_sessions: int = 0
    most_open_sessions: int = 0
    _arrived: dict[str, asyncio.Semaphore] = field(
        default_factory=lambda: defaultdict(lambda: asyncio.Semaphore(0))
    )
    _sessions: set[asyncio.Task[None]] = field(default_factory=set)
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

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

    def say_to_all(self, words: str) -> None:
        """Say something in all sessions that nobody asked for."""
        for writer in self._writers:
            writer.write(words.encode() + b"\r\n")

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
        self._writers.add(writer)
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
            self._writers.discard(writer)
            writer.transport.abort()

    def next_answer(self, verb: str, session: int) -> Answer:
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


def _path(command: str) -> str:
    return command.partition("<")[2].partition(">")[0]


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
        if verb in {"MAIL", "RSET"}:
            self.sender = self.recipient = ""
        code = await self.answer(verb)
        if verb == "MAIL" and code[0] == "2":
            self.sender = command
        elif verb == "RCPT" and code[0] == "2":
            self.recipient = command
        elif verb == "DATA" and code == "354":
            await self.take_message()
        elif verb == "STARTTLS" and code == "220":
            assert self.server.tls is not None
            await self.writer.start_tls(self.server.tls)
        elif verb == "AUTH" and code == "334":
            await self.obey("AUTH " + (await self.read_until(LINE_END)).decode())
        elif verb == "QUIT":
            raise EOFError

    async def take_message(self) -> None:
        self.buffer = b"\r\n" + self.buffer  # so that a dot may be the first line
        content = (await self.read_until(self.server.end_of_data))[2:]
        encrypted = self.writer.get_extra_info("sslcontext") is not None
        if self.recipient:
            received = Received(
                _path(self.sender),
                _path(self.recipient),
                content.replace(b"\r\n..", b"\r\n.") + b"\r\n",
                self.number,
                encrypted,
            )
            self.server.messages.append(received)
        else:
            self.server.without_recipient.append(content)
        await self.answer("END")

    def is_out_of_order(self, verb: str) -> bool:
        before = {"RCPT": self.sender, "DATA": self.recipient, "END": self.recipient}
        return not (self.server.script.get(verb) or before.get(verb, "anything"))

    async def answer(self, verb: str) -> str:
        if self.is_out_of_order(verb):
            self.say("503 5.5.1 not yet")
            return "503"
        answer = self.server.next_answer(verb, self.number)
        match answer:
            case str():
                self.say(answer)
                return answer[:3]
            case Held(late, released):
                await released.wait()
                self.say(late)
                return late[:3]
            case AndHangUp(last):
                self.say(last)
                await self.end_politely()
            case BreakingOff(beginning):
                self.writer.write(beginning.encode("latin-1"))
                await self.end_politely()
            case Flood(piece):
                while True:
                    self.writer.write(piece.encode("latin-1"))
                    await self.writer.drain()
            case Silence():
                await self.be_silent(answer)
        raise EOFError

    async def end_politely(self) -> None:
        """Let what was said arrive before the connection ends."""
        await self.writer.drain()
        self.writer.close()
        await self.writer.wait_closed()

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
