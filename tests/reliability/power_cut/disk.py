"""A disk that keeps what was synchronised, and of the rest whatever chance keeps.

A sector is whole: it holds one of the states that it has had since it was last synchronised, its
neighbours each one of theirs. So writes are lost, torn and out of order. The same goes for the size
of a file, and for what a name stands for: a file, a folder or nothing.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

from reliability.power_cut.tracing import (
    Answered,
    Asked,
    Event,
    Made,
    Removed,
    Resized,
    SyncBegan,
    SyncEnded,
    Written,
)

SECTOR: Final = 512  # bytes

Keeps: TypeAlias = Callable[[int], bool]
"""Whether something survives that was not synchronised; takes the number of its event."""


@dataclass(frozen=True, slots=True)
class _State:
    """What a sector, a size or a name became, and by which event."""

    event: int


@dataclass(frozen=True, slots=True)
class _Sector(_State):
    start: int
    data: bytes


@dataclass(frozen=True, slots=True)
class _Size(_State):
    size: int


@dataclass(slots=True)
class _File:
    content: bytearray = field(default_factory=bytearray)
    durable: bytearray = field(default_factory=bytearray)
    pending: list[_Sector | _Size] = field(default_factory=list)

    def write(self, event: int, offset: int, data: bytes) -> None:
        end = offset + len(data)
        if end > len(self.content):
            self.resize(event, end)
        self.content[offset:end] = data
        for start in range(offset - offset % SECTOR, end, SECTOR):
            state = bytes(self.content[start : start + SECTOR])
            self.pending.append(_Sector(event, start, state))

    def resize(self, event: int, size: int) -> None:
        _resize(self.content, size)
        self.pending.append(_Size(event, size))

    def synchronise(self, before: int) -> None:
        done = [state for state in self.pending if state.event < before]
        self.pending = self.pending[len(done) :]
        _apply(self.durable, done)

    def image(self, keeps: Keeps) -> bytes:
        """Build it from what is kept.

        With a size, all sizes before it are kept too, or what the file was cut off by would be
        there again.
        """
        kept = [keeps(state.event) for state in self.pending]
        sizes = [n for n, state in enumerate(self.pending) if kept[n] and isinstance(state, _Size)]
        last = max(sizes, default=-1)
        image = bytearray(self.durable)
        _apply(
            image,
            (
                state
                for n, state in enumerate(self.pending)
                if kept[n] or (n <= last and isinstance(state, _Size))
            ),
        )
        return bytes(image)


def _apply(content: bytearray, states: Iterable[_Sector | _Size]) -> None:
    """Let a file become what it is with these states; what lies beyond its end is not seen."""
    for state in states:
        if isinstance(state, _Size):
            _resize(content, state.size)
        elif (room := len(content) - state.start) > 0:
            content[state.start : state.start + len(state.data)] = state.data[:room]


def _resize(content: bytearray, size: int) -> None:
    del content[size:]
    content.extend(bytes(size - len(content)))


class _Folder:
    """What stands for a folder; its names are kept by the disk."""


_Thing: TypeAlias = _File | _Folder | None


@dataclass(frozen=True, slots=True)
class _Meaning(_State):
    thing: _Thing


@dataclass(slots=True)
class _Name:
    now: _Thing = None
    durable: _Thing = None
    pending: list[_Meaning] = field(default_factory=list)

    def become(self, event: int, thing: _Thing) -> None:
        self.now = thing
        self.pending.append(_Meaning(event, thing))

    def synchronise(self, before: int) -> None:
        done = [meaning for meaning in self.pending if meaning.event < before]
        self.pending = self.pending[len(done) :]
        if done:
            self.durable = done[-1].thing

    def image(self, keeps: Keeps) -> _Thing:
        kept = [meaning.thing for meaning in self.pending if keeps(meaning.event)]
        return kept[-1] if kept else self.durable


class Disk:
    """What a program's files are, and what they may be after a power cut.

    Args:
        root: the folder that was there before.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._names: dict[Path, _Name] = {}
        self._events = 0
        self._began: dict[int, int] = {}

    def do(self, event: Event) -> None:
        """Take the next event."""
        self._events += 1
        match event:
            case Written(path, offset, data):
                self._file(path).write(self._events, offset, data)
            case Resized(path, size):
                self._file(path).resize(self._events, size)
            case Made(path, is_folder):
                if self._name(path).now is None:
                    self._name(path).become(self._events, _Folder() if is_folder else _File())
            case Removed(path):
                self._name(path).become(self._events, None)
            case SyncBegan(_, number):
                self._began[number] = self._events
            case SyncEnded(path, number):
                self._synchronise(path, before=self._began.pop(number))
            case Asked() | Answered():
                pass

    def image(self, chance: random.Random) -> dict[Path, bytes]:
        """Cut the power, and return the files that are there when it is back.

        Chance first decides how much survives on the whole, and whether a write does so as one or
        each sector by itself.
        """
        keeps = _survival(chance)
        found = {path: name.image(keeps) for path, name in self._names.items()}
        reached = {self._root}
        for path in sorted(path for path, thing in found.items() if isinstance(thing, _Folder)):
            if path.parent in reached:
                reached.add(path)
        return {
            path: thing.image(keeps)
            for path, thing in found.items()
            if isinstance(thing, _File) and path.parent in reached
        }

    def _name(self, path: Path) -> _Name:
        return self._names.setdefault(path, _Name())

    def _file(self, path: Path) -> _File:
        thing = self._name(path).now
        if not isinstance(thing, _File):
            raise TypeError(f"{path} is not a file that was made")
        return thing

    def _synchronise(self, path: Path, *, before: int) -> None:
        for each, name in self._names.items():
            if each.parent == path:
                name.synchronise(before)
        thing = self._name(path).now
        if isinstance(thing, _File):
            thing.synchronise(before)


def _survival(chance: random.Random) -> Keeps:
    likely = chance.choice((0.0, 0.05, 0.5, 0.95, 1.0))
    if chance.random() < 0.5:
        return lambda _: chance.random() < likely
    fates: dict[int, bool] = {}

    def as_one(event: int) -> bool:
        return fates.setdefault(event, chance.random() < likely)

    return as_one
