"""`pinguin serve --sandbox`: the service with providers inside the process."""

from __future__ import annotations

import secrets
import shlex
import sys
from pathlib import Path
from shutil import which

from pydantic import SecretStr

from pinguin_cli import process
from pinguin_cli.output import block, out
from pinguin_cli.serve import Running
from pinguin_cli.settings import ClientSettings, SandboxSettings


def run(settings: SandboxSettings, folder: Path) -> None:
    """Run until stopped; say where, how to send something, and where it will be found.

    Raises:
        CannotStart: if it cannot be started.
    """
    made_up = None if settings.tokens else secrets.token_hex(16)
    process.run(
        process.serve_until_stopped(
            _completed(settings, folder, made_up),
            sandbox_folder=folder,
            on_ready=lambda service: _introduce(service, folder, made_up),
        )
    )


def _completed(settings: SandboxSettings, folder: Path, token: str | None) -> SandboxSettings:
    """Fill in what was not set."""
    filled: dict[str, object] = {}
    if token is not None:
        filled["notification_auth_token"] = (SecretStr(token),)
    if not settings.model_fields_set & {"database_path", "database_url"}:
        filled["database_path"] = folder / "pinguin.db"
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
                ("Token", token or "as NOTIFICATION_AUTH_TOKEN is set"),
                ("Try", " ".join(words)),
                ("Stop", "Ctrl-C"),
            ]
        )
    )


def _command() -> str:
    """Return by what a shell here finds this program: its name, what was typed, or Python."""
    name = next((name for name in ("pinguin", sys.argv[0]) if which(name)), None)
    return shlex.join([name] if name else [sys.executable, "-m", "pinguin_cli"])
