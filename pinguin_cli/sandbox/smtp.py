"""An SMTP server on loopback that takes everything and keeps it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from aiosmtpd.smtp import SMTP, Envelope, Session

from pinguin_cli.parsers import Address
from pinguin_cli.sandbox.keeping import Folder

HOST: Final = "127.0.0.1"


class SandboxSmtp:
    """Serves SMTP while its `async with` block runs, on a free port.

    Args:
        folder: where each e-mail is kept as it arrived, as an `.eml` file.
    """

    def __init__(self, folder: Path) -> None:
        self.kept = Folder(folder, ".eml")
        self._sessions: set[_Session] = set()

    @property
    def address(self) -> Address:
        """Where it listens."""
        return Address(HOST, self._server.sockets[0].getsockname()[1])

    async def __aenter__(self) -> Self:
        self.kept.create()
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Session(self.kept, self._sessions), HOST, 0
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.close()
        for session in list(self._sessions):
            session.abort()
        await self._server.wait_closed()


class _Session(SMTP):
    """One connection, which can be told to end when the server does."""

    def __init__(self, folder: Folder, sessions: set[_Session]) -> None:
        super().__init__(
            _Keeper(folder),
            hostname="sandbox",
            enable_SMTPUTF8=True,
            loop=asyncio.get_running_loop(),
        )
        self._sessions = sessions

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._sessions.add(self)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._sessions.discard(self)
        super().connection_lost(error)

    def abort(self) -> None:
        if isinstance(self.transport, asyncio.WriteTransport):
            self.transport.abort()


class _Keeper:
    """What aiosmtpd calls with each complete message."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: ARG002, N802 (aiosmtpd dictates name and arguments)
        self._folder.keep(envelope.original_content or b"")
        return "250 2.0.0 kept"
