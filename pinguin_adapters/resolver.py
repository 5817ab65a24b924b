"""Looking up the addresses of a provider's name; in a broken network that may take long."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from threading import Thread
from typing import TypeAlias

Address: TypeAlias = tuple[
    socket.AddressFamily,
    socket.SocketKind,
    int,
    str,
    tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes],
]
"""What `socket.getaddrinfo` tells of one address."""

_Asked: TypeAlias = tuple[str, int, socket.AddressFamily]


class Resolver:
    """Looks names up, each in a thread of its own, which nobody waits for when the process ends.

    The event loop's own look-ups share a few threads with everything else that needs one, and a
    process does not end before they have. Those who ask for the same meanwhile share one look-up:
    there are never more threads than names.

    For one event loop, and one thread.
    """

    def __init__(self) -> None:
        self._under_way: dict[_Asked, asyncio.Future[Sequence[Address]]] = {}

    async def look_up(
        self, host: str, port: int, *, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> Sequence[Address]:
        """Return where TCP reaches this port of this host, as long as that takes.

        Who gives up waiting does not end the look-up for others.

        Raises:
            OSError: if there is no such name, or it cannot be looked up.
            UnicodeError: if it cannot be a name.
        """
        asked = host, port, family
        if asked not in self._under_way:
            self._under_way[asked] = self._begin(asked)
        return await asyncio.shield(self._under_way[asked])

    def _begin(self, asked: _Asked) -> asyncio.Future[Sequence[Address]]:
        loop = asyncio.get_running_loop()
        found: asyncio.Future[Sequence[Address]] = loop.create_future()
        found.add_done_callback(lambda _: self._under_way.pop(asked))
        thread = Thread(target=_look_up, args=(asked, found), name="look-up", daemon=True)
        thread.start()
        return found


def _look_up(asked: _Asked, found: asyncio.Future[Sequence[Address]]) -> None:
    host, port, family = asked
    try:
        addresses = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)
    except Exception as error:  # noqa: BLE001 (whatever it is, it is for those who wait)
        tell = partial(found.set_exception, error)
    else:
        tell = partial(found.set_result, addresses)
    with suppress(RuntimeError):  # the loop was closed meanwhile
        found.get_loop().call_soon_threadsafe(tell)
