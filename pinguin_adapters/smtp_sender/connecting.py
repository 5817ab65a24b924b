"""Opening a session: TCP, TLS, greetings and login, by aiosmtplib's means but our rules for TLS."""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import os
import re
import ssl
from datetime import timedelta
from typing import Final, cast

import aiosmtplib

from pinguin_adapters.smtp_sender.dialogue import Dialogue, take_over
from pinguin_adapters.smtp_sender.progress import Progress
from pinguin_adapters.smtp_sender.relay import SmtpRelay, TlsMode
from pinguin_adapters.smtp_sender.replies import Phase, Reply, refusal, trouble
from pinguin_core.errors import DeliveryError
from pinguin_core.masking import scrub

_CODES: Final = range(200, 600)  # RFC 5321 4.2
_ERRNO = re.compile(r"\[Errno ([0-9]+)\]")


class Connector:
    """Opens sessions with a relay.

    Args:
        our_name: the host name by which we greet; relays that take mail by domain look at it.
        timeout: how long opening a session may take.
    """

    def __init__(self, relay: SmtpRelay, *, our_name: str, timeout: timedelta) -> None:
        self.timeout = timeout
        self._relay = relay
        self._our_name = our_name
        self._context: ssl.SSLContext | None = None

    async def open(self, progress: Progress) -> Dialogue:
        """Open a session in which MAIL may follow.

        Raises:
            TransientDeliveryError: if that is not possible now.
        """
        progress.phase = Phase.CONNECT
        try:
            async with asyncio.timeout(self.timeout.total_seconds()):
                return await self._open(progress)
        except (OSError, UnicodeError, aiosmtplib.SMTPException) as error:
            # Not chained: such errors repeat the relay's words as they came.
            raise self._explain(error, progress.phase) from None

    async def _open(self, progress: Progress) -> Dialogue:
        begins_with_tls = self._relay.begins_with_tls
        client = _Client(
            hostname=self._relay.host,
            port=self._relay.port,
            local_hostname=self._our_name,
            use_tls=begins_with_tls,
            tls_context=await self._tls_context() if begins_with_tls else None,
            start_tls=False,
            timeout=None,
        )
        try:
            await client.connect()
            await self._greet(client, progress)
            return take_over(client.transport)
        except BaseException:
            client.close()
            raise

    async def _greet(self, client: aiosmtplib.SMTP, progress: Progress) -> None:
        progress.phase = Phase.EHLO
        await client.ehlo()
        if self._wants_starttls(client):
            progress.phase = Phase.STARTTLS
            await client.starttls(tls_context=await self._tls_context())
            progress.phase = Phase.EHLO
            await client.ehlo()
        if self._relay.username is not None:
            progress.phase = Phase.AUTH
            await self._log_in(client, self._relay.username, self._relay.password or "")

    def _wants_starttls(self, client: aiosmtplib.SMTP) -> bool:
        if self._relay.begins_with_tls or self._relay.tls is TlsMode.OFF:
            return False
        offered = client.supports_extension("starttls")
        if self._relay.tls is TlsMode.STARTTLS and not offered:
            raise trouble(Phase.STARTTLS, "required, but the relay does not offer it")
        return offered

    async def _log_in(self, client: aiosmtplib.SMTP, username: str, password: str) -> None:
        encrypted = client.get_transport_info("sslcontext") is not None
        peer = client.get_transport_info("peername") or ("",)  # uvloop: none once it was reset
        if not may_log_in(encrypted=encrypted, peer=peer[0]):
            raise trouble(
                Phase.AUTH,
                "refused by us: the connection is not encrypted, so the password would travel in "
                "clear; the relay must offer STARTTLS or TLS from the start",
            )
        await client.login(username, password)

    async def _tls_context(self) -> ssl.SSLContext:
        if self._context is None:
            self._context = await asyncio.to_thread(self._make_tls_context)
        return self._context

    def _make_tls_context(self) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cafile=self._relay.ca_file)
        except OSError as error:
            raise trouble(
                Phase.CONNECT, f"cannot read the file of certificate authorities: {_cause(error)}"
            ) from error
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context

    def _explain(self, error: Exception, phase: Phase) -> DeliveryError:
        if isinstance(error, aiosmtplib.SMTPResponseException):
            if error.code not in _CODES:  # aiosmtplib makes one up of what is none
                return trouble(phase, "the relay's reply is unintelligible")
            return refusal(phase, Reply(error.code, error.message), self._secrets())
        if isinstance(error, TimeoutError):
            return trouble(phase, "timed out")
        return trouble(phase, scrub(_cause(error), self._secrets()))

    def _secrets(self) -> tuple[str, ...]:
        """Return what we say when we log in, in the forms in which a relay may repeat it."""
        name, password = self._relay.username or "", self._relay.password or ""
        said = (name, password, f"\0{name}\0{password}")
        return (name, password, *(base64.b64encode(part.encode()).decode() for part in said))


class _Client(aiosmtplib.SMTP):
    """Hangs up at once instead of waiting for a peer that may be gone to end TLS properly."""

    def close(self) -> None:
        if self.transport is not None:
            cast("asyncio.WriteTransport", self.transport).abort()
        super().close()


def may_log_in(*, encrypted: bool, peer: str) -> bool:
    """Tell whether credentials may be sent: encrypted, or to this very machine.

    What counts is the address that the connection really leads to, whatever the relay is called;
    nothing, if that is not known.
    """
    try:
        return encrypted or ipaddress.ip_address(peer.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _cause(error: Exception) -> str:
    """Name the root of a failure in a few words."""
    root = error.__cause__ or error
    if isinstance(root, ssl.SSLCertVerificationError):
        return f"the relay's certificate was not accepted: {root.verify_message}"
    if isinstance(root, ssl.SSLError):
        return f"no TLS: {root.reason or root.strerror or 'broken off'}"
    if errno := _ERRNO.search(str(root)):  # asyncio joins several into one text
        return os.strerror(int(errno[1]))
    if isinstance(root, OSError) and root.strerror:
        return root.strerror
    return str(root) or str(error) or type(error).__name__
