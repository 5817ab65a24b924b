"""The client's words: what it returns, and what it says when nothing can be returned."""

from __future__ import annotations

import asyncio
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta, timezone

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import RequestReceived
from support.grpc_serving import TOKEN, CountingRepository, serving
from support.patience import patient

from pinguin_core import (
    Channel,
    Email,
    EmailAddress,
    ExponentialBackoff,
    IdempotencyKey,
    InvalidValue,
    Notification,
    NotificationId,
    PermanentDeliveryError,
    PhoneNumber,
    Sms,
)
from pinguin_core.testing.fakes import NOON, MemoryRepository
from pinguin_grpc.client import (
    Attempt,
    CallRefused,
    NotificationStatus,
    Outcome,
    PinguinClient,
    ServiceUnreachable,
    Status,
)
from pinguin_grpc.client_errors import translated
from pinguin_grpc.client_status import status_from
from pinguin_grpc.codec import decode, encode, make
from pinguin_grpc.mapping import to_wire
from pinguin_grpc.wire import pinguin as wire
from pinguin_grpc.wire.pinguin import NotificationResponse

NO_RETRIES = ExponentialBackoff(max_retries=0)
MAIL = Email(EmailAddress("ada@example.com"), "Hello", "Good news")
TEXT_MESSAGE = Sms(PhoneNumber("+15550100123"), "Good news")


@patient
async def test_what_is_sent_can_be_asked_for() -> None:
    async with serving(MemoryRepository()) as service, service.client() as client:
        later = NOON + timedelta(hours=1)
        sent = await client.send(MAIL, scheduled_at=later.astimezone(timezone(timedelta(hours=5))))

        assert sent == await client.status(sent.id)
        assert sent == NotificationStatus(
            id="notif-1",
            channel=Channel.EMAIL,
            recipient="ada@example.com",
            subject="Hello",
            body="Good news",
            status=Status.QUEUED,
            provider_message_id="",
            retry_count=0,
            created_at=NOON,
            updated_at=NOON,
            scheduled_at=later,
            last_error="",
            next_attempt_at=later,
            possible_duplicate=False,
            sms_segments=0,
            attempts=(),
        )


@patient
async def test_an_sms_is_sent_as_one() -> None:
    async with serving(MemoryRepository()) as service, service.client() as client:
        sent = await client.send(TEXT_MESSAGE)

        assert (sent.channel, sent.recipient) == (Channel.SMS, "+15550100123")
        assert sent.scheduled_at is None
        assert sent.sms_segments == 1


@patient
async def test_many_calls_run_at_the_same_time_on_one_connection() -> None:
    async with serving(MemoryRepository()) as service, service.client() as client:
        sent = await asyncio.gather(*(client.send(MAIL) for _ in range(300)))

        assert len({each.id for each in sent}) == 300
        assert len(service.server._connections) == 1


@patient
async def test_any_of_several_tokens_will_do() -> None:
    async with serving(MemoryRepository(), tokens=["old", "new"]) as service:
        for token in ("old", "new"):
            async with service.client(token=token) as client:
                assert (await client.send(MAIL)).status is Status.QUEUED


@patient
async def test_the_same_call_with_its_key_makes_one_notification() -> None:
    repository = CountingRepository()
    async with serving(repository) as service, service.client() as client:
        first = await client.send(MAIL, idempotency_key="order-42")
        again = await client.send(MAIL, idempotency_key=IdempotencyKey("order-42"))

    assert first == again
    assert repository.rows == 1


@patient
@pytest.mark.parametrize("key", ["", "two words", "naïve", "k" * 256])
async def test_what_cannot_be_a_key_is_refused_before_anything_is_sent(key: str) -> None:
    async with PinguinClient("localhost", 1, token=TOKEN) as client:
        with pytest.raises(InvalidValue) as caught:
            await client.send(MAIL, idempotency_key=key)

    assert caught.value.field == "idempotency_key"


@patient
async def test_the_client_repeats_no_call_by_itself() -> None:
    """Only who made it knows whether it may be made twice."""
    calls = 0

    async def count_and_hang_up(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        nonlocal calls
        calls += 1
        await reader.read(1)

    async with (
        answering(count_and_hang_up) as port,
        PinguinClient("127.0.0.1", port, token=TOKEN) as client,
    ):
        with pytest.raises(ServiceUnreachable):
            await client.send(MAIL, idempotency_key="order-42")

    assert calls == 1


@patient
async def test_a_refusal_names_the_status_and_the_fields() -> None:
    async with serving(MemoryRepository()) as service, service.client() as client:
        with pytest.raises(CallRefused) as unknown:
            await client.status("notif-404")
        with pytest.raises(CallRefused) as bad:
            await client.status("notif 404")
        async with service.client(token="wrong") as stranger:
            with pytest.raises(CallRefused) as refused:
                await stranger.status("notif-1")

    assert unknown.value.status_name == "NOT_FOUND"
    assert unknown.value.field_violations == ()
    assert [each.field for each in bad.value.field_violations] == ["notification_id"]
    assert refused.value.status_name == "UNAUTHENTICATED"


@patient
async def test_the_client_connects_again_when_the_service_is_back() -> None:
    repository = MemoryRepository()
    async with serving(repository) as first, first.client() as client:
        port = first.port
        sent = await client.send(MAIL)
        await first.server.drain(timedelta(seconds=5))
        with pytest.raises(ServiceUnreachable, match="nothing is listening"):
            await client.status(sent.id)
        async with serving(repository) as second:
            await second.server.start("127.0.0.1", port)
            assert await client.status(sent.id) == sent


@asynccontextmanager
async def answering(
    answer: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[int]:
    """Listen, with something that is not Pinguin; yields the port."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await answer(reader, writer)
        finally:
            writer.close()

    async with await asyncio.start_server(handle, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


async def say_nothing(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read()


async def hang_up(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read(1)


async def speak_http1(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(100)
    writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")


async def speak_nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(100)
    writer.write(b"\0\0\1\6\0\0\0\0\0!")
    await reader.read()


@patient
@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (say_nothing, "did not answer in time"),
        (hang_up, "was lost"),
        (speak_http1, "was lost"),
        (speak_nonsense, "was lost"),
    ],
)
async def test_what_is_not_a_pinguin_service_is_unreachable(
    answer: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]], reason: str
) -> None:
    async with answering(answer) as port:
        timeout = timedelta(milliseconds=300 if answer is say_nothing else 10_000)
        async with PinguinClient("127.0.0.1", port, token=TOKEN, timeout=timeout) as client:
            with pytest.raises(ServiceUnreachable, match=reason) as caught:
                await client.send(MAIL)

    assert f"127.0.0.1:{port}" in caught.value.reason
    assert "\n" not in caught.value.reason
    assert caught.value.may_pass


def speaking_http2(
    headers: dict[str, str],
) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    """Make a web server or a proxy, which answers every request with these headers."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        http2 = H2Connection(H2Configuration(client_side=False))
        http2.initiate_connection()
        while data := await reader.read(1 << 16):
            for event in http2.receive_data(data):
                if isinstance(event, RequestReceived):
                    stream = event.stream_id or 0
                    http2.send_headers(stream, list(headers.items()), end_stream=True)
            writer.write(http2.data_to_send())

    return answer


@patient
@pytest.mark.parametrize(
    "headers",
    [
        {":status": "404"},
        {":status": "418"},
        {":status": "200", "content-type": "text/html"},
        {":status": "200"},
    ],
)
async def test_an_http2_server_that_speaks_no_grpc_is_said_so(headers: dict[str, str]) -> None:
    async with (
        answering(speaking_http2(headers)) as port,
        PinguinClient("127.0.0.1", port, token=TOKEN) as client,
    ):
        with pytest.raises(ServiceUnreachable, match="does not speak Pinguin's gRPC") as caught:
            await client.send(MAIL)

    assert not caught.value.may_pass


@patient
async def test_a_proxy_whose_service_is_down_may_be_asked_again() -> None:
    async with (
        answering(speaking_http2({":status": "503"})) as port,
        PinguinClient("127.0.0.1", port, token=TOKEN) as client,
    ):
        with pytest.raises(CallRefused) as caught:
            await client.send(MAIL)

    assert caught.value.status_name == "UNAVAILABLE"


@patient
async def test_what_cannot_be_a_host_is_said_so() -> None:
    async with PinguinClient("two..dots", 1, token=TOKEN) as client:
        with pytest.raises(ServiceUnreachable, match=r"host name of two\.\.dots:1 is not"):
            await client.send(MAIL)


def test_an_address_of_ipv6_is_named_in_brackets() -> None:
    """The machine may have none to connect to."""
    told = translated(ConnectionRefusedError(), "::1", 50051)

    assert str(told) == "nothing is listening on [::1]:50051"


@patient
async def test_a_lost_connection_leaves_the_task_that_calls_as_it_was() -> None:
    """A mark of having been cancelled would turn later time-outs into cancellations."""

    async def call_and_wait(client: PinguinClient) -> None:
        async with asyncio.timeout(None) as limit:
            with pytest.raises(ServiceUnreachable):
                await client.send(MAIL)
            limit.reschedule(0)
            await asyncio.Event().wait()

    async with (
        answering(hang_up) as port,
        PinguinClient("127.0.0.1", port, token=TOKEN) as client,
    ):
        with pytest.raises(TimeoutError):
            await call_and_wait(client)


@patient
async def test_nobody_there_is_said_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    async with PinguinClient("127.0.0.1", port, token=TOKEN) as client:
        with pytest.raises(
            ServiceUnreachable, match=f"nothing is listening on 127.0.0.1:{port}"
        ) as caught:
            await client.send(MAIL)

    assert caught.value.may_pass


@patient
async def test_tls_where_none_is_spoken_is_said_so() -> None:
    async with (
        serving(MemoryRepository()) as service,
        service.client(tls=ssl.create_default_context()) as client,
    ):
        with pytest.raises(ServiceUnreachable) as caught:
            await client.send(MAIL)

    assert not caught.value.may_pass


@pytest.mark.parametrize("token", ["", "two words", "naïve", "line\nbreak"])
def test_a_token_that_cannot_be_sent_is_refused_without_being_named(token: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        PinguinClient("localhost", 1, token=token)

    assert caught.value.field == "token"
    assert not token or token not in str(caught.value)


def test_a_timeout_of_nothing_is_refused() -> None:
    with pytest.raises(InvalidValue):
        PinguinClient("localhost", 1, token=TOKEN, timeout=timedelta(0))


@patient
async def test_the_client_works_within_its_block_only() -> None:
    with pytest.raises(RuntimeError, match="async with"):
        await PinguinClient("localhost", 1, token=TOKEN).status("notif-1")


@patient
async def test_a_time_without_a_zone_is_refused_before_anything_is_sent() -> None:
    async with PinguinClient("localhost", 1, token=TOKEN) as client:
        with pytest.raises(InvalidValue):
            await client.send(MAIL, scheduled_at=datetime(2030, 1, 1))  # noqa: DTZ001 (the point)


@patient
async def test_a_status_is_shown_without_recipient_and_content() -> None:
    async with serving(MemoryRepository()) as service, service.client() as client:
        shown = repr(await client.send(MAIL))

    assert "notif-1" in shown
    assert not [secret for secret in ("ada@", "Hello", "Good news") if secret in shown]


def test_answers_of_the_go_service_are_understood() -> None:
    """It fills fewer fields, writes nanoseconds and offsets, and may name later statuses."""
    answer = make(
        NotificationResponse,
        notification_id="notif-1",
        status=5,
        created_at="2030-01-01T14:00:00.123456789+02:00",
        updated_at="2030-01-01T12:00:00Z",
    )

    status = status_from(answer)

    assert status.status is Status.UNKNOWN
    assert status.created_at == datetime(2030, 1, 1, 12, 0, 0, 123456, tzinfo=UTC)


def test_the_attempts_are_read_as_they_were_told() -> None:
    sending = Notification.queue(NotificationId("notif-1"), MAIL, NOON).start(NOON, timedelta(1))
    later = NOON + timedelta(microseconds=1)
    refused = sending.fail(PermanentDeliveryError("no such user", code="550"), later, NO_RETRIES)

    answer = decode(NotificationResponse, encode(to_wire(refused)))

    assert status_from(answer).attempts == (
        Attempt(1, NOON, later, Outcome.REFUSED, "550", "no such user"),
    )


def test_an_outcome_that_only_later_versions_know_is_unknown() -> None:
    attempt = make(wire.Attempt, number=1, started_at=NOON, ended_at=NOON, outcome=99)
    answer = make(
        NotificationResponse,
        created_at="2030-01-01T12:00:00Z",
        updated_at="2030-01-01T12:00:00Z",
        attempts=[attempt],
    )

    (read,) = status_from(decode(NotificationResponse, encode(answer))).attempts

    assert read.outcome is Outcome.UNKNOWN


def test_importing_the_client_loads_neither_the_server_nor_what_only_errors_need() -> None:
    program = "import sys, pinguin_grpc.client; print(*sys.modules)"
    command = [sys.executable, "-c", program]
    loaded = subprocess.run(command, capture_output=True, check=True, timeout=20, text=True).stdout

    unwanted = {"pinguin_grpc.server", "pinguin_grpc.calls", "sqlalchemy", "google.rpc"}
    assert not unwanted & set(loaded.split())
