"""A stop answers what was accepted, turns away what comes later, and hangs on nobody."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from grpclib.const import Status
from support.grpc_serving import TOKEN, run, serving
from support.patience import jump, patient
from support.raw_http2 import GET, SEND, RawConnection, framed, raw_connection

from pinguin_core import Email, EmailAddress, Notification, NotificationService
from pinguin_core.testing.fakes import MemoryRepository
from pinguin_grpc.calls import DRAINING
from pinguin_grpc.client import PinguinClient, ServiceUnreachable
from pinguin_grpc.codec import encode, make
from pinguin_grpc.server import GrpcServer
from pinguin_grpc.wire.pinguin import GetNotificationStatusRequest, NotificationRequest

GOOD = framed(encode(make(NotificationRequest, recipient="ada@example.com", message="Hi")))
ASK = framed(encode(make(GetNotificationStatusRequest, notification_id="notif-404")))
MAIL = Email(EmailAddress("ada@example.com"), "Hello", "Good news")
LONG = timedelta(seconds=10)
HEALTH = "/grpc.health.v1.Health"
REFLECTION = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
ANY_STREAM = 2**31 - 1


class SlowRepository(MemoryRepository):
    """Stores once it is allowed to."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = asyncio.Event()
        self.gate = asyncio.Event()

    async def add(self, notification: Notification) -> None:
        self.asked.set()
        await self.gate.wait()
        await super().add(notification)


async def first_data(connection: RawConnection, stream: int) -> bytes:
    while not connection.answers[stream].data:
        await connection.receive()
    return connection.answers[stream].data


@patient
async def test_calls_under_way_are_answered_and_new_ones_turned_away() -> None:
    repository = SlowRepository()
    async with serving(repository) as service, raw_connection(service.port) as connection:
        port = service.port
        under_way = connection.begin(SEND)
        connection.send(under_way, GOOD)
        await repository.asked.wait()
        draining = asyncio.create_task(service.server.drain(LONG))
        late = await connection.call(GET, ASK)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        repository.gate.set()
        answered = await connection.answer(under_way)
        await connection.until_closed()
        await draining

    assert (late.status, late.text) == (Status.UNAVAILABLE, DRAINING)
    assert answered.status is Status.OK


@patient
async def test_the_clients_calls_under_way_are_answered() -> None:
    """grpclib drops its calls at the first GOAWAY: there must be none before they are answered."""
    repository = SlowRepository()
    async with serving(repository) as service, service.client() as client:
        call = asyncio.create_task(client.send(MAIL))
        await repository.asked.wait()
        draining = asyncio.create_task(service.server.drain(LONG))
        await asyncio.sleep(0)
        repository.gate.set()

        assert (await call).id == "notif-1"
        await draining
        with pytest.raises(ServiceUnreachable):
            await client.status("notif-1")


@patient
async def test_a_connection_without_calls_is_told_to_go_and_closed() -> None:
    async with serving(MemoryRepository()) as service, raw_connection(service.port) as connection:
        await connection.call(GET, ASK)
        draining = asyncio.create_task(service.server.drain(LONG))
        await connection.until_closed()
        await draining

    assert connection.goaways[0] == (ANY_STREAM, 0)


@patient
async def test_callers_that_do_not_react_do_not_hold_up_the_stop() -> None:
    async with (
        serving(MemoryRepository()) as service,
        raw_connection(service.port),
        raw_connection(service.port, introduce=False),
        raw_connection(service.port) as connection,
    ):
        await connection.call(GET, ASK)
        await service.server.drain(LONG)


@patient
async def test_calls_that_take_too_long_are_answered_unavailable() -> None:
    repository = SlowRepository()
    async with serving(repository) as service, raw_connection(service.port) as connection:
        stream = connection.begin(SEND)
        connection.send(stream, GOOD)
        await repository.asked.wait()
        half_sent = connection.begin(SEND)
        assert (await connection.call(GET, ASK)).status is Status.NOT_FOUND
        draining = asyncio.create_task(service.server.drain(LONG))
        await asyncio.sleep(0)
        jump(LONG)
        answers = [await connection.answer(each) for each in (stream, half_sent)]
        await draining

    assert [answer.status for answer in answers] == [Status.UNAVAILABLE] * 2
    assert [answer.text for answer in answers] == [DRAINING] * 2


@patient
async def test_whoever_watches_our_health_learns_of_the_stop_and_holds_nothing_up() -> None:
    async with serving(MemoryRepository()) as service, raw_connection(service.port) as connection:
        watch = connection.begin(f"{HEALTH}/Watch")
        connection.send(watch, framed(b""))
        serving_now = await first_data(connection, watch)
        reflection = connection.begin(REFLECTION)
        connection.send(reflection, framed(b"\x3a\0"), end=False)
        await first_data(connection, reflection)
        draining = asyncio.create_task(service.server.drain(LONG))
        watched = await connection.answer(watch)
        reflected = await connection.answer(reflection)
        await draining

    assert serving_now == framed(b"\x08\x01")
    assert watched.data == framed(b"\x08\x01") + framed(b"\x08\x02")
    assert reflected.status is Status.UNAVAILABLE


@patient
async def test_a_stop_may_be_asked_for_twice_or_before_the_start() -> None:
    server = GrpcServer(NotificationService(MemoryRepository()), tokens=[TOKEN])
    await server.drain(LONG)
    async with serving(MemoryRepository()) as service:
        await asyncio.gather(service.server.drain(LONG), service.server.drain(LONG))
        await service.server.drain(LONG)


def test_under_load_every_call_that_is_stored_is_answered() -> None:
    """Eight clients send all the time; what they were told and what is stored must agree."""

    class Counting(MemoryRepository):
        stored = 0

        async def add(self, notification: Notification) -> None:
            await asyncio.sleep(0.001)
            await super().add(notification)
            self.stored += 1

    async def hammer(client: PinguinClient, done: list[str]) -> None:
        try:
            while True:
                done.append((await client.send(MAIL)).id)
        except Exception:  # noqa: BLE001 (any refusal will do: the service is stopping)
            return

    async def main() -> tuple[int, int]:
        repository, done = Counting(), list[str]()
        async with serving(repository) as service:
            clients = [service.client() for _ in range(8)]
            for client in clients:
                await client.__aenter__()
            hammering = [asyncio.create_task(hammer(client, done)) for client in clients]
            while len(done) < 100:  # noqa: ASYNC110 (nobody sets an event)
                await asyncio.sleep(0.001)
            await service.server.drain(LONG)
            await asyncio.gather(*hammering)
            for client in clients:
                await client.__aexit__(None, None, None)
        return repository.stored, len(done)

    stored, answered = run(main())

    assert stored == answered >= 100
