"""Opening a session: TCP, TLS, greetings and login, by aiosmtplib's means but our rules for TLS."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import ssl
from datetime import timedelta
from typing import Final, cast

import aiosmtplib
from aiohappyeyeballs import start_connection

from pinguin_adapters.resolver import Resolver
from pinguin_adapters.smtp_sender.dialogue import Dialogue, take_over
from pinguin_adapters.smtp_sender.login import log_in
from pinguin_adapters.smtp_sender.offers import Offers
from pinguin_adapters.smtp_sender.progress import Progress
from pinguin_adapters.smtp_sender.relay import SmtpRelay, TlsMode
from pinguin_adapters.smtp_sender.replies import Phase, Reply, misconfigured, refusal, trouble
from pinguin_core.errors import DeliveryError
from pinguin_core.masking import scrub

_CODES: Final = range(200, 600)  # RFC 5321 4.2
_KNOWS_NO_EHLO: Final = {500, 502, 504, 550}
_HEAD_START: Final = 0.25  # seconds that an address has before the next is tried (RFC 8305 5)
_ERRNO = re.compile(r"\[Errno ([0-9]+)\]")


class Connector:
    """Opens sessions with a relay.

    Args:
        our_name: the host name by which we greet; relays that take mail by domain look at it.
        connect_timeout: how long looking its name up and connecting may take.
        time_limit: how long all of it may take; some relays let strangers wait before they greet.
    """

    def __init__(
        self,
        relay: SmtpRelay,
        *,
        our_name: str,
        connect_timeout: timedelta,
        time_limit: timedelta,
    ) -> None:
        self._connect_timeout = connect_timeout.total_seconds()
        self._time_limit = time_limit.total_seconds()
        self._relay = relay
        self._our_name = our_name
        self._resolver = Resolver()
        self._context: ssl.SSLContext | None = None

    async def open(self, progress: Progress) -> Dialogue:
        """Open a session in which MAIL may follow.

        Raises:
            TransientDeliveryError: if that is not possible now.
        """
        progress.phase = Phase.CONNECT
        try:
            async with asyncio.timeout(self._time_limit):
                return await self._open(progress)
        except (OSError, UnicodeError, aiosmtplib.SMTPException) as error:
            # Not chained: such errors repeat the relay's words as they came.
            raise self._explain(error, progress.phase) from None

    async def _open(self, progress: Progress) -> Dialogue:
        begins_with_tls = self._relay.begins_with_tls
        client = _Client(
            hostname=self._relay.host,
            local_hostname=self._our_name,
            use_tls=begins_with_tls,
            tls_context=await self._tls_context() if begins_with_tls else None,
            start_tls=False,
            timeout=None,
        )
        try:
            await client.connect(sock=await self._reach())
            await self._greet(client, progress)
            return take_over(client.transport, Offers.of(client.esmtp_extensions))
        except BaseException:
            client.close()
            raise

    async def _reach(self) -> socket.socket:
        """Connect to the relay; if it has several addresses, to one that answers."""
        async with asyncio.timeout(self._connect_timeout):
            addresses = await self._resolver.look_up(self._relay.host, self._relay.port)
            return await start_connection(addresses, happy_eyeballs_delay=_HEAD_START)

    async def _greet(self, client: aiosmtplib.SMTP, progress: Progress) -> None:
        progress.phase = Phase.EHLO
        await _say_hello(client)
        if self._wants_starttls(client):
            progress.phase = Phase.STARTTLS
            await client.starttls(tls_context=await self._tls_context())
            progress.phase = Phase.EHLO
            await client.ehlo()
        if self._relay.username is not None:
            progress.phase = Phase.AUTH
            await log_in(client, self._relay.username, self._relay.password or "")

    def _wants_starttls(self, client: aiosmtplib.SMTP) -> bool:
        if self._relay.begins_with_tls or self._relay.tls is TlsMode.OFF:
            return False
        offered = client.supports_extension("starttls")
        if self._relay.tls is TlsMode.STARTTLS and not offered:
            raise misconfigured(Phase.STARTTLS, "required, but the relay does not offer it")
        return offered

    async def _tls_context(self) -> ssl.SSLContext:
        if self._context is None:
            self._context = await asyncio.to_thread(self._make_tls_context)
        return self._context

    def _make_tls_context(self) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cafile=self._relay.ca_file)
        except OSError as error:
            raise misconfigured(
                Phase.CONNECT, f"cannot read the file of certificate authorities: {_cause(error)}"
            ) from error
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context

    def _explain(self, error: Exception, phase: Phase) -> DeliveryError:
        if isinstance(error, aiosmtplib.SMTPResponseException):
            if error.code not in _CODES:  # aiosmtplib makes one up of what is none
                return trouble(phase, "the relay's reply is unintelligible")
            return refusal(phase, Reply(error.code, error.message), self._relay.secrets)
        if isinstance(error, TimeoutError):
            return trouble(phase, "timed out")
        cause = scrub(_cause(error), self._relay.secrets)
        if isinstance(error.__cause__ or error, ssl.SSLCertVerificationError):
            return misconfigured(phase, cause)
        return trouble(phase, cause)


async def _say_hello(client: aiosmtplib.SMTP) -> None:
    """Greet; a relay that does not know EHLO, as of old, by HELO (RFC 5321 3.2): it offers nothing.

    Raises:
        aiosmtplib.SMTPHeloError: what the relay says to EHLO, if it wants neither.
    """
    try:
        await client.ehlo()
    except aiosmtplib.SMTPHeloError as refused:
        if refused.code not in _KNOWS_NO_EHLO:
            raise
        try:
            await client.helo()
        except aiosmtplib.SMTPException:
            raise refused from None


class _Client(aiosmtplib.SMTP):
    """Hangs up at once instead of waiting for a peer that may be gone to end TLS properly."""

    def close(self) -> None:
        if self.transport is not None:
            cast("asyncio.WriteTransport", self.transport).abort()
        super().close()


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
