"""The running service: opens everything in order, and closes it in the reverse order."""

from __future__ import annotations

import asyncio
import os
import signal
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, TypeVar

from pinguin_adapters.sqlmodel_store import SqlModelNotificationRepository
from pinguin_cli import logs
from pinguin_cli.container import Container, disabled_channels
from pinguin_cli.parsers import Address
from pinguin_cli.sandbox import Sandbox
from pinguin_cli.settings import ServerSettings
from pinguin_core import Channel, InvalidValue, PinguinError, StoreUnavailable
from pinguin_grpc.server import GrpcServer

_CALLS_DRAIN: Final = timedelta(seconds=1)
"""How long calls under way may take to be answered when the service stops."""

_STOPPERS: Final = (signal.SIGTERM, signal.SIGINT)

ResultT = TypeVar("ResultT")


class CannotStart(PinguinError):
    """The service cannot be started as it is set up."""


@dataclass(frozen=True, slots=True)
class Running:
    """A service that accepts calls.

    Attributes:
        address: where, with the real port.
        channels: what it can send.
        sandbox: its providers, if they are inside the process.
    """

    address: Address
    channels: tuple[Channel, ...]
    sandbox: Sandbox | None


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
            sandbox = await stack.enter_async_context(Sandbox.open(sandbox_folder))
            settings = settings.model_copy(update=dict(sandbox.settings))
        container = Container(settings=settings, repository=await _opened(settings, stack))
        for sender in (container.email_sender(), container.sms_sender()):
            if sender is not None:
                await stack.enter_async_context(sender)
        await stack.enter_async_context(container.dispatcher())
        server = await _listening(container.server, settings)
        stack.push_async_callback(server.drain, _CALLS_DRAIN)
        disabled = disabled_channels(settings)
        channels = tuple(channel for channel in Channel if channel not in disabled)
        yield Running(Address(settings.grpc_listen_addr.host, server.port), channels, sandbox)


async def serve(
    settings: ServerSettings,
    *,
    sandbox_folder: Path | None = None,
    on_ready: Callable[[Running], None] = lambda _: None,
) -> None:
    """Run the service until SIGTERM or SIGINT; a second one ends the process at once."""
    loop = asyncio.get_running_loop()
    logs.catch_strays(loop)
    stopping = _stop_on_signals(loop)
    async with running(settings, sandbox_folder=sandbox_folder) as service:
        for channel, remedy in disabled_channels(settings).items():
            if channel not in service.channels:
                logs.record("WARNING", "channel.disabled", channel=channel.value, remedy=remedy)
        logs.record(
            "INFO",
            "service.ready",
            address=str(service.address),
            channels=", ".join(channel.value for channel in service.channels),
            database=settings.database,
            tls=settings.grpc_tls_cert_file is not None,
        )
        on_ready(service)
        await stopping.wait()
        logs.record("INFO", "service.stopping")
    logs.record("INFO", "service.stopped")


def run(main: Coroutine[Any, Any, ResultT]) -> ResultT:
    """Run to the end on uvloop if it is installed, else on asyncio's own loop."""
    with asyncio.Runner(loop_factory=_new_event_loop) as runner:
        return runner.run(main)


def _new_event_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


async def _opened(
    settings: ServerSettings, stack: AsyncExitStack
) -> SqlModelNotificationRepository:
    try:
        store = SqlModelNotificationRepository.open(settings.database)
        return await stack.enter_async_context(store)
    except (InvalidValue, StoreUnavailable) as error:
        named = (
            "DATABASE_URL" if settings.database_url else f"DATABASE_PATH ({settings.database_path})"
        )
        raise CannotStart(f"{named}: {error}") from error


async def _listening(make: Callable[[], GrpcServer], settings: ServerSettings) -> GrpcServer:
    address = settings.grpc_listen_addr
    try:
        server = make()
        await server.start(address.host, address.port)
    except ssl.SSLError as error:  # an OSError too: it comes first
        raise CannotStart(
            "GRPC_TLS_CERT_FILE, GRPC_TLS_KEY_FILE: are no certificate with its key in PEM form "
            f"({error.reason or 'unreadable'})"
        ) from error
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else "it cannot be resolved"
        raise CannotStart(
            f"GRPC_LISTEN_ADDR: cannot listen on {address}: {reason}; stop what does, "
            "or choose another port"
        ) from error
    return server


def _stop_on_signals(loop: asyncio.AbstractEventLoop) -> asyncio.Event:
    stopping = asyncio.Event()

    def stop(signum: int) -> None:
        if stopping.is_set():
            os._exit(128 + signum)
        stopping.set()

    for signum in _STOPPERS:
        loop.add_signal_handler(signum, stop, signum)
    return stopping
