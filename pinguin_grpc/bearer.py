"""What a bearer token may look like."""

from __future__ import annotations

from pinguin_core import InvalidValue


def require_sendable(token: str, field: str) -> str:
    """Return the token if it can travel in a header.

    Raises:
        InvalidValue: naming the field, never the token.
    """
    if not token or not all("!" <= char <= "~" for char in token):
        raise InvalidValue(field, "must be printable ASCII without spaces, and not empty")
    return token
