"""`pinguin serve --sandbox`: the service with providers inside the process."""

from __future__ import annotations

import secrets
import shlex
import sys
from pathlib import Path
from shutil import which

from pydantic import SecretStr

from pinguin_cli import logs, parsers, process
from pinguin_cli.output import block, out
from pinguin_cli.serve import CannotStart, Running
from pinguin_cli.settings import ClientSettings, SandboxSettings


def run(settings: SandboxSettings, folder: Path) -> None:
    """Run until stopped; say where, how to send something, and where it will be found.

    Raises:
        CannotStart: if it cannot be started.
    """
    made_up = None if settings.tokens else secrets.token_hex(16)
    database = _database_in(folder)
    if ignored := sorted(settings.model_fields_set & {"database_path", "database_url"}):
        logs.record(
            "WARNING",
            "settings.ignored",
            names=", ".join(map(str.upper, ignored)),
            reason=f"the sandbox has a database of its own, {database}",
        )
    process.run(
        process.serve_until_stopped(
            _completed(settings, database, made_up),
            sandbox_folder=folder,
            on_ready=lambda service: _introduce(service, folder, made_up),
        )
    )


def _database_in(folder: Path) -> Path:
    try:
        return parsers.database_path(str(folder / "pinguin.db"))
    except ValueError as error:
        raise CannotStart(
            f"--sandbox-folder {folder}: cannot be used: its database {error}"
        ) from None


def _completed(settings: SandboxSettings, database: Path, token: str | None) -> SandboxSettings:
    """Fill in a token if there is none, and leave every database alone that is not the sandbox's.

    What waits in one that is in use would be marked SENT, and end in the folder.
    """
    filled: dict[str, object] = {"database_path": database, "database_url": None}
    if token is not None:
        filled["notification_auth_token"] = (SecretStr(token),)
    return settings.model_copy(update=filled)


def _introduce(service: Running, folder: Path, token: str | None) -> None:
    variables = {"NOTIFICATION_AUTH_TOKEN": token} if token else {}
    if service.address != ClientSettings.model_fields["grpc_server_addr"].default:
        variables["GRPC_SERVER_ADDR"] = str(service.address)
    words = [f"{name}={value}" for name, value in variables.items()]
    words.append(_command())
    words.append("send --to ada@example.com --subject Hello --message 'It works'")
    out().print(
        block(
            [
                ("Sandbox", f"nothing leaves this machine; messages are kept in {folder}/"),
                ("Address", str(service.address)),
                ("Token", token or "the one in NOTIFICATION_AUTH_TOKEN"),
                ("Try", " ".join(words)),
                ("Stop", "Ctrl-C"),
            ]
        )
    )


def _command() -> str:
    """Return by what a shell here finds this program: its name, what was typed, or Python."""
    name = next((name for name in ("pinguin", sys.argv[0]) if which(name)), None)
    return shlex.join([name] if name else [sys.executable, "-m", "pinguin_cli"])
