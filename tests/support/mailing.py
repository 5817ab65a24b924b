"""E-mails and senders that tests of the SMTP sender use."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from support.scripted_smtp import ScriptedSmtp
from support.tcp_proxy import TcpProxy

from pinguin_adapters.smtp_sender import SmtpRelay, SmtpSender
from pinguin_core import Email, EmailAddress, NotificationId, Receipt, Sender
from pinguin_core.testing.fakes import NOON

FROM: Final = EmailAddress("pinguin@mail.example.com")
TO: Final = EmailAddress("ada@example.com")
EMAIL: Final = Email(TO, "Your order", "It is on its way.")
CONNECT: Final = timedelta(seconds=5)
OPERATION: Final = timedelta(seconds=30)


def sender_to(server: ScriptedSmtp | TcpProxy, **options: Any) -> SmtpSender:
    """A sender whose relay is this server; options are those of relay and sender."""
    relay_options = {
        name: options.pop(name)
        for name in ("username", "password", "tls", "ca_file", "host")
        if name in options
    }
    relay_options.setdefault("host", server.host)
    relay = SmtpRelay(port=server.port, **relay_options)
    return SmtpSender(relay, from_address=FROM, **options)


async def send(sender: Sender[Email], email: Email = EMAIL, name: str = "notif-1") -> Receipt:
    """Send with a fixed date."""
    return await sender.send(email, id=NotificationId(name), date=NOON)
