"""Disks that run out of room for real, and have room again."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import pytest


class Shortage(Protocol):
    """Where there is little room.

    Attributes:
        path: of the database.
    """

    path: Path

    def begin(self, left: int) -> None:
        """Leave so many bytes."""
        ...

    def end(self) -> None:
        """Let there be room again."""
        ...


class SmallDisk:
    """A file system in memory, which something else fills."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "store.db"
        self._filler = folder / "filler"

    def begin(self, left: int) -> None:
        seen = os.statvfs(self.path.parent)
        with self._filler.open("ab") as filler:
            size = max(1, seen.f_bavail * seen.f_frsize - left)
            os.posix_fallocate(filler.fileno(), filler.tell(), size)

    def end(self) -> None:
        self._filler.unlink(missing_ok=True)


class LimitedFiles:
    """A limit on how large this process's files may be: the log of the database is the largest."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "store.db"
        self._usual = resource.getrlimit(resource.RLIMIT_FSIZE)

    def begin(self, left: int) -> None:
        size = self.path.with_name("store.db-wal").stat().st_size + left
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, self._usual[1]))

    def end(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, self._usual)


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[SmallDisk]:
    """Mount a file system of so many bytes, or skip the test where that is not permitted."""
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "pinguin-test", str(folder)]
    try:
        mounted = subprocess.run(mount, check=False, capture_output=True)
    except FileNotFoundError:
        pytest.skip("there is no command `mount`")
    if mounted.returncode:
        pytest.skip("mounting a small file system is not permitted; run as root")
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@contextmanager
def limited_files(folder: Path, _size: int) -> Iterator[LimitedFiles]:
    """Limit how large files may be; the disk's own room is not looked at."""
    limited = LimitedFiles(folder)
    try:
        yield limited
    finally:
        limited.end()
