"""One connection's dialogue: a command, its reply, the next command; and the message itself."""

from __future__ import annotations

import asyncio
import re
from datetime import timedelta
from typing import Final, cast

from pinguin_adapters.smtp_sender.offers import Offers
from pinguin_adapters.smtp_sender.replies import CLOSING, Reply

_MAX_REPLY: Final = 16 * 1024  # bytes; a line has at most 512 (RFC 5321 4.5.3.1.5)
_DOT: Final = b".\r\n"
_PIECE: Final = 64 * 1024  # bytes; asyncio's TLS takes about as many that have not left
_REPLY_LINE = re.compile(rb"[2-5][0-9]{2}(?:[ -].*)?", re.DOTALL)


class DialogueBroken(ConnectionError):
    """The connection is gone, or what arrives on it cannot be understood."""


class Dialogue(asyncio.Protocol):
    """Speaks SMTP, from after the greetings on, over a transport that somebody else opened.

    What the relay says without having been asked, such as the 421 before it hangs up on an idle
    session, ends the session at once: there may be no end to it.

    Attributes:
        offers: what the relay offered when it was greeted.
        reused: it has been kept and lent again.
        in_transaction: a message was begun that was not taken, so the next needs a RSET.
    """

    def __init__(self, transport: asyncio.Transport, offers: Offers) -> None:
        loop = asyncio.get_running_loop()
        self.offers = offers
        self.deliveries = 0
        self.reused = False
        self.opened_at = loop.time()
        self.idle_since = self.opened_at
        self.in_transaction = False
        self.closed: asyncio.Future[None] = loop.create_future()
        self._transport = transport
        self._buffer = b""
        self._reply: asyncio.Future[Reply] | None = None
        self._room: asyncio.Future[None] | None = None
        self._paused = False
        self._within_message = False
        self._owed_replies = 0
        self._closing = False
        self._retiring: asyncio.TimerHandle | None = None
        # So that a pause means: not all has left yet. With 0, a TLS transport pauses for ever.
        transport.set_write_buffer_limits(high=1, low=0)
        transport.set_protocol(self)

    @property
    def usable(self) -> bool:
        """Whether, as far as is known, the relay waits for a command."""
        owed = self._owed_replies or self._buffer or self._paused or self._within_message
        return not (owed or self._closing or self._transport.is_closing())

    def ask(self, *lines: str) -> None:
        """Send commands, each of which is owed a `reply`; several only if the relay offers that.

        Raises:
            DialogueBroken: if that is not possible.
        """
        self._write("".join(f"{line}\r\n" for line in lines).encode(), len(lines))

    async def transmit(self, content: bytes) -> bool:
        """Send the message and the final dot, which are owed a `reply` together.

        Lines must end in CRLF, the last one too. Of a long message the dot leaves last and alone:
        TLS takes more than the connection does, so that only what is written later must wait.

        Returns:
            Whether all of it has left. If not, the relay hung up, or replied too early.

        Raises:
            DialogueBroken: if nothing of it was sent.
        """
        first, *others = _pieces(content.replace(b"\r\n.", b"\r\n.."))
        self._write(first, 1)
        self._within_message = True
        for piece in others:
            if not await self._has_left() or self._buffer or self._transport.is_closing():
                return False
            self._transport.write(piece)
        self._within_message = not await self._has_left()
        return not self._within_message

    async def reply(self) -> Reply:
        """Return the next reply that is owed.

        Raises:
            DialogueBroken: if there is none.
        """
        self._reply = self.closed.get_loop().create_future()
        try:
            if self._buffer:
                self._settle(self._reply)
            if self._closing and not self._reply.done():
                raise DialogueBroken("the relay hung up")
            return await self._reply
        finally:
            self._reply = None

    def retire(self, grace: timedelta) -> None:
        """Say goodbye and hang up, at the latest when the grace is over; `closed` tells when."""
        if not self.usable:
            self.abort()
            return
        loop = self.closed.get_loop()
        self._retiring = loop.call_later(grace.total_seconds(), self.abort)
        self._write(b"QUIT\r\n", 1)

    def abort(self) -> None:
        """Hang up at once."""
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Take what the relay says; called by the transport."""
        if self._retiring is not None:
            self._transport.close()
            return
        if not self._owed_replies:
            self.abort()
            return
        self._buffer += data
        if self._reply is not None and not self._reply.done():
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

    def _write(self, data: bytes, replies: int) -> None:
        if not self.usable:
            raise DialogueBroken("the relay hung up" if self._closing else "out of step")
        self._owed_replies = replies
        self._transport.write(data)

    async def _has_left(self) -> bool:
        """Wait until what was written has left, the relay says something, or it hangs up."""
        if self._paused:
            self._room = self.closed.get_loop().create_future()
            await self._room
        return not self._paused

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
            self._owed_replies -= 1
            self._closing |= reply.code == CLOSING
            waiting.set_result(reply)

    def _stop_waiting_for_room(self) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)


def take_over(transport: asyncio.BaseTransport | None, offers: Offers) -> Dialogue:
    """Begin a dialogue on a connection over which the greetings have been exchanged."""
    return Dialogue(cast("asyncio.Transport", transport), offers)


def _pieces(content: bytes) -> list[bytes]:
    """Divide a message, with the final dot; what is not long is one piece."""
    if len(content) <= _PIECE:
        return [content + _DOT]
    starts = range(0, len(content), _PIECE)
    return [*(content[start : start + _PIECE] for start in starts), _DOT]


def _read_reply(buffer: bytes) -> tuple[Reply, int] | None:
    """Find the first whole reply, and where it ends.

    Raises:
        ValueError: if this cannot become one.
    """
    lines: list[bytes] = []
    end = 0
    while 0 <= (line_end := buffer.find(b"\n", end)) < _MAX_REPLY:
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
