"""Whoever floods the service with frames is shown the door; whoever works hard is not."""

from __future__ import annotations

from typing import Any

import pytest
from grpclib.const import Status
from h2.errors import ErrorCodes
from hyperframe.frame import (
    DataFrame,
    ExtensionFrame,
    Frame,
    PingFrame,
    PriorityFrame,
    SettingsFrame,
    WindowUpdateFrame,
)
from support.grpc_serving import serving
from support.patience import patient
from support.raw_http2 import AUTHORISED, GET, SEND, RawConnection, framed, raw_connection

from pinguin_core.testing.fakes import MemoryRepository
from pinguin_grpc.codec import encode, make
from pinguin_grpc.limits import Limits
from pinguin_grpc.wire.pinguin import GetNotificationStatusRequest, NotificationRequest

ASK = framed(encode(make(GetNotificationStatusRequest, notification_id="notif-404")))
LONG = framed(
    encode(make(NotificationRequest, recipient="ada@example.com", message="x" * 3_999_000))
)
REFLECTION = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
STRANGER = (("authorization", "Bearer wrong"),)
FEW = Limits(frames=100)
FLOOD = 2000


async def serves_on(connection: RawConnection) -> bool:
    return (await connection.call(GET, ASK)).status is Status.NOT_FOUND


async def shown_the_door(rude: RawConnection) -> bool:
    await rude.until_closed()
    return [code for _, code in rude.goaways] == [ErrorCodes.ENHANCE_YOUR_CALM]


@patient
@pytest.mark.parametrize(
    "frame",
    [
        SettingsFrame(),
        SettingsFrame(flags=["ACK"]),
        PingFrame(opaque_data=b"12345678"),
        PingFrame(opaque_data=b"12345678", flags=["ACK"]),
        PriorityFrame(1),
        WindowUpdateFrame(0, window_increment=1),
        ExtensionFrame(type=0x4B, stream_id=0, body=b""),
    ],
    ids=repr,
)
async def test_a_flood_of_frames_that_make_no_call_is_ended(
    frame: Frame, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(MemoryRepository()) as service:
        monkeypatch.setattr(service.server._shared, "limits", FEW)
        async with raw_connection(service.port) as rude, raw_connection(service.port) as polite:
            rude.write(frame.serialize() * FLOOD)

            assert await shown_the_door(rude)
            assert await serves_on(polite)


@patient
@pytest.mark.parametrize("headers", [AUTHORISED, STRANGER])
@pytest.mark.parametrize(
    "frame",
    [DataFrame(1), DataFrame(1, b"x"), WindowUpdateFrame(1, window_increment=1)],
    ids=repr,
)
async def test_a_flood_within_a_call_is_ended(
    frame: Frame, headers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(MemoryRepository()) as service:
        monkeypatch.setattr(service.server._shared, "limits", FEW)
        async with raw_connection(service.port) as rude, raw_connection(service.port) as polite:
            rude.begin(GET, headers)
            rude.write(frame.serialize() * FLOOD)

            assert await shown_the_door(rude)
            assert await serves_on(polite)


@patient
async def test_data_for_a_call_that_was_refused_earns_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with serving(MemoryRepository()) as service:
        monkeypatch.setattr(service.server._shared, "limits", FEW)
        async with raw_connection(service.port) as rude, raw_connection(service.port) as polite:
            refused = rude.begin(GET, STRANGER)
            assert (await rude.answer(refused)).status is Status.UNAUTHENTICATED
            rude.write(DataFrame(refused, bytes(600)).serialize() * 400)

            assert await shown_the_door(rude)
            assert await serves_on(polite)


@patient
async def test_a_flood_of_calls_without_a_token_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(MemoryRepository()) as service:
        monkeypatch.setattr(service.server._shared, "limits", Limits(frames=20))
        async with raw_connection(service.port) as rude, raw_connection(service.port) as polite:
            for _ in range(90):
                rude.send(rude.begin(GET, STRANGER), ASK)

            assert await shown_the_door(rude)
            assert await serves_on(polite)


@patient
async def test_a_busy_client_is_welcome_with_all_its_pings_and_windows() -> None:
    """Such as one of grpcio, which sends two windows and a ping for an answer, to measure."""
    async with serving(MemoryRepository()) as service, raw_connection(service.port) as busy:
        for _ in range(100):
            streams = [busy.begin(GET) for _ in range(50)]
            for stream in streams:
                busy.send(stream, ASK)
                busy.http2.increment_flow_control_window(1)
                busy.http2.increment_flow_control_window(1, stream)
                busy.http2.ping(b"12345678")
                busy.http2.update_settings({})
            for stream in streams:
                assert (await busy.answer(stream)).status is Status.NOT_FOUND
        assert busy.goaways == []


@patient
async def test_a_long_message_may_come_in_short_frames_and_its_answer_in_small_windows() -> None:
    async with serving(MemoryRepository()) as service, raw_connection(service.port) as connection:
        assert await serves_on(connection)
        stream = connection.begin(SEND)
        for start in range(0, len(LONG), 500):
            connection.send(stream, LONG[start : start + 500], end=False)
        connection.send(stream, b"")
        answer, opened = connection.answers[stream], 0
        while not (answer.ended or connection.closed):
            await connection.receive()
            while opened + 1000 < len(answer.data) and not answer.ended:
                opened += 1000
                connection.http2.increment_flow_control_window(1000)
                connection.http2.increment_flow_control_window(1000, stream)
                connection.flush()

        assert answer.status is Status.OK


@patient
async def test_a_stream_of_many_requests_lets_others_have_their_turn() -> None:
    async with serving(MemoryRepository()) as service, raw_connection(service.port) as connection:
        stream, call = connection.begin(REFLECTION), connection.begin(GET)
        connection.http2.send_data(stream, framed(b"") * 500, end_stream=True)
        connection.http2.send_data(call, ASK, end_stream=True)
        connection.flush()

        assert (await connection.answer(call)).status is Status.NOT_FOUND
        assert not connection.answers[stream].ended
        assert (await connection.answer(stream)).status is Status.OK
