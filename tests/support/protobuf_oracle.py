"""The same messages by Google's runtime, to compare with."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass


def google_class(name: str) -> Any:
    """Return Google's class of one of the wire contract's messages."""
    pool = DescriptorPool()
    descriptors = (files("pinguin_grpc") / "wire" / "pinguin.binpb").read_bytes()
    for proto in FileDescriptorSet.FromString(descriptors).file:
        pool.Add(proto)
    return GetMessageClass(pool.FindMessageTypeByName(f"pinguin.{name}"))
