"""The commands. Each only parses, calls and prints; libraries are loaded where they are needed.

Exit codes: 0 done; 1 refused or failed, bad settings included; 2 the command line itself is wrong;
130 interrupted.
"""

from __future__ import annotations

import io
import os
import re
import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final, cast
from uuid import uuid4

import typer

from pinguin_cli import streams
from pinguin_cli.output import complain, remark, show
from pinguin_core import (
    Channel,
    Email,
    EmailAddress,
    IdempotencyKey,
    InvalidValue,
    Message,
    NotificationId,
    PhoneNumber,
    PinguinError,
    Sms,
)
from pinguin_core.values import require_aware

_RFC_3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?"
    r"(?:[Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_PARAMETERS: Final = {
    "email_address": "--to",
    "phone_number": "--to",
    "subject": "--subject",
    "body": "--message",
    "idempotency_key": "--idempotency-key",
    "notification_id": "ID",
}
"""The core's names for what it checks, and what they are called on the command line."""

_INTERRUPTED: Final = 130
_UsageError: Final = cast("type[typer.BadParameter]", typer.BadParameter.__base__)
"""What typer raises when the command line is wrong; it exports no name for it."""

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Run the command line, and end the process with its exit code."""
    streams.reopen_closed()
    code = _run()
    try:
        sys.stdout.flush()
    except OSError as error:  # the interpreter would try again when it ends, and complain
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = code or _unwritten(error)
    sys.exit(code)


def _run() -> int:
    try:
        code = app(prog_name="pinguin", standalone_mode=False)
    except _UsageError as error:
        return _misused(error)
    except PinguinError as error:
        complain(str(error))
    except KeyboardInterrupt:
        return _INTERRUPTED
    except OSError as error:
        return _unwritten(error)
    except ModuleNotFoundError as error:
        complain(
            f"{error.name} is not installed; in a clone of Pinguin's repository, "
            "pip install '.[server]' installs all that is needed"
        )
    except Exception as error:  # noqa: BLE001 (no traceback reaches a user)
        from pinguin_cli.logs import describe

        complain("internal error: " + ", ".join(describe(error).values()))
    else:
        return code if isinstance(code, int) else 0
    return 1


def _unwritten(error: OSError) -> int:
    """Say why nothing more could be printed, unless it is that nobody reads it."""
    if not isinstance(error, BrokenPipeError):
        complain(f"cannot go on: {error.strerror or type(error).__name__}")
    return 1


def _misused(error: typer.BadParameter) -> int:
    if text := error.format_message():  # empty when the help was printed instead
        command = error.ctx.command_path if error.ctx else _typed_command()
        plain = text.replace(": Value error, ", ": ")  # typer's own word for a bad choice
        ended = plain if plain.endswith(("?", "…")) else plain.rstrip(".") + "."
        complain(f"{ended} See {command} --help")
    return error.exit_code


def _typed_command() -> str:
    """Name the command when typer does not: an option has no value."""
    names = {
        each.name or getattr(each.callback, "__name__", "") for each in app.registered_commands
    }
    return " ".join(["pinguin", *[word for word in sys.argv[1:2] if word in names]])


def _show_version(wanted: bool) -> None:  # noqa: FBT001 (typer calls it so)
    if wanted:
        from importlib.metadata import version

        typer.echo(f"pinguin {version('pinguin')}")
        raise typer.Exit


def _moment(text: str) -> datetime:
    if not _RFC_3339.fullmatch(text):
        raise typer.BadParameter(
            "must be an RFC 3339 time with a time zone, such as 2030-01-01T09:00:00Z, "
            "with at most 6 decimals"
        )
    try:
        return require_aware(datetime.fromisoformat(text.upper()), "--at")
    except ValueError:
        raise typer.BadParameter("there is no such date or time") from None


def _message(kind: Channel, to: str, subject: str, text: str) -> Message:
    try:
        if kind is Channel.SMS:
            return Sms(PhoneNumber(to), text, subject)
        return Email(EmailAddress(to), subject, text)
    except InvalidValue as error:
        is_number = kind is Channel.EMAIL and to.startswith("+")
        hint = "; for an SMS, add --type sms" if is_number else ""
        raise _bad(error, hint) from error


def _standard_input() -> str:
    """Read it all, with the line ends of any system."""
    try:
        text = sys.stdin.buffer.read().decode()
    except UnicodeDecodeError:
        raise typer.BadParameter("standard input is not UTF-8", param_hint="--message") from None
    return io.StringIO(text, newline=None).read()


def _key(given: str | None) -> IdempotencyKey:
    """Return the key by which this one request is repeated."""
    if given is None:
        return IdempotencyKey(str(uuid4()))
    try:
        return IdempotencyKey(given)
    except InvalidValue as error:
        raise _bad(error) from error


def _bad(error: InvalidValue, hint: str = "") -> typer.BadParameter:
    return typer.BadParameter(error.problem + hint, param_hint=_PARAMETERS[error.field])


def _tell_id(notification_id: str) -> None:
    typer.echo(f"Notification sent successfully. Notification ID: {notification_id}")
    sys.stdout.flush()  # whoever waits for the end wants to know it now


@app.callback()
def pinguin(
    *,
    show_version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version and exit.", is_eager=True, callback=_show_version
        ),
    ] = False,
) -> None:
    """Durable e-mail and SMS notifications: the service, and the commands that speak to it."""


@app.command()
def serve(
    *,
    sandbox: Annotated[
        bool, typer.Option("--sandbox", help="Write messages to a folder instead of sending them.")
    ] = False,
    sandbox_folder: Annotated[
        Path, typer.Option(help="The sandbox's folder, for its messages and its database.")
    ] = Path("pinguin-sandbox"),
) -> None:
    """Run the service, configured by the environment and .env, until SIGTERM or Ctrl-C."""
    from pinguin_cli.settings import SandboxSettings, ServerSettings

    settings = SandboxSettings.read() if sandbox else ServerSettings.read()
    from pinguin_cli import logs, process, sandboxed

    with logs.unhurried(sys.stderr) as stream:
        logs.set_up(settings.log_level, stream)
        if isinstance(settings, SandboxSettings):
            sandboxed.run(settings, sandbox_folder)
        else:
            process.run(process.serve_until_stopped(settings))


@app.command()
def demo() -> None:
    """Send an e-mail, an SMS and a scheduled e-mail in a sandbox, and show what arrives."""
    from pinguin_cli import demo

    demo.run()


@app.command()
def send(
    *,
    to: Annotated[str, typer.Option(help="An e-mail address, or a phone number: +15550100123.")],
    message: Annotated[str, typer.Option(help="The text, or - to read it from standard input.")],
    subject: Annotated[str, typer.Option(help="The subject of an e-mail.")] = "",
    kind: Annotated[Channel, typer.Option("--type", help="What to send.")] = Channel.EMAIL,
    at: Annotated[
        datetime | None,
        typer.Option(
            parser=_moment,
            metavar="TIME",
            help="When to send it, such as 2030-01-01T09:00:00Z. Default: now.",
        ),
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until it is sent or has failed.")
    ] = False,
    idempotency_key: Annotated[
        str | None,
        typer.Option(
            metavar="KEY",
            help="With the same key it is sent once, however often you run this. Default: random.",
        ),
    ] = None,
) -> None:
    """Send a notification through a running service; retry for 15 seconds if it is down."""
    text = _standard_input() if message == "-" else message
    notification = _message(kind, to, subject, text)
    key = _key(idempotency_key)
    from pinguin_cli import calls
    from pinguin_cli.settings import ClientSettings

    last = calls.call(
        ClientSettings.read(),
        lambda client: calls.send(
            client,
            notification,
            at,
            key=key,
            on_accepted=_tell_id,
            remark=remark,
            wait=wait,
        ),
    )
    if wait:
        calls.require_sent(last)
        show(last)


@app.command()
def status(
    notification_id: Annotated[
        str, typer.Argument(metavar="ID", help="The id, as `send` printed it.")
    ],
) -> None:
    """Show the state of a notification and its attempts."""
    try:
        name = str(NotificationId(notification_id))
    except InvalidValue as error:
        raise _bad(error) from error
    from pinguin_cli import calls
    from pinguin_cli.settings import ClientSettings

    show(calls.call(ClientSettings.read(), lambda client: client.status(name)))
