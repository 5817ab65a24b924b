"""Taking turns at an SQLite file: one at a time, and nobody waits for ever."""

from __future__ import annotations

import fcntl
import os
import resource
import sqlite3
import stat
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGSTOP

import pytest
from support.sqlmodel_processes import (
    hold_write_lock,
    hold_write_lock_and_fork,
    prepared_processes,
)
from support.sqlmodel_stores import email, opened, run

from pinguin_adapters.sqlmodel_store import forks, sqlite
from pinguin_adapters.sqlmodel_store.write_lock import WriteLock
from pinguin_core import StoreUnavailable

LONG = 20.0
SHORT = 0.02
LOCKED = "^the database is locked by another process$"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db-lock"


@contextmanager
def lock_on(path: Path) -> Iterator[WriteLock]:
    lock = WriteLock(path)
    try:
        yield lock
    finally:
        lock.close()


def is_free(path: Path) -> bool:
    with path.open() as file, suppress(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


def wait_until_free(path: Path) -> None:
    with path.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)


def cost(path: Path) -> tuple[int, int]:
    """How many threads wait, and how often the file is open; others may come and go meanwhile."""
    opened = [file for file in Path("/proc/self/fd").iterdir() if _is_same(file, path)]
    return sum(map(is_waiting_thread, threading.enumerate())), len(opened)


def _is_same(file: Path, path: Path) -> bool:
    try:
        return file.samefile(path)
    except OSError:  # closed meanwhile
        return False


@contextmanager
def holder(
    path: Path, act: Callable[[Path, Connection], None] = hold_write_lock
) -> Iterator[tuple[BaseProcess, Connection]]:
    """A process that has its turn."""
    context = prepared_processes()
    ours, theirs = context.Pipe()
    process = context.Process(target=act, args=(path, theirs))
    process.start()
    try:
        assert ours.poll(LONG)
        yield process, ours
    finally:
        process.kill()
        process.join(LONG)
        ours.close()
        theirs.close()


def test_the_file_is_for_its_owner_alone(path: Path) -> None:
    with lock_on(path) as lock:
        lock.take(LONG)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_that_cannot_be_opened_is_named(path: Path) -> None:
    path.mkdir()
    with (
        lock_on(path) as lock,
        pytest.raises(StoreUnavailable, match=rf"its lock file {path} cannot be opened: Is a dir"),
    ):
        lock.take(LONG)


def test_many_threads_never_have_a_turn_at_once(path: Path) -> None:
    inside: list[int] = []
    most: list[int] = []

    def work() -> None:
        with lock_on(path) as lock:
            for _ in range(200):
                lock.take(LONG)
                inside.append(1)
                most.append(len(inside))
                inside.pop()
                lock.release()

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 1_200


def test_a_turn_comes_when_the_holder_releases(path: Path) -> None:
    with holder(path) as (_, told), lock_on(path) as lock:
        with pytest.raises(StoreUnavailable, match=LOCKED):
            lock.take(SHORT)
        told.send("release")
        lock.take(LONG)
        assert not is_free(path)


def test_a_turn_comes_when_the_holder_is_killed(path: Path) -> None:
    with holder(path) as (process, _), lock_on(path) as lock:
        with pytest.raises(StoreUnavailable):
            lock.take(SHORT)
        process.kill()
        lock.take(LONG)


def test_a_child_of_the_holder_that_lives_on_keeps_nobody_waiting(path: Path) -> None:
    with holder(path, hold_write_lock_and_fork) as (process, told):
        child = told.recv()
        try:
            assert not is_free(path)
            process.kill()
            process.join(LONG)
            assert is_free(path)
        finally:
            os.kill(child, SIGKILL)


def test_a_closed_lock_leaves_its_files_number_to_others(path: Path) -> None:
    """Or a forked child would lose what is open by that number then."""
    kept = {*forks._KEPT}
    with lock_on(path) as first:
        first.take(LONG)
        with lock_on(path) as second, pytest.raises(StoreUnavailable):
            second.take(SHORT)
        assert len(forks._KEPT - kept) == 2
    wait_until_nobody_waits()
    assert kept == forks._KEPT


def is_waiting_thread(thread: threading.Thread) -> bool:
    return thread.name == "pinguin-store-lock"


def wait_until_nobody_waits() -> None:
    for thread in filter(is_waiting_thread, threading.enumerate()):
        thread.join(LONG)


def test_a_holder_that_is_stopped_keeps_nobody_for_ever(path: Path) -> None:
    """Nor does each wait for it cost a thread or an open file more."""
    wait_until_nobody_waits()  # as an earlier test may have left somebody
    with holder(path) as (process, told), lock_on(path) as lock:
        assert process.pid is not None
        os.kill(process.pid, SIGSTOP)
        with pytest.raises(StoreUnavailable, match=LOCKED):
            lock.take(SHORT)
        before = cost(path)
        for _ in range(5):
            with pytest.raises(StoreUnavailable, match=LOCKED):
                lock.take(SHORT)
        assert cost(path) == before
        os.kill(process.pid, SIGCONT)
        told.send("release")
        lock.take(LONG)
        lock.release()
        assert is_free(path)


def test_a_turn_that_comes_when_nobody_waits_any_more_is_given_back(path: Path) -> None:
    with lock_on(path) as first, lock_on(path) as second:
        first.take(LONG)
        with pytest.raises(StoreUnavailable):
            second.take(SHORT)
        first.release()
        wait_until_free(path)
        first.take(LONG)


def test_a_turn_is_not_taken_while_the_last_one_is_being_given_back(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or it would be given back with it, and another would have its turn too."""
    begun, tried, ended = (threading.Event() for _ in range(3))
    flock = fcntl.flock

    def slowly(file: int, operation: int) -> None:
        is_given_back = operation == fcntl.LOCK_UN and is_waiting_thread(threading.current_thread())
        if is_given_back:
            begun.set()
            tried.wait(5 * SHORT)
        flock(file, operation)
        if operation & fcntl.LOCK_NB:
            tried.set()
        if is_given_back:
            ended.set()

    with lock_on(path) as first, lock_on(path) as second:
        first.take(LONG)
        with pytest.raises(StoreUnavailable):
            second.take(SHORT)
        monkeypatch.setattr(fcntl, "flock", slowly)
        first.release()
        assert begun.wait(LONG)
        second.take(LONG)
        assert ended.wait(LONG)
        assert not is_free(path)


def test_closing_while_in_line_leaves_the_file_free(path: Path) -> None:
    with lock_on(path) as first:
        first.take(LONG)
        with lock_on(path) as second, pytest.raises(StoreUnavailable):
            second.take(SHORT)
    wait_until_free(path)


def test_however_many_gave_up_only_one_of_them_still_waits(path: Path) -> None:
    wait_until_nobody_waits()  # as an earlier test may have left somebody
    with lock_on(path) as holding:
        holding.take(LONG)
        assert cost(path) == (0, 1)
        for _ in range(5):
            with lock_on(path) as lock, pytest.raises(StoreUnavailable, match=LOCKED):
                lock.take(SHORT)
        assert cost(path) == (1, 2)
    wait_until_nobody_waits()
    assert cost(path) == (0, 0)


def test_who_comes_after_one_that_gave_up_has_its_place_in_the_line(path: Path) -> None:
    with lock_on(path) as holding, lock_on(path) as next_one:
        holding.take(LONG)
        with lock_on(path) as lock, pytest.raises(StoreUnavailable):
            lock.take(SHORT)
        threading.Timer(SHORT, holding.release).start()
        next_one.take(LONG)
        assert not is_free(path)
        next_one.release()
        assert is_free(path)
    wait_until_nobody_waits()


def test_those_that_wait_at_once_wait_each_for_itself(path: Path) -> None:
    with lock_on(path) as holding:
        holding.take(LONG)
        with lock_on(path) as one, lock_on(path) as other:
            for lock in (one, other):
                with pytest.raises(StoreUnavailable):
                    lock.take(SHORT)
        holding.release()
        wait_until_nobody_waits()
        assert is_free(path)


def test_a_place_before_a_file_that_was_removed_is_nobodys(path: Path) -> None:
    with lock_on(path) as holding:
        holding.take(LONG)
        with lock_on(path) as lock, pytest.raises(StoreUnavailable):
            lock.take(SHORT)
        path.unlink()
        with lock_on(path) as lock:
            lock.take(SHORT)
    wait_until_nobody_waits()


def test_a_forked_child_waits_for_itself(path: Path) -> None:
    """The thread that waits for its parent does not live there."""
    with lock_on(path) as holding:
        holding.take(LONG)
        with lock_on(path) as lock, pytest.raises(StoreUnavailable):
            lock.take(SHORT)
        if not (child := fork()):
            with lock_on(path) as lock, suppress(StoreUnavailable):
                lock.take(LONG)
                os._exit(0)
            os._exit(1)
        holding.release()
        assert os.waitpid(child, 0) == (child, 0)
    wait_until_nobody_waits()


def fork() -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking where there are threads
        return os.fork()


def test_a_store_waits_for_its_turn_with_patience_and_then_says_so(
    tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with opened(tmp_path / "store.db") as store:
            await store.add(email("notif-1"))
            assert is_free(path)
            monkeypatch.setattr(sqlite, "_PATIENCE", SHORT)
            with holder(path) as (process, _):
                assert process.pid is not None
                os.kill(process.pid, SIGSTOP)
                with pytest.raises(StoreUnavailable, match=LOCKED):
                    await store.add(email("notif-2"))
                assert await store.get(email("notif-1").id) == email("notif-1")
                os.kill(process.pid, SIGKILL)
                process.join(LONG)
                monkeypatch.setattr(sqlite, "_PATIENCE", LONG)
                await store.add(email("notif-2"))

    run(scenario())


def test_a_store_opens_and_closes_while_another_process_keeps_the_turn(
    tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with lock_on(path) as lock:
        run(until_closing(tmp_path, lock, monkeypatch))
        with pytest.raises(StoreUnavailable, match="cannot be used: the database is locked"):
            run(open_and_close(tmp_path))
    run(open_and_close(tmp_path))


def test_a_store_that_closes_hardly_waits_for_its_turn(
    tmp_path: Path, path: Path, patience: list[float]
) -> None:
    """A stop has no time for it: whoever has the turn makes the last checkpoint."""

    async def scenario(lock: WriteLock) -> None:
        async with opened(tmp_path / "store.db") as store:
            await store.add(email())
            lock.take(LONG)
            patience.clear()

    with lock_on(path) as lock:
        run(scenario(lock))
    assert patience == [0.5]


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds for which connections are ready to wait, each time that they ask for a turn."""
    asked: list[float] = []

    class Noted(WriteLock):
        def take(self, patience: float) -> None:
            asked.append(patience)
            super().take(patience)

    monkeypatch.setattr(sqlite, "WriteLock", Noted)
    return asked


async def open_and_close(folder: Path) -> None:
    async with opened(folder / "store.db"):
        pass


async def until_closing(folder: Path, lock: WriteLock, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(folder / "store.db") as store:
        await store.add(email())
        monkeypatch.setattr(sqlite, "_PATIENCE", SHORT)
        lock.take(LONG)


@pytest.fixture
def takes(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The locks that connections ask for a turn, each time that they do."""
    asked: list[Path] = []

    class Noted(WriteLock):
        def take(self, patience: float) -> None:
            asked.append(self._path)
            super().take(patience)

    monkeypatch.setattr(sqlite, "WriteLock", Noted)
    monkeypatch.setattr(sqlite, "_PATIENCE", SHORT)
    return asked


def test_an_opening_that_gets_no_turn_is_patient_once(
    tmp_path: Path, path: Path, takes: list[Path]
) -> None:
    """And not again whenever its connection is closed."""
    with lock_on(path) as lock:
        lock.take(LONG)
        with pytest.raises(StoreUnavailable, match="the database is locked"):
            run(open_and_close(tmp_path))
    assert takes == [path]


def test_a_connection_that_is_closed_again_wants_no_turn(
    tmp_path: Path, path: Path, takes: list[Path]
) -> None:
    connection = sqlite3.connect(tmp_path / "store.db", factory=sqlite.TakingTurns)
    connection.take_turn()
    connection.close()
    connection.close()
    assert takes == [path, path]


def test_a_commit_that_fails_ends_the_turn(tmp_path: Path, path: Path) -> None:
    """Or nobody could write until this process ends."""

    async def scenario() -> None:
        async with opened(tmp_path / "store.db") as store:
            await store.add(email("notif-first"))
            soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
            limit = (tmp_path / "store.db-wal").stat().st_size
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
            try:
                with pytest.raises(StoreUnavailable, match="the database failed"):
                    await store.add(email("notif-refused"))
                assert is_free(path)
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            async with opened(tmp_path / "store.db") as other:
                await other.add(email("notif-last"))

    run(scenario())
