"""Opening a database file: what is made, what is promised, what is refused."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from support.sqlmodel_stores import email, on_every, opened, raw, run

from pinguin_adapters.sqlmodel_store import SqlModelNotificationRepository, sqlite
from pinguin_core import InvalidValue, NotificationRepository, StoreUnavailable


async def open_and_close(path: Path) -> None:
    async with opened(path) as store:
        await store.next_wake(email().channel)


def modes_in(folder: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}


def test_it_is_a_repository() -> None:
    kind: type[NotificationRepository] = SqlModelNotificationRepository
    assert callable(kind.claim_due)


def test_a_new_file_is_made_with_its_folders_and_only_for_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "some folder" / "100%" / "store.db"
    run(open_and_close(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_an_existing_file_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    path.touch(0o640)
    path.chmod(0o640)
    run(open_and_close(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_what_was_stored_is_there_after_reopening(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path / "store.db") as store:
            await store.add(email())
        async with opened(tmp_path / "store.db") as store:
            assert await store.get(email().id) == email()

    run(scenario())


def test_a_relative_path_is_taken_from_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run(open_and_close(Path("store.db")))
    assert (tmp_path / "store.db").exists()


def test_closing_leaves_the_database_an_empty_lock_file_and_an_empty_folder(tmp_path: Path) -> None:
    run(open_and_close(tmp_path / "store.db"))
    left = {"store.db", "store.db-lock", "store.db-workers"}
    assert {path.name for path in tmp_path.iterdir()} == left
    assert list((tmp_path / "store.db-workers").iterdir()) == []
    assert (tmp_path / "store.db-lock").stat().st_size == 0


@pytest.mark.parametrize("is_there", [True, False])
def test_a_link_leads_to_the_file_and_to_what_is_beside_it(
    tmp_path: Path, *, is_there: bool
) -> None:
    """Else two services on one file, each by another name, would not see each other's locks."""
    path, link = tmp_path / "real" / "store.db", tmp_path / "link" / "other.db"
    link.parent.mkdir()
    link.symlink_to(path)
    if is_there:
        run(open_and_close(path))
    run(open_and_close(link))
    assert list(link.parent.iterdir()) == [link]
    left = {"store.db", "store.db-lock", "store.db-workers"}
    assert {each.name for each in path.parent.iterdir()} == left


def test_all_that_is_made_is_only_for_its_owner(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path / "store.db") as store:
            await store.add(email())
            names = ("store.db", "store.db-wal", "store.db-shm", "store.db-lock")
            folder = tmp_path / "store.db-workers"
            assert modes_in(tmp_path) == {**dict.fromkeys(names, 0o600), folder.name: 0o700}
            assert list(modes_in(folder).values()) == [0o600]

    run(scenario())


def test_every_commit_is_synchronised_and_logged_ahead(tmp_path: Path) -> None:
    connection = sqlite.writing_engine(tmp_path / "store.db").connect()
    with connection:
        settings = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("synchronous", "journal_mode", "foreign_keys", "mmap_size")
        }
    assert settings.pop("mmap_size") in {0, None}  # None where it is compiled without
    assert settings == {"synchronous": 2, "journal_mode": "wal", "foreign_keys": 1}


def test_reading_connections_cannot_write(tmp_path: Path) -> None:
    run(open_and_close(tmp_path / "store.db"))
    with (
        sqlite.reading_engine(tmp_path / "store.db").connect() as connection,
        pytest.raises(StoreUnavailable, match="is read-only"),
    ):
        connection.exec_driver_sql("DELETE FROM pinguin_notification")


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("_SETTINGS", ("synchronous = NORMAL",), r"does not guarantee .* \(synchronous\)"),
        ("_WAL", "journal_mode = DELETE", "does not allow write-ahead logging, only delete"),
    ],
)
def test_a_setting_that_does_not_take_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: object, complaint: str
) -> None:
    monkeypatch.setattr(sqlite, name, value)
    with pytest.raises(StoreUnavailable, match=complaint):
        run(open_and_close(tmp_path / "store.db"))


@pytest.mark.parametrize(
    "url",
    [
        "",
        "pinguin.db",
        "sqlite:",
        "sqlite://",
        "sqlite:///",
        "sqlite:///:memory:",
        "sqlite:///store.db?mode=ro",
        "sqlite://server/store.db",
        "sqlite+aiosqlite:///store.db",
        "postgresql+asyncpg://ada:lovelace@db.example.com/pinguin",
        "postgresql://ada:lovelace@db.example.com:lovelace/pinguin",
        "mysql://ada:lovelace@db.example.com",
        "oracle://ada:lovelace@db.example.com/pinguin",
    ],
)
def test_a_url_that_names_no_database_is_refused_without_repeating_it(url: str) -> None:
    async def scenario() -> None:
        async with SqlModelNotificationRepository.open(url):
            pass

    with pytest.raises(InvalidValue, match=r"as in (sqlite|mysql)://") as refusal:
        run(scenario())
    assert refusal.value.field == "database_url"
    assert "lovelace" not in str(refusal.value)


def test_a_folder_is_no_database(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="cannot be opened"):
        run(open_and_close(tmp_path))


def test_a_file_in_the_place_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (Path("file", "store.db"), Path("file", "deeper", "store.db")):
        with pytest.raises(
            StoreUnavailable,
            match=rf"{path} cannot be used: {tmp_path}/file is not a directory",
        ):
            run(open_and_close(tmp_path / path))


def test_a_file_of_another_kind_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    path.write_text("Dear diary, " * 1000)
    with pytest.raises(StoreUnavailable, match="not an SQLite database"):
        run(open_and_close(path))
    assert path.read_text() == "Dear diary, " * 1000


def test_a_locked_file_is_said_to_be_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(open_and_close(tmp_path / "store.db"))
    monkeypatch.setattr(sqlite, "_PATIENCE", 0.02)
    with raw(tmp_path / "store.db") as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreUnavailable, match="locked by another process"):
            run(open_and_close(tmp_path / "store.db"))


def test_a_new_file_that_another_process_holds_is_said_to_be_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Switching to write-ahead logging is refused at once then, whatever patience is set."""
    monkeypatch.setattr(sqlite, "_PATIENCE", 0.02)
    with raw(tmp_path / "store.db") as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreUnavailable, match="locked by another process"):
            run(open_and_close(tmp_path / "store.db"))


def test_an_old_sqlite_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "OLDEST", (99, 1))
    with pytest.raises(StoreUnavailable, match=r"SQLite 99\.1 or later is needed"):
        run(open_and_close(tmp_path / "store.db"))


def test_a_connection_that_fails_later_than_the_migration_fails_the_opening(
    tmp_path: Path,
) -> None:
    made = []

    def refuse_the_second(*_: object) -> None:
        made.append(1)
        if len(made) > 1:
            raise StoreUnavailable("no more")

    with (
        on_every("connect", refuse_the_second),
        pytest.raises(StoreUnavailable, match="no more"),
    ):
        run(open_and_close(tmp_path / "store.db"))
