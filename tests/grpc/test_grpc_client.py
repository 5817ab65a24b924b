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
from support.grpc_serving import TOKEN, serving
from support.patience import patient

from pinguin_core import Channel, Email, EmailAddress, InvalidValue, PhoneNumber, Sms
from pinguin_core.testing.fakes import NOON, MemoryRepository
from pinguin_grpc.client import (
    CallRefused,
    NotificationStatus,
    PinguinClient,
    ServiceUnreachable,
    Status,
)
from pinguin_grpc.codec import make
from pinguin_grpc.wire.pinguin import NotificationResponse

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
        )


@patient
async def test_an_sms_is_sent_as_one() -> None:
    async with serving(MemoryRepository()) as service, service.client() as client:
        sent = await client.send(TEXT_MESSAGE)

        assert (sent.channel, sent.recipient) == (Channel.SMS, "+15550100123")
        assert sent.scheduled_at is None


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
        with pytest.raises(ServiceUnreachable, match="nothing listens"):
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
        (hang_up, "broke off"),
        (speak_http1, "broke off"),
        (speak_nonsense, "broke off"),
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


@patient
async def test_nobody_there_is_said_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    async with PinguinClient("127.0.0.1", port, token=TOKEN) as client:
        with pytest.raises(ServiceUnreachable, match=f"nothing listens on 127.0.0.1:{port}"):
            await client.send(MAIL)


@patient
async def test_tls_where_none_is_spoken_is_said_so() -> None:
    async with (
        serving(MemoryRepository()) as service,
        service.client(tls=ssl.create_default_context()) as client,
    ):
        with pytest.raises(ServiceUnreachable):
            await client.send(MAIL)


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
    from pinguin_grpc.client import _status_from

    answer = make(
        NotificationResponse,
        notification_id="notif-1",
        status=5,
        created_at="2030-01-01T14:00:00.123456789+02:00",
        updated_at="2030-01-01T12:00:00Z",
    )

    status = _status_from(answer)

    assert status.status is Status.UNKNOWN
    assert status.created_at == datetime(2030, 1, 1, 12, 0, 0, 123456, tzinfo=UTC)


def test_importing_the_client_loads_neither_the_server_nor_what_only_errors_need() -> None:
    program = "import sys, pinguin_grpc.client; print(*sys.modules)"
    command = [sys.executable, "-c", program]
    loaded = subprocess.run(command, capture_output=True, check=True, timeout=20, text=True).stdout

    unwanted = {"pinguin_grpc.server", "pinguin_grpc.calls", "sqlalchemy", "google.rpc"}
    assert not unwanted & set(loaded.split())
