"""A whole session at DEBUG, with recognisable secrets everywhere: none of them is in the log."""

import asyncio
import base64
import json
from pathlib import Path

from support.commands import Finished, Service, Shell
from support.scripted_smtp import ScriptedSmtp

from pinguin_cli.sandbox.twilio import SandboxTwilio

TOKEN = "hush-bearer-token"
USER, PASSWORD = "hush-user", "hush-smtp-password"
ACCOUNT, TWILIO_TOKEN = "AC0123", "hush-twilio-token"
SECRETS = (
    "hush",
    "ada.lovelace@",
    "+15550100123",
    "5550100123",
    base64.b64encode(f"\0{USER}\0{PASSWORD}".encode()).decode(),
    base64.b64encode(PASSWORD.encode()).decode(),
    base64.b64encode(f"{ACCOUNT}:{TWILIO_TOKEN}".encode()).decode(),
)
ADA = ("--to", "ada.lovelace@example.com", "--subject", "hush-subject", "--message", "hush-body")
TEXT = ("--to", "+15550100123", "--type", "sms", "--message", "hush-text")


def session(
    shell: Shell, folder: Path, relay_port: int, twilio_url: str
) -> tuple[Finished, list[str]]:
    """Drive a service through sending, retrying, failing, refusing and stopping."""
    variables = {
        "LOG_LEVEL": "DEBUG",
        "NOTIFICATION_AUTH_TOKEN": TOKEN,
        "SMTP_HOST": "127.0.0.1",
        "SMTP_PORT": str(relay_port),
        "SMTP_USERNAME": USER,
        "SMTP_PASSWORD": PASSWORD,
        "FROM_EMAIL": "pinguin@example.com",
        "TWILIO_ACCOUNT_SID": ACCOUNT,
        "TWILIO_AUTH_TOKEN": TWILIO_TOKEN,
        "TWILIO_FROM_NUMBER": "+15005550006",
        "TWILIO_BASE_URL": twilio_url,
        "RETRY_INTERVAL_SEC": "0.01",
    }
    with Service(folder, variables) as service:
        client = {"NOTIFICATION_AUTH_TOKEN": TOKEN, "GRPC_SERVER_ADDR": service.address}
        for arguments in (ADA, ADA, TEXT):
            shell("send", *arguments, "--wait", variables=client)
        shell("status", "notif-hush", variables=client)
        shell("status", "x", variables={**client, "NOTIFICATION_AUTH_TOKEN": "hush-2"})
        finished = service.stop()
    return finished, [json.loads(line)["event"] for line in finished.err.splitlines()]


def test_nothing_private_is_logged_at_any_level(shell: Shell, tmp_path: Path) -> None:
    quoting = "<ada.lovelace@example.com> (+1 555 010 0123)"
    relay = ScriptedSmtp(
        {
            "RCPT": [f"450 4.2.1 {quoting} later", f"550 5.1.1 {quoting} unknown"],
            "END": ["250 2.0.0 took hush-subject and hush-body"],
        },
        extensions=("AUTH PLAIN LOGIN",),
    )
    twilio = SandboxTwilio(tmp_path / "sms", account_sid=ACCOUNT, auth_token=TWILIO_TOKEN)

    async def work() -> tuple[Finished, list[str]]:
        async with relay, twilio:
            return await asyncio.to_thread(
                session, shell, tmp_path, relay.port, f"http://{twilio.address}"
            )

    finished, events = asyncio.run(work())
    assert finished.code == 0
    expected = {"queued", "sending", "retrying", "failed", "sent"}
    assert {"smtp", *(f"notification.{step}" for step in expected)} <= set(events)
    assert len(relay.messages) == len(list((tmp_path / "sms").iterdir())) == 1
    assert found_in(finished.out + finished.err) == []


def test_the_search_finds_what_is_there() -> None:
    """The check above is able to fail."""
    assert found_in('{"to": "ada.lovelace@example.com", "body": "hush"}') == [
        "hush",
        "ada.lovelace@",
    ]


def found_in(text: str) -> list[str]:
    return [secret for secret in SECRETS if secret in text]
