"""The typed client: what the command line uses, and what other Python services may."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from types import TracebackType
from typing import Self

from grpclib.client import Channel as GrpcChannel
from grpclib.protocol import H2Protocol

from pinguin_core import Email, IdempotencyKey, InvalidValue, Sms
from pinguin_core.values import require_aware
from pinguin_grpc.bearer import require_sendable
from pinguin_grpc.client_errors import CallRefused, ServiceUnreachable, translated
from pinguin_grpc.client_status import Attempt, NotificationStatus, Outcome, Status, status_from
from pinguin_grpc.codec import StrictCodec, make
from pinguin_grpc.details import DetailsCodec, FieldViolation
from pinguin_grpc.mapping import TYPES
from pinguin_grpc.wire import pinguin as wire

__all__ = [
    "Attempt",
    "CallRefused",
    "FieldViolation",
    "NotificationStatus",
    "Outcome",
    "PinguinClient",
    "ServiceUnreachable",
    "Status",
]


class PinguinClient:
    """Sends notifications through a running service, within its `async with` block.

    It connects at the first call, and again when the connection was lost; it repeats no call by
    itself. Calls may run at the same time.

    Args:
        token: one of the service's bearer tokens.
        tls: how to check the service's certificate, such as `ssl.create_default_context()`, whose
            ALPN is set to HTTP/2; without it, everything travels in clear.
        timeout: how long a call may take, connecting included.

    Raises:
        InvalidValue: if the token cannot be sent, or the timeout is not more than zero.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        token: str,
        tls: ssl.SSLContext | None = None,
        timeout: timedelta = timedelta(seconds=10),
    ) -> None:
        if timeout <= timedelta(0):
            raise InvalidValue("timeout", "must be more than zero")
        self._metadata = {"authorization": f"Bearer {require_sendable(token, 'token')}"}
        self._host = host
        self._port = port
        self._tls = tls
        self._timeout = timeout
        self._channel: GrpcChannel | None = None

    async def send(
        self,
        message: Email | Sms,
        *,
        scheduled_at: datetime | None = None,
        idempotency_key: str | IdempotencyKey | None = None,
    ) -> NotificationStatus:
        """Hand a message to the service: when this returns, it is stored and will be delivered.

        Args:
            message: what to send, and to whom.
            scheduled_at: when to send it, with a time zone; at once if absent or past.
            idempotency_key: your own name for this request, such as a random UUID. With it, the
                same call can be made again when no answer came, and nothing is sent a second time:
                it returns the first notification as it stands by then.

        Raises:
            InvalidValue: if `scheduled_at` carries no zone, or the key is none.
            CallRefused: if the service does not accept it; ALREADY_EXISTS if the key was used
                before, for something else.
            ServiceUnreachable: if no answer came; it may have been accepted all the same.
        """
        if idempotency_key is not None:
            idempotency_key = IdempotencyKey(str(idempotency_key))
        if scheduled_at is not None:
            scheduled_at = require_aware(scheduled_at, "scheduled_at")
        request = make(
            wire.NotificationRequest,
            notification_type=TYPES[message.channel],
            recipient=message.to.value,
            subject=message.subject,
            message=message.body,
            scheduled_time=scheduled_at,
            idempotency_key=str(idempotency_key or ""),
        )
        return await self._ask(lambda service: service.send_notification(request))

    async def status(self, notification_id: str) -> NotificationStatus:
        """Ask how a notification stands.

        Raises:
            CallRefused: if there is none (NOT_FOUND), or the service does not say.
            ServiceUnreachable: if no answer came.
        """
        request = make(wire.GetNotificationStatusRequest, notification_id=str(notification_id))
        return await self._ask(lambda service: service.get_notification_status(request))

    async def __aenter__(self) -> Self:
        if self._tls is not None:
            self._tls.set_alpn_protocols(["h2"])
        self._channel = _Channel(
            self._host,
            self._port,
            codec=StrictCodec(),
            status_details_codec=DetailsCodec(),
            ssl=self._tls,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.close()

    async def _ask(
        self, call: Callable[[wire.NotificationServiceStub], Awaitable[wire.NotificationResponse]]
    ) -> NotificationStatus:
        if self._channel is None:
            raise RuntimeError("the client can be used only within its `async with` block")
        seconds = self._timeout.total_seconds()
        service = wire.NotificationServiceStub(
            self._channel, timeout=seconds, metadata=self._metadata
        )
        try:
            # A task of its own, because grpclib tells of a lost connection by cancelling the one
            # that waits, and does not take that back: later time-outs and Ctrl-C would be misread.
            return status_from(await asyncio.ensure_future(call(service)))
        except Exception as error:
            raise translated(error, self._host, self._port) from error


class _Channel(GrpcChannel):
    """Hangs up at once: under TLS, grpclib's own way leaves the socket open until the peer answers.

    Whoever ends the event loop before that leaves it open for good. grpclib lets go of a connection
    by itself when the peer takes its leave, so what is hung up on is remembered here.
    """

    _transport: asyncio.WriteTransport | None = None

    def close(self) -> None:
        super().close()
        self._hang_up()

    async def _create_connection(self) -> H2Protocol:
        self._hang_up()
        protocol = await super()._create_connection()
        self._transport = getattr(protocol.connection, "_transport", None)  # none once it is lost
        return protocol

    def _hang_up(self) -> None:
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()
