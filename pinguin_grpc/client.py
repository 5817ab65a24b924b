"""The typed client: what the command line uses, and what other Python services may."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from types import TracebackType
from typing import Final, Self

from grpclib.client import Channel as GrpcChannel

from pinguin_core import Channel, Email, InvalidValue, Sms
from pinguin_core.values import require_aware
from pinguin_grpc.bearer import require_sendable
from pinguin_grpc.client_errors import CallRefused, ServiceUnreachable, translated
from pinguin_grpc.codec import StrictCodec, make, values_of
from pinguin_grpc.details import DetailsCodec, FieldViolation
from pinguin_grpc.mapping import TYPES
from pinguin_grpc.wire import pinguin as wire

__all__ = [
    "CallRefused",
    "FieldViolation",
    "NotificationStatus",
    "PinguinClient",
    "ServiceUnreachable",
    "Status",
]


class Status(Enum):
    """How a notification stands. SENT, FAILED and CANCELLED are final."""

    QUEUED = 0
    SENT = 1
    FAILED = 2
    UNKNOWN = 3
    CANCELLED = 4


@dataclass(frozen=True, slots=True)
class NotificationStatus:
    """What the service says of a notification. Its `repr` shows neither recipient nor content.

    Attributes:
        provider_message_id: the Message-ID of an e-mail, Twilio's SID of an SMS; empty before.
        retry_count: how many retries were begun or are waited for.
        last_error: what went wrong most recently; empty when nothing did.
        next_attempt_at: when the next attempt is due, while it waits for one.
        possible_duplicate: an attempt may have delivered it without the service's learning so.
    """

    id: str
    channel: Channel
    recipient: str = field(repr=False)
    subject: str = field(repr=False)
    body: str = field(repr=False)
    status: Status
    provider_message_id: str
    retry_count: int
    created_at: datetime
    updated_at: datetime
    scheduled_at: datetime | None
    last_error: str
    next_attempt_at: datetime | None
    possible_duplicate: bool


class PinguinClient:
    """Sends notifications through a running service, within its `async with` block.

    It connects at the first call, and again when the connection was lost. Calls may run at the
    same time.

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
        self, message: Email | Sms, *, scheduled_at: datetime | None = None
    ) -> NotificationStatus:
        """Hand a message to the service: when this returns, it is stored and will be delivered.

        Args:
            message: what to send, and to whom.
            scheduled_at: when to send it, with a time zone; at once if absent or past.

        Raises:
            InvalidValue: if `scheduled_at` carries no zone.
            CallRefused: if the service does not accept it.
            ServiceUnreachable: if no answer came; it may have been accepted all the same.
        """
        if scheduled_at is not None:
            scheduled_at = require_aware(scheduled_at, "scheduled_at")
        request = make(
            wire.NotificationRequest,
            notification_type=TYPES[message.channel],
            recipient=message.to.value,
            subject=message.subject,
            message=message.body,
            scheduled_time=scheduled_at,
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
        self._channel = GrpcChannel(
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
            _close(channel)

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
            return _status_from(await call(service))
        except Exception as error:
            raise translated(error, f"{self._host}:{self._port}") from error


def _status_from(response: wire.NotificationResponse) -> NotificationStatus:
    fields = values_of(response)
    return NotificationStatus(
        id=fields["notification_id"],
        channel=_CHANNELS[fields["notification_type"]],
        recipient=fields["recipient"],
        subject=fields["subject"],
        body=fields["message"],
        status=_STATUSES.get(fields["status"], Status.UNKNOWN),
        provider_message_id=fields["provider_message_id"],
        retry_count=fields["retry_count"],
        created_at=datetime.fromisoformat(fields["created_at"]),
        updated_at=datetime.fromisoformat(fields["updated_at"]),
        scheduled_at=fields["scheduled_time"],
        last_error=fields["last_error"],
        next_attempt_at=fields["next_attempt_time"],
        possible_duplicate=fields["possible_duplicate"],
    )


_CHANNELS: Final = {number: channel for channel, number in TYPES.items()}
_STATUSES: Final = {status.value: status for status in Status}


def _close(channel: GrpcChannel) -> None:
    """Close it at once: under TLS, grpclib's own way leaves the socket open until the peer answers.

    Whoever ends the event loop before that leaves it open for good.
    """
    protocol = channel._protocol  # noqa: SLF001 (guarded by a canary test)
    transport = None if protocol is None else getattr(protocol.connection, "_transport", None)
    channel.close()
    if transport is not None:
        transport.abort()
