"""What an error status carries besides its text: the fields at fault (`google.rpc.BadRequest`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

from grpclib.const import Status
from grpclib.encoding.base import StatusDetailsCodecBase


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One field of a request that cannot be accepted.

    Attributes:
        field: its name in the wire contract, such as `recipient`.
        description: what is wrong and what would be right, without the offending text itself.
    """

    field: str
    description: str

    def __str__(self) -> str:
        return f"{self.field}: {self.description}" if self.field else self.description


class DetailsCodec(StatusDetailsCodecBase):
    """Writes field violations as a `google.rpc.Status` around one `BadRequest`, and reads them."""

    def encode(
        self, status: Status, message: str | None, details: Sequence[FieldViolation]
    ) -> bytes:
        """Serialise the violations with the status they belong to."""
        bad_request = _google_rpc().BadRequest()
        for violation in details:
            bad_request.field_violations.add(
                field=violation.field, description=violation.description
            )
        rpc_status = _google_rpc().Status(code=status.value, message=message or "")
        rpc_status.details.add().Pack(bad_request)
        return bytes(rpc_status.SerializeToString())

    def decode(
        self,
        status: Status,  # noqa: ARG002 (grpclib's signature)
        message: str | None,  # noqa: ARG002 (grpclib's signature)
        data: bytes,
    ) -> Sequence[FieldViolation]:
        """Return the violations; none if the bytes hold something else."""
        from google.protobuf.message import DecodeError

        try:
            details = _google_rpc().Status.FromString(data).details
            return [violation for detail in details for violation in _violations_in(detail)]
        except DecodeError:
            return []


def _violations_in(detail: Any) -> list[FieldViolation]:
    bad_request = _google_rpc().BadRequest()
    if not detail.Unpack(bad_request):
        return []
    return [FieldViolation(each.field, each.description) for each in bad_request.field_violations]


class _GoogleRpc(NamedTuple):
    BadRequest: Any
    Status: Any


@cache
def _google_rpc() -> _GoogleRpc:
    """Import the classes when the first error needs them."""
    from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]  # has none

    return _GoogleRpc(error_details_pb2.BadRequest, status_pb2.Status)
