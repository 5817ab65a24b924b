"""Of how many segments an SMS consists: what networks carry, and providers charge for."""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import Enum
from typing import Final

_BASIC: Final = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENSION: Final = "\f^{}\\[~]|€"
_ALL_GSM_7 = re.compile(f"[{re.escape(_BASIC + _EXTENSION)}]*")
_DOUBLE_IN_GSM_7 = re.compile(f"[{re.escape(_EXTENSION)}]")
_DOUBLE_IN_UCS_2 = re.compile("[\U00010000-\U0010ffff]")


class Encoding(Enum):
    """How the text of an SMS is written (3GPP TS 23.038).

    The capacity of a segment is in septets or UTF-16 units, less the header that joins segments.
    """

    GSM_7 = "GSM-7"
    """The default alphabet of 7 bits (6.2.1); a character of its extension takes two septets."""
    UCS_2 = "UCS-2"
    """UTF-16; a character beyond the basic plane takes two units."""


_ALONE: Final = {Encoding.GSM_7: 160, Encoding.UCS_2: 70}
_JOINED: Final = {Encoding.GSM_7: 153, Encoding.UCS_2: 67}


def encoding_of(text: str) -> Encoding:
    """Return GSM-7 if all characters are in its alphabet or its extension, else UCS-2."""
    return Encoding.GSM_7 if _ALL_GSM_7.fullmatch(text) else Encoding.UCS_2


def count_segments(text: str) -> int:
    """Return of how many segments an SMS with this text consists; 1 or more.

    One segment holds 160 septets or 70 units; of several, each holds 153 or 67 (TS 23.040
    9.2.3.24.1). No character is split over two segments.
    """
    encoding = encoding_of(text)
    double = _DOUBLE_IN_GSM_7 if encoding is Encoding.GSM_7 else _DOUBLE_IN_UCS_2
    doubles = [match.start() for match in double.finditer(text)]
    if len(text) + len(doubles) <= _ALONE[encoding]:
        return 1
    capacity = _JOINED[encoding]
    if not doubles:
        return -(-len(text) // capacity)
    return _count_packed((1 + bool(double.match(char)) for char in text), capacity)


def _count_packed(costs: Iterable[int], capacity: int) -> int:
    segments, used = 1, 0
    for cost in costs:
        if used + cost > capacity:
            segments, used = segments + 1, 0
        used += cost
    return segments
