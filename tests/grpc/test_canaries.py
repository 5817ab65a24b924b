"""The private parts of grpclib, betterproto and h2 that we touch are still what they were."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import betterproto
import pytest
from grpclib import events, server, stream
from grpclib.client import Channel
from grpclib.config import Configuration
from grpclib.protocol import AbstractHandler, Buffer, Connection, EventsProcessor, H2Protocol
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from hyperframe.frame import SettingsFrame
from support.grpc_serving import serving
from support.patience import patient
from support.raw_http2 import SEND, framed, raw_connection

from pinguin_core.testing.fakes import MemoryRepository
from pinguin_grpc.codec import encode, make
from pinguin_grpc.frames import CountedFrames, TooManyFrames
from pinguin_grpc.wire.pinguin import NotificationRequest


def names(function: Any) -> list[str]:
    return list(inspect.signature(function).parameters)


def test_grpclib_request_handler_takes_what_we_give_it() -> None:
    assert names(server.request_handler) == [
        *("mapping", "_stream", "headers", "codec", "status_details_codec", "dispatch"),
        "release_stream",
    ]


def test_grpclib_reads_a_prefix_of_five_bytes_then_the_message_through_recv_data() -> None:
    source = inspect.getsource(stream.recv_message)

    assert source.index("stream.recv_data(5)") < source.index("stream.recv_data(message_len)")


@patient
async def test_grpclib_buffer_says_with_an_assertion_that_a_body_was_cut_off() -> None:
    buffer = Buffer(lambda _: None)
    buffer.add(b"abc", 3)
    buffer.eof()

    with pytest.raises(AssertionError, match="less data than expected"):
        await buffer.read(5)


def test_grpclib_handler_is_asked_to_accept_cancel_and_close() -> None:
    assert {"accept", "cancel", "close"} == AbstractHandler.__abstractmethods__
    assert names(AbstractHandler.accept) == ["self", "stream", "headers", "release_stream"]


def test_grpclib_announces_requests_through_its_dispatch_object() -> None:
    dispatch = events._DispatchServerEvents()

    assert events.RecvRequest in dispatch.__dispatch_methods__
    assert "__dispatch__" in inspect.getsource(events.listen)


def test_grpclib_events_processor_has_the_parts_that_we_change() -> None:
    connection = Connection(H2Connection(), None, config=Configuration())  # type: ignore[arg-type]  # no I/O
    processor = EventsProcessor(None, connection)  # type: ignore[arg-type]  # none is asked

    assert isinstance(processor.processors, dict)
    assert isinstance(processor.streams, dict)
    for name in ("remote_settings_changed", "data_received", "stream_reset", "ping_ack_received"):
        assert getattr(processor, f"process_{name}") in processor.processors.values()


def test_grpclib_protocol_takes_a_handler_and_two_configurations() -> None:
    assert names(H2Protocol) == ["handler", "config", "h2_config"]
    assert Configuration().__for_server__()._keepalive_time == 7200


@patient
async def test_h2_takes_each_frame_from_the_buffer_that_we_put_in_its_place() -> None:
    http2 = H2Connection(H2Configuration(client_side=False))
    connection = Connection(http2, None, config=Configuration())  # type: ignore[arg-type]  # no I/O
    http2.initiate_connection()
    connection._connection.incoming_buffer = frames = CountedFrames(1)
    http2.receive_data(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SettingsFrame().serialize()[:-2])
    assert frames.pending == 7
    http2.clear_outbound_data_buffer()

    with pytest.raises(TooManyFrames):
        http2.receive_data(SettingsFrame().serialize()[-2:] + SettingsFrame().serialize())
    assert http2.data_to_send().endswith(ErrorCodes.ENHANCE_YOUR_CALM.to_bytes(4, "big"))


@patient
async def test_grpclib_counts_the_data_that_it_sends() -> None:
    async with serving(MemoryRepository()) as service, raw_connection(service.port) as connection:
        request = make(NotificationRequest, recipient="ada@example.com", message="x" * 1000)
        await connection.call(SEND, framed(encode(request)))
        (ours,) = service.server._connections

        assert ours.connection.data_sent > 1000


def test_betterproto_keeps_its_field_tables_where_we_look_for_them() -> None:
    metadata: Any = NotificationRequest._betterproto  # type: ignore[arg-type]  # its typing is off

    assert metadata.meta_by_field_name["recipient"].number == 2
    assert metadata.meta_by_field_name["scheduled_time"].optional
    assert metadata.cls_by_field["scheduled_time"].__name__ == "datetime"
    assert metadata.default_gen["attachments"] is list
    assert metadata.field_name_by_number[2] == "recipient"


def test_betterproto_keeps_a_message_in_its_dict_with_nothing_beside_its_fields_but_marks() -> None:
    request = NotificationRequest(recipient="a")
    attributes = object.__getattribute__(request, "__dict__")
    fields = NotificationRequest.__dataclass_fields__.keys()

    assert attributes["recipient"] == "a"
    assert attributes["subject"] is betterproto.PLACEHOLDER
    assert {
        "_serialized_on_wire",
        "_unknown_fields",
        "_group_current",
    } == attributes.keys() - fields


def test_grpclib_channel_connects_through_its_own_method() -> None:
    assert "self._create_connection()" in inspect.getsource(Channel.__connect__)


@patient
async def test_grpclib_connection_keeps_its_transport() -> None:
    transport = asyncio.Transport()
    connection = Connection(H2Connection(), transport, config=Configuration())
    assert connection._transport is transport
