"""How much may wait to be stored: more is refused at once, before anything is promised.

Only what is new is refused. Claims and outcomes are always let in: there are never more of them
than deliveries under way, and what was delivered and not stored would be delivered again.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Final

from pinguin_core.errors import StoreFull
from pinguin_core.message import Message

MOST: Final = 10_000
"""New notifications that wait to be stored at the same time."""

MOST_BYTES: Final = 64 << 20
"""Memory that their texts take together."""


def weight(message: Message) -> int:
    """Return how many bytes of memory a message's texts take."""
    return sys.getsizeof(message.subject) + sys.getsizeof(message.body)


class Admission:
    """Counts what waits to be stored.

    Args:
        require_room: raises `StoreFull` if so many bytes more should not be stored.
    """

    def __init__(self, require_room: Callable[[int], None]) -> None:
        self._require_room = require_room
        self._count = 0
        self._bytes = 0

    def admit(self, weight: int) -> Callable[[], None]:
        """Let in a notification whose texts take so many bytes.

        One is let in when none waits, however large it is.

        Returns:
            What to call when it waits no more, whatever came of it.

        Raises:
            StoreFull: if too much waits already, or there is too little room to store it.
            StoreUnavailable: if that cannot be found out.
        """
        if self._count and (self._count >= MOST or self._bytes + weight > MOST_BYTES):
            raise StoreFull(
                f"the queue of notifications to store is full: {self._count} notifications of"
                f" {self._bytes >> 20} MiB wait in it"
            )
        self._require_room(weight)
        self._count += 1
        self._bytes += weight
        return lambda: self._leave(weight)

    def _leave(self, weight: int) -> None:
        self._count -= 1
        self._bytes -= weight
