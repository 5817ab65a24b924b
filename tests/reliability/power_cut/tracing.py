"""What a program does to the files below a folder, in its order, as strace saw it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final, TypeAlias

from reliability.power_cut import program
from reliability.power_cut.program import Variant
from support.absent import absent

_TESTS: Final = Path(__file__).parents[2]
_PATIENCE: Final = 120.0  # seconds
_BY_NAME: Final = (
    *("open", "openat", "openat2", "creat", "mkdir", "mkdirat", "unlink", "unlinkat", "rmdir"),
    *("rename", "renameat", "renameat2", "link", "linkat", "symlink", "symlinkat", "truncate"),
)
_BY_FILE: Final = (
    *("write", "writev", "pwrite64", "pwritev", "pwritev2", "ftruncate", "fallocate", "mmap"),
    *("fsync", "fdatasync", "sync_file_range", "sendfile", "splice", "copy_file_range"),
)


@dataclass(frozen=True, slots=True)
class Asked:
    """A call of the store begins."""

    number: int


@dataclass(frozen=True, slots=True)
class Answered:
    """A call of the store was answered, which promises that these versions are kept."""

    number: int
    versions: dict[str, int]


@dataclass(frozen=True, slots=True)
class Made:
    """A file or a folder was made, if it was not there."""

    path: Path
    is_folder: bool


@dataclass(frozen=True, slots=True)
class Removed:
    """A file was removed."""

    path: Path


@dataclass(frozen=True, slots=True)
class Written:
    """Something was written."""

    path: Path
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Resized:
    """A file was cut off, or got longer."""

    path: Path
    size: int


@dataclass(frozen=True, slots=True)
class SyncBegan:
    """What was done before this to a file, or to the names in a folder, will be synchronised."""

    path: Path
    number: int


@dataclass(frozen=True, slots=True)
class SyncEnded:
    """The synchronisation of this number is done."""

    path: Path
    number: int


Event: TypeAlias = Asked | Answered | Made | Removed | Written | Resized | SyncBegan | SyncEnded


class UnknownCall(Exception):
    """The program did something to its files that is not understood here."""


def traced(folder: Path, variant: Variant) -> Sequence[Event]:
    """Run the program on a new file below a folder, and return what it did there.

    The trace stays in the folder. Without strace the test is skipped, and in CI it fails.
    """
    if trouble := _trouble():
        absent(trouble)
    root, record, trace = folder / "disk", folder / "record", folder / "strace.txt"
    root.mkdir()
    subprocess.run(
        [
            *("strace", "-f", "-y", "-xx", "-s", str(1 << 20), "-o", str(trace)),
            *(
                "-e",
                "trace=" + ",".join(f"?{call}" for call in _BY_NAME + _BY_FILE),
                "-e",
                "signal=none",
            ),
            *(sys.executable, program.__file__, str(database_in(folder)), str(record), variant),
        ],
        check=True,
        timeout=_PATIENCE,
        env={**os.environ, "PYTHONPATH": str(_TESTS)},
    )
    with trace.open(encoding="ascii") as lines:
        return list(events(lines, root, record))


def disk_in(folder: Path) -> Path:
    """Return the folder that stands for the disk; it is there from the start."""
    return folder / "disk"


def database_in(folder: Path) -> Path:
    """Return where the program keeps its database: in folders that it has to make."""
    return disk_in(folder) / "var" / "pinguin" / "store.db"


@lru_cache
def _trouble() -> str:
    """Say why nothing can be traced, if so."""
    try:
        subprocess.run(["strace", "-f", "-o", "/dev/null", "true"], check=True, capture_output=True)
    except FileNotFoundError:
        return "strace is not installed: apt-get install strace"
    except subprocess.CalledProcessError as error:
        return f"strace is not permitted: {error.stderr.decode(errors='replace').strip()}"
    return ""


@dataclass(frozen=True, slots=True)
class _Begun:
    """A call that another thread's came between."""

    text: str
    number: int


_LINE: Final = re.compile(r"(\d+) +(.*)\n")
_UNFINISHED: Final = " <unfinished ...>"
_RESUMED: Final = re.compile(r"<\.\.\. \w+ resumed>(.*)")
_CALL: Final = re.compile(r"(\w+)\((.*)\) += (-?\d+|0x[0-9a-f]+|\?).*")
_FILE: Final = re.compile(r"\d+<([^>]*)>(\(deleted\))?")
_TEXT: Final = re.compile(r'"([^"]*)"(\.\.\.)?')


def events(lines: Iterable[str], root: Path, record: Path) -> Iterator[Event]:
    """Read what strace wrote.

    A write counts from when it returned, a synchronisation for what was written before it began,
    and an answer from when its record began: each time the stricter reading.

    Raises:
        UnknownCall: if something was done below the folder that cannot be replayed.
    """
    begun: dict[str, _Begun] = {}
    reader = _Reader(root, record)
    for number, line in enumerate(lines):
        thread, text = _parts(line)
        if text.startswith("+++"):  # a thread has ended
            continue
        if text.endswith(_UNFINISHED):
            text = text.removesuffix(_UNFINISHED)
            begun[thread] = _Begun(text, number)
            yield from reader.began(text, number)
        elif resumed := _RESUMED.fullmatch(text):
            before = begun.pop(thread)
            yield from reader.ended(before.text + resumed[1], before.number)
        else:
            yield from reader.began(text, number)
            yield from reader.ended(text, number)


def _parts(line: str) -> tuple[str, str]:
    if (match := _LINE.fullmatch(line)) is None:
        raise UnknownCall(line[:200])
    return match[1], match[2]


class _Reader:
    def __init__(self, root: Path, record: Path) -> None:
        self._root, self._record = root, record

    def began(self, text: str, number: int) -> Iterator[Event]:
        """Read a call that may not have returned."""
        name, _, rest = text.partition("(")
        if (file := _FILE.match(rest)) is None:
            return
        path = _decoded(file[1])
        if path == self._record and name == "write":
            yield _recorded(_data(rest))
        elif name in {"fsync", "fdatasync"} and self._is_ours(path):
            yield SyncBegan(path, number)

    def ended(self, text: str, number: int) -> Iterator[Event]:
        """Read a call that has returned."""
        if (match := _CALL.fullmatch(text)) is None:
            raise UnknownCall(text[:200])
        name, arguments, result = match.groups()
        paths = [path for path in _paths(name, arguments) if self._is_ours(path)]
        if not paths or result in {"-1", "?"} or _changes_nothing(name, arguments, paths[0]):
            return
        path, last = paths[0], arguments.rpartition(", ")[2]
        match name:
            case "openat" if "O_TRUNC" not in arguments:
                yield Made(path, is_folder=False)
            case "mkdir" | "mkdirat":
                yield Made(path, is_folder=True)
            case "unlink" | "unlinkat" if "AT_REMOVEDIR" not in arguments:
                yield Removed(path)
            case "pwrite64":
                yield Written(path, int(last), _data(arguments)[: int(result)])
            case "ftruncate":
                yield Resized(path, int(last))
            case "fsync" | "fdatasync":
                yield SyncEnded(path, number)
            case _:
                raise UnknownCall(f"{name} of {path}")

    def _is_ours(self, path: Path) -> bool:
        return path.is_relative_to(self._root)


def _changes_nothing(name: str, arguments: str, path: Path) -> bool:
    """Say whether a call only reads, or writes what SQLite makes anew after a crash."""
    if name == "openat":
        return "O_CREAT" not in arguments and "O_TRUNC" not in arguments
    return name == "mmap" and ("PROT_WRITE" not in arguments or path.name.endswith("-shm"))


def _paths(name: str, arguments: str) -> Sequence[Path]:
    """Find what a call is about: the paths that it is given, or the files that it has open."""
    if name in _BY_NAME:
        return [_decoded(text) for text, _ in _TEXT.findall(arguments)]
    return [_decoded(path) for path, deleted in _FILE.findall(arguments) if not deleted]


def _decoded(text: str) -> Path:
    return Path(os.fsdecode(_bytes(text)))


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


def _data(arguments: str) -> bytes:
    match = _TEXT.search(arguments)
    if match is None or match[2]:
        raise UnknownCall(f"data that strace cut off: {arguments[:200]}")
    return _bytes(match[1])


def _recorded(line: bytes) -> Asked | Answered:
    word, number, *versions = line.decode().split()
    if word == "asked":
        return Asked(int(number))
    pairs = (each.split("=") for each in versions)
    return Answered(int(number), {name: int(version) for name, version in pairs})
