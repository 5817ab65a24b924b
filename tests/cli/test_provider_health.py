"""What a running service says of its providers, to tools that know only health services."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Final

import pytest
from grpclib.client import Channel as GrpcChannel
from grpclib.exceptions import GRPCError
from grpclib.health.v1.health_grpc import HealthStub
from grpclib.health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from support.commands import Service, Shell
from support.patience import patient

from pinguin_cli.container import Container
from pinguin_cli.settings import ServerSettings
from pinguin_core import Channel
from pinguin_core.testing.fakes import MemoryRepository

TOKEN: Final = "correct-token"
METADATA: Final = {"authorization": f"bearer {TOKEN}"}
UP, DOWN = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING
RELAY: Final = {
    "NOTIFICATION_AUTH_TOKEN": TOKEN,
    "SMTP_HOST": "127.0.0.1",
    "SMTP_PORT": "1",
    "FROM_EMAIL": "a@example.com",
}
TWILIO: Final = {
    "NOTIFICATION_AUTH_TOKEN": TOKEN,
    "TWILIO_ACCOUNT_SID": "AC1",
    "TWILIO_AUTH_TOKEN": "twilio-token",
    "TWILIO_FROM_NUMBER": "+15550100123",
}


async def health_of(port: int, *services: str) -> list[int]:
    async with GrpcChannel("127.0.0.1", port) as channel:
        stub = HealthStub(channel)
        return [
            (await stub.Check(HealthCheckRequest(service=each), metadata=METADATA)).status
            for each in services
        ]


def test_a_relay_that_is_down_is_told_and_the_service_is_healthy(
    tmp_path: Path, shell: Shell
) -> None:
    with Service(tmp_path, RELAY) as service:
        client = {"NOTIFICATION_AUTH_TOKEN": TOKEN, "GRPC_SERVER_ADDR": service.address}
        for _ in range(5):
            shell("send", "--to", "ada@example.com", "--message", "Hi", variables=client)
        service.wait_for("provider.down")
        port = int(service.address.rpartition(":")[2])
        told = asyncio.run(health_of(port, "smtp", "", "pinguin.NotificationService"))
    assert told == [DOWN, UP, UP]


@pytest.mark.parametrize(
    ("variables", "channel", "service"),
    [(RELAY, Channel.EMAIL, "smtp"), (TWILIO, Channel.SMS, "twilio")],
)
@pytest.mark.usefixtures("own_logging")
def test_each_provider_that_is_configured_has_a_health_service(
    set_environment: Callable[[Mapping[str, str]], None],
    variables: Mapping[str, str],
    channel: Channel,
    service: str,
) -> None:
    set_environment(variables)

    @patient
    async def told() -> None:
        container = Container(settings=ServerSettings.read(), repository=MemoryRepository())
        server, observer = container.server(), container.observer()
        await server.start("127.0.0.1", 0)
        try:
            assert await health_of(server.port, service) == [UP]
            observer.on_provider(channel, is_up=False, reason="refused")
            assert await health_of(server.port, service, "") == [DOWN, UP]
            observer.on_provider(channel, is_up=True, reason="")
            assert await health_of(server.port, service) == [UP]
            (other,) = {"smtp", "twilio"} - {service}
            with pytest.raises(GRPCError, match="no such service"):
                await health_of(server.port, other)
        finally:
            await server.drain(timedelta(seconds=5))

    told()
