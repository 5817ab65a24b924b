"""The workers on an SQLite file: each holds the lock on a file of its own, named after it.

The system's lock on a file ends with the process that holds it, however that dies. Whoever can take
it knows that the owner is dead.
"""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from typing import Final

from sqlalchemy.engine import Connection

from pinguin_adapters.sqlmodel_store.forks import close, keep_from_children
from pinguin_adapters.sqlmodel_store.liveness import Absences, claimants
from pinguin_core.errors import StoreUnavailable

_PAUSE: Final = 0.25
_UNFOUND: Final = 4
"""Looks after which somebody without a file is dead: it had time to make one that was removed."""

_TRIES: Final = 50
_REST: Final = 0.01
_NAME: Final = re.compile(r"[0-9a-f]{16}")


class WorkerFiles:
    """See `Roll`. The files are for their owner alone, and removed at the end.

    Those of dead workers are removed by whoever finds them without claims.

    Args:
        folder: where they are; made if need be.
        connect: opens a connection to look through.
        require: raises `StoreUnavailable` if the database's file is not where it should be.
    """

    pause = _PAUSE

    def __init__(
        self, folder: Path, connect: Callable[[], Connection], require: Callable[[], None]
    ) -> None:
        self._folder = folder
        self._connect = connect
        self._require = require
        self._own = token_hex(8)
        self._file: int | None = None
        self._absences = Absences(_UNFOUND)

    @property
    def name(self) -> str | None:
        """See `Roll.name`."""
        return None if self._file is None else self._own

    @contextmanager
    def attend(self) -> Iterator[Connection]:
        """See `Roll.attend`."""
        with self._connect() as connection:
            try:
                yield connection
            finally:
                self._leave()

    def look(self, connection: Connection) -> Collection[str]:
        """See `Roll.look`.

        Raises:
            StoreUnavailable: if the folder or our file cannot be made or read, or the database's
                file is not in its place.
        """
        self._require()
        try:
            self._enter()
            names = {name for name in os.listdir(self._folder) if _NAME.fullmatch(name)}  # noqa: PTH208 (names)
        except OSError as error:
            raise StoreUnavailable(
                f"its folder {self._folder} cannot be used: {error.strerror}"
            ) from error
        with ExitStack() as locks:
            dead = {name for name in names - {self._own} if self._is_dead(name, locks)}
            claiming = claimants(connection)  # only now, since the dead claim nothing more
            for name in dead - claiming:
                with suppress(OSError):
                    (self._folder / name).unlink()
        return (dead & claiming) | self._absences.note(claiming - names - {self._own})

    def _enter(self) -> None:
        """Make our file and lock it, unless we hold it already.

        In between somebody may find it, and take it for a dead one's: then we make another.
        """
        for _ in range(_TRIES):
            if self._file is not None and _is_at(self._file, self._folder / self._own):
                return
            self._let_go()
            self._folder.mkdir(mode=0o700, exist_ok=True)
            file = os.open(self._folder / self._own, os.O_CREAT | os.O_RDWR, 0o600)
            keep_from_children(file)
            if _is_taken(file):
                self._file = file
            else:
                close(file)
                time.sleep(_REST)
        raise StoreUnavailable(f"somebody keeps taking our file in {self._folder}")

    def _leave(self) -> None:
        if self._file is not None and _is_at(self._file, self._folder / self._own):
            with suppress(OSError):
                (self._folder / self._own).unlink()
        self._let_go()

    def _let_go(self) -> None:
        if self._file is not None:
            file, self._file = self._file, None
            close(file)

    def _is_dead(self, name: str, locks: ExitStack) -> bool:
        """Take somebody's lock, to keep it for a while, if nobody has it."""
        path = self._folder / name
        try:
            file = os.open(path, os.O_RDONLY)
        except OSError:  # gone, or another user's, of whom we cannot tell
            return False
        locks.callback(close, file)
        keep_from_children(file)
        return _is_taken(file) and _is_at(file, path)


def _is_taken(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(file: int, path: Path) -> bool:
    """Tell whether a path still leads to an open file."""
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except OSError:
        return False
