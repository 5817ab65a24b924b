"""The gRPC server: listens, serves, and stops cleanly."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from grpclib.events import RecvRequest, listen

from pinguin_core import NotificationService, NullObserver, Observer
from pinguin_core.system import GuardedObserver
from pinguin_grpc.auth import BearerAuth
from pinguin_grpc.calls import Shared
from pinguin_grpc.connection import ServerConnection
from pinguin_grpc.drain import drain
from pinguin_grpc.health import Health
from pinguin_grpc.identity import EncryptedKey
from pinguin_grpc.limits import MAX_REQUEST, Limits
from pinguin_grpc.listening import TlsFiles, bind, tls_context
from pinguin_grpc.reflection import with_reflection
from pinguin_grpc.service import NotificationCalls

__all__ = ["EncryptedKey", "GrpcServer", "TlsFiles"]


class GrpcServer:
    """Serves the notification service, health and reflection to callers that have a token.

    Args:
        tokens: the bearer tokens that are accepted; one or more.
        tls: without it, everything travels in clear.
        observer: told of errors that are no caller's fault.
        health: answers those who ask whether the service, or more than that, serves.
        max_message_bytes: the largest request that is accepted; the answer repeats it, and clients
            usually receive at most 4 MiB.

    Raises:
        InvalidValue: if a token is unusable, or there is none.
        EncryptedKey: if the key for TLS needs a passphrase.
        OSError: if a TLS file cannot be read, or (`ssl.SSLError`) is not what it should be.
    """

    def __init__(
        self,
        service: NotificationService,
        *,
        tokens: Sequence[str],
        tls: TlsFiles | None = None,
        observer: Observer | None = None,
        health: Health | None = None,
        max_message_bytes: int = MAX_REQUEST,
    ) -> None:
        self._authorise = BearerAuth(tokens)
        self._service = service
        self._tls = tls_context(tls) if tls else None
        self._observer = GuardedObserver(observer or NullObserver())
        self._limits = Limits(message_bytes=max_message_bytes)
        self._health = health or Health()
        self._shared: Shared | None = None
        self._connections: set[ServerConnection] = set()
        self._listeners: list[asyncio.Server] = []

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """The hosts and ports where it listens."""
        sockets = [sock for listener in self._listeners for sock in listener.sockets]
        return [sock.getsockname()[:2] for sock in sockets]

    @property
    def port(self) -> int:
        """The port, which is the same on each address; only while it listens."""
        if not (addresses := self.addresses):
            raise RuntimeError("the server does not listen")
        return addresses[0][1]

    async def start(self, host: str, port: int) -> None:
        """Listen on every address that the host's name has; port 0 is any that is free.

        Raises:
            OSError: if the host's name is not known, or an address is taken.
        """
        handshake = self._limits.handshake.total_seconds() if self._tls else None
        shared = self._shared = self._make_shared()
        loop = asyncio.get_running_loop()
        for sock in await bind(host, port):
            listener = await loop.create_server(
                lambda: ServerConnection(shared, self._connections),
                sock=sock,
                ssl=self._tls,
                ssl_handshake_timeout=handshake,
            )
            self._listeners.append(listener)

    async def drain(self, timeout: timedelta) -> None:  # noqa: ASYNC109 (more than one wait)
        """Stop: health says so, new calls are turned away, those under way are answered.

        Args:
            timeout: after how long calls under way are answered UNAVAILABLE; a second later, all
                connections are closed.
        """
        self._health.stop()
        for listener in self._listeners:
            listener.close()
        if self._shared is not None:
            self._shared.draining = True
        await drain(self._connections, timeout)

    def _make_shared(self) -> Shared:
        services = with_reflection([NotificationCalls(self._service), self._health])
        methods = {path: call for each in services for path, call in each.__mapping__().items()}
        shared = Shared(methods, self._limits, self._observer)
        listen(shared, RecvRequest, self._authorise)
        return shared
