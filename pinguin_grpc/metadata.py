"""The metadata of the call under way, which betterproto's handlers do not hand on."""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any, Final

_of_this_call: Final = ContextVar[Any]("metadata")  # a MultiDict, which grpclib does not name


def keep(metadata: Any) -> None:
    """Keep a call's metadata for all that its task does from now on."""
    _of_this_call.set(metadata)


def values(name: str) -> Sequence[str]:
    """Return what the caller of the call under way has sent under a name, in its order."""
    return tuple(_of_this_call.get().getall(name, ()))
