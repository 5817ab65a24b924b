"""What a client's call can end with, in words for whoever made it."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from grpclib.const import Status
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
        may_pass: the same call may be answered a little later, as after a restart of the service;
            not so where the host's name, TLS or the protocol is wrong.
    """

    def __init__(self, reason: str, *, may_pass: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.may_pass = may_pass


def translated(error: Exception, host: str, port: int) -> CallRefused | ServiceUnreachable:
    """Say what an error of grpclib, of the network or of TLS means for who called there."""
    if isinstance(error, GRPCError) and not _is_of_http(error):
        name = error.status.name
        text = error.message or "the service gave no reason"
        return CallRefused(name, text, error.details or ())
    kinds = (kind for kind in type(error).__mro__ if kind in _CAUSES)
    cause = next((_CAUSES[kind] for kind in kinds), _NOT_PINGUIN)
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    reason = cause.reason.format(where=where) + cause.detail(error)
    return ServiceUnreachable(reason, may_pass=cause.may_pass)


def _is_of_http(error: GRPCError) -> bool:
    """Tell whether grpclib made a status of something that is not gRPC, and that will stay so."""
    made_up = (error.message or "").startswith(_NOT_GRPC)
    return made_up and error.status is not Status.UNAVAILABLE


def _verdict(error: ssl.SSLCertVerificationError) -> str:
    """Return what is wrong with a certificate."""
    remedy = "; name its CA" if error.verify_code in _UNKNOWN_ISSUER else ""
    return f": {error.verify_message.rstrip('.')}{remedy}"


class _Cause(NamedTuple):
    reason: str
    may_pass: bool = False
    detail: Callable[..., str] = lambda _: ""


_NOT_PINGUIN: Final = _Cause("the server on {where} does not speak Pinguin's gRPC")
_BROKEN_OFF: Final = _Cause("the connection to {where} was lost before the answer", may_pass=True)
_NOT_GRPC: Final = (
    "Received :status",
    "Missing content-type",
    "Invalid content-type",
    "Missing grpc-status",
    "Invalid grpc-status",
)
_UNKNOWN_ISSUER: Final = frozenset({2, 18, 19, 20, 21})
"""What OpenSSL finds where a certificate is signed by itself, or by an authority it lacks."""
_CAUSES: Final[Mapping[type[Exception], _Cause]] = {
    TimeoutError: _Cause("{where} did not answer in time", may_pass=True),
    ConnectionRefusedError: _Cause("nothing is listening on {where}", may_pass=True),
    socket.gaierror: _Cause("the host name of {where} cannot be resolved"),
    UnicodeDecodeError: _NOT_PINGUIN,
    UnicodeError: _Cause("the host name of {where} is not valid"),  # a label is empty or too long
    ssl.SSLCertVerificationError: _Cause(
        "the certificate of {where} is not trusted", detail=_verdict
    ),
    ssl.SSLError: _Cause("TLS with {where} failed; do both sides use it?"),
    StreamTerminatedError: _BROKEN_OFF,
    ConnectionError: _BROKEN_OFF,
    OSError: _Cause("{where} cannot be reached", may_pass=True),
}
