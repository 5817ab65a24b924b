"""The protobuf wire format (https://protobuf.dev/programming-guides/encoding), read strictly.

Each reader takes the bytes and a position, and returns a value and the position behind it. What is
not well-formed raises `MalformedMessage`; the caller adds the field's name.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from pinguin_core.errors import PinguinError

VARINT: Final = 0
LENGTH: Final = 2

_WIDTHS: Final = {1: 8, 5: 4}  # wire type -> bytes
_SECONDS: Final = 1 << 3 | VARINT
_NANOS: Final = 2 << 3 | VARINT

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_FIRST_SECOND: Final = -62_135_596_800
_LAST_SECOND: Final = 253_402_300_799
_MORE: Final = 0x80  # set in each byte of a varint but the last
_MAX_VARINT: Final = 10
_MAX_FIELD: Final = (1 << 29) - 1
_UINT64: Final = 1 << 64
_INT64_SIGN: Final = 1 << 63
_INT32_SIGN: Final = 1 << 31

_TRUNCATED: Final = "ends too early"


class MalformedMessage(PinguinError, ValueError):
    """Bytes that are not the message they should be.

    Attributes:
        field: the field at fault, as the wire contract names it; empty where there is none.
        problem: what is wrong, without the bytes themselves.
    """

    def __init__(self, problem: str, field: str = "") -> None:
        super().__init__(f"{field}: {problem}" if field else f"the request {problem}")
        self.field = field
        self.problem = problem

    def within(self, field: str) -> MalformedMessage:
        """Return the same error, told of a field around it."""
        return MalformedMessage(self.problem, f"{field}.{self.field}" if self.field else field)


class TooManyFields(MalformedMessage):
    """More fields than are read of one message."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"holds more than {limit} fields, those within others included")

    def within(self, field: str) -> MalformedMessage:  # noqa: ARG002 (all fields are at fault)
        """Return the same error: it is the whole message's."""
        return self


class FieldCount:
    """Counts the fields of a message and of those within it.

    Args:
        limit: how many there may be; any number if absent.
    """

    __slots__ = ("_left", "_limit")

    def __init__(self, limit: int | None) -> None:
        self._limit = limit or 0
        self._left = -1 if limit is None else limit

    def take(self) -> None:
        """Count one.

        Raises:
            TooManyFields: if it is one too many.
        """
        if self._left == 0:
            raise TooManyFields(self._limit)
        self._left -= 1


def read_varint(data: bytes, pos: int) -> tuple[int, int]:
    """Read an unsigned integer of at most 64 bits."""
    try:
        byte = data[pos]
        return (byte, pos + 1) if byte < _MORE else _read_long_varint(data, pos)
    except IndexError:
        raise MalformedMessage(_TRUNCATED) from None


def _read_long_varint(data: bytes, pos: int) -> tuple[int, int]:
    value = 0
    for i in range(_MAX_VARINT):
        byte = data[pos + i]
        value |= (byte & 0x7F) << 7 * i
        if byte < _MORE:
            if value >= _UINT64:
                break
            return value, pos + i + 1
    raise MalformedMessage("holds a number of more than 64 bits")


def read_tag(data: bytes, pos: int, count: FieldCount) -> tuple[int, int]:
    """Read what stands before a field: its number and wire type, as one integer."""
    count.take()
    tag, pos = read_varint(data, pos)
    if not 0 < tag >> 3 <= _MAX_FIELD:
        raise MalformedMessage("holds a field number out of range")
    return tag, pos


def read_bytes(data: bytes, pos: int) -> tuple[bytes, int]:
    """Read a length, and as many bytes."""
    length, pos = read_varint(data, pos)
    end = pos + length
    if end > len(data):
        raise MalformedMessage(_TRUNCATED)
    return data[pos:end], end


def read_string(data: bytes, pos: int) -> tuple[str, int]:
    """Read text."""
    raw, pos = read_bytes(data, pos)
    try:
        return raw.decode(), pos
    except UnicodeDecodeError:
        raise MalformedMessage("must be valid UTF-8") from None


def read_bool(data: bytes, pos: int) -> tuple[bool, int]:
    """Read a truth value."""
    value, pos = read_varint(data, pos)
    return value != 0, pos


def read_int64(data: bytes, pos: int) -> tuple[int, int]:
    """Read a signed integer of 64 bits, in two's complement."""
    value, pos = read_varint(data, pos)
    return value - _UINT64 if value >= _INT64_SIGN else value, pos


def read_int32(data: bytes, pos: int) -> tuple[int, int]:
    """Read a signed integer of 32 bits; one that needs more is an error, not cut off."""
    value, pos = read_int64(data, pos)
    if not -_INT32_SIGN <= value < _INT32_SIGN:
        raise MalformedMessage("must fit in 32 bits")
    return value, pos


def read_timestamp(data: bytes, pos: int, count: FieldCount) -> tuple[datetime, int]:
    """Read a `google.protobuf.Timestamp`, rounded up to a microsecond: never early."""
    raw, pos = read_bytes(data, pos)
    parts = {_SECONDS: 0, _NANOS: 0}
    at = 0
    while at < len(raw):
        tag, at = read_tag(raw, at, count)
        if tag in parts:
            parts[tag], at = read_int64(raw, at)
        elif tag >> 3 in {1, 2}:
            raise MalformedMessage("has the wrong wire type")
        else:
            at = skip(raw, at, tag & 7)
    return _to_datetime(parts[_SECONDS], parts[_NANOS]), pos


def skip(data: bytes, pos: int, wire_type: int) -> int:
    """Step over the value of a field that nobody knows; groups are not known at all."""
    if wire_type == VARINT:
        return read_varint(data, pos)[1]
    if wire_type == LENGTH:
        return read_bytes(data, pos)[1]
    width = _WIDTHS.get(wire_type)
    if width is None:
        raise MalformedMessage("holds a field of an unknown kind")
    if pos + width > len(data):
        raise MalformedMessage(_TRUNCATED)
    return pos + width


def write_varint(value: int) -> bytes:
    """Write an integer; a negative one as 64 bits in two's complement."""
    if 0 <= value < _MORE:
        return bytes((value,))
    value %= _UINT64
    out = bytearray()
    while value >= _MORE:
        out.append(value & 0x7F | _MORE)
        value >>= 7
    out.append(value)
    return bytes(out)


def write_bytes(value: bytes) -> bytes:
    """Write a length, and the bytes."""
    return write_varint(len(value)) + value


def write_string(value: str) -> bytes:
    """Write text."""
    return write_bytes(value.encode())


def write_timestamp(moment: datetime) -> bytes:
    """Write a `google.protobuf.Timestamp`."""
    seconds, micros = divmod((moment - _EPOCH) // _MICROSECOND, 1_000_000)
    out = b""
    if seconds:
        out += b"\x08" + write_varint(seconds)
    if micros:
        out += b"\x10" + write_varint(micros * 1000)
    return write_bytes(out)


def _to_datetime(seconds: int, nanos: int) -> datetime:
    if not 0 <= nanos <= 999_999_999:  # noqa: PLR2004 (what the contract of Timestamp says)
        raise MalformedMessage("must have nanos from 0 to 999,999,999")
    if not _FIRST_SECOND <= seconds <= _LAST_SECOND:
        raise MalformedMessage("must be in the years 1 to 9999")
    try:
        return _EPOCH + timedelta(seconds=seconds, microseconds=-(-nanos // 1000))
    except OverflowError:
        raise MalformedMessage("must be in the years 1 to 9999") from None
