"""Room on the disk that new notifications leave alone, so that outcomes can still be recorded."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from pinguin_core.errors import StoreFull, StoreUnavailable

RESERVE: Final = 64 << 20
"""Bytes that are kept free; of a small file system, only a tenth of it."""

_PAUSE: Final = 1.0  # seconds for which what was seen is taken to hold
_OVERHEAD: Final = 1024  # bytes that a notification takes besides its texts, in rows and indexes
_TIMES: Final = 2  # it is written to the log first, and then to its place


class DiskReserve:
    """Looks how much room there is, but not often, and counts what was let in meanwhile.

    Args:
        folder: where the database is.
    """

    def __init__(self, folder: Path, now: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder
        self._now = now
        self._look_at = float("-inf")
        self._left = self._reserve = 0

    def require(self, weight: int) -> None:
        """Count in a notification whose texts take so many bytes.

        Raises:
            StoreFull: if the reserve would be touched.
            StoreUnavailable: if the folder is gone.
        """
        if self._now() >= self._look_at:
            self._look()
        needed = _TIMES * (weight + _OVERHEAD)
        if self._left < needed:
            raise StoreFull(
                f"less than {self._reserve / (1 << 20):.0f} MiB are free on the disk of"
                f" {self._folder}, which are reserved for deliveries' outcomes: free space there"
            )
        self._left -= needed

    def _look(self) -> None:
        try:
            seen = os.statvfs(self._folder)
        except OSError as error:
            raise StoreUnavailable(f"its folder {self._folder}: {error.strerror}") from error
        size = seen.f_blocks * seen.f_frsize or sys.maxsize  # some cannot tell, and say nothing
        free = seen.f_bavail * seen.f_frsize if seen.f_blocks else sys.maxsize
        self._reserve = min(RESERVE, size // 10)
        self._left = free - self._reserve
        self._look_at = self._now() + _PAUSE
