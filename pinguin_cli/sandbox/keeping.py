"""Keeping what a sandbox server receives, a file for each message."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from pathlib import Path


class Folder:
    """A folder of messages whose names sort by arrival; only its owner may look into it.

    Args:
        path: where it is; made by `create`.
        suffix: how the names end, such as `.eml`.
    """

    def __init__(self, path: Path, suffix: str) -> None:
        self.path = path
        self._suffix = suffix
        self._names = _names(suffix)

    def create(self) -> None:
        """Make the folder, if it is not there."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def keep(self, content: bytes) -> None:
        """Write one message into a file of its own."""
        with (self.path / next(self._names)).open("xb") as file:
            file.write(content)

    def files(self) -> list[Path]:
        """Return what is there, the earliest first."""
        return sorted(self.path.glob(f"*{self._suffix}"))


def _names(suffix: str) -> Iterator[str]:
    """Make names that neither this process nor an earlier one has used."""
    start = f"{time.time_ns() // 1000:016}"
    return (f"{start}-{number:06}{suffix}" for number in itertools.count(1))
