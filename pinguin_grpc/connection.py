"""One caller's HTTP/2 connection: grpclib's, with the bounds and the good manners that it lacks."""

from __future__ import annotations

import asyncio
from typing import Final, cast

from grpclib.config import Configuration
from grpclib.protocol import Connection, EventsProcessor, H2Protocol
from h2.config import H2Configuration
from h2.errors import ErrorCodes
from h2.events import (
    AlternativeServiceAvailable,
    DataReceived,
    PingAckReceived,
    RemoteSettingsChanged,
    StreamReset,
    UnknownFrameReceived,
)
from h2.events import Event as H2Event
from h2.exceptions import ProtocolError
from hyperframe.frame import GoAwayFrame, PingFrame

from pinguin_grpc.calls import Calls, Shared
from pinguin_grpc.frames import CountedFrames
from pinguin_grpc.gathering import GatheringTransport
from pinguin_grpc.limits import Limits, TokenBucket

_RESETS_PER_SECOND: Final = 100.0
_SLICE: Final = 1 << 14  # bytes that are handled before we look whether it was too much
_LONG_READ: Final = 1 << 16  # bytes after which the others have their turn
_LARGEST_FRAME: Final = 9 + (1 << 14)  # bytes: a header, and what SETTINGS allows by default
_ANY_STREAM: Final = 2**31 - 1
_FRAMES_PER_CALL: Final = 16  # what a call with a token earns; clients need four or five
_BYTES_PER_FRAME: Final = 256  # of messages, which earn too: long ones need more frames
_SIGN: Final = b"caughtup"  # what a ping carries: eight bytes

_GRPCLIB: Final = Configuration().__for_server__()
_H2: Final = H2Configuration(
    client_side=False,
    header_encoding="latin-1",  # any byte decodes: a strange header must not end the connection
    validate_inbound_headers=False,
    validate_outbound_headers=False,
    normalize_inbound_headers=False,
    normalize_outbound_headers=False,
)


class ServerConnection(H2Protocol):
    """A connection, from its first byte to its last.

    Args:
        connections: where it is listed while it is open.
    """

    def __init__(self, shared: Shared, connections: set[ServerConnection]) -> None:
        self.calls = Calls(shared)
        super().__init__(self.calls, _GRPCLIB, _H2)
        self.closed = asyncio.Event()
        self._shared = shared
        self._connections = connections
        self._loop = asyncio.get_running_loop()
        self._watch: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to listen to the caller."""
        self.transport = GatheringTransport(cast("asyncio.Transport", transport))
        super().connection_made(self.transport)
        limits = self._shared.limits
        self.processor = self.events = _Events(self.calls, self.connection, limits)
        self._frames = _counted(self.connection, limits)
        self._connections.add(self)
        if self._shared.draining:
            self.close()
            return
        if len(self._connections) > limits.connections:
            self.close(ErrorCodes.ENHANCE_YOUR_CALM)
            return
        handshake = limits.handshake.total_seconds()
        self._watch = self._loop.call_later(handshake, self._close_if_idle)

    def data_received(self, data: bytes) -> None:
        """Hand what arrived to HTTP/2, and close the connection if it is none."""
        if self.connection.is_closing():
            return
        if self.transport.get_write_buffer_size() > self._shared.limits.unread_bytes:
            self.abort()
            return
        for start in range(0, len(data), _SLICE):
            self._receive(data[start : start + _SLICE])
            if self.connection.is_closing():
                return
        self.connection.flush()
        if len(data) >= _LONG_READ:
            self._let_others_read()

    def connection_lost(self, exc: BaseException | None) -> None:
        """End the calls under way: nobody waits for their answers."""
        super().connection_lost(exc)
        self._connections.discard(self)
        if self._watch is not None:
            self._watch.cancel()
        self.events.caught_up.set()
        self.closed.set()

    def ask_for_sign(self) -> None:
        """Have `events.caught_up` set once the caller has read everything up to here."""
        self._write(PingFrame(0, opaque_data=_SIGN).serialize())

    def announce_end(self) -> None:
        """Ask the caller to begin no further calls here; those on their way still count."""
        self._write(_goaway(_ANY_STREAM))

    def close(self, reason: ErrorCodes = ErrorCodes.NO_ERROR) -> None:
        """Say how far we came, and close once that is sent."""
        self._write(_goaway(self.calls.last_stream, reason))
        self.processor.close()

    def abort(self) -> None:
        """Close at once."""
        transport = self.transport
        self.processor.close()
        transport.abort()

    def _let_others_read(self) -> None:
        """Read on in the next turn of the event loop: uvloop may read dozens of times in one."""
        self.transport.pause_reading()
        self._loop.call_soon(self.transport.resume_reading)

    def _receive(self, data: bytes) -> None:
        self._frames.pay(self._earned())
        try:
            events = self.connection.feed(data)
        except ProtocolError:
            self.connection.flush()  # h2 has a GOAWAY ready that says why
            self.processor.close("Protocol error")
            return
        for event in events:
            self.processor.process(event)
        if self.events.exhausted:
            self.close(ErrorCodes.ENHANCE_YOUR_CALM)
        elif self._frames.pending > _LARGEST_FRAME:
            self.close(ErrorCodes.FRAME_SIZE_ERROR)

    def _earned(self) -> int:
        """Return how many frames beyond the usual this caller's calls are good for."""
        exchanged = self.connection.data_sent + self.events.data_taken
        return self.calls.authorised * _FRAMES_PER_CALL + exchanged // _BYTES_PER_FRAME

    def _write(self, frame: bytes) -> None:
        if not self.connection.is_closing():
            self.connection.flush()
            self.transport.write(frame)

    def _close_if_idle(self) -> None:
        """Close a connection that nobody speaks on, or look again when that could be the case."""
        limits = self._shared.limits
        idle = (limits.idle if self.calls.authorised else limits.stranger).total_seconds()
        left = self.calls.last_end + idle - self._loop.time()
        if not self.events.speaks_http2 or (left <= 0 and not self.calls.under_way):
            self.close()
        else:
            self._watch = self._loop.call_later(max(left, idle / 10), self._close_if_idle)


class _Events(EventsProcessor):
    """What happens on a connection.

    Attributes:
        speaks_http2: the caller has introduced itself.
        exhausted: the caller has broken off more calls than it may.
        data_taken: how many bytes have come for calls that are not over.
        caught_up: set when the caller has given the sign that it was asked for.
    """

    def __init__(self, calls: Calls, connection: Connection, limits: Limits) -> None:
        super().__init__(calls, connection)
        # RFC 9113 5.5: what is not known is ignored; grpclib would end the connection.
        self.processors |= dict.fromkeys(
            (UnknownFrameReceived, AlternativeServiceAvailable), _ignore
        )
        self.speaks_http2 = False
        self.exhausted = False
        self.data_taken = 0
        self.caught_up = asyncio.Event()
        self._resets = TokenBucket(limits.resets, _RESETS_PER_SECOND)
        self._loop = asyncio.get_running_loop()

    def process_remote_settings_changed(self, event: RemoteSettingsChanged) -> None:
        super().process_remote_settings_changed(event)
        self.speaks_http2 = True

    def process_data_received(self, event: DataReceived) -> None:
        if event.flow_controlled_length:  # grpclib takes an empty frame for the end of the body
            super().process_data_received(event)
            if event.stream_id in self.streams:
                self.data_taken += event.flow_controlled_length

    def process_stream_reset(self, event: StreamReset) -> None:
        super().process_stream_reset(event)
        if not self._resets.take(self._loop.time()):
            self.exhausted = True

    def process_ping_ack_received(self, event: PingAckReceived) -> None:
        super().process_ping_ack_received(event)
        if event.ping_data == _SIGN:
            self.caught_up.set()


def _counted(connection: Connection, limits: Limits) -> CountedFrames:
    """Have the frames of a new connection counted."""
    http2 = connection._connection  # noqa: SLF001 (guarded by a canary test)
    http2.incoming_buffer = frames = CountedFrames(limits.frames)
    return frames


def _ignore(_: H2Event) -> None:
    """Do nothing."""


def _goaway(last_stream: int, reason: ErrorCodes = ErrorCodes.NO_ERROR) -> bytes:
    return GoAwayFrame(0, last_stream_id=last_stream, error_code=reason).serialize()
