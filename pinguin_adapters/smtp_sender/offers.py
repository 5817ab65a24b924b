"""What a relay offers in its reply to EHLO, as far as we make use of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

_SIZE = re.compile(r"[0-9]{1,20}")  # RFC 1870 3


@dataclass(frozen=True, slots=True)
class Offers:
    """A relay's extensions of SMTP.

    Attributes:
        pipelining: it takes several commands at once (RFC 2920).
        size: it wants to be told how large a message is (RFC 1870).
        max_size: the largest message that it takes, in octets; None if it names no limit.
        utf8: it takes addresses that are not ASCII before the `@` (RFC 6531).
    """

    pipelining: bool = False
    size: bool = False
    max_size: int | None = None
    utf8: bool = False

    @classmethod
    def of(cls, extensions: Mapping[str, str]) -> Self:
        """Read the keywords, in lower case, with their parameters."""
        limit = _SIZE.fullmatch(extensions.get("size", ""))
        return cls(
            pipelining="pipelining" in extensions,
            size="size" in extensions,
            # RFC 1870 3: zero says that there is no fixed limit.
            max_size=int(limit[0]) or None if limit else None,
            utf8="smtputf8" in extensions,
        )
