"""An HTTP/2 client that sends whatever a test wants sent, well-formed or not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from types import MappingProxyType
from urllib.parse import unquote

import h2.config
import h2.connection
import h2.events
import h2.exceptions
from grpclib.const import Status
from grpclib.metadata import decode_bin_value
from support.grpc_serving import TOKEN

from pinguin_grpc.details import DetailsCodec

SEND = "/pinguin.NotificationService/SendNotification"
GET = "/pinguin.NotificationService/GetNotificationStatus"

Headers = Iterable[tuple[str, str]]
NOTHING: Mapping[str, str] = MappingProxyType({})
AUTHORISED = (("authorization", f"Bearer {TOKEN}"),)


@dataclass
class Answer:
    """What came back on one stream; `reset` is the code it was reset with, if it was."""

    headers: dict[str, str] = field(default_factory=dict)
    data: bytes = b""
    ended: bool = False
    reset: int | None = None

    @property
    def status(self) -> Status | None:
        """The gRPC status, if there is one."""
        number = self.headers.get("grpc-status")
        return None if number is None else Status(int(number))

    @property
    def text(self) -> str:
        return unquote(self.headers.get("grpc-message", ""))

    @property
    def fields(self) -> list[str]:
        """The fields that the error's details name."""
        encoded = self.headers.get("grpc-status-details-bin", "").encode()
        details = decode_bin_value(encoded)
        return [each.field for each in DetailsCodec().decode(Status.OK, None, details)]


class RawConnection:
    """One connection, with what came back on its streams so far.

    Attributes:
        goaways: the last stream and the error code of each GOAWAY frame.
        closed: the server has closed it.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        config = h2.config.H2Configuration(
            header_encoding="latin-1",
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
        )
        self.http2 = h2.connection.H2Connection(config)
        self.answers: dict[int, Answer] = {}
        self.goaways: list[tuple[int, int]] = []
        self.closed = False
        self._reader = reader
        self._writer = writer

    def begin(
        self, path: str, headers: Headers = AUTHORISED, changes: Mapping[str, str] = NOTHING
    ) -> int:
        """Send a request's headers; those that are changed to nothing are left out."""
        stream = self.http2.get_next_available_stream_id()
        fields = {
            ":method": "POST",
            ":scheme": "http",
            ":path": path,
            ":authority": "localhost",
            "te": "trailers",
            "content-type": "application/grpc",
        }
        sent = [(name, value) for name, value in (fields | {**changes}).items() if value]
        self.http2.send_headers(stream, [*sent, *headers])
        self.answers[stream] = Answer()
        self.flush()
        return stream

    def send(self, stream: int, data: bytes, *, end: bool = True) -> None:
        """Send data as far as windows allow, which is as far as these tests go."""
        size = self.http2.max_outbound_frame_size
        for start in range(0, len(data), size):
            self.http2.send_data(stream, data[start : start + size])
        if end:
            self.http2.end_stream(stream)
        self.flush()

    def flush(self) -> None:
        self.write(self.http2.data_to_send())

    def write(self, data: bytes) -> None:
        """Send bytes as they are."""
        self._writer.write(data)

    async def answer(self, stream: int) -> Answer:
        """Wait until a stream is answered to its end, or will not be."""
        answer = self.answers[stream]
        while not (answer.ended or answer.reset is not None or self.closed):
            await self.receive()
        return answer

    async def call(
        self,
        path: str,
        body: bytes,
        headers: Headers = AUTHORISED,
        changes: Mapping[str, str] = NOTHING,
    ) -> Answer:
        """Make one call to its end."""
        stream = self.begin(path, headers, changes)
        self.send(stream, body)
        return await self.answer(stream)

    async def until_closed(self) -> None:
        """Wait until the server closes the connection."""
        while not self.closed:
            await self.receive()

    async def hang_up(self) -> None:
        """Send no more, and read to the end what is none of our business."""
        self._writer.write_eof()
        with suppress(ConnectionError):
            while await self._reader.read(1 << 16):
                pass

    async def receive(self) -> None:
        """Take in what comes next."""
        try:
            data = await self._reader.read(1 << 16)
        except ConnectionError:
            data = b""
        self.closed = not data
        try:
            events = self.http2.receive_data(data)
        except h2.exceptions.ProtocolError:  # h2 takes nothing in after a GOAWAY
            return
        for event in events:
            self._note(event)
        if not self.closed:
            self.flush()

    def _note(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.ConnectionTerminated):
            self.goaways.append((event.last_stream_id or 0, int(event.error_code or 0)))
            return
        answer = self.answers.get(getattr(event, "stream_id", None) or 0, Answer())
        if isinstance(event, h2.events.ResponseReceived | h2.events.TrailersReceived):
            answer.headers.update((str(name), str(value)) for name, value in event.headers or ())
        elif isinstance(event, h2.events.DataReceived):
            answer.data += event.data or b""
        elif isinstance(event, h2.events.StreamEnded):
            answer.ended = True
        elif isinstance(event, h2.events.StreamReset):
            answer.reset = int(event.error_code or 0)


@asynccontextmanager
async def raw_connection(port: int, *, introduce: bool = True) -> AsyncIterator[RawConnection]:
    """Connect to a port of this machine, and speak HTTP/2 unless told not to."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    connection = RawConnection(reader, writer)
    if introduce:
        connection.http2.initiate_connection()
        connection.flush()
    try:
        yield connection
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


def framed(message: bytes, *, flag: int = 0, length: int | None = None) -> bytes:
    """Put gRPC's prefix before a message."""
    announced = len(message) if length is None else length
    return bytes([flag]) + announced.to_bytes(4, "big") + message
