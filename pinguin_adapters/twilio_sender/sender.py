"""The sender of SMS: what the dispatcher calls."""

from __future__ import annotations

import asyncio
import os
import ssl
from base64 import b64encode
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Final, Self

import aiohttp

from pinguin_adapters.twilio_sender.account import TwilioAccount
from pinguin_adapters.twilio_sender.replies import Reply, Verdict, judge, refusal
from pinguin_core.errors import TransientDeliveryError
from pinguin_core.message import Sms
from pinguin_core.notification import Receipt
from pinguin_core.values import NotificationId

_MAX_BODY: Final = 64 * 1024  # bytes of a reply that are read; Twilio's have about 1 KiB
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


class TwilioSender:
    """Delivers SMS through Twilio's Messages API, inside its `async with` block.

    Connections are kept and reused. Redirects are not followed; proxies and credentials from the
    environment (`HTTPS_PROXY`, `.netrc`) are ignored, so that the token goes where the account
    says and nowhere else. Twilio's SID for the message is the receipt's `provider_message_id`.

    Args:
        connect_timeout: how long opening a connection may take, from name look-up to TLS.
        operation_timeout: how long a whole attempt may take.
    """

    def __init__(
        self,
        account: TwilioAccount,
        *,
        connect_timeout: timedelta = timedelta(seconds=5),
        operation_timeout: timedelta = timedelta(seconds=30),
    ) -> None:
        self._account = account
        self._url = account.messages_url
        credentials = f"{account.sid}:{account.auth_token}".encode()
        self._headers = {"Authorization": "Basic " + b64encode(credentials).decode("ascii")}
        self._timeout = aiohttp.ClientTimeout(
            total=operation_timeout.total_seconds(), connect=connect_timeout.total_seconds()
        )
        self._http: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._http = aiohttp.ClientSession(
            timeout=self._timeout,
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

    async def send(self, message: Sms, *, id: NotificationId, date: datetime) -> Receipt:  # noqa: ARG002 (an SMS has neither)
        """Hand one SMS to Twilio. See `Sender.send`."""
        reply = await self._post(message)
        if judge(reply) is Verdict.SENT and reply.sid is not None:
            return Receipt(reply.sid)
        hide = (message.to.value, message.body, self._account.auth_token)
        raise refusal(reply, datetime.now(UTC), hide)

    async def _post(self, message: Sms) -> Reply:
        progress = _Progress()
        form = {
            "To": message.to.value,
            "From": self._account.from_number.value,
            "Body": message.body,
        }
        try:
            return await self._exchange(form, progress)
        except (aiohttp.ClientError, OSError) as error:
            # Not chained: such errors carry the request, with its token.
            raise _trouble(error, progress) from None

    async def _exchange(self, form: dict[str, str], progress: _Progress) -> Reply:
        if self._http is None:
            raise RuntimeError("a TwilioSender works inside its `async with` block")
        async with self._http.post(
            self._url,
            data=form,
            headers=self._headers,
            allow_redirects=False,
            trace_request_ctx=progress,
        ) as response:
            body = await _beginning(response.content)
            return Reply(response.status, body, response.headers.get("Retry-After"))


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


async def _beginning(content: aiohttp.StreamReader) -> bytes:
    try:
        return await content.readexactly(_MAX_BODY)
    except asyncio.IncompleteReadError as error:
        return error.partial


def _trouble(error: Exception, progress: _Progress) -> TransientDeliveryError:
    what = "no answer" if progress.connected else "cannot connect"
    return TransientDeliveryError(f"Twilio: {what}: {_cause(error)}", ambiguous=progress.connected)


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
