"""A way to a server that a test can cut, close, silence, slow down and forge."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

from sqlalchemy.engine import make_url

_ALL: Final = 65536
PORTS: Final = {"postgresql": 5432, "mysql": 3306}


class TcpProxy:
    """Passes on what both sides say, to a port that stays the same.

    Args:
        host: where the server is.
        listen: where it is itself.
        piece: how many bytes that the server says it passes on at a time; all if absent.
        forge: what becomes of a piece that the server says.

    Attributes:
        passes: after how many more bytes, of both sides, it cuts all connections; never if None.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        listen: str = "127.0.0.1",
        piece: int | None = None,
        forge: Callable[[bytes], bytes] = bytes,
    ) -> None:
        self._target = host, port
        self._piece = piece or _ALL
        self._forge = forge
        self._cuts = 0
        self.passes: int | None = None
        self.host = listen
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._ends: set[asyncio.StreamWriter] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self.port = 0

    async def open(self) -> None:
        """Let connections through."""
        self._server = await asyncio.start_server(self._accept, self.host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Refuse new connections, and cut those that there are."""
        if self._server is not None:
            self._server.close()
        await self.cut()

    async def cut(self) -> None:
        """Cut all connections that there are."""
        self._cuts += 1
        self._flowing.set()
        self._cut_all()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def hold(self) -> None:
        """Pass nothing on any more, and cut nothing either, until they are cut."""
        self._flowing.clear()

    def silence(self) -> None:
        """Pass nothing on any more, and cut nothing either, until it is closed."""
        self.hold()
        if self._server is not None:
            self._server.close()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._pass_on(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._ends.add(writer)
        cuts = self._cuts
        far_reader, far_writer = await asyncio.open_connection(*self._target)
        self._ends.add(far_writer)
        if self._cuts == cuts:
            await asyncio.gather(
                self._copy(reader, far_writer, _ALL, bytes),
                self._copy(far_reader, writer, self._piece, self._forge),
            )
        self._ends -= {writer, far_writer}
        far_writer.transport.abort()

    async def _copy(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        piece: int,
        change: Callable[[bytes], bytes],
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(piece):
                await self._flowing.wait()
                writer.write(self._within_budget(change(data)))
                await writer.drain()
        writer.transport.abort()

    def _within_budget(self, data: bytes) -> bytes:
        if self.passes is None or len(data) <= self.passes:
            self.passes = None if self.passes is None else self.passes - len(data)
            return data
        data, self.passes = data[: self.passes], None
        asyncio.get_running_loop().call_soon(self._cut_all)
        return data

    def _cut_all(self) -> None:
        for end in self._ends:
            end.transport.abort()


@asynccontextmanager
async def proxied(url: str) -> AsyncIterator[tuple[TcpProxy, str]]:
    """Put a proxy before the server that a URL names, and yield it with the URL through it."""
    parsed = make_url(url)
    port = parsed.port or PORTS[parsed.get_backend_name()]
    proxy = TcpProxy(parsed.host or "127.0.0.1", port)
    await proxy.open()
    through = parsed.set(host="127.0.0.1", port=proxy.port)
    try:
        yield proxy, through.render_as_string(hide_password=False)
    finally:
        await proxy.close()
