"""Logging in: whether the password may be sent, and how."""

from __future__ import annotations

import ipaddress
from typing import Final

import aiosmtplib

from pinguin_adapters.smtp_sender.replies import Phase, misconfigured

_MECHANISMS: Final = {
    "plain": aiosmtplib.SMTP.auth_plain,
    "login": aiosmtplib.SMTP.auth_login,
    "cram-md5": aiosmtplib.SMTP.auth_crammd5,
}
"""What we know, in order of preference: what relays offer most works best, and nobody listens."""

_TRY_ANOTHER: Final = {504, 534}  # RFC 4954 4 and 6: such a mechanism is not known, or too weak


async def log_in(client: aiosmtplib.SMTP, username: str, password: str) -> None:
    """Log in, by one mechanism: each that is tried counts as a failed login.

    Raises:
        ProviderMisconfigured: if the password may not be sent, or no known mechanism is offered.
        aiosmtplib.SMTPAuthenticationError: if the relay refuses.
    """
    encrypted = client.get_transport_info("sslcontext") is not None
    peer = client.get_transport_info("peername") or ("",)  # uvloop: none once it was reset
    if not may_log_in(encrypted=encrypted, peer=peer[0]):
        raise misconfigured(
            Phase.AUTH,
            "not attempted: the connection is not encrypted, so the password would be sent in "
            "clear text; the relay must offer STARTTLS or implicit TLS",
        )
    offered = client.server_auth_methods
    refused: aiosmtplib.SMTPAuthenticationError | None = None
    for mechanism in (known for name, known in _MECHANISMS.items() if name in offered):
        try:
            await mechanism(client, username, password)
        except aiosmtplib.SMTPAuthenticationError as error:
            refused = error
            if error.code not in _TRY_ANOTHER:
                raise
        except aiosmtplib.SMTPServerDisconnected:
            if refused is None:
                raise
            raise refused from None
        else:
            return
    raise refused or misconfigured(
        Phase.AUTH, "the relay offers no login by PLAIN, LOGIN or CRAM-MD5"
    )


def may_log_in(*, encrypted: bool, peer: str) -> bool:
    """Tell whether credentials may be sent: encrypted, or to this very machine.

    What counts is the address that the connection really leads to, whatever the relay is called;
    nothing, if that is not known.
    """
    try:
        return encrypted or ipaddress.ip_address(peer.partition("%")[0]).is_loopback
    except ValueError:
        return False
