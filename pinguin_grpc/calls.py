"""Calls under way: each is bounded in time and size, and answered whatever happens in it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from time import monotonic
from typing import Any, Final

from grpclib.const import Cardinality, Handler, Status
from grpclib.events import _DispatchServerEvents
from grpclib.exceptions import GRPCError, StreamTerminatedError
from grpclib.protocol import AbstractHandler, Stream
from grpclib.server import request_handler
from h2.errors import ErrorCodes
from h2.exceptions import H2Error

from pinguin_core import InvalidValue, Observer
from pinguin_grpc import metadata
from pinguin_grpc.codec import StrictCodec
from pinguin_grpc.details import DetailsCodec
from pinguin_grpc.errors import is_trouble, to_grpc
from pinguin_grpc.limits import Limits, MessageReader

DRAINING: Final = "the service is stopping; try again"

_TIMEOUT = re.compile(r"([0-9]{1,8})([HMSmun])")
_SECONDS: Final = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_REQUIRED: Final = frozenset({":method", ":path"})


@dataclass(slots=True)
class Shared:
    """What the connections of a server have in common.

    Attributes:
        methods: what can be called, by path.
        __dispatch__: where `grpclib.events.listen` looks for it; announces each request before its
            body is read.
        draining: no further call is begun.
    """

    methods: Mapping[str, Handler]
    limits: Limits
    observer: Observer
    __dispatch__: _DispatchServerEvents = field(default_factory=_DispatchServerEvents)
    codec: StrictCodec = field(init=False)
    details: DetailsCodec = field(default_factory=DetailsCodec)
    draining: bool = False

    def __post_init__(self) -> None:
        self.codec = StrictCodec(self.limits.message_fields)

    def method(self, path: str) -> Handler:
        """Return what answers a call: also one that nobody serves, or nobody now."""
        return _STOPPING if self.draining else self.methods.get(path, _UNKNOWN)


class Call:
    """One call, from its headers to its answer."""

    def __init__(self, path: str, method: Handler, timeout: str | None, shared: Shared) -> None:
        self.path = path
        self.streaming = method.cardinality is not Cardinality.UNARY_UNARY
        self.task: asyncio.Task[None] | None = None
        self.authorised = False
        self.release: Callable[[], None] = lambda: None
        self._answer = method.func
        self._timeout = timeout
        self._shared = shared
        self._loop = asyncio.get_running_loop()
        self._began = monotonic()  # the loop's own clock may stand still for a while
        self._scope: asyncio.Timeout | None = None
        self._interrupted = False

    async def run(self, stream: Any) -> None:
        """Answer it, and make of every error a status.

        Raises:
            GRPCError: with what the caller is told; grpclib sends it.
        """
        self.authorised = True  # grpclib comes here only with what `RecvRequest` let pass
        metadata.keep(stream.metadata)
        try:
            await self._run_in_time(stream)
        except GRPCError:
            raise
        except (H2Error, StreamTerminatedError) as error:
            raise GRPCError(Status.CANCELLED) from error  # said to nobody: the caller is gone
        except asyncio.CancelledError:
            if self.task is None or self.task.cancelling():
                raise  # the caller is gone, or the service
            raise self._status_of(
                RuntimeError("something that the call waited for was cancelled")
            ) from None
        except Exception as error:
            raise self._status_of(error) from error

    def interrupt(self) -> None:
        """Answer it now, that the service is stopping."""
        self._interrupted = True
        if self._scope is not None:
            self._scope.reschedule(self._loop.time())

    async def _run_in_time(self, stream: Any) -> None:
        left = self._time_left()
        if left is not None and left <= 0:
            raise self._out_of_time()
        scope = asyncio.timeout(left)
        try:
            async with scope:
                self._scope = scope
                if self._interrupted:
                    raise self._out_of_time()
                await self._answer(stream)
        except TimeoutError as error:
            if scope.expired():
                raise self._out_of_time() from error
            raise
        finally:
            self._scope = None

    def _status_of(self, error: Exception) -> GRPCError:
        if is_trouble(error):
            self._shared.observer.on_trouble(self.path.rpartition("/")[2], error)
        return to_grpc(error)

    def _time_left(self) -> float | None:
        seconds = [] if self.streaming else [self._shared.limits.call.total_seconds()]
        if self._timeout is not None:
            seconds.append(_parse_timeout(self._timeout))
        return self._began + min(seconds) - monotonic() if seconds else None

    def _out_of_time(self) -> GRPCError:
        if self._interrupted:
            return GRPCError(Status.UNAVAILABLE, DRAINING)
        return GRPCError(Status.DEADLINE_EXCEEDED, "the call took too long")


class Calls(AbstractHandler):
    """The calls of one connection.

    Attributes:
        under_way: those that are not answered yet.
        last_stream: the number of the latest one.
        authorised: how many of those that ended had a token.
        last_end: when such a one ended most recently, on the event loop's clock; at first, when the
            connection began.
    """

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._loop = asyncio.get_running_loop()
        self.under_way: dict[Stream, Call] = {}
        self.last_stream = 0
        self.authorised = 0
        self.last_end = self._loop.time()

    def accept(
        self,
        stream: Stream,
        headers: Sequence[tuple[str, str]],
        release_stream: Callable[[], None],
    ) -> None:
        """Begin a call, or reset what is none."""
        self.last_stream = stream.id or 0
        fields = dict(headers)
        if not fields.keys() >= _REQUIRED:
            stream.reset_nowait(ErrorCodes.PROTOCOL_ERROR)
            release_stream()
            return
        path, shared = fields[":path"], self._shared
        method = shared.method(path)
        call = Call(path, method, fields.get("grpc-timeout"), shared)
        call.release = partial(self._release, stream, release_stream)
        self.under_way[stream] = call
        _bound_requests(stream, method, fields.get("grpc-encoding"), shared.limits)
        answer = request_handler(
            {path: method._replace(func=call.run)},
            stream,
            list(filter(_is_for_grpclib, headers)),
            shared.codec,
            shared.details,
            shared.__dispatch__,
            call.release,
        )
        call.task = self._loop.create_task(answer)

    def cancel(self, stream: Stream) -> None:
        """End a call that its caller has broken off."""
        call = self.under_way.get(stream)
        if call is None or call.task is None:
            return
        call.task.cancel()
        # A task that is cancelled before its first step never gets to its own release.
        call.task.add_done_callback(lambda _: call.release())

    def close(self) -> None:
        """End all calls: the connection is gone."""
        for stream in self.under_way:
            self.cancel(stream)

    def _release(self, stream: Stream, release_stream: Callable[[], None]) -> None:
        call = self.under_way.pop(stream, None)
        if call is None:
            return
        if call.authorised:
            self.authorised += 1
            self.last_end = self._loop.time()
        release_stream()


def _bound_requests(stream: Stream, method: Handler, encoding: str | None, limits: Limits) -> None:
    reader = MessageReader(
        stream.recv_data,
        limit=limits.message_bytes,
        encoding=encoding,
        single=not method.cardinality.client_streaming,
    )
    stream.recv_data = reader.recv_data  # type: ignore[method-assign]  # grpclib has no place for it


def _is_for_grpclib(header: tuple[str, str]) -> bool:
    """Keep from grpclib the deadline, which it misses at times, and what it may fail to decode."""
    name = header[0]
    return name != "grpc-timeout" and not name.endswith("-bin")


def _parse_timeout(text: str) -> float:
    match = _TIMEOUT.fullmatch(text)
    if match is None:
        raise InvalidValue("grpc-timeout", "must be at most 8 digits and a unit, as in 500m")
    return int(match[1]) * _SECONDS[match[2]]


def _refusing(status: Status, text: str) -> Handler:
    async def refuse(_: Any) -> None:
        raise GRPCError(status, text)

    return Handler(refuse, Cardinality.UNARY_UNARY, None, None)


_UNKNOWN: Final = _refusing(Status.UNIMPLEMENTED, "there is no such call")
_STOPPING: Final = _refusing(Status.UNAVAILABLE, DRAINING)
