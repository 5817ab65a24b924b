"""Sockets to listen on, and what TLS does on them."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pinguin_grpc.identity import load_identity

_ABSENT: Final = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})
_BACKLOG: Final = 1024
_ATTEMPTS: Final = 10


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files for TLS; with a CA for clients, each client must show a certificate of it."""

    certificate: Path
    key: Path
    client_ca: Path | None = None


def tls_context(files: TlsFiles) -> ssl.SSLContext:
    """Read the files: TLS 1.2 or newer, HTTP/2 only.

    Raises:
        EncryptedKey: if the key needs a passphrase.
        OSError: if a file cannot be read, or (`ssl.SSLError`) is not what it should be.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=files.client_ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    load_identity(context, files.certificate, files.key)
    context.set_alpn_protocols(["h2"])
    if files.client_ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


async def bind(host: str, port: int) -> list[socket.socket]:
    """Open a listening socket on every address that a host's name has, all on one port.

    Addresses that this machine does not have, such as those of IPv6, are left out if others remain.

    Args:
        host: a name or an address; empty for all interfaces.
        port: 0 for any that is free on all of them.

    Raises:
        OSError: if the name is not known, or an address is taken.
    """
    loop = asyncio.get_running_loop()
    kind, flags = socket.SOCK_STREAM, socket.AI_PASSIVE
    found = await loop.getaddrinfo(host or None, port, type=kind, flags=flags)
    addresses = [(family, address) for family, _, _, _, address in found]
    for _ in range(0 if port else _ATTEMPTS - 1):
        with suppress(OSError):  # a port that is free on one address may be taken on another
            return _bind_all(addresses, port)
    return _bind_all(addresses, port)


def _bind_all(addresses: Iterable[tuple[int, Any]], port: int) -> list[socket.socket]:
    absent: list[OSError] = []
    with ExitStack() as cleanup:
        sockets: list[socket.socket] = []
        for family, (host, _, *rest) in addresses:
            try:
                sock = socket.create_server((host, port, *rest), family=family, backlog=_BACKLOG)
            except OSError as error:
                if error.errno not in _ABSENT:
                    raise
                absent.append(error)
                continue
            # Connections inherit it. asyncio would set it on each, were it not for `create_server`,
            # whose sockets it does not take for TCP; without it an answer may wait for 40 ms.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sockets.append(cleanup.enter_context(sock))
            port = sock.getsockname()[1]
        if not sockets:
            raise absent[0]
        cleanup.pop_all()
        return sockets
