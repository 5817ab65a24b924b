"""Looking up the host's name for aiohttp."""

from __future__ import annotations

import socket
from typing import Final, cast

from aiohttp.abc import AbstractResolver, ResolveResult

from pinguin_adapters.resolver import Resolver

_NUMBERS: Final = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV


class Names(AbstractResolver):
    """Looks names up on threads that nothing else waits for: see `Resolver`."""

    def __init__(self) -> None:
        self._resolver = Resolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return where TCP reaches this port of this host.

        Raises:
            OSError: if there is no such name, or it cannot be looked up.
        """
        try:
            addresses = await self._resolver.look_up(host, port, family=family)
        except UnicodeError:
            raise socket.gaierror(socket.EAI_NONAME, "it cannot be a name") from None
        return [_result(host, family, proto, address) for family, _, proto, _, address in addresses]

    async def close(self) -> None:
        """Nothing is kept."""


def _result(
    name: str, family: socket.AddressFamily, proto: int, address: tuple[object, ...]
) -> ResolveResult:
    host, port = socket.getnameinfo(cast("tuple[str, int]", address), _NUMBERS)
    return ResolveResult(
        hostname=name,
        host=host,
        port=int(port),
        family=family,
        proto=proto,
        flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
    )
