"""Server reflection, so that grpcurl and its like need no copy of `pinguin.proto`."""

from __future__ import annotations

from collections.abc import Collection
from importlib.resources import files
from typing import Any

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from grpclib.health.v1 import health_pb2
from grpclib.reflection.service import ServerReflection
from grpclib.reflection.v1 import reflection_pb2 as reflection_v1_pb2
from grpclib.reflection.v1alpha import reflection_pb2 as reflection_v1alpha_pb2

_MODULES = (health_pb2, reflection_v1_pb2, reflection_v1alpha_pb2)


def with_reflection(services: Collection[Any]) -> list[Any]:
    """Return the services, and the two versions of reflection that tell of them."""
    return ServerReflection.extend(services, pool=_descriptors())


def _descriptors() -> DescriptorPool:
    """Gather what is served in a pool of its own: the process's belongs to the embedder."""
    pool = DescriptorPool()
    ours = (files("pinguin_grpc") / "wire" / "pinguin.binpb").read_bytes()
    for proto in FileDescriptorSet.FromString(ours).file:
        pool.Add(proto)
    for module in _MODULES:
        pool.Add(FileDescriptorProto.FromString(module.DESCRIPTOR.serialized_pb))
    return pool
