"""Power cuts: how a database looks after them, and what is missing there."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from reliability.power_cut.disk import Disk
from reliability.power_cut.program import words
from reliability.power_cut.tracing import Answered, Asked, Event, SyncBegan, SyncEnded, Written
from reliability.scale import chance
from support.quick_folders import quick_folder

from pinguin_adapters.sqlmodel_store.rows import TABLE


@dataclass(frozen=True, slots=True)
class Image:
    """What one power cut left behind.

    Attributes:
        number: which of the images of its name it is.
        cut: how many events came before the cut.
        files: what the disk then held.
        promised: the version of each notification that was answered for before the cut.
    """

    number: int
    cut: int
    files: Mapping[Path, bytes]
    promised: Mapping[str, int]


@dataclass(slots=True)
class Verdict:
    """What was found in many images; each line names its image and its cut."""

    images: int = 0
    promises: int = 0
    lost: list[str] = field(default_factory=list)
    corrupt: list[str] = field(default_factory=list)


def images(events: Sequence[Event], root: Path, name: str, count: int) -> Iterator[Image]:
    """Cut the power at so many moments. Each image has chance of its own, by name and number."""
    sources = [chance(f"{name} {number}") for number in range(count)]
    cuts = sorted((source.randrange(len(events) + 1), n) for n, source in enumerate(sources))
    disk, promised, done = Disk(root), dict[str, int](), 0
    for cut, number in cuts:
        for event in events[done:cut]:
            disk.do(event)
            if isinstance(event, Answered):
                promised |= event.versions
        done = cut
        yield Image(number, cut, disk.image(sources[number]), dict(promised))


def judged(found: Iterator[Image], database: Path, broken: Path) -> Verdict:
    """Open each image as SQLite does, and look for what was promised.

    Args:
        found: the images.
        database: where the database is in them.
        broken: a folder, to be made, where the first one stays that breaks the promise.
    """
    verdict = Verdict()
    for image in found:
        verdict.images += 1
        verdict.promises += len(image.promised)
        lost, corrupt = _examined(image, database)
        where = f"image {image.number}, cut after {image.cut} events: "
        verdict.lost += [where + each for each in lost]
        verdict.corrupt += [where + each for each in corrupt]
        if (lost or corrupt) and not broken.exists():
            broken.mkdir()
            laid_out(image, database, broken)
    return verdict


def laid_out(image: Image, database: Path, folder: Path) -> Path:
    """Write the database's files into a folder, except for what SQLite makes anew after a crash."""
    for path in (database, _log(database), database.with_name(f"{database.name}-journal")):
        if (content := image.files.get(path)) is not None:
            (folder / path.name).write_bytes(content)
    return folder / database.name


def _examined(image: Image, database: Path) -> tuple[Sequence[str], Sequence[str]]:
    """Return what is lost in an image, and what is corrupt."""
    with quick_folder() as folder:
        path = laid_out(image, database, Path(folder))
        try:
            with closing(sqlite3.connect(path)) as connection:
                (health,) = connection.execute("PRAGMA integrity_check").fetchone()
                stored = _stored(connection)
        except sqlite3.DatabaseError as error:
            return (), (f"{type(error).__name__}: {error}",)
    if health != "ok":
        return (), (health,)
    corrupt = [
        f"{name} says something else"
        for name, (_, *said) in stored.items()
        if tuple(said) != words(name)
    ]
    lost = [
        f"{name} has version {stored[name][0] if name in stored else None}, not {version}"
        for name, version in image.promised.items()
        if name not in stored or stored[name][0] < version
    ]
    return lost, corrupt


def _stored(connection: sqlite3.Connection) -> Mapping[str, tuple[int, str, str]]:
    """Return the version, the subject and the body of each notification."""
    tables = connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (TABLE.name,))
    if not tables.fetchall():
        return {}
    rows = connection.execute(f"SELECT id, version, subject, body FROM {TABLE.name}")
    return {name: (version, subject, body) for name, version, subject, body in rows}


def answered_without_sync(events: Sequence[Event], database: Path) -> Sequence[int]:
    """List the calls that promised something, but were answered before a synchronisation.

    One counts for a call if it began after the call and had ended before the answer.
    """
    asked: dict[int, int] = {}
    began: dict[int, int] = {}
    latest, hasty = -1, []
    for place, event in enumerate(events):
        match event:
            case Asked(number):
                asked[number] = place
            case SyncBegan(_, number):
                began[number] = place
            case SyncEnded(path, number) if path in (database, _log(database)):
                latest = max(latest, began[number])
            case Answered(number, versions) if versions and latest < asked[number]:
                hasty.append(number)
    return hasty


def checkpoints(events: Sequence[Event], database: Path) -> int:
    """Count how often what was written to the database itself was synchronised."""
    count, is_written = 0, False
    for event in events:
        match event:
            case Written(path) if path == database:
                is_written = True
            case SyncEnded(path) if path == database and is_written:
                count, is_written = count + 1, False
    return count


def _log(database: Path) -> Path:
    return database.with_name(f"{database.name}-wal")
