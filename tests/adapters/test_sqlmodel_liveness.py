"""A dead worker's claims are ended at once; one that lives keeps them, however slow it is."""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from signal import SIGKILL, SIGSTOP
from typing import Any

import pytest
import sqlalchemy as sa
from support.databases import SERVERS, directly, fresh
from support.dispatching import NotingObserver
from support.sqlmodel_stores import opened, run
from support.waiting import PATIENCE
from support.workers import LEASE, claim_and_fork, claim_and_hold, due, kill, worker

from pinguin_adapters.sqlmodel_store import (
    SqlModelNotificationRepository,
    session_locks,
    worker_files,
)
from pinguin_adapters.sqlmodel_store.liveness import Absences
from pinguin_adapters.sqlmodel_store.rows import TABLE
from pinguin_adapters.sqlmodel_store.session_locks import SessionLocks
from pinguin_adapters.sqlmodel_store.worker_files import WorkerFiles
from pinguin_core import Channel, Failed, Notification, StaleNotification, StoreUnavailable
from pinguin_core.history import Outcome
from pinguin_core.notification import Receipt

Store = SqlModelNotificationRepository
ENOUGH = 6
"""Looks after which whoever is absent is taken for dead, on every kind of database."""


@pytest.fixture(autouse=True)
def _no_look_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stores look when the test says so."""
    for roll in (WorkerFiles, SessionLocks):
        monkeypatch.setattr(roll, "pause", 3600.0)


async def look(store: Store, times: int = 1) -> None:
    for _ in range(times):
        await store._watch._round()


async def look_until_ended(store: Store, url: str) -> None:
    """Look until the claims are ended: a server needs a moment to end a session."""
    async with asyncio.timeout(PATIENCE):
        while claimants(url) != {None}:
            await look(store)


async def fill(url: str, count: int = 1) -> None:
    async with opened(url) as store:
        await asyncio.gather(*(store.add(due(f"notif-{n}")) for n in range(1, count + 1)))


async def now_claimable(store: Store) -> list[Notification]:
    return [*await store.claim_due(Channel.EMAIL, datetime.now(UTC), LEASE, 100)]


def claimants(url: str) -> set[str | None]:
    with directly(url) as connection:
        return {*connection.execute(sa.select(TABLE.c.claimed_by)).scalars()}


def rename(url: str, change: Callable[[str], str]) -> None:
    """Have the claims be somebody else's."""
    (name,) = claimants(url)
    assert name is not None
    with directly(url) as connection:
        connection.execute(sa.update(TABLE).values(claimed_by=change(name)))


def versions(url: str) -> list[int]:
    with directly(url) as connection:
        return [*connection.execute(sa.select(TABLE.c.version)).scalars()]


def test_what_a_killed_worker_claimed_is_claimed_anew(any_url: str) -> None:
    async def scenario() -> None:
        await fill(any_url, 3)
        async with opened(any_url) as store:
            with worker(any_url, claim_and_hold) as (process, told):
                assert told.recv() == 3
                began = datetime.now(UTC)
                await look(store, ENOUGH)
                assert await now_claimable(store) == []
                kill(process)
            await look_until_ended(store, any_url)
            again = await now_claimable(store)
            assert [(each.attempts, each.crashes) for each in again] == [(2, 1)] * 3
            for each in again:
                assert each.possible_duplicate
                (attempt,) = each.history
                assert (attempt.number, attempt.outcome) == (1, Outcome.CRASHED)
                assert attempt.started_at < began < attempt.ended_at

    run(scenario())


def test_two_that_look_at_once_end_a_claim_once(any_url: str) -> None:
    async def scenario() -> None:
        await fill(any_url)
        async with opened(any_url) as one, opened(any_url) as other:
            with worker(any_url, claim_and_hold) as (process, _):
                kill(process)
            await asyncio.gather(*(look_until_ended(each, any_url) for each in (one, other)))
            assert versions(any_url) == [3]  # queued, claimed, ended
            (again,) = await now_claimable(one)
            assert len(again.history) == again.crashes == 1

    run(scenario())


def test_what_can_be_claimed_anew_is_told(any_url: str) -> None:
    async def scenario() -> None:
        await fill(any_url)
        heard: list[tuple[Channel, datetime]] = []
        async with opened(any_url) as store:
            store.subscribe(lambda *wake: heard.append(wake))
            with worker(any_url, claim_and_hold) as (process, _):
                kill(process)
            heard.clear()  # PostgreSQL wakes whoever begins to listen
            await look_until_ended(store, any_url)
            assert (Channel.EMAIL, (await store.get(due().id)).wake_at) in heard

    run(scenario())


def test_nothing_is_told_to_be_due_before_its_time(any_url: str) -> None:
    """It was claimed by a clock that was ahead."""

    async def scenario() -> None:
        heard: list[tuple[Channel, datetime]] = []
        async with opened(any_url) as store:
            now = datetime.now(UTC)
            scheduled_at = now + timedelta(hours=1)
            await store.add(Notification.queue(due().id, due().message, now, scheduled_at))
            async with opened(any_url) as other:
                assert await other.claim_due(Channel.EMAIL, scheduled_at, LEASE, 1)
            store.subscribe(lambda *wake: heard.append(wake))
            await look_until_ended(store, any_url)
            assert (Channel.EMAIL, scheduled_at) in heard

    run(scenario())


def test_a_suspended_worker_keeps_what_it_claimed(any_url: str) -> None:
    async def scenario() -> None:
        await fill(any_url)
        async with opened(any_url) as store:
            with worker(any_url, claim_and_hold) as (process, _):
                assert process.pid is not None
                os.kill(process.pid, SIGSTOP)
                await look(store, 2 * ENOUGH)
                assert versions(any_url) == [2]

    run(scenario())


def test_what_five_workers_died_of_fails(any_url: str) -> None:
    async def scenario() -> Notification:
        await fill(any_url)
        async with opened(any_url) as store:
            for _ in range(5):
                with worker(any_url, claim_and_hold) as (process, told):
                    assert told.recv() == 1
                    kill(process)
                await look_until_ended(store, any_url)
            assert [type(each.state) for each in await now_claimable(store)] == [Failed]
            return await store.get(due().id)

    failed = run(scenario())
    assert [attempt.outcome for attempt in failed.history] == [Outcome.CRASHED] * 5
    assert (failed.attempts, failed.crashes, failed.retries) == (5, 5, 0)


def test_what_a_closed_store_had_claimed_is_claimed_anew(any_url: str) -> None:
    """As when its dispatcher could not hand it back."""

    async def scenario() -> None:
        await fill(any_url)
        async with opened(any_url) as store:
            async with opened(any_url) as other:
                assert len(await now_claimable(other)) == 1
                await look(store, ENOUGH)
                assert await now_claimable(store) == []
            await look_until_ended(store, any_url)
            assert len(await now_claimable(store)) == 1

    run(scenario())


def test_one_that_is_taken_for_dead_by_mistake_overwrites_nothing(any_url: str) -> None:
    async def scenario() -> None:
        await fill(any_url)
        async with opened(any_url) as store, opened(any_url) as other:
            (theirs,) = await now_claimable(other)
            rename(any_url, lambda name: f"not-{name}")
            await look(store, ENOUGH)
            (ours,) = await now_claimable(store)
            with pytest.raises(StaleNotification):
                await other.save(theirs.succeed(Receipt("late"), datetime.now(UTC)))
            await store.save(ours.succeed(Receipt("ours"), datetime.now(UTC)))

    run(scenario())


def test_a_damaged_one_keeps_no_other_from_being_ended(any_url: str) -> None:
    async def scenario() -> None:
        await fill(any_url, 2)
        async with opened(any_url) as store:
            with worker(any_url, claim_and_hold) as (process, _):
                kill(process)
            with directly(any_url) as connection:
                damage = f"UPDATE {TABLE.name} SET recipient = 'nobody' WHERE id = 'notif-1'"
                connection.exec_driver_sql(damage)
            async with asyncio.timeout(PATIENCE):
                while len(claimants(any_url)) == 1:
                    await look(store)
            assert [str(each.id) for each in await now_claimable(store)] == ["notif-2"]

    run(scenario())


def test_a_lease_that_is_over_is_left_to_whoever_claims(any_url: str) -> None:
    async def scenario() -> None:
        await fill(any_url)
        async with opened(any_url) as store:
            async with opened(any_url) as other:
                long_ago = datetime.now(UTC) + timedelta(microseconds=1) - LEASE
                await other.save((await other.get(due().id)).reschedule(long_ago, long_ago))
                await other.claim_due(Channel.EMAIL, long_ago, LEASE, 1)
            await look(store, ENOUGH)
            assert versions(any_url) == [3]

    run(scenario())


def test_looks_are_counted_in_a_row() -> None:
    absences = Absences(3)
    looks = [{"a"}, {"a", "b"}, {"b"}, {"a", "b"}, {"a", "b"}, {"a"}]
    assert [absences.note(absent) for absent in looks] == [
        set(), set(), set(), {"b"}, {"b"}, {"a"}
    ]  # fmt: skip
    absences.forget()
    assert absences.note({"a"}) == set()


# A file for each worker (SQLite)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/store.db"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "store.db-workers"


def is_free(path: Path) -> bool:
    with path.open() as file, suppress(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_one_look_finds_who_was_killed(url: str) -> None:
    async def scenario() -> None:
        await fill(url)
        async with opened(url) as store:
            with worker(url, claim_and_hold) as (process, _):
                kill(process)
            await look(store)
            assert len(await now_claimable(store)) == 1

    run(scenario())


def test_a_look_finds_who_claimed_and_was_killed_while_it_was_taken(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = os.listdir

    def list_after_a_death(folder: Path) -> list[str]:
        monkeypatch.undo()
        with worker(url, claim_and_hold) as (process, _):
            kill(process)
        return listed(folder)

    async def scenario() -> None:
        await fill(url)
        async with opened(url) as store:
            monkeypatch.setattr(os, "listdir", list_after_a_death)
            await look(store)
            assert len(await now_claimable(store)) == 1

    run(scenario())


def test_opening_a_store_is_such_a_look(url: str) -> None:
    async def scenario() -> None:
        await fill(url)
        with worker(url, claim_and_hold) as (process, _):
            kill(process)
        async with opened(url) as store:
            assert len(await now_claimable(store)) == 1

    run(scenario())


def test_a_child_that_lives_on_keeps_nobody_alive(url: str) -> None:
    async def scenario() -> None:
        await fill(url)
        async with opened(url) as store:
            with worker(url, claim_and_fork) as (process, told):
                child = told.recv()
                try:
                    await look(store)
                    assert await now_claimable(store) == []
                    kill(process)
                    await look(store)
                    assert len(await now_claimable(store)) == 1
                finally:
                    os.kill(child, SIGKILL)

    run(scenario())


def test_a_worker_on_the_file_by_another_name_is_seen_alive(url: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        await fill(url)
        (tmp_path / "link.db").symlink_to(tmp_path / "store.db")
        async with opened(url) as store, opened(tmp_path / "link.db") as other:
            assert len(await now_claimable(other)) == 1
            await look(store, ENOUGH)
            assert versions(url) == [2]

    run(scenario())


def test_a_file_stays_until_its_owners_claims_are_ended(url: str, folder: Path) -> None:
    async def scenario() -> None:
        await fill(url)
        async with opened(url) as store:
            with worker(url, claim_and_hold) as (process, _):
                kill(process)
            (dead,) = claimants(url)
            writing, store._watch._writing = store._watch._writing, Unwilling()  # type: ignore[assignment]
            await look(store, 2)
            assert (claimants(url), dead in names_in(folder)) == ({dead}, True)
            store._watch._writing = writing
            await look(store, 2)
            assert (claimants(url), names_in(folder)) == ({None}, {store._watch.name})

    run(scenario())


class Unwilling:
    async def ask(self, task: object) -> object:
        raise StoreUnavailable("the database is locked by another process")


def test_removed_files_are_made_again_before_anybody_is_taken_for_dead(
    url: str, folder: Path
) -> None:
    async def scenario() -> None:
        await fill(url)
        async with opened(url) as store, opened(url) as other:
            assert len(await now_claimable(other)) == 1
            shutil.rmtree(folder)
            await look(store, 2)
            await look(other)
            await look(store, ENOUGH)
            assert versions(url) == [2]
            assert names_in(folder) == {store._watch.name, other._watch.name}

    run(scenario())


def test_what_was_claimed_by_somebody_without_a_file_is_claimed_anew(
    url: str, folder: Path
) -> None:
    async def scenario() -> None:
        await fill(url)
        with worker(url, claim_and_hold) as (process, _):
            kill(process)
        shutil.rmtree(folder)
        async with opened(url) as store:
            await look(store, ENOUGH)
            assert len(await now_claimable(store)) == 1

    run(scenario())


@pytest.mark.parametrize("is_removed", [True, False])
def test_a_file_that_is_found_before_it_is_locked_is_made_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *, is_removed: bool
) -> None:
    """Somebody takes it for a dead one's, and has removed it, or is about to."""
    monkeypatch.setattr(worker_files, "claimants", lambda _: set())
    engine = sa.create_engine("sqlite://", poolclass=sa.NullPool)
    watching, starting = (WorkerFiles(folder, engine.connect, lambda: None) for _ in range(2))
    with engine.connect() as connection:
        watching.look(connection)
        take = worker_files._is_taken
        found: list[int] = []

        def found_before(file: int) -> bool:
            if not found:
                found.append(file)
                return watching.look(connection) == set() and is_removed and take(file)
            return take(file)

        monkeypatch.setattr(worker_files, "_is_taken", found_before)
        starting.look(connection)
        assert names_in(folder) == {watching.name, starting.name}
        monkeypatch.undo()
        assert not is_free(folder / str(starting.name))


def test_without_the_folder_claims_have_no_name_and_the_trouble_is_told_once(
    url: str, folder: Path
) -> None:
    async def scenario() -> None:
        await fill(url)
        shutil.rmtree(folder)
        folder.touch()  # noqa: ASYNC240 (nothing else runs)
        observer = NotingObserver()
        async with opened(url, observer) as store:
            await look(store, 2)
            assert len(await now_claimable(store)) == 1
            assert claimants(url) == {None}
            ((where, error),) = observer.troubles
            assert where == "looking for the claims of dead workers"
            assert f"folder {folder} cannot be used: File exists" in str(error)
            folder.unlink()  # noqa: ASYNC240 (likewise)
            await look(store)
            assert names_in(folder) == {store._watch.name}
            assert len(observer.troubles) == 1
            shutil.rmtree(folder)
            folder.touch()  # noqa: ASYNC240 (likewise)
            await look(store, 2)
            assert len(observer.troubles) == 2

    run(scenario())


# A lock of the server for each worker


def test_a_worker_that_lost_its_connection_comes_back(server_url: str) -> None:
    async def scenario() -> None:
        await fill(server_url)
        async with opened(server_url) as store, opened(server_url) as other:
            assert len(await now_claimable(other)) == 1
            await end_watching_session(other, server_url)
            await look(store, ENOUGH - 1)
            await look(other)
            await look(store, ENOUGH)
            assert versions(server_url) == [2]

    run(scenario())


async def end_watching_session(store: Store, url: str) -> None:
    async def ask(question: Callable[[sa.Connection], object]) -> object:
        return await store._watch._looking.ask(question)

    if url.startswith("postgresql"):
        number = await ask(lambda it: it.exec_driver_sql("SELECT pg_backend_pid()").scalar())
        ending = f"SELECT pg_terminate_backend({number}, 5000)"
    else:
        number = await ask(lambda it: it.exec_driver_sql("SELECT CONNECTION_ID()").scalar())
        ending = f"KILL {number}"
    with directly(url) as connection:
        connection.exec_driver_sql(ending)


def test_who_could_not_look_begins_to_count_anew(
    server_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the server is away nobody holds a lock, and afterwards all come back."""

    async def scenario() -> None:
        await fill(server_url)
        async with opened(server_url) as store:
            with worker(server_url, claim_and_hold) as (process, _):
                kill(process)
            (dead,) = claimants(server_url)
            await until_free(store, str(dead))
            await look(store, ENOUGH - 1)
            with monkeypatch.context() as patched:
                patched.setattr(session_locks, "claimants", unavailable)
                await look(store)
                assert store._watch.name is None
            await look(store, ENOUGH - 1)
            assert versions(server_url) == [2]
            await look(store)
            assert versions(server_url) == [3]

    run(scenario())


def unavailable(_connection: object) -> set[str]:
    raise StoreUnavailable("the server does not answer")


def test_the_lock_is_held_until_the_store_is_closed(server_url: str) -> None:
    async def scenario() -> None:
        async with opened(server_url) as store:
            async with opened(server_url) as other:
                name = other._watch.name
                assert name is not None
                await look(other, 3)  # which must not take it twice
                assert await free_of(store, name) == set()
            await until_free(store, name)

    run(scenario())


async def until_free(store: Store, name: str) -> None:
    """Wait until nobody holds a lock: a server needs a moment to end a session."""
    async with asyncio.timeout(PATIENCE):
        while not await free_of(store, name):
            continue


async def free_of(store: Store, name: str) -> set[str]:
    roll: Any = store._watch._roll
    free: set[str] = await store._watch._looking.ask(lambda it: roll._locks.free(it, [name]))
    return free


def test_nothing_is_told_of_a_worker_on_another_server_of_a_cluster() -> None:
    async def scenario(url: str) -> None:
        await fill(url)
        async with opened(url) as store, opened(url) as other:
            await now_claimable(other)
            rename(url, lambda name: f"not-{name}-elsewhere")
            await look(store, ENOUGH)
            assert versions(url) == [2]

    with fresh("mysql") as url:
        run(scenario(url))


@pytest.mark.parametrize("kind", SERVERS)
def test_behind_a_pooler_claims_have_no_name(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It greets as a session of its own, and then gives us anybody's."""
    monkeypatch.setattr(session_locks, "_PID", "SELECT 0")
    monkeypatch.setattr(session_locks, "_SERVER", "SELECT 0, 'pooler'")

    async def scenario(url: str) -> None:
        await fill(url)
        async with opened(url) as store:
            with worker(url, claim_and_hold) as (process, _):
                kill(process)
            await look(store, ENOUGH)
            assert versions(url) == [2]
            await store.add(due("notif-2"))
            await now_claimable(store)
            assert None in claimants(url)

    with fresh(kind) as url:
        run(scenario(url))


def test_a_pooler_before_postgresql_is_warned_of(
    postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_locks, "_PID", "SELECT 0")

    async def scenario() -> None:
        async with opened(postgresql_url) as store:
            (warning,) = store.warnings
            assert warning.endswith("waits for its lease: connect directly")

    run(scenario())
