"""Folders for databases of tests that need no disk, only a file system."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

_IN_MEMORY = Path("/dev/shm")


def quick_folder() -> TemporaryDirectory[str]:
    """Make a folder in memory where that is possible: waiting for the disk proves nothing here."""
    return TemporaryDirectory(dir=_IN_MEMORY if _IN_MEMORY.is_dir() else None)
