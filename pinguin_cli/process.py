"""The service as a process: ready, stopped by signals, on the quickest event loop there is."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeVar

from pinguin_cli import logs
from pinguin_cli.container import disabled_channels
from pinguin_cli.serve import Running, running
from pinguin_cli.settings import ServerSettings, strangers

_STOPPERS: Final = (signal.SIGTERM, signal.SIGINT)

_REMEDY: Final = "correct their names, unless they belong to another program"

ResultT = TypeVar("ResultT")


async def serve_until_stopped(
    settings: ServerSettings,
    *,
    sandbox_folder: Path | None = None,
    on_ready: Callable[[Running], None] = lambda _: None,
) -> None:
    """Run the service until SIGTERM or SIGINT; a second one ends the process at once."""
    loop = asyncio.get_running_loop()
    logs.catch_strays(loop)
    _allow_many_files()
    stopping = _stop_on_signals(loop)
    async with running(settings, sandbox_folder=sandbox_folder) as service:
        for channel, remedy in disabled_channels(settings).items():
            if channel not in service.channels:
                logs.record("WARNING", "channel.disabled", channel=channel.value, remedy=remedy)
        if unknown := strangers():
            logs.record("WARNING", "settings.unknown", names=", ".join(unknown), remedy=_REMEDY)
        for remedy in service.weaknesses:
            logs.record("WARNING", "database.weak", remedy=remedy)
        logs.record(
            "INFO",
            "service.ready",
            address=str(service.address),
            channels=", ".join(channel.value for channel in service.channels),
            database=settings.shown_database,
            tls=settings.grpc_tls_cert_file is not None,
        )
        on_ready(service)
        await stopping.wait()
        logs.record("INFO", "service.stopping")
    logs.record("INFO", "service.stopped")


def _allow_many_files() -> None:
    """Take all file descriptors that the system allows: each connection needs one.

    The usual 1,024 are for programs that call `select`, and some of ours are the providers'.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # macOS allows less than it says
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


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


def _stop_on_signals(loop: asyncio.AbstractEventLoop) -> asyncio.Event:
    stopping = asyncio.Event()

    def stop(signum: int) -> None:
        if stopping.is_set():
            os._exit(128 + signum)
        stopping.set()

    for signum in _STOPPERS:
        loop.add_signal_handler(signum, stop, signum)
    return stopping
