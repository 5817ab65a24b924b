"""Twilio's Messages API on loopback, answering as a test tells it to; and bare sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web

SID = "SM" + "0123456789abcdef" * 2


@dataclass(frozen=True)
class Posted:
    """A request that arrived."""

    path: str
    form: dict[str, str]
    headers: dict[str, str]
    peer: int
    """The port that it came from: one for each connection."""


@dataclass
class ScriptedTwilio:
    """Answers with what `answer` returns, at first a 201 as Twilio's own."""

    answer: Callable[[Posted], Awaitable[web.StreamResponse]] | None = None
    requests: list[Posted] = field(default_factory=list)

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.base_url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        form = {name: str(value) for name, value in (await request.post()).items()}
        assert request.transport is not None
        peer = request.transport.get_extra_info("peername")[1]
        posted = Posted(request.raw_path, form, dict(request.headers), peer)
        self.requests.append(posted)
        if self.answer is not None:
            return await self.answer(posted)
        return web.json_response({"sid": SID, "status": "queued"}, status=201)


def always(status: int, body: Any = None, **headers: str) -> ScriptedTwilio:
    """A server with one answer for all requests, its body as JSON."""

    async def answer(_: Posted) -> web.Response:
        return web.json_response(body, status=status, headers=headers)

    return ScriptedTwilio(answer)


Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def bare_server(talk: Talk) -> AsyncIterator[str]:
    """Serve connections by a function, and abort them when it returns; yields the base URL."""
    talks: set[asyncio.Task[Any]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        talks.add(task)
        try:
            await talk(reader, writer)
        except (OSError, EOFError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in talks:
            task.cancel()
        await asyncio.gather(*talks, return_exceptions=True)


def saying(answer: bytes, *, hang: bool = False) -> Talk:
    """Read a request, give an answer, and hang up, or wait for the client to."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        if hang:
            await reader.read()
            await reader.read()

    return talk
