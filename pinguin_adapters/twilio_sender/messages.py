"""Speaks HTTP with Twilio: what is asked, what is answered, and how far a request has got."""

from __future__ import annotations

import asyncio
import os
import ssl
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType
from typing import Any, Final, Self

import aiohttp

from pinguin_adapters.twilio_sender.account import TwilioAccount
from pinguin_adapters.twilio_sender.names import Names
from pinguin_adapters.twilio_sender.replies import Reply

_WORDS: Final = (
    (TimeoutError, "timed out"),
    (aiohttp.InvalidURL, "the base URL is not one of HTTP"),
    (aiohttp.NonHttpUrlClientError, "the base URL is not one of HTTP"),
    (aiohttp.ClientConnectorDNSError, "the host name has no address"),
    (aiohttp.ClientSSLError, "no TLS"),
    (aiohttp.ServerDisconnectedError, "the connection was lost"),
    (aiohttp.ClientPayloadError, "the reply was cut short"),
    (aiohttp.ClientResponseError, "the reply is unintelligible"),
)


class NoReply(Exception):
    """A request that was not answered, or not whole.

    Attributes:
        reason: why, in one line of ours.
        may_have_arrived: there was a connection, so the request may have been written to it.
    """

    def __init__(self, reason: str, *, may_have_arrived: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.may_have_arrived = may_have_arrived


class MessagesResource:
    """An account's messages, as Twilio serves them, inside its `async with` block.

    Args:
        connect_timeout: how long opening a connection may take, from name look-up to TLS.
    """

    def __init__(self, account: TwilioAccount, *, connect_timeout: timedelta) -> None:
        self._account = account
        credentials = f"{account.sid}:{account.auth_token}".encode()
        self._headers = {"Authorization": "Basic " + b64encode(credentials).decode("ascii")}
        self._connect = connect_timeout.total_seconds()
        self._http: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(resolver=Names()),
            trace_configs=[_tracing()],
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._http is not None:
            await self._http.close()

    async def create(self, form: Mapping[str, str], *, limit: timedelta, longest: int) -> Reply:
        """Post a new message.

        Args:
            form: the message, as https://www.twilio.com/docs/messaging/api/message-resource wants.
            limit: how long it may take in all.
            longest: how many bytes of the reply's body are read.

        Raises:
            NoReply: if there was none.
        """
        url = self._account.messages_url
        return await self._ask("POST", url, limit, longest, data=form)

    async def list(self, filters: Mapping[str, str], *, limit: timedelta, longest: int) -> Reply:
        """Ask for the messages that there are; see `create`."""
        url = self._account.messages_url
        return await self._ask("GET", url, limit, longest, params=filters)

    async def list_on(self, path: str, *, limit: timedelta, longest: int) -> Reply:
        """Ask for another page of them, which is at a path of the API."""
        return await self._ask("GET", self._account.url_of(path), limit, longest)

    async def _ask(
        self, method: str, url: str, limit: timedelta, longest: int, **what: Any
    ) -> Reply:
        if self._http is None:
            raise RuntimeError("a TwilioSender works inside its `async with` block")
        progress = _Progress()
        try:
            async with self._http.request(
                method,
                url,
                headers=self._headers,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(limit.total_seconds(), connect=self._connect),
                trace_request_ctx=progress,
                **what,
            ) as response:
                body = await _beginning(response.content, longest)
                headers = response.headers
                return Reply(response.status, body, headers.get("Retry-After"), headers.get("Date"))
        except (aiohttp.ClientError, OSError) as error:
            # Not chained: such errors carry the request, with its token.
            raise _no_reply(error, progress) from None


@dataclass(slots=True)
class _Progress:
    """How far a request has got.

    Attributes:
        connected: there is a connection, so the request may have been written to it.
    """

    connected: bool = False


def _tracing() -> aiohttp.TraceConfig:
    """Make aiohttp tell each request's progress of its connection."""

    async def connected(session: Any, context: Any, params: Any) -> None:  # noqa: ARG001 (aiohttp's signature)
        context.trace_request_ctx.connected = True

    tracing = aiohttp.TraceConfig()
    tracing.on_connection_create_end.append(connected)
    tracing.on_connection_reuseconn.append(connected)
    return tracing


async def _beginning(content: aiohttp.StreamReader, longest: int) -> bytes:
    try:
        return await content.readexactly(longest)
    except asyncio.IncompleteReadError as error:
        return error.partial


def _no_reply(error: Exception, progress: _Progress) -> NoReply:
    what = "no answer" if progress.connected else "cannot connect"
    return NoReply(f"{what}: {_cause(error)}", may_have_arrived=progress.connected)


def _cause(error: Exception) -> str:
    """Name the root of a failure in a few words of ours or the system's."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        flaw = error.certificate_error
        words = flaw.verify_message if isinstance(flaw, ssl.SSLCertVerificationError) else flaw
        return f"the certificate was not accepted: {words}"
    for kind, words in _WORDS:
        if isinstance(error, kind):
            return words
    errno = error.errno if isinstance(error, OSError) else None
    return os.strerror(errno) if errno else type(error).__name__
