"""From bytes to messages and back, strictly, by the field tables of the generated messages.

betterproto's own parser takes truncated fields, wrong wire types and random bytes for messages;
its constructors, parser and serialiser, with their Rust variant too, take several times as long.
So the generated classes serve for their types and tables only, and what is done here is the same
with and without `betterproto-rust-codec`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache, partial
from typing import Any, Final, NamedTuple, TypeVar

import betterproto
from betterproto import PLACEHOLDER
from grpclib.encoding.base import CodecBase

from pinguin_grpc import wire_format as wire
from pinguin_grpc.wire_format import FieldCount, MalformedMessage

MessageT = TypeVar("MessageT", bound=betterproto.Message)

_raw: Final = object.__getattribute__
"""Reads an attribute without betterproto's own look-up, which costs a microsecond each time."""


class StrictCodec(CodecBase):
    """What grpclib decodes requests and encodes replies with, and the other way round.

    Args:
        max_fields: how many fields of a message are read; see `decode`.
    """

    __content_subtype__ = "proto"

    def __init__(self, max_fields: int | None = None) -> None:
        self._max_fields = max_fields

    def encode(self, message: Any, message_type: Any) -> bytes:  # noqa: ARG002 (grpclib's signature)
        """Serialise a message; those of Google's runtime serialise themselves."""
        if isinstance(message, betterproto.Message):
            return encode(message)
        return bytes(message.SerializeToString())

    def decode(self, data: bytes, message_type: Any) -> Any:
        """Parse a message.

        Raises:
            MalformedMessage: for bytes that are none.
        """
        if issubclass(message_type, betterproto.Message):
            return decode(message_type, data, self._max_fields)
        return _decode_foreign(message_type, data)


def make(kind: type[MessageT], /, **values: object) -> MessageT:
    """Make a message as its constructor does, without its cost and without its checks."""
    return _fill(kind, _table_of(kind), values)


def values_of(message: betterproto.Message) -> Mapping[str, Any]:
    """Return the fields of a message that `make` or `decode` made, without the cost of each."""
    values: Mapping[str, Any] = _raw(message, "__dict__")
    return values


def encode(message: betterproto.Message) -> bytes:
    """Serialise a message; fields that hold what their absence means are left out."""
    values = values_of(message)
    parts: list[bytes] = []
    for field in _table_of(type(message)).fields:
        value = values[field.name]
        if value is PLACEHOLDER:
            continue
        if field.repeated:
            parts += [part for item in value for part in (field.tag, field.write(item))]
        elif value or (field.optional and value is not None):
            parts += (field.tag, field.write(value))
    return b"".join(parts)


def decode(kind: type[MessageT], data: bytes, max_fields: int | None = None) -> MessageT:
    """Parse a message.

    Fields that the message does not know are stepped over, if they are well-formed. Of a field that
    comes twice the last one counts, but a message within the message must not come twice.

    All fields count towards `max_fields`, unknown ones and those of messages within it too: each
    costs microseconds, and may have no more than two bytes. Without it, there may be any number.

    Raises:
        MalformedMessage: for bytes that are not such a message, or have more fields.
    """
    return _decode(kind, data, FieldCount(max_fields))


class _Kind(NamedTuple):
    """How one type of field is read and written."""

    wire_type: int
    read: Callable[..., tuple[Any, int]]
    write: Callable[[Any], bytes]


@dataclass(frozen=True, slots=True)
class _Field:
    """One field of a message.

    Attributes:
        tag: what is written before its value.
        nests: it holds a message, of which the fields count too: `read` is given the count.
    """

    name: str
    tag: bytes
    read: Callable[..., tuple[Any, int]]
    write: Callable[[Any], bytes]
    optional: bool
    repeated: bool
    nests: bool


@dataclass(frozen=True, slots=True)
class _Table:
    """The fields of one message.

    Attributes:
        by_tag: by the number and wire type that stand before their values.
        by_number: their names, by number alone.
        repeated: their names, of those that hold lists.
        blank: the other attributes of an empty message.
    """

    fields: tuple[_Field, ...]
    by_tag: Mapping[int, _Field]
    by_number: Mapping[int, str]
    repeated: frozenset[str]
    blank: Mapping[str, Any]


_SCALARS: Final[Mapping[str, _Kind]] = {
    betterproto.TYPE_STRING: _Kind(wire.LENGTH, wire.read_string, wire.write_string),
    betterproto.TYPE_BYTES: _Kind(wire.LENGTH, wire.read_bytes, wire.write_bytes),
    betterproto.TYPE_BOOL: _Kind(wire.VARINT, wire.read_bool, wire.write_varint),
    betterproto.TYPE_INT32: _Kind(wire.VARINT, wire.read_int32, wire.write_varint),
}
_TIMESTAMP: Final = _Kind(wire.LENGTH, wire.read_timestamp, wire.write_timestamp)


def _decode(kind: type[MessageT], data: bytes, count: FieldCount) -> MessageT:
    table = _table_of(kind)
    values: dict[str, Any] = {}
    pos, end = 0, len(data)
    while pos < end:
        tag, pos = wire.read_tag(data, pos, count)
        field = table.by_tag.get(tag)
        if field is None:
            pos = _skip_field(table, tag, data, pos)
        else:
            pos = _read_field(field, data, pos, values, count)
    return _fill(kind, table, values)


def _read_field(
    field: _Field, data: bytes, pos: int, values: dict[str, Any], count: FieldCount
) -> int:
    try:
        value, pos = field.read(data, pos, count) if field.nests else field.read(data, pos)
    except MalformedMessage as error:
        raise error.within(field.name) from None
    if field.repeated:
        values.setdefault(field.name, []).append(value)
    elif field.nests and field.name in values:
        raise MalformedMessage("must not be given twice", field.name)
    else:
        values[field.name] = value
    return pos


def _skip_field(table: _Table, tag: int, data: bytes, pos: int) -> int:
    if name := table.by_number.get(tag >> 3):
        raise MalformedMessage("has the wrong wire type", name)
    return wire.skip(data, pos, tag & 7)


def _decode_foreign(kind: Any, data: bytes) -> Any:
    """Parse a message of Google's runtime, as health and reflection use them."""
    from google.protobuf.message import DecodeError

    try:
        return kind.FromString(data)
    except DecodeError:
        raise MalformedMessage("is not a well-formed message") from None


def _fill(kind: type[MessageT], table: _Table, values: Mapping[str, Any]) -> MessageT:
    message = object.__new__(kind)
    attributes = _raw(message, "__dict__")
    attributes.update(table.blank)
    for name in table.repeated:
        attributes[name] = []
    attributes.update(values)
    return message


@cache
def _table_of(kind: Any) -> _Table:  # a message class; mypy cannot read its metadata
    metadata = kind._betterproto  # noqa: SLF001 (guarded by a canary test)
    types, by_name = metadata.cls_by_field, metadata.meta_by_field_name
    repeated = frozenset(name for name, default in metadata.default_gen.items() if default is list)
    blank = kind()
    for name in by_name:
        getattr(blank, name)  # the first look puts the default in its place
    tagged = {}
    for name, meta in by_name.items():
        how = _kind_of(meta.proto_type, types[name])
        tag = meta.number << 3 | how.wire_type
        tagged[tag] = _Field(
            name,
            wire.write_varint(tag),
            how.read,
            how.write,
            optional=bool(meta.optional),
            repeated=name in repeated,
            nests=meta.proto_type == betterproto.TYPE_MESSAGE,
        )
    return _Table(
        tuple(tagged.values()),
        tagged,
        metadata.field_name_by_number,
        repeated,
        dict(values_of(blank)),
    )


def _kind_of(proto_type: str, python_type: type) -> _Kind:
    if python_type is datetime:
        return _TIMESTAMP
    if proto_type == betterproto.TYPE_ENUM:
        return _Kind(wire.VARINT, partial(_read_enum, python_type), wire.write_varint)
    if proto_type == betterproto.TYPE_MESSAGE:
        return _Kind(wire.LENGTH, partial(_read_nested, python_type), _write_nested)
    return _SCALARS[proto_type]


def _read_enum(kind: type[betterproto.Enum], data: bytes, pos: int) -> tuple[betterproto.Enum, int]:
    number, pos = wire.read_int32(data, pos)
    return kind.try_value(number), pos


def _read_nested(
    kind: type[MessageT], data: bytes, pos: int, count: FieldCount
) -> tuple[MessageT, int]:
    raw, pos = wire.read_bytes(data, pos)
    return _decode(kind, raw, count), pos


def _write_nested(message: betterproto.Message) -> bytes:
    return wire.write_bytes(encode(message))
