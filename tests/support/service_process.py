"""`pinguin serve` as processes that start at once, because its modules are loaded already."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

from support.service_defects import Defect, planted
from support.sqlmodel_processes import prepared_processes
from support.waiting import PATIENCE, readable

TOKEN: Final = "secret-of-the-test"
SENDER: Final = "pinguin@example.com"


@dataclass(frozen=True)
class ServiceSetup:
    """How each of the processes is started.

    Attributes:
        folder: where the database is, and the log of all processes.
        smtp_port: where the relay is.
        defect: what is wrong with the service, if something is to be.
        settings: besides those that are always needed.
    """

    folder: Path
    smtp_port: int
    defect: Defect | None = None
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def database(self) -> Path:
        return self.folder / "pinguin.db"

    @property
    def log(self) -> Path:
        return self.folder / "service.log"

    @property
    def variables(self) -> Mapping[str, str]:
        return {
            "DATABASE_PATH": str(self.database),
            "GRPC_LISTEN_ADDR": "127.0.0.1:0",
            "NOTIFICATION_AUTH_TOKEN": TOKEN,
            "SMTP_HOST": "127.0.0.1",
            "SMTP_PORT": str(self.smtp_port),
            "FROM_EMAIL": SENDER,
            "LOG_LEVEL": "WARN",
            **self.settings,
        }


class ServiceProcess:
    """A process that serves, or is about to. Kill it in the end: see `service_process`."""

    def __init__(self, setup: ServiceSetup) -> None:
        context = prepared_processes()
        self._told, tell = context.Pipe(duplex=False)
        self._process = context.Process(target=_serve, args=(setup, tell))
        self._process.start()
        tell.close()

    async def ready(self) -> int:
        """Wait until it listens, and return the port; EOFError if it ended before."""
        await readable(self._told.fileno(), "the service to be ready")
        port: int = self._told.recv()
        return port

    def signal(self, signum: signal.Signals) -> None:
        """Send it a signal, unless it has ended."""
        if self._process.exitcode is None and self._process.pid is not None:
            os.kill(self._process.pid, signum)

    async def ended(self) -> int | None:
        """Wait until it has ended, and return its exit code: -9 if it was killed."""
        await readable(self._process.sentinel, "the service to end")
        self._process.join(PATIENCE)
        return self._process.exitcode

    async def end(self) -> None:
        """End it, whatever it does, and let go of it."""
        self.signal(signal.SIGKILL)
        await self.ended()
        self._told.close()
        self._process.close()


@asynccontextmanager
async def service_process(setup: ServiceSetup) -> AsyncIterator[ServiceProcess]:
    """Start a process; it is killed at the end of the block, if it is still there."""
    service = ServiceProcess(setup)
    try:
        yield service
    finally:
        await service.end()


def _serve(setup: ServiceSetup, tell: Connection) -> None:
    gc.freeze()  # or the first collection would look through all that was loaded, for 80 ms
    from pinguin_cli import logs, process
    from pinguin_cli.settings import ServerSettings

    os.chdir(setup.folder)  # where no `.env` is
    for name in ServerSettings.model_fields:
        os.environ.pop(name.upper(), None)
    os.environ.update(setup.variables)
    settings = ServerSettings.read()
    with setup.log.open("a") as file, logs.unhurried(file) as log, planted(setup.defect):
        logs.set_up(settings.log_level, log)
        process.run(
            process.serve_until_stopped(
                settings, on_ready=lambda running: tell.send(running.address.port)
            )
        )
