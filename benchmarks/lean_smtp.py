"""An SMTP server that counts messages and does nothing else, on as little CPU as Python allows.

    python benchmarks/lean_smtp.py [seconds of delay for each message]

`XCOUNT` asks how many messages it took.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Final, cast

import uvloop

DELAY: Final = float(sys.argv[1]) if len(sys.argv) > 1 else 0.0
REPLIES: Final = {
    b"EHLO": b"250-lean\r\n250 PIPELINING\r\n",
    b"HELO": b"250 lean\r\n",
    b"DATA": b"354 go on\r\n",
    b"QUIT": b"221 bye\r\n",
}
OK: Final = b"250 OK\r\n"
taken = 0


class Session(asyncio.Protocol):
    """One connection; commands may come in pieces or together."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet."""
        self.transport = cast(asyncio.Transport, transport)
        self.buffer = b""
        self.replies: list[bytes] = []
        self.in_data = self.left = False
        self.transport.write(b"220 lean\r\n")

    def data_received(self, data: bytes) -> None:
        """Answer whatever is complete."""
        self.buffer = self.buffer + data if self.buffer else data
        while self.buffer and (self._message() if self.in_data else self._command()):
            pass
        if self.replies:
            self.transport.write(b"".join(self.replies))
            self.replies.clear()
        if self.left:
            self.transport.close()

    def _command(self) -> bool:
        line, end, rest = self.buffer.partition(b"\r\n")
        if not end:
            return False
        self.buffer = rest
        verb = line[:4].upper()
        self.in_data = verb == b"DATA"
        reply = b"250 %d\r\n" % taken if verb == b"XCOU" else REPLIES.get(verb, OK)
        self.replies.append(reply)
        self.left = verb == b"QUIT"
        return True

    def _message(self) -> bool:
        global taken  # noqa: PLW0603 (one counter, one loop)
        if self.buffer.startswith(b".\r\n"):
            self.buffer = self.buffer[3:]
        else:
            _, end, rest = self.buffer.partition(b"\r\n.\r\n")
            if not end:
                return False
            self.buffer = rest
        self.in_data = False
        taken += 1
        if DELAY:
            asyncio.get_running_loop().call_later(DELAY, self.transport.write, OK)
        else:
            self.replies.append(OK)
        return True


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Session, "127.0.0.1", 0)
    print(f"127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
