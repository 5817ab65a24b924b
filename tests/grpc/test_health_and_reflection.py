"""Tools that know nothing of Pinguin can ask whether it serves, and what."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpclib.client import Channel
from grpclib.exceptions import GRPCError
from grpclib.health.v1.health_grpc import HealthStub
from grpclib.health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpclib.reflection.v1 import reflection_grpc as v1_grpc
from grpclib.reflection.v1 import reflection_pb2 as v1
from grpclib.reflection.v1alpha import reflection_grpc as v1alpha_grpc
from grpclib.reflection.v1alpha import reflection_pb2 as v1alpha
from support.grpc_serving import TOKEN, Serving, serving
from support.patience import patient

from pinguin_core.testing.fakes import MemoryRepository
from pinguin_grpc.health import Health

METADATA = {"authorization": f"bearer {TOKEN}"}
SERVICE = "pinguin.NotificationService"
VERSIONS: list[tuple[Any, Any]] = [
    (v1, v1_grpc.ServerReflectionStub),
    (v1alpha, v1alpha_grpc.ServerReflectionStub),
]


async def health_of(service: Serving, name: str) -> int:
    async with Channel("127.0.0.1", service.port) as channel:
        request = HealthCheckRequest(service=name)
        return (await HealthStub(channel).Check(request, metadata=METADATA)).status


@patient
@pytest.mark.parametrize("name", ["", SERVICE])
async def test_the_service_says_that_it_serves(name: str) -> None:
    async with serving(MemoryRepository()) as service:
        assert await health_of(service, name) == HealthCheckResponse.SERVING


@patient
async def test_of_other_services_nothing_is_known() -> None:
    async with serving(MemoryRepository()) as service:
        with pytest.raises(GRPCError, match="no such service"):
            await health_of(service, "pinguin.Other")


async def next_status(watch: Any) -> int:
    response: HealthCheckResponse = await watch.recv_message()
    return response.status


@asynccontextmanager
async def watching(service: Serving, name: str) -> AsyncIterator[Any]:
    async with (
        Channel("127.0.0.1", service.port) as channel,
        HealthStub(channel).Watch.open(metadata=METADATA) as watch,
    ):
        await watch.send_message(HealthCheckRequest(service=name), end=True)
        yield watch


@patient
async def test_a_provider_that_is_down_is_told_and_leaves_the_service_healthy() -> None:
    health = Health(["smtp", "twilio"])
    async with serving(MemoryRepository(), health=health) as service:
        before = await health_of(service, "smtp")
        health.report("smtp", is_up=False)
        names = ["smtp", "twilio", SERVICE, ""]
        during = [await health_of(service, name) for name in names]
        health.report("smtp", is_up=True)
        after = await health_of(service, "smtp")

    up, down = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING
    assert (before, during, after) == (up, [down, up, up, up], up)


@patient
async def test_whoever_watches_a_provider_is_told_of_each_change_and_of_the_stop() -> None:
    health = Health(["smtp", "twilio"])
    async with (
        serving(MemoryRepository(), health=health) as service,
        watching(service, "smtp") as watch,
    ):
        told = [await next_status(watch)]
        for is_up in (False, True):
            health.report("twilio", is_up=is_up)
            health.report("smtp", is_up=is_up)
            health.report("smtp", is_up=is_up)
            told.append(await next_status(watch))
        draining = asyncio.create_task(service.server.drain(timedelta(seconds=5)))
        told.append(await next_status(watch))
        end = await watch.recv_message()
        await draining

    up, down = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING
    assert (told, end) == ([up, down, up, down], None)


@patient
async def test_whoever_watches_what_is_not_configured_is_told_so() -> None:
    async with (
        serving(MemoryRepository(), health=Health(["smtp"])) as service,
        watching(service, "twilio") as watch,
    ):
        assert await next_status(watch) == HealthCheckResponse.SERVICE_UNKNOWN
        with pytest.raises(GRPCError, match="no such service"):
            await health_of(service, "twilio")
        await watch.cancel()


async def reflect(service: Serving, version: Any, stub: Any, **question: str) -> Any:
    async with Channel("127.0.0.1", service.port) as channel:
        request = version.ServerReflectionRequest(**question)
        (answer,) = await stub(channel).ServerReflectionInfo([request], metadata=METADATA)
        return answer


@patient
@pytest.mark.parametrize(("version", "stub"), VERSIONS, ids=["v1", "v1alpha"])
async def test_reflection_lists_the_services(version: Any, stub: Any) -> None:
    async with serving(MemoryRepository()) as service:
        answer = await reflect(service, version, stub, list_services="")

    names = {each.name for each in answer.list_services_response.service}
    assert {SERVICE, "grpc.health.v1.Health"} <= names


@patient
@pytest.mark.parametrize(("version", "stub"), VERSIONS, ids=["v1", "v1alpha"])
@pytest.mark.parametrize(
    ("question", "file"),
    [
        ({"file_containing_symbol": SERVICE}, "pinguin.proto"),
        ({"file_containing_symbol": "pinguin.NotificationRequest"}, "pinguin.proto"),
        (
            {"file_by_filename": "google/protobuf/timestamp.proto"},
            "google/protobuf/timestamp.proto",
        ),
        ({"file_containing_symbol": "grpc.health.v1.Health"}, "grpclib/health/v1/health.proto"),
        ({"file_containing_symbol": "google.rpc.BadRequest"}, "google/rpc/error_details.proto"),
    ],
)
async def test_reflection_hands_out_the_contract(
    version: Any, stub: Any, question: dict[str, str], file: str
) -> None:
    async with serving(MemoryRepository()) as service:
        answer = await reflect(service, version, stub, **question)

    (encoded,) = answer.file_descriptor_response.file_descriptor_proto
    assert FileDescriptorProto.FromString(encoded).name == file


@patient
async def test_reflection_does_not_know_what_is_not_there() -> None:
    async with serving(MemoryRepository()) as service:
        answer = await reflect(service, *VERSIONS[0], file_containing_symbol="pinguin.Nothing")

    assert answer.HasField("error_response")
