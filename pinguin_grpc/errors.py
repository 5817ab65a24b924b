"""How Pinguin's errors look on the wire: one table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from grpclib.const import Status
from grpclib.exceptions import GRPCError

from pinguin_core.errors import (
    ChannelDisabled,
    IdempotencyConflict,
    InvalidTransition,
    InvalidValue,
    NotificationNotFound,
    PinguinError,
    StoreFull,
    StoreUnavailable,
)
from pinguin_grpc.details import FieldViolation
from pinguin_grpc.wire_format import MalformedMessage

UNFORESEEN: Final = "something went wrong in the service; see its log"

WIRE_NAMES: Final[Mapping[str, str]] = {
    "email_address": "recipient",
    "phone_number": "recipient",
    "body": "message",
    "scheduled_at": "scheduled_time",
}
"""What the wire contract calls those of the core's fields that it calls otherwise."""


class InvalidRequest(PinguinError, ValueError):
    """A well-formed request whose fields cannot be accepted.

    Attributes:
        violations: everything that is wrong with it.
    """

    def __init__(self, violations: Sequence[FieldViolation]) -> None:
        super().__init__("; ".join(map(str, violations)))
        self.violations = violations


def violation(error: InvalidValue) -> FieldViolation:
    """Return what the core says of a value, in the words of the wire contract."""
    return FieldViolation(WIRE_NAMES.get(error.field, error.field), error.problem)


def to_grpc(error: Exception) -> GRPCError:
    """Return the status that answers an error.

    What is not in the table is INTERNAL, with a text that gives nothing away.
    """
    rule = next((_RULES[kind] for kind in type(error).__mro__ if kind in _RULES), _INTERNAL)
    violations = rule.violations(error)
    return GRPCError(rule.status, rule.text or _text_of(error, violations), violations or None)


def is_trouble(error: Exception) -> bool:
    """Tell whether an operator should hear of an error that a call ended with."""
    return to_grpc(error).status in _TROUBLE


class _Rule(NamedTuple):
    """How one kind of error is answered.

    Attributes:
        text: said in place of the error's own text, which may name what is not the caller's.
    """

    status: Status
    text: str = ""
    violations: Callable[..., Sequence[FieldViolation]] = lambda _: ()


_INTERNAL: Final = _Rule(Status.INTERNAL, UNFORESEEN)
_RULES: Final[Mapping[type, _Rule]] = {
    InvalidRequest: _Rule(Status.INVALID_ARGUMENT, violations=lambda error: error.violations),
    InvalidValue: _Rule(Status.INVALID_ARGUMENT, violations=lambda error: [violation(error)]),
    MalformedMessage: _Rule(
        Status.INVALID_ARGUMENT,
        violations=lambda error: [FieldViolation(error.field, error.problem)] * bool(error.field),
    ),
    NotificationNotFound: _Rule(Status.NOT_FOUND),
    ChannelDisabled: _Rule(Status.FAILED_PRECONDITION),
    IdempotencyConflict: _Rule(Status.ALREADY_EXISTS),
    InvalidTransition: _Rule(Status.FAILED_PRECONDITION),
    StoreUnavailable: _Rule(Status.UNAVAILABLE, "the store cannot be reached; try again later"),
    StoreFull: _Rule(Status.RESOURCE_EXHAUSTED, "the store or its queue is full; try again later"),
}
_TROUBLE: Final = frozenset({Status.INTERNAL, Status.UNAVAILABLE, Status.RESOURCE_EXHAUSTED})


def _text_of(error: Exception, violations: Sequence[FieldViolation]) -> str:
    return "; ".join(map(str, violations)) or str(error)
