"""Server reflection, so that grpcurl and its like need no copy of `pinguin.proto`."""

from __future__ import annotations

from collections.abc import Collection
from importlib.resources import files
from typing import Any

from google.protobuf import any_pb2, duration_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]  # has none
from grpclib.health.v1 import health_pb2
from grpclib.reflection.service import ServerReflection
from grpclib.reflection.v1 import reflection_pb2 as reflection_v1_pb2
from grpclib.reflection.v1alpha import reflection_pb2 as reflection_v1alpha_pb2

_OTHERS = (
    health_pb2,
    reflection_v1_pb2,
    reflection_v1alpha_pb2,
    any_pb2,
    duration_pb2,
    status_pb2,
    error_details_pb2,
)
"""What is told of besides the wire contract: each after those that it imports."""


def with_reflection(services: Collection[Any]) -> list[Any]:
    """Return the services, and the two versions of reflection that tell of them."""
    return ServerReflection.extend(services, pool=_descriptors())


def _descriptors() -> DescriptorPool:
    """Gather what is served in a pool of its own: the process's belongs to the embedder."""
    pool = DescriptorPool()
    ours = (files("pinguin_grpc") / "wire" / "pinguin.binpb").read_bytes()
    for proto in FileDescriptorSet.FromString(ours).file:
        pool.Add(proto)
    for module in _OTHERS:
        pool.Add(FileDescriptorProto.FromString(module.DESCRIPTOR.serialized_pb))
    return pool
