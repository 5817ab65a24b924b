"""What a client's call can end with, in words for whoever made it."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping, Sequence
from typing import Final

from grpclib.exceptions import GRPCError, StreamTerminatedError

from pinguin_core.errors import PinguinError
from pinguin_grpc.details import FieldViolation


class CallRefused(PinguinError):
    """The service answered that it does not do what it was asked.

    Attributes:
        status_name: the name of the gRPC status, such as `INVALID_ARGUMENT`.
        message: why, in one line.
        field_violations: the fields at fault, if the service named them.
    """

    def __init__(
        self, status_name: str, message: str, field_violations: Sequence[FieldViolation] = ()
    ) -> None:
        super().__init__(f"{message} ({status_name})")
        self.status_name = status_name
        self.message = message
        self.field_violations = tuple(field_violations)


class ServiceUnreachable(PinguinError, ConnectionError):
    """No answer came; whether the service did what it was asked is not known.

    Attributes:
        reason: what happened, in one line.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def translated(error: Exception, where: str) -> CallRefused | ServiceUnreachable:
    """Say what an error of grpclib, of the network or of TLS means for who called `host:port`."""
    if isinstance(error, GRPCError):
        name = error.status.name
        text = error.message or "the service gave no reason"
        return CallRefused(name, text, error.details or ())
    kinds = (kind for kind in type(error).__mro__ if kind in _REASONS)
    reason = next((_REASONS[kind] for kind in kinds), _NOT_PINGUIN)
    return ServiceUnreachable(reason.format(where=where))


_NOT_PINGUIN: Final = "what answers on {where} does not speak Pinguin's gRPC"
_REASONS: Final[Mapping[type[Exception], str]] = {
    TimeoutError: "{where} did not answer in time",
    ConnectionRefusedError: "nothing listens on {where}",
    socket.gaierror: "the host of {where} is not known",
    ssl.SSLCertVerificationError: "the certificate of {where} is not trusted; name its CA",
    ssl.SSLError: "TLS with {where} failed; do both sides use it?",
    StreamTerminatedError: "the connection to {where} broke off before the answer",
    ConnectionError: "the connection to {where} broke off before the answer",
    OSError: "{where} cannot be reached",
}
