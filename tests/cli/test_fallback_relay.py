"""A running service whose first relay is down delivers through the second, and says so."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from support.mailing import send
from support.patience import patient
from support.scripted_smtp import ScriptedSmtp

from pinguin_cli import logs
from pinguin_cli.calls import follow
from pinguin_cli.sandbox import Sandbox
from pinguin_cli.senders import smtp_senders
from pinguin_cli.serve import running
from pinguin_cli.settings import SandboxSettings, ServerSettings
from pinguin_core import Email, EmailAddress
from pinguin_grpc.client import PinguinClient, Status

Environment = Callable[[Mapping[str, str]], None]

MAIL = Email(EmailAddress("ada@example.com"), "Hi", "Hello")
NO_LOGIN = "535 5.7.8 no such login"
TOKEN = {"NOTIFICATION_AUTH_TOKEN": "correct-token", "GRPC_LISTEN_ADDR": "127.0.0.1:0"}


def relays(primary: ScriptedSmtp, fallback: ScriptedSmtp) -> dict[str, str]:
    """Settings for two relays, with logins of their own."""
    return {
        "FROM_EMAIL": "pinguin@mail.example.com",
        "SMTP_HOST": "127.0.0.1",
        "SMTP_PORT": str(primary.port),
        "SMTP_USERNAME": "one",
        "SMTP_PASSWORD": "pw-1",
        "SMTP_FALLBACK_HOST": "localhost",
        "SMTP_FALLBACK_PORT": str(fallback.port),
        "SMTP_FALLBACK_USERNAME": "two",
        "SMTP_FALLBACK_PASSWORD": "pw-2",
        "SMTP_FALLBACK_TLS": "off",
    }


def logins(relay: ScriptedSmtp) -> str:
    """What a relay was told at AUTH, once."""
    (command,) = [command for _, command in relay.log if command.startswith("AUTH PLAIN ")]
    return base64.b64decode(command.split()[-1]).decode()


@pytest.mark.usefixtures("own_logging")
def test_the_second_relay_takes_over(set_environment: Environment) -> None:
    stream = io.StringIO()

    @patient
    async def test() -> None:
        async with (
            ScriptedSmtp({"AUTH": [NO_LOGIN]}, extensions=("AUTH PLAIN",)) as primary,
            ScriptedSmtp(extensions=("AUTH PLAIN",)) as fallback,
        ):
            set_environment({**TOKEN, **relays(primary, fallback), "LOG_LEVEL": "DEBUG"})
            logs.set_up("DEBUG", stream=stream)
            async with (
                running(ServerSettings.read()) as service,
                PinguinClient("127.0.0.1", service.address.port, token="correct-token") as client,
            ):
                accepted = await client.send(MAIL)
                sent = await follow(lambda: client.status(accepted.id), accepted)
        assert sent.status is Status.SENT
        (attempt,) = sent.attempts
        assert attempt.text.startswith(f"fallback: queued (primary: SMTP AUTH: {NO_LOGIN} (")
        assert [logins(relay) for relay in (primary, fallback)] == ["\0one\0pw-1", "\0two\0pw-2"]
        assert len(fallback.messages) == 1

    test()
    records = [json.loads(line) for line in stream.getvalue().splitlines()]
    (down,) = [each for each in records if each["event"] == "relay.down"]
    assert (down["level"], down["relay"]) == ("ERROR", "primary")
    assert "535" in down["reason"]
    assert {each["relay"] for each in records if each["event"] == "smtp"} == {"localhost"}


def test_a_sandbox_has_one_relay_whatever_is_set(
    set_environment: Environment, tmp_path: Path
) -> None:
    set_environment({**TOKEN, "SMTP_HOST": "a.example", "SMTP_FALLBACK_HOST": "b.example",
                     "FROM_EMAIL": "pinguin@mail.example.com"})  # fmt: skip

    @patient
    async def test() -> None:
        async with Sandbox.open(tmp_path) as sandbox:
            settings = SandboxSettings.read().model_copy(update=dict(sandbox.settings))
            (sender,) = smtp_senders(settings)
            await send(sender)
            assert len(list((tmp_path / "mail").iterdir())) == 1

    test()
