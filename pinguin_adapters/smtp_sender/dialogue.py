"""One connection's dialogue: a command, its reply, the next command; and the message itself."""

from __future__ import annotations

import asyncio
import re
from datetime import timedelta
from typing import Final, cast

from pinguin_adapters.smtp_sender.replies import CLOSING, Reply

_MAX_REPLY: Final = 16 * 1024  # bytes; a line has at most 512 (RFC 5321 4.5.3.1.5)
_REPLY_LINE = re.compile(rb"[2-5][0-9]{2}(?:[ -].*)?", re.DOTALL)


class DialogueBroken(ConnectionError):
    """The connection is gone, or what arrives on it cannot be understood."""


class Dialogue(asyncio.Protocol):
    """Speaks SMTP, from after the greetings on, over a transport that somebody else opened.

    Commands go one at a time. What the relay says without having been asked, such as the 421
    before it hangs up on an idle session, makes the session unusable.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self.deliveries = 0
        self.idle_since = 0.0
        self.in_transaction = False
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transport = transport
        self._buffer = b""
        self._reply: asyncio.Future[Reply] | None = None
        self._room: asyncio.Future[None] | None = None
        self._paused = False
        self._owes_reply = False
        self._closing = False
        self._retiring: asyncio.TimerHandle | None = None
        # So that a pause means: not all has left yet. With 0, a TLS transport pauses for ever.
        transport.set_write_buffer_limits(high=1, low=0)
        transport.set_protocol(self)

    @property
    def usable(self) -> bool:
        """Whether, as far as is known, the relay waits for a command."""
        in_step = not (self._owes_reply or self._buffer or self._paused)
        return in_step and not (self._closing or self._transport.is_closing())

    async def command(self, line: str) -> Reply:
        """Send one command and return its reply.

        Raises:
            DialogueBroken: if there is none.
        """
        self._write(line.encode("ascii") + b"\r\n")
        return await self._next_reply()

    async def transmit(self, content: bytes) -> bool:
        """Send the message and the final dot; lines must end in CRLF, the last one too.

        Returns:
            Whether all of it has left. If not, the relay hung up, or replied too early.

        Raises:
            DialogueBroken: if nothing of it was sent.
        """
        self._write(content.replace(b"\r\n.", b"\r\n..") + b".\r\n")
        if self._paused:
            self._room = self.closed.get_loop().create_future()
            await self._room
        return not self._paused

    async def outcome(self) -> Reply:
        """Return the reply to the message.

        Raises:
            DialogueBroken: if there is none.
        """
        return await self._next_reply()

    def retire(self, grace: timedelta) -> None:
        """Say goodbye and hang up, at the latest when the grace is over; `closed` tells when."""
        if not self.usable:
            self.abort()
            return
        loop = self.closed.get_loop()
        self._retiring = loop.call_later(grace.total_seconds(), self.abort)
        self._write(b"QUIT\r\n")

    def abort(self) -> None:
        """Hang up at once."""
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Take what the relay says; called by the transport."""
        self._buffer += data
        if self._retiring is not None:
            self._transport.close()
        elif self._reply is not None and not self._reply.done():
            self._settle(self._reply)
        else:
            self._stop_waiting_for_room()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 (asyncio's signature)
        """Learn that the connection is gone; called by the transport."""
        if not self.closed.done():
            self.closed.set_result(None)
        self._closing = True
        if self._retiring is not None:
            self._retiring.cancel()
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(DialogueBroken("the relay hung up"))
        self._stop_waiting_for_room()

    def pause_writing(self) -> None:
        """Learn that not all has left yet; called by the transport."""
        self._paused = True

    def resume_writing(self) -> None:
        """Learn that all has left; called by the transport."""
        self._paused = False
        self._stop_waiting_for_room()

    def _write(self, data: bytes) -> None:
        if not self.usable:
            raise DialogueBroken("the relay hung up" if self._closing else "out of step")
        self._owes_reply = True
        self._transport.write(data)

    async def _next_reply(self) -> Reply:
        self._reply = self.closed.get_loop().create_future()
        try:
            if self._buffer:
                self._settle(self._reply)
            if self._closing and not self._reply.done():
                raise DialogueBroken("the relay hung up")
            return await self._reply
        finally:
            self._reply = None

    def _settle(self, waiting: asyncio.Future[Reply]) -> None:
        """Give the waiting command its reply, if there is a whole one."""
        try:
            found = _read_reply(self._buffer)
        except ValueError:
            waiting.set_exception(DialogueBroken("the relay's reply is unintelligible"))
            return
        if found is not None:
            reply, end = found
            self._buffer = self._buffer[end:]
            self._owes_reply = False
            self._closing |= reply.code == CLOSING
            waiting.set_result(reply)

    def _stop_waiting_for_room(self) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)


def take_over(transport: asyncio.BaseTransport | None) -> Dialogue:
    """Begin a dialogue on a connection over which the greetings have been exchanged."""
    return Dialogue(cast("asyncio.Transport", transport))


def _read_reply(buffer: bytes) -> tuple[Reply, int] | None:
    """Find the first whole reply, and where it ends.

    Raises:
        ValueError: if this cannot become one.
    """
    lines: list[bytes] = []
    end = 0
    while (line_end := buffer.find(b"\n", end)) >= 0:
        line = buffer[end:line_end].rstrip(b"\r")
        end = line_end + 1
        if not _REPLY_LINE.fullmatch(line):
            raise ValueError("not a line of a reply")
        lines.append(line[4:])
        if line[3:4] != b"-":
            return Reply(int(line[:3]), b"\n".join(lines).decode(errors="replace")), end
    if len(buffer) > _MAX_REPLY:
        raise ValueError("too long a reply")
    return None
