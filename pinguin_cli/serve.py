"""The running service: opens everything in order, and closes it in the reverse order."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from pinguin_adapters.smtp_sender import SmtpSender
from pinguin_adapters.sqlmodel_store import SqlModelNotificationRepository
from pinguin_adapters.twilio_sender import TwilioSender
from pinguin_cli.container import Container, disabled_channels
from pinguin_cli.parsers import Address
from pinguin_cli.sandbox import Sandbox
from pinguin_cli.settings import ServerSettings
from pinguin_core import (
    Channel,
    InvalidValue,
    Observer,
    PinguinError,
    StoreFull,
    StoreUnavailable,
)
from pinguin_grpc.server import EncryptedKey, GrpcServer

_CALLS_DRAIN: Final = timedelta(seconds=1)
"""How long calls under way may take to be answered when the service stops."""


class CannotStart(PinguinError):
    """The service cannot be started as it is set up."""


@dataclass(frozen=True, slots=True)
class Running:
    """A service that accepts calls.

    Attributes:
        address: where, with the real port.
        channels: what it can send.
        sandbox: its providers, if they are inside the process.
        weaknesses: which settings of the database break promises, and how they should be.
    """

    address: Address
    channels: tuple[Channel, ...]
    sandbox: Sandbox | None
    weaknesses: Sequence[str]


@asynccontextmanager
async def running(
    settings: ServerSettings, *, sandbox_folder: Path | None = None
) -> AsyncIterator[Running]:
    """Run the service while the block runs.

    On leaving, it turns away new calls, answers those under way, ends the deliveries under way,
    and closes the store last.

    Args:
        settings: what it is made of.
        sandbox_folder: keep what is sent in this folder, instead of delivering it.

    Raises:
        CannotStart: if the database cannot be opened, the address is taken, or TLS cannot be set
            up.
    """
    async with AsyncExitStack() as stack:
        sandbox = None
        if sandbox_folder is not None:
            sandbox = await _sandbox(sandbox_folder, stack)
            settings = settings.model_copy(update=dict(sandbox.settings))
        container = Container(settings=settings)
        store = await _store(settings, sandbox_folder, stack, container.observer())
        container.override_providers(repository=store)
        for sender in _senders(container):
            await stack.enter_async_context(sender)
        store.subscribe(container.dispatcher().wake_at)
        await stack.enter_async_context(container.dispatcher())
        server = _server(container.server)
        await _listen(server, settings.grpc_listen_addr)
        stack.push_async_callback(server.drain, _CALLS_DRAIN)
        disabled = disabled_channels(settings)
        channels = tuple(channel for channel in Channel if channel not in disabled)
        address = Address(settings.grpc_listen_addr.host, server.port)
        yield Running(address, channels, sandbox, store.warnings)


async def _sandbox(folder: Path, stack: AsyncExitStack) -> Sandbox:
    try:
        return await stack.enter_async_context(Sandbox.open(folder))
    except OSError as error:
        raise CannotStart(
            f"--sandbox-folder {folder}: cannot be used: {error.strerror}; choose another"
        ) from error


async def _store(
    settings: ServerSettings,
    sandbox_folder: Path | None,
    stack: AsyncExitStack,
    observer: Observer,
) -> SqlModelNotificationRepository:
    try:
        store = SqlModelNotificationRepository.open(settings.database, observer=observer)
        return await stack.enter_async_context(store)
    except InvalidValue as error:
        raise CannotStart(f"{_where_set(settings, sandbox_folder)}: {error.problem}") from error
    except (StoreFull, StoreUnavailable) as error:
        raise CannotStart(f"{_where_set(settings, sandbox_folder)}: {error}") from error


def _where_set(settings: ServerSettings, sandbox_folder: Path | None) -> str:
    """Name what says where the database is."""
    if sandbox_folder is not None:
        return f"--sandbox-folder {sandbox_folder}"
    return "DATABASE_URL" if settings.database_url else f"DATABASE_PATH ({settings.database_path})"


def _senders(container: Container) -> Sequence[SmtpSender | TwilioSender]:
    try:
        senders = (*container.smtp_senders(), container.sms_sender())
    except InvalidValue as error:  # only a domain that looks like one, and yet is none
        raise CannotStart(f"FROM_EMAIL: {error.problem}") from error
    return [sender for sender in senders if sender is not None]


def _server(make: Callable[[], GrpcServer]) -> GrpcServer:
    try:
        return make()
    except EncryptedKey as error:
        raise CannotStart(f"GRPC_TLS_KEY_FILE: {error}") from error
    except ssl.SSLError as error:  # an OSError too: it comes first
        raise CannotStart(
            "GRPC_TLS_CERT_FILE, GRPC_TLS_KEY_FILE: are not a certificate and its key in PEM form "
            f"({error.reason or 'unreadable'})"
        ) from error
    except OSError as error:
        raise CannotStart(
            f"GRPC_TLS_CERT_FILE, GRPC_TLS_KEY_FILE: cannot be read: {error.strerror}"
        ) from error


async def _listen(server: GrpcServer, address: Address) -> None:
    try:
        await server.start(address.host, address.port)
    except OSError as error:
        unknown_host = isinstance(error, socket.gaierror)  # whose numbers are no errno
        reason = error.strerror if unknown_host or error.errno is None else os.strerror(error.errno)
        raise CannotStart(
            f"GRPC_LISTEN_ADDR: cannot listen on {address}: {reason}; choose an address of this "
            "machine and a port that is free"
        ) from error
