"""`grpc.health.v1.Health` (https://github.com/grpc/grpc/blob/master/doc/health-checking.md)."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any, Final

from grpclib.const import Status
from grpclib.exceptions import GRPCError
from grpclib.health.v1.health_grpc import HealthBase
from grpclib.health.v1.health_pb2 import HealthCheckResponse

SERVICE: Final = "pinguin.NotificationService"


class Health(HealthBase):
    """Says of the service, and of each provider by a name of its own, whether it serves.

    The service, which the empty name stands for too, serves until it begins to stop, whatever
    becomes of the providers: it accepts all the same, and nobody should restart it for them.

    Args:
        providers: the names under which providers are asked about; each is up until something
            else is reported.
    """

    def __init__(self, providers: Collection[str] = ()) -> None:
        self._serving = dict.fromkeys(("", SERVICE, *providers), True)
        self._stopping = False
        self._changed = asyncio.Event()

    def report(self, provider: str, *, is_up: bool) -> None:
        """Say of a provider that it is up, or down, from now on; to those who watch as well."""
        self._serving[provider] = is_up
        self._announce()

    def stop(self) -> None:
        """Say NOT_SERVING of everything from now on, to those who watch as well."""
        self._stopping = True
        self._announce()

    async def Check(self, stream: Any) -> None:  # noqa: N802 (the protocol's name)
        """Answer once."""
        request = await stream.recv_message()
        if request.service not in self._serving:
            raise GRPCError(Status.NOT_FOUND, "there is no such service")
        await stream.send_message(self._response(request.service))

    async def Watch(self, stream: Any) -> None:  # noqa: N802 (the protocol's name)
        """Answer now, and whenever the answer changes, until the service stops."""
        service = (await stream.recv_message()).service
        told = None
        while True:
            changed, response = self._changed, self._response(service)
            if response is not told:
                await stream.send_message(response)
                told = response
            if self._stopping:
                return
            await changed.wait()

    def _announce(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _response(self, service: str) -> HealthCheckResponse:
        is_up = self._serving.get(service)
        if is_up is None:
            return _UNKNOWN
        return _SERVING if is_up and not self._stopping else _NOT_SERVING


_SERVING = HealthCheckResponse(status=HealthCheckResponse.SERVING)
_NOT_SERVING = HealthCheckResponse(status=HealthCheckResponse.NOT_SERVING)
_UNKNOWN = HealthCheckResponse(status=HealthCheckResponse.SERVICE_UNKNOWN)
