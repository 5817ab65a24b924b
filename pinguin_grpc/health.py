"""`grpc.health.v1.Health` (https://github.com/grpc/grpc/blob/master/doc/health-checking.md)."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any

from grpclib.const import Status
from grpclib.exceptions import GRPCError
from grpclib.health.v1.health_grpc import HealthBase
from grpclib.health.v1.health_pb2 import HealthCheckResponse


class Health(HealthBase):
    """Says SERVING until the service begins to stop, and NOT_SERVING then.

    Args:
        services: the full names that are asked about; the empty name, which means the whole
            server, is always known.
    """

    def __init__(self, services: Collection[str]) -> None:
        self._services = {"", *services}
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Say NOT_SERVING from now on, to those who watch as well."""
        self._stopping.set()

    async def Check(self, stream: Any) -> None:  # noqa: N802 (the protocol's name)
        """Answer once."""
        request = await stream.recv_message()
        if request.service not in self._services:
            raise GRPCError(Status.NOT_FOUND, "there is no such service")
        await stream.send_message(self._response())

    async def Watch(self, stream: Any) -> None:  # noqa: N802 (the protocol's name)
        """Answer now, and when the answer changes."""
        request = await stream.recv_message()
        known = request.service in self._services
        await stream.send_message(self._response() if known else _UNKNOWN)
        await self._stopping.wait()
        if known:
            await stream.send_message(self._response())

    def _response(self) -> HealthCheckResponse:
        return _NOT_SERVING if self._stopping.is_set() else _SERVING


_SERVING = HealthCheckResponse(status=HealthCheckResponse.SERVING)
_NOT_SERVING = HealthCheckResponse(status=HealthCheckResponse.NOT_SERVING)
_UNKNOWN = HealthCheckResponse(status=HealthCheckResponse.SERVICE_UNKNOWN)
