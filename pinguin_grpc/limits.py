"""What one caller may take of the service: bounds on time, on sizes, on haste."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from grpclib.const import Status
from grpclib.exceptions import GRPCError

from pinguin_grpc.wire_format import MalformedMessage

MIB: Final = 1 << 20
MAX_REQUEST: Final = 4_000_000
"""Bytes of a request: so few that the answer, which repeats it and adds to it, fits into the 4 MiB
that gRPC's usual clients receive. An answer that does not reach its caller invites a second try."""

_PREFIX: Final = 5  # a flag and a length of four bytes
_GZIP: Final = 16 + zlib.MAX_WBITS  # zlib's way to ask for gzip's header


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds.

    Attributes:
        message_bytes: the largest request, before and after it is inflated.
        message_fields: how many fields a request may have, those of messages within it included.
        call: how long a call with one answer may take, its request's arrival included, whatever
            deadline its caller set.
        connections: how many there may be at once; more are closed as they come.
        handshake: how long a new connection may take to speak HTTP/2.
        idle: after how long without a call a connection is closed.
        stranger: the same for a connection on which no call had a token yet; calls without one do
            not count.
        resets: how many calls a connection may break off at once; as many again each two seconds.
        frames: how many HTTP/2 frames of any kind a connection may send at once; as many again each
            four seconds, and more for what it calls with a token.
        unread_bytes: how much of our answers a connection may leave unread.
    """

    message_bytes: int = MAX_REQUEST
    message_fields: int = 1000
    call: timedelta = timedelta(seconds=60)
    connections: int = 4096
    handshake: timedelta = timedelta(seconds=10)
    idle: timedelta = timedelta(hours=1)
    stranger: timedelta = timedelta(minutes=1)
    resets: int = 200
    frames: int = 2000
    unread_bytes: int = 8 * MIB


class TokenBucket:
    """Allows a burst, and so many more each second."""

    def __init__(self, burst: int, per_second: float) -> None:
        self._burst = burst
        self._per_second = per_second
        self._left = float(burst)
        self._last = 0.0

    def take(self, now: float) -> bool:
        """Take one at this moment of a monotonic clock, and tell whether there was one."""
        self._left = min(self._burst, self._left + (now - self._last) * self._per_second)
        self._last = now
        self._left -= 1
        return self._left >= 0

    def give(self, count: int) -> None:
        """Add some, beside those that come with time; more than a burst are not kept."""
        self._left = min(self._burst, self._left + count)


class MessageReader:
    """Stands in for `recv_data` of a grpclib stream, and gives out whole messages within the limit.

    grpclib asks for a prefix, then for as many bytes as it announces. It gets both once the message
    is there to its end and inflated. Of a call with one request, that is the whole body.

    Args:
        read: the stream's own `recv_data`.
        limit: the largest message, in bytes.
        encoding: what the caller says that compressed messages are compressed with.
        single: the call has one request.
    """

    def __init__(
        self,
        read: Callable[[int], Awaitable[bytes]],
        *,
        limit: int,
        encoding: str | None,
        single: bool,
    ) -> None:
        self._read = read
        self._limit = limit
        self._encoding = encoding
        self._single = single
        self._message: bytes | None = None

    async def recv_data(self, size: int) -> bytes:  # noqa: ARG002 (grpclib's signature)
        """Return the next prefix or message, in turn; nothing where the requests end.

        Raises:
            MalformedMessage: for a body that is not made of messages, or not of one.
            GRPCError: RESOURCE_EXHAUSTED, UNIMPLEMENTED.
        """
        if (message := self._message) is not None:
            self._message = None
            return message
        if not self._single:
            await asyncio.sleep(0)  # hundreds of thousands may have come already: let others go on
        self._message = await self._next_message()
        if self._message is None:
            return b""
        return b"\0" + len(self._message).to_bytes(4, "big")

    async def _next_message(self) -> bytes | None:
        prefix = await self._read_whole(_PREFIX)
        if not prefix and self._single:
            raise MalformedMessage("is missing")
        if not prefix:
            return None
        length = int.from_bytes(prefix[1:], "big")
        if length > self._limit:
            raise GRPCError(
                Status.RESOURCE_EXHAUSTED,
                f"the request has {length} bytes; at most {self._limit} are accepted",
            )
        message = await self._read_whole(length)
        if len(message) != length:
            raise MalformedMessage("ends too early")
        if self._single and await self._read(1):
            raise MalformedMessage("is followed by another, where one is expected")
        return self._inflate(prefix[0], message)

    async def _read_whole(self, size: int) -> bytes:
        try:
            return await self._read(size)
        except AssertionError:  # grpclib's word for a body that ends within what was asked for
            raise MalformedMessage("ends too early") from None

    def _inflate(self, flag: int, message: bytes) -> bytes:
        if flag == 0:
            return message
        if flag != 1:
            raise MalformedMessage("has an unknown compression flag")
        if self._encoding != "gzip":
            raise GRPCError(Status.UNIMPLEMENTED, "requests may be compressed with gzip only")
        return inflate(message, self._limit)


def inflate(compressed: bytes, limit: int) -> bytes:
    """Undo gzip.

    Raises:
        MalformedMessage: for what is not gzip, from its first byte to its last.
        GRPCError: RESOURCE_EXHAUSTED, as soon as there are more bytes than the limit.
    """
    gzip = zlib.decompressobj(_GZIP)
    try:
        message = gzip.decompress(compressed, limit + 1)
    except zlib.error:
        raise MalformedMessage("is not well-formed gzip") from None
    if len(message) > limit:
        raise GRPCError(
            Status.RESOURCE_EXHAUSTED, f"the request inflates to more than {limit} bytes"
        )
    if not gzip.eof or gzip.unused_data:
        raise MalformedMessage("is not well-formed gzip")
    return message
