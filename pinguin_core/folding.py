"""Plain characters in place of typographic ones, where that makes an SMS shorter."""

# ruff: noqa: RUF001 (characters that look like others are the point)

from __future__ import annotations

from typing import Final

from pinguin_core.segments import Encoding, encoding_of

_PLAIN: Final = {
    "'": "‘’‚‛‹›´ʼ′",
    '"': "“”„‟«»″",
    "-": "‐‑‒–—―−",
    " ": "\u00a0\u2002\u2003\u2007\u2009\u200a\u202f",
    "...": "…",
}
_FOLDED: Final = str.maketrans(
    {typographic: plain for plain, several in _PLAIN.items() for typographic in several}
)


def fold_typography(text: str) -> str:
    """Replace typographic quotes, dashes, dots and spaces by those of a typewriter.

    Only if the whole text fits the GSM-7 alphabet then: a text that needs UCS-2 anyway gains
    nothing, and stays as it is.
    """
    folded = text.translate(_FOLDED)
    return folded if encoding_of(folded) is Encoding.GSM_7 else text
