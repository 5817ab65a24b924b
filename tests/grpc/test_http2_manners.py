"""Callers that break HTTP/2's rules, or bend them, harm nobody but themselves."""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta

import pytest
from grpclib.const import Status
from h2.errors import ErrorCodes
from h2.settings import SettingCodes
from hyperframe.frame import DataFrame, RstStreamFrame
from support.grpc_serving import CountingRepository, serving
from support.patience import jump, patient
from support.raw_http2 import AUTHORISED, GET, SEND, RawConnection, framed, raw_connection

from pinguin_core import Notification, NotificationId, NullObserver
from pinguin_core.testing.fakes import MemoryRepository
from pinguin_grpc.calls import Shared
from pinguin_grpc.codec import encode, make
from pinguin_grpc.connection import ServerConnection
from pinguin_grpc.limits import Limits
from pinguin_grpc.wire.pinguin import GetNotificationStatusRequest, NotificationRequest

GOOD = framed(encode(make(NotificationRequest, recipient="ada@example.com", message="Hi")))
ASK = framed(encode(make(GetNotificationStatusRequest, notification_id="notif-404")))
LIMITS = Limits()


class GatedRepository(MemoryRepository):
    """Answers once its gate is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = asyncio.Event()
        self.gate = asyncio.Event()

    async def get(self, notification_id: NotificationId) -> Notification:
        self.asked.set()
        await self.gate.wait()
        return await super().get(notification_id)


def frame(type_: int, stream: int, body: bytes, length: int | None = None) -> bytes:
    announced = len(body) if length is None else length
    return announced.to_bytes(3, "big") + bytes([type_, 0]) + stream.to_bytes(4, "big") + body


async def serves_on(connection: RawConnection) -> bool:
    answer = await connection.call(GET, ASK)
    return answer.status is Status.NOT_FOUND


@patient
async def test_frames_that_nobody_knows_are_ignored() -> None:
    async with serving(MemoryRepository()) as service, raw_connection(service.port) as connection:
        stream = connection.begin(GET)
        for type_, stream_id in ((0x4B, 0), (0x0A, 0), (0x10, 0), (0x0C, stream), (0xEE, stream)):
            connection.write(frame(type_, stream_id, b"\0\4host=h2"))
        connection.send(stream, ASK)

        assert (await connection.answer(stream)).status is Status.NOT_FOUND
        assert await serves_on(connection)


@patient
@pytest.mark.parametrize("missing", [":path", ":method"])
async def test_a_request_without_what_makes_it_one_is_reset(missing: str) -> None:
    async with serving(MemoryRepository()) as service, raw_connection(service.port) as connection:
        answer = await connection.call(GET, ASK, changes={missing: ""})

        assert answer.reset == ErrorCodes.PROTOCOL_ERROR
        assert await serves_on(connection)


@patient
@pytest.mark.parametrize(
    ("changes", "http_status"),
    [
        ({":method": "GET"}, "405"),
        ({"content-type": "text/plain"}, "415"),
        ({"content-type": "application/grpc+json"}, "415"),
        ({"content-type": ""}, "415"),
        ({"te": ""}, "400"),
    ],
)
async def test_what_is_not_grpc_gets_an_http_status(
    changes: dict[str, str], http_status: str
) -> None:
    async with serving(MemoryRepository()) as service, raw_connection(service.port) as connection:
        answer = await connection.call(GET, ASK, changes=changes)

        assert answer.headers[":status"] == http_status
        assert await serves_on(connection)


@patient
@pytest.mark.parametrize(
    "header",
    [
        ("trace-bin", "a"),
        ("trace-bin", "not/base64!,?"),
        ("trace-bin", "naïve"),
        ("x-name", "naïve"),
        ("x-name", "\xff\xfe"),
        ("x-empty", ""),
        ("grpc-encoding", "identity"),
        ("user-agent", "x" * 8000),
    ],
)
async def test_strange_metadata_is_no_reason_to_refuse_a_call(header: tuple[str, str]) -> None:
    async with serving(MemoryRepository()) as service, raw_connection(service.port) as connection:
        latin = [(name.encode(), value.encode("latin-1")) for name, value in (*AUTHORISED, header)]
        answer = await connection.call(GET, ASK, latin)  # type: ignore[arg-type]  # bytes go out as they are

        assert answer.status is Status.NOT_FOUND
        assert await serves_on(connection)


@patient
async def test_empty_frames_within_a_body_do_not_end_it() -> None:
    async with serving(MemoryRepository()) as service, raw_connection(service.port) as connection:
        stream = connection.begin(GET)
        for byte in ASK:
            connection.write(DataFrame(stream).serialize())
            connection.http2.send_data(stream, bytes([byte]), pad_length=3)
            connection.flush()
        connection.send(stream, b"")

        assert (await connection.answer(stream)).status is Status.NOT_FOUND


@patient
async def test_a_body_that_does_not_come_is_not_waited_for_longer_than_a_call_may_take() -> None:
    async with serving(MemoryRepository()) as service, raw_connection(service.port) as connection:
        never_ended = connection.begin(GET)
        connection.send(never_ended, ASK, end=False)
        never_begun = connection.begin(GET)
        assert await serves_on(connection)
        jump(LIMITS.call)

        assert (await connection.answer(never_ended)).status is Status.DEADLINE_EXCEEDED
        assert (await connection.answer(never_begun)).status is Status.DEADLINE_EXCEEDED


@patient
async def test_a_callers_deadline_ends_its_call() -> None:
    repository = GatedRepository()
    async with serving(repository) as service, raw_connection(service.port) as connection:
        stream = connection.begin(GET, changes={"grpc-timeout": "5S"})
        connection.send(stream, ASK)
        async with asyncio.TaskGroup() as group:
            group.create_task(connection.answer(stream))
            await repository.asked.wait()
            jump(timedelta(seconds=5))

        assert connection.answers[stream].status is Status.DEADLINE_EXCEEDED
        assert service.observer.troubles == []


@patient
async def test_a_call_that_is_broken_off_ends_and_leaves_nothing_open() -> None:
    repository = GatedRepository()
    async with serving(repository) as service, raw_connection(service.port) as connection:
        for _ in range(150):
            stream = connection.begin(GET)
            connection.send(stream, ASK)
            await repository.asked.wait()
            repository.asked.clear()
            connection.http2.reset_stream(stream, ErrorCodes.CANCEL)
            connection.flush()
        repository.gate.set()
        assert await serves_on(connection)

        (ours,) = service.server._connections
        assert ours.processor.streams == {}
        assert ours.calls.under_way == {}
        assert service.observer.troubles == []


@patient
async def test_a_call_that_is_broken_off_before_it_began_is_forgotten_too() -> None:
    repository = CountingRepository()
    async with serving(repository) as service, raw_connection(service.port) as connection:
        for _ in range(20):
            stream = connection.http2.get_next_available_stream_id()
            connection.http2.send_headers(stream, [(":method", "POST"), (":path", SEND)])
            connection.http2.reset_stream(stream)
        connection.flush()
        assert await serves_on(connection)

        (ours,) = service.server._connections
        assert ours.processor.streams == {}
        assert ours.calls.under_way == {}


@patient
async def test_whoever_breaks_off_calls_in_great_haste_is_shown_the_door() -> None:
    async with (
        serving(MemoryRepository()) as service,
        raw_connection(service.port) as rude,
        raw_connection(service.port) as polite,
    ):
        for _ in range(LIMITS.resets + 50):
            stream = rude.begin(GET)
            rude.write(RstStreamFrame(stream, error_code=8).serialize())
            rude.http2.reset_stream(stream)
            rude.http2.clear_outbound_data_buffer()
        await rude.until_closed()

        assert [code for _, code in rude.goaways] == [ErrorCodes.ENHANCE_YOUR_CALM]
        assert await serves_on(polite)


class FullTransport(asyncio.Transport):
    """A transport whose peer reads nothing."""

    def __init__(self, unread: int) -> None:
        super().__init__()
        self.unread = unread
        self.aborted = False
        self.told: list[str] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.unread += len(data)

    def get_write_buffer_size(self) -> int:
        return self.unread

    def pause_reading(self) -> None:
        self.told.append("pause")

    def resume_reading(self) -> None:
        self.told.append("resume")

    def is_closing(self) -> bool:
        return self.aborted

    def close(self) -> None:
        """Wait for ever: the peer reads nothing."""

    def abort(self) -> None:
        self.aborted = True


@patient
@pytest.mark.parametrize("excess", [0, 1])
async def test_whoever_reads_no_answers_is_cut_off(excess: int) -> None:
    shared = Shared({}, LIMITS, NullObserver())
    connection = ServerConnection(shared, set())
    transport = FullTransport(0)
    connection.connection_made(transport)
    await asyncio.sleep(0)  # the greeting leaves at the end of the turn
    transport.unread = LIMITS.unread_bytes + excess
    connection.data_received(b"PRI * HTTP/2.0")

    assert transport.aborted == bool(excess)
    connection.connection_lost(None)


@patient
async def test_the_others_have_their_turn_after_a_long_read() -> None:
    """Not so without a pause: uvloop reads up to 32 times in a row from one socket."""
    connection = ServerConnection(Shared({}, LIMITS, NullObserver()), set())
    transport = FullTransport(0)
    connection.connection_made(transport)
    introduction = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, b"")
    connection.data_received(introduction)
    assert transport.told == []

    connection.data_received(frame(0x4B, 0, bytes(10_000)) * 10)
    assert transport.told == ["pause"]
    await asyncio.sleep(0)
    assert transport.told == ["pause", "resume"]
    connection.connection_lost(None)


@patient
async def test_a_frame_larger_than_allowed_is_refused_before_it_is_there() -> None:
    async with serving(MemoryRepository()) as service, raw_connection(service.port) as connection:
        assert await serves_on(connection)
        connection.write(frame(0, 3, bytes(40_000), length=2**24 - 1))
        await connection.until_closed()

        assert [code for _, code in connection.goaways] == [ErrorCodes.FRAME_SIZE_ERROR]


@patient
async def test_a_connection_that_says_nothing_is_closed() -> None:
    async with (
        serving(MemoryRepository()) as service,
        raw_connection(service.port, introduce=False) as silent,
        raw_connection(service.port) as polite,
    ):
        assert await serves_on(polite)
        jump(LIMITS.handshake)
        await silent.until_closed()

        assert await serves_on(polite)


@patient
async def test_one_connection_too_many_is_closed_and_the_others_serve_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with serving(MemoryRepository()) as service:
        limits = Limits(connections=1)
        monkeypatch.setattr(service.server._shared, "limits", limits)
        async with (
            raw_connection(service.port) as first,
            raw_connection(service.port) as second,
        ):
            assert await serves_on(first)
            await second.until_closed()

            assert second.goaways == [(0, ErrorCodes.ENHANCE_YOUR_CALM)]
            assert await serves_on(first)


@patient
async def test_a_connection_without_a_token_is_closed_however_often_it_calls() -> None:
    async with (
        serving(MemoryRepository()) as service,
        raw_connection(service.port) as stranger,
        raw_connection(service.port) as friend,
    ):
        jump(LIMITS.handshake)
        assert await serves_on(friend)
        refused = await stranger.call(GET, ASK, changes={"authorization": "Bearer wrong"})
        assert refused.status is Status.UNAUTHENTICATED
        jump(LIMITS.stranger - LIMITS.handshake)
        await stranger.until_closed()

        assert stranger.goaways == [(1, ErrorCodes.NO_ERROR)]
        assert await serves_on(friend)


@patient
async def test_an_idle_connection_is_closed_one_that_serves_is_not() -> None:
    repository = GatedRepository()
    async with (
        serving(repository) as service,
        raw_connection(service.port) as idle,
        raw_connection(service.port) as watching,
    ):
        stream = watching.begin("/grpc.health.v1.Health/Watch")
        watching.send(stream, framed(b""))
        while not watching.answers[stream].data:
            await watching.receive()
        repository.gate.set()
        assert await serves_on(idle)
        jump(LIMITS.handshake)
        assert await serves_on(idle)
        jump(LIMITS.idle)
        await idle.until_closed()

        assert idle.goaways == [(3, ErrorCodes.NO_ERROR)]
        assert await serves_on(watching)


@patient
@pytest.mark.parametrize(
    "noise",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\0" * 100,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\1\6\0\0\0\0\0!",  # a PING of one byte
    ],
)
async def test_what_is_not_http2_is_closed(noise: bytes) -> None:
    async with (
        serving(MemoryRepository()) as service,
        raw_connection(service.port, introduce=False) as connection,
    ):
        connection.write(noise)
        await connection.until_closed()


@patient
async def test_windows_that_overflow_end_the_connection_with_a_reason() -> None:
    async with serving(MemoryRepository()) as service, raw_connection(service.port) as connection:
        assert await serves_on(connection)
        connection.write(b"\0\0\4\x08\0" + bytes(4) + b"\x7f\xff\xff\xff")
        await connection.until_closed()

        assert [code for _, code in connection.goaways] == [ErrorCodes.FLOW_CONTROL_ERROR]


@patient
async def test_an_answer_waits_for_the_callers_window() -> None:
    async with serving(MemoryRepository()) as service, raw_connection(service.port) as connection:
        assert await serves_on(connection)
        connection.http2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 1})
        connection.flush()
        assert await serves_on(connection)
        stream = connection.begin(SEND)
        connection.send(stream, GOOD)
        answer = connection.answers[stream]
        while not answer.data:
            await connection.receive()
        connection.http2.increment_flow_control_window(1000, stream)
        connection.flush()

        assert (await connection.answer(stream)).status is Status.OK


def recorded_conversation() -> bytes:
    """Return what a client sends in one good call."""

    class Tape:
        sent = b""

        def write(self, data: bytes) -> None:
            self.sent += data

    tape = Tape()
    connection = RawConnection(None, tape)  # type: ignore[arg-type]  # it only writes
    connection.http2.initiate_connection()
    connection.flush()
    connection.send(connection.begin(SEND), GOOD)
    return tape.sent


@patient
@pytest.mark.parametrize("seed", range(4))
async def test_mutated_conversations_neither_hang_nor_break_the_service(seed: int) -> None:
    dice = random.Random(seed)
    original = recorded_conversation()
    repository = CountingRepository()
    async with serving(repository) as service:
        for _ in range(60):
            tape = bytearray(original)
            for _ in range(dice.randint(1, 4)):
                tape[dice.randrange(len(tape))] = dice.randrange(256)
            del tape[dice.randint(len(tape) // 2, len(tape) * 2) :]
            async with raw_connection(service.port, introduce=False) as connection:
                connection.write(bytes(tape))
                await connection.hang_up()
        async with raw_connection(service.port) as connection:
            assert await serves_on(connection)
        assert service.observer.troubles == []
