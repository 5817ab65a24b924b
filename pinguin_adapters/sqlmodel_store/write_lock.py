"""Taking turns at writing to an SQLite file, so that of many processes each gets its share.

SQLite's own wait for a lock starves: it sleeps between tries, and whoever writes without pause is
always there first. The system's lock on a file wakes whoever waits for it; and it ends with the
process that holds it, however that dies.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from queue import SimpleQueue
from threading import Lock, Semaphore, Thread
from typing import Final

from pinguin_adapters.sqlmodel_store.forks import close, keep_from_children
from pinguin_core.errors import StoreUnavailable

_STAND_IN: Final = True
_GO_HOME: Final = False


class WriteLock:
    """Is held by one at a time, of all that are on the same file, in whatever processes they are.

    One thread uses it. The file is made, for its owner alone, and never removed: whoever had it
    open would hold a lock that nobody else sees.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._place: _Place | None = None
        self._is_held = False

    def take(self, patience: float) -> None:
        """Wait until it is our turn, for so many seconds at the most.

        Raises:
            StoreUnavailable: if the turn does not come, or the file cannot be opened.
        """
        if self._place is None:
            self._place = _place_before(self._path)
        if not self._place.gets_turn(patience):
            raise StoreUnavailable("the database is locked by another process")
        self._is_held = True

    def release(self) -> None:
        """Let the next one write; without a turn, do nothing."""
        if self._is_held and self._place is not None:
            self._is_held = False
            fcntl.flock(self._place.file, fcntl.LOCK_UN)

    def close(self) -> None:
        """Let go of the file."""
        self.release()
        if self._place is not None:
            self._place.leave()
        self._place = None


class _Place:
    """A place before a lock file, to stand at, and to wait at if need be.

    Args:
        file: the file, open.

    Attributes:
        status: what it is, also once it was closed.
    """

    def __init__(self, file: int) -> None:
        self.file = file
        self.status = os.fstat(file)
        self._mutex = Lock()
        self._is_wanted = False
        self._is_in_line = False
        self._errands: SimpleQueue[bool] | None = None
        self._granted = Semaphore(0)

    def gets_turn(self, patience: float) -> bool:
        """Wait for a turn, for so many seconds, and tell whether it came."""
        with self._mutex:  # under which a turn that nobody wants any more is given back
            has_turn = not self._is_in_line and _taken_at_once(self.file)
        return has_turn or self._waited(patience)

    def leave(self) -> None:
        """Let go of the file; if it is waited for, whoever comes next may have the place."""
        with self._mutex:
            if self._is_in_line:
                _LEFT.add(self)
            elif self._errands is not None:
                self._errands.put(_GO_HOME)
            else:
                close(self.file)

    def _waited(self, patience: float) -> bool:
        """Have another thread stand in line: the system's wait has no end of its own.

        It stays there when patience is over, since it can do nothing else, and the next turn that
        is asked for is waited for in its place.
        """
        with self._mutex:
            self._is_wanted = True
            if not self._is_in_line:
                self._is_in_line = True
                self._send()
        if self._granted.acquire(timeout=patience):
            return True
        with self._mutex:
            self._is_wanted = False
            return self._granted.acquire(blocking=False)

    def _send(self) -> None:
        if self._errands is None:
            self._errands = SimpleQueue()
            line = (self._errands,)
            Thread(target=self._stand_in, args=line, name="pinguin-store-lock", daemon=True).start()
        self._errands.put(_STAND_IN)

    def _stand_in(self, errands: SimpleQueue[bool]) -> None:
        while errands.get():
            fcntl.flock(self.file, fcntl.LOCK_EX)
            with self._mutex:
                self._is_in_line = False
                if self._is_wanted:
                    self._is_wanted = False
                    self._granted.release()
                    continue
                fcntl.flock(self.file, fcntl.LOCK_UN)
                if _is_taken_over(self):
                    break
        close(self.file)


_LEFT: Final[set[_Place]] = set()
"""The places where a thread still waits and nobody else does.

Who opens the same file takes one over: else each of many vain tries would leave a thread and an
open file, for as long as somebody who was suspended has the lock.
"""

os.register_at_fork(after_in_child=_LEFT.clear)  # where those threads do not live


def _place_before(path: Path) -> _Place:
    place = _Place(_opened(path))
    for left in tuple(_LEFT):
        if os.path.samestat(left.status, place.status) and _is_taken_over(left):
            place.leave()
            return left
    return place


def _is_taken_over(place: _Place) -> bool:
    """Take a place that was left, which only one can."""
    try:
        _LEFT.remove(place)
    except KeyError:
        return False
    return True


def _opened(path: Path) -> int:
    try:
        file = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    except OSError as error:
        raise StoreUnavailable(
            f"its lock file {path} cannot be opened: {error.strerror}"
        ) from error
    keep_from_children(file)
    return file


def _taken_at_once(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise StoreUnavailable(f"its file system has no locks: {error.strerror}") from error
    return True
