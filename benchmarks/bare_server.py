"""A grpclib server that answers SendNotification and does nothing: the most that grpclib can do."""

from __future__ import annotations

import socket

import uvloop
from grpclib.server import Server

from pinguin_grpc.wire.pinguin import (
    NotificationRequest,
    NotificationResponse,
    NotificationServiceBase,
)


class Nothing(NotificationServiceBase):
    """Accepts anything and keeps nothing."""

    async def send_notification(
        self, notification_request: NotificationRequest
    ) -> NotificationResponse:
        """Say that it was accepted."""
        return NotificationResponse(
            notification_id="notif-01ARZ3NDEKTSV4RRFFQ69G5FAV00",
            recipient=notification_request.recipient,
            subject=notification_request.subject,
            message=notification_request.message,
            created_at="2030-01-01T09:00:00.000000Z",
            updated_at="2030-01-01T09:00:00.000000Z",
            scheduled_time=notification_request.scheduled_time,
        )


async def main() -> None:
    server = Server([Nothing()])
    with socket.create_server(("127.0.0.1", 0)) as listener:
        await server.start(sock=listener)
        print(f"127.0.0.1:{listener.getsockname()[1]}", flush=True)
        await server.wait_closed()


if __name__ == "__main__":
    uvloop.run(main())
