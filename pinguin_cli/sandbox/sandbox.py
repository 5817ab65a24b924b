"""Both sandbox servers together, and the settings that lead a service to them."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import SecretStr

from pinguin_cli.sandbox.smtp import SandboxSmtp
from pinguin_cli.sandbox.twilio import SandboxTwilio
from pinguin_core import EmailAddress, PhoneNumber

_SENDER: Final = EmailAddress("pinguin@sandbox.example")
_NUMBER: Final = PhoneNumber("+15005550006")  # Twilio's own magic number of a valid sender


@dataclass(frozen=True, slots=True)
class Sandbox:
    """An SMTP server and one like Twilio's, which are running.

    Attributes:
        settings: what leads a service to them instead of to real providers.
    """

    smtp: SandboxSmtp
    twilio: SandboxTwilio
    settings: Mapping[str, object]

    @classmethod
    @asynccontextmanager
    async def open(cls, folder: Path) -> AsyncIterator[Sandbox]:
        """Run both; they keep e-mail in the folder's `mail` and text messages in its `sms`."""
        sid, token = f"AC{secrets.token_hex(16)}", secrets.token_hex(16)
        async with (
            SandboxSmtp(folder / "mail") as smtp,
            SandboxTwilio(folder / "sms", account_sid=sid, auth_token=token) as twilio,
        ):
            yield cls(smtp, twilio, _settings(smtp, twilio, sid, token))


def _settings(
    smtp: SandboxSmtp, twilio: SandboxTwilio, sid: str, token: str
) -> Mapping[str, object]:
    return {
        "smtp_host": smtp.address.host,
        "smtp_port": smtp.address.port,
        "smtp_username": None,
        "smtp_password": None,
        "smtp_tls": "off",
        "smtp_tls_ca_file": None,
        "smtp_fallback_host": None,
        "from_email": _SENDER,
        "twilio_account_sid": sid,
        "twilio_auth_token": SecretStr(token),
        "twilio_from_number": _NUMBER,
        "twilio_base_url": f"http://{twilio.address}",
    }
