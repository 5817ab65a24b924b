"""Bearer tokens (RFC 6750): every call carries one, or is refused before its body is read."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from typing import Any, Final

from grpclib.const import Status
from grpclib.events import RecvRequest
from grpclib.exceptions import GRPCError

from pinguin_core import InvalidValue
from pinguin_grpc.bearer import require_sendable

REFUSAL: Final = "a valid token is required, in the metadata 'authorization: Bearer <token>'"
"""The one text for every failure, so that it does not help in guessing."""


class BearerAuth:
    """Lets calls pass that carry one of the tokens.

    Args:
        tokens: one or more, so that they can be changed without a gap; printable ASCII, no spaces.

    Raises:
        InvalidValue: if there is none, or one that no caller could send.
    """

    def __init__(self, tokens: Sequence[str]) -> None:
        if not tokens or isinstance(tokens, str):
            raise InvalidValue("tokens", "must hold at least one token")
        self._digests = tuple(_digest(require_sendable(token, "tokens")) for token in tokens)

    async def __call__(self, request: RecvRequest) -> None:
        """Refuse a call unless it carries exactly one authorization, and a right one.

        Raises:
            GRPCError: UNAUTHENTICATED.
        """
        values = request.metadata.getall("authorization", ())
        if len(values) != 1 or not self._accepts(values[0]):
            raise GRPCError(Status.UNAUTHENTICATED, REFUSAL)

    def _accepts(self, authorization: Any) -> bool:
        scheme, _, token = authorization.partition(" ")
        digest = _digest(token.strip(" "))
        matches = [hmac.compare_digest(digest, known) for known in self._digests]
        return scheme.lower() == "bearer" and any(matches)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("latin-1", "replace")).digest()
