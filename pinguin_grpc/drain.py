"""A clean stop: what was accepted is answered, what comes later is turned away, nobody hangs.

A peer that is built on h2, as grpclib's client is, drops its calls when it reads GOAWAY, and even
an answer that came with the same packet. So a connection gets one only when its calls are answered
and the answers read; until then, new calls are UNAVAILABLE.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from datetime import timedelta
from typing import Final

from pinguin_grpc.connection import ServerConnection

_COURTESY: Final = timedelta(milliseconds=500)
"""How long a caller may take to read its answers, and then to hang up."""

_LAST_WORDS: Final = timedelta(milliseconds=500)
"""How long calls that ran out of time may take to say so, and to let go of what they hold."""


async def drain(connections: Collection[ServerConnection], patience: timedelta) -> None:
    """Close connections as soon as their calls are answered.

    Calls that are not answered in time end as UNAVAILABLE; streams do so at once, because they
    have no end of their own.
    """
    open_ones = list(connections)
    for connection in open_ones:
        _interrupt(connection, streams_only=True)
    if not await _all(_close, open_ones, patience):
        for connection in open_ones:
            _interrupt(connection, streams_only=False)
        await _all(_close, open_ones, _LAST_WORDS)
    for connection in open_ones:
        connection.abort()
    await _all(_ended, open_ones, _LAST_WORDS)


async def _all(
    step: Callable[[ServerConnection], Awaitable[None]],
    connections: Collection[ServerConnection],
    patience: timedelta,
) -> bool:
    """Take a step with all connections at once, and tell whether they took it in time."""
    with suppress(TimeoutError):
        async with asyncio.timeout(patience.total_seconds()):
            await asyncio.gather(*map(step, connections))
            return True
    return False


async def _close(connection: ServerConnection) -> None:
    await _answered(connection)
    connection.ask_for_sign()
    await _wait_politely(connection.events.caught_up)
    connection.announce_end()
    await _wait_politely(connection.closed)
    await _answered(connection)
    connection.close()
    await connection.closed.wait()


async def _wait_politely(event: asyncio.Event) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(_COURTESY.total_seconds()):
            await event.wait()


def _interrupt(connection: ServerConnection, *, streams_only: bool) -> None:
    for call in list(connection.calls.under_way.values()):
        if call.streaming or not streams_only:
            call.interrupt()


async def _answered(connection: ServerConnection) -> None:
    """Wait for the calls that are under way now, not for those that come meanwhile."""
    tasks = [call.task for call in connection.calls.under_way.values() if call.task]
    if tasks:
        await asyncio.wait(tasks)


async def _ended(connection: ServerConnection) -> None:
    await _answered(connection)
    await connection.closed.wait()
