"""`pinguin demo`: the whole way of three messages, on one machine, in a few seconds."""

from __future__ import annotations

import asyncio
import email
import email.policy
import json
import secrets
import signal
import tempfile
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from pydantic import SecretStr
from rich.console import Console
from rich.text import Text

from pinguin_cli import calls, logs, process
from pinguin_cli.output import block, moment, out, printable, style_of
from pinguin_cli.parsers import Address
from pinguin_cli.sandbox import Sandbox
from pinguin_cli.serve import running
from pinguin_cli.settings import SandboxSettings
from pinguin_core import Email, EmailAddress, Message, PhoneNumber, Sms
from pinguin_grpc.client import NotificationStatus, PinguinClient

_LATER: Final = timedelta(seconds=3)
_PATIENCE: Final = 30.0  # seconds; on a machine that is not overloaded, it takes four
_ADA: Final = EmailAddress("ada@example.com")
_EMAIL: Final = Email(_ADA, "Your order has shipped", "It should arrive on Thursday.\n")
_SMS: Final = Sms(PhoneNumber("+15550100123"), "Your code is 424242")
_REMINDER: Final = Email(_ADA, "Your appointment is now", "See you in a moment.\n")


def run() -> None:
    """Start a sandboxed service, send three messages through gRPC, and show what arrived.

    Raises:
        CallFailed: if one of them was not sent.
        CannotStart: if the service cannot be started.
        KeyboardInterrupt: if it is interrupted, by whatever signal.
    """
    logs.set_up("ERROR")
    with tempfile.TemporaryDirectory(prefix="pinguin-demo-") as folder:
        try:
            process.run(_demo(Path(folder), out()))
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None


async def _demo(folder: Path, console: Console) -> None:
    logs.catch_strays(asyncio.get_running_loop())
    _end_on_signals()
    token = secrets.token_hex(16)
    # None of the environment's settings: the demo is the same everywhere.
    settings = SandboxSettings.model_construct(
        database_path=folder / "pinguin.db",
        grpc_listen_addr=Address("127.0.0.1", 0),
        notification_auth_token=(SecretStr(token),),
    )
    async with asyncio.timeout(_PATIENCE), running(settings, sandbox_folder=folder) as service:
        console.print(f"A sandboxed service listens on {service.address}.", end="\n\n")
        address = service.address
        async with PinguinClient(address.host, address.port, token=token) as client:
            await _send_and_follow(client, _Journal(console))
        if service.sandbox is not None:
            _show_arrivals(console, service.sandbox)


def _end_on_signals() -> None:
    """Take the folder away before the process ends, as Ctrl-C does."""
    task = asyncio.current_task()
    for signum in (signal.SIGTERM, signal.SIGHUP):
        if task is not None and signal.getsignal(signum) is not signal.SIG_IGN:  # as under nohup
            asyncio.get_running_loop().add_signal_handler(signum, task.cancel)


class _Journal:
    """Prints what happens, with the time since the start."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._start = time.monotonic()

    def write(self, status: NotificationStatus) -> None:
        name = status.status.name
        line = Text.assemble(
            (f"{time.monotonic() - self._start:4.1f} s  ", "dim"),
            (f"{name:<7}", style_of(name)),
            f" {status.channel.value:<6} {printable(status.recipient):<16} ",
            printable(status.subject),
        )
        if name == "QUEUED" and status.scheduled_at is not None:
            line.append(f", for {moment(status.scheduled_at)}")
        line.rstrip()
        self._console.print(line)


async def _send_and_follow(client: PinguinClient, journal: _Journal) -> None:
    later = datetime.now(UTC) + _LATER
    times: dict[Message, datetime | None] = {_EMAIL: None, _SMS: None, _REMINDER: later}
    accepted = [await client.send(message, scheduled_at=at) for message, at in times.items()]
    for status in accepted:
        journal.write(status)
    async with asyncio.TaskGroup() as group:
        for status in accepted:
            group.create_task(_follow(client, status, journal))


async def _follow(client: PinguinClient, accepted: NotificationStatus, journal: _Journal) -> None:
    async def ask() -> NotificationStatus:
        return await client.status(accepted.id)

    calls.require_sent(await calls.follow(ask, accepted, journal.write))


def _show_arrivals(console: Console, sandbox: Sandbox) -> None:
    console.print("\nWhat arrived at the SMTP server:\n")
    for file in sandbox.smtp.kept.files():
        console.print(block(_mail_rows(file.read_bytes())), end="\n\n")
    console.print("What arrived at the SMS provider:\n")
    for file in sandbox.twilio.kept.files():
        console.print(block(_sms_rows(file.read_bytes())))


def _mail_rows(content: bytes) -> Iterable[tuple[str, str]]:
    mail = email.message_from_bytes(content, policy=email.policy.default)
    headers = ((name, mail[name]) for name in ("From", "To", "Date", "Subject", "Message-ID"))
    body = mail.get_body()
    return [*headers, ("", body.get_content().strip() if body else "")]


def _sms_rows(content: bytes) -> Iterable[tuple[str, str]]:
    sms = json.loads(content)
    return [(name.capitalize(), sms[name]) for name in ("from", "to", "sid")] + [("", sms["body"])]
