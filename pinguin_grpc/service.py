"""The calls of the wire contract, each handed to the core."""

from __future__ import annotations

from pinguin_core import NotificationService
from pinguin_grpc import metadata
from pinguin_grpc.mapping import KEY_METADATA, id_from_wire, send_from_wire, to_wire
from pinguin_grpc.wire.pinguin import (
    GetNotificationStatusRequest,
    NotificationRequest,
    NotificationResponse,
    NotificationServiceBase,
)


class NotificationCalls(NotificationServiceBase):
    """`pinguin.NotificationService`, for grpclib to serve."""

    def __init__(self, service: NotificationService) -> None:
        self._service = service

    async def send_notification(
        self, notification_request: NotificationRequest
    ) -> NotificationResponse:
        """Accept a notification; see `NotificationService.send`."""
        asked = send_from_wire(notification_request, metadata.values(KEY_METADATA))
        return to_wire(
            await self._service.send(
                asked.message,
                scheduled_at=asked.scheduled_at,
                idempotency_key=asked.idempotency_key,
            )
        )

    async def get_notification_status(
        self, get_notification_status_request: GetNotificationStatusRequest
    ) -> NotificationResponse:
        """Tell how a notification stands; see `NotificationService.get`."""
        return to_wire(await self._service.get(id_from_wire(get_notification_status_request)))
