"""One write to the socket for all that one turn of the event loop has to say."""

from __future__ import annotations

import asyncio
from typing import Any


class GatheringTransport(asyncio.Transport):
    """A transport that sends together what is written to it in one turn of the event loop.

    grpclib writes the headers, the message and the trailers of an answer one by one; each write to
    a socket is a system call, and wakes the caller.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__()
        self._transport = transport
        self._pieces: list[bytes] = []
        self._loop = asyncio.get_running_loop()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send this at the end of the turn."""
        if not self._pieces:
            self._loop.call_soon(self._send)
        self._pieces.append(bytes(data))

    def close(self) -> None:
        """Send what there is, and close."""
        self._send()
        self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        self._pieces.clear()
        self._transport.abort()

    def pause_reading(self) -> None:
        """Take in nothing for now."""
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Take in what comes."""
        self._transport.resume_reading()

    def is_closing(self) -> bool:
        """Whether it is closing, or closed."""
        return self._transport.is_closing()

    def get_write_buffer_size(self) -> int:
        """Return how many bytes are not sent yet."""
        return self._transport.get_write_buffer_size() + sum(map(len, self._pieces))

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return what the transport knows."""
        return self._transport.get_extra_info(name, default)

    def _send(self) -> None:
        pieces, self._pieces = self._pieces, []
        if pieces and not self._transport.is_closing():
            self._transport.write(b"".join(pieces))
