"""Where an SQLite file is, and who may read it: refused, or warned of, at the start."""

from __future__ import annotations

import errno
import os
import re
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from support.dispatching import NotingObserver
from support.sqlmodel_stores import email, opened, run

from pinguin_adapters.sqlmodel_store import sqlite, sqlite_file
from pinguin_core import Channel, StoreUnavailable
from pinguin_core.testing.fakes import NOON

MISPLACED = (
    r"^the file .*store\.db was moved, removed or replaced while it was open, so that nothing more"
    r" is stored: stop the service, "
)
SYSTEM = [
    r"22 27 0:21 / /proc rw,relatime - proc proc rw",
    r"27 1 254:0 / / rw,noatime shared:1 master:2 - ext4 /dev/vda rw",
    r"30 27 0:40 / /srv/mail rw,relatime shared:9 - nfs4 files.example.com:/mail rw,vers=4.2",
    r"31 30 8:1 / /srv/mail/local rw - xfs /dev/sda1 rw",
    r"32 27 0:41 / /srv/a\040place\134here rw - cifs //files/here rw",
    r"33 27 0:42 / /srv/twice rw - nfs files:/x rw",
    r"34 27 8:2 / /srv/twice rw - btrfs /dev/sdb rw",
    r"35 27 0:43 / /mnt/host rw - 9p host rw,trans=virtio",
    r"36 27 0:44 / /home/ada/remote rw - fuse.sshfs ada@example.com: rw",
]
PLACES = {
    "/pinguin.db": "ext4",
    "/srv/mail.db": "ext4",
    "/srv/mailbox/pinguin.db": "ext4",
    "/srv/mail/pinguin.db": "nfs4",
    "/srv/mail/deep/er/pinguin.db": "nfs4",
    "/srv/mail/local/pinguin.db": "xfs",
    "/srv/mail/../pinguin.db": "ext4",
    "/srv/a place\\here/pinguin.db": "cifs",
    "/srv/twice/pinguin.db": "btrfs",
    "/mnt/host/pinguin.db": "9p",
    "/home/ada/remote/pinguin.db": "fuse.sshfs",
}


def mounts(folder: Path, lines: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> None:
    table = folder / "mountinfo"
    table.write_text("".join(f"{line}\n" for line in lines))
    monkeypatch.setattr(sqlite_file, "MOUNTS", table)


def mounted(folder: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Say that the folder is where something of a kind is mounted."""
    mounts(folder, [SYSTEM[1], rf"99 27 0:99 / {folder} rw - {kind} there rw"], monkeypatch)


async def warnings_of(path: Path) -> Sequence[str]:
    async with opened(path) as store:
        return store.warnings


@pytest.mark.parametrize(("place", "kind"), PLACES.items())
def test_the_file_system_of_a_place_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, kind: str
) -> None:
    mounts(tmp_path, SYSTEM, monkeypatch)
    assert kind == sqlite_file.file_system(Path(place))


def test_a_link_is_where_it_leads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounts(tmp_path, SYSTEM, monkeypatch)
    (tmp_path / "link").symlink_to("/srv/mail")
    assert sqlite_file.file_system(tmp_path / "link" / "pinguin.db") == "nfs4"


def test_where_the_system_does_not_tell_nothing_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_file, "MOUNTS", tmp_path / "nowhere")
    assert sqlite_file.file_system(tmp_path) == ""
    run(warnings_of(tmp_path / "store.db"))


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "ceph"])
def test_a_network_file_system_is_refused_and_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    mounted(tmp_path, kind, monkeypatch)
    with pytest.raises(
        StoreUnavailable, match=rf"network file system \({kind}\).* local disk, or a PostgreSQL"
    ):
        run(warnings_of(tmp_path / "new" / "store.db"))
    assert not (tmp_path / "new").exists()


def test_a_folder_of_a_host_is_warned_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounted(tmp_path, "9p", monkeypatch)
    (warning,) = [each for each in run(warnings_of(tmp_path / "store.db")) if "(9p)" in each]
    assert warning.endswith("move it to a disk of this system")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666, 0o620])
def test_a_file_that_others_can_use_is_warned_of_with_the_remedy(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "store.db"
    path.touch()
    path.chmod(mode)
    assert any(each.endswith(f"chmod 600 {path}") for each in run(warnings_of(path)))


def test_a_new_file_is_not_warned_of(tmp_path: Path) -> None:
    assert not any("chmod" in each for each in run(warnings_of(tmp_path / "store.db")))


@pytest.mark.parametrize(
    ("version", "warnings"),
    [((3, 37, 0), 1), ((3, 51, 2), 1), ((3, 51, 3), 0), ((3, 53, 1), 0)],
)
def test_an_sqlite_with_a_bug_that_damages_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: tuple[int, ...], warnings: int
) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", version)
    monkeypatch.setattr(sqlite3, "sqlite_version", ".".join(map(str, version)))
    weak = [each for each in run(warnings_of(tmp_path / "store.db")) if "corrupt" in each]
    assert warnings == len(weak)
    assert all(each.endswith("install 3.51.3 or later") for each in weak)


def test_no_connection_maps_the_file_into_memory(tmp_path: Path) -> None:
    """A disk that fails would then kill the process, not fail a call."""
    path = tmp_path / "store.db"
    with sqlite.writing_engine(path).connect() as writing:
        assert not writing.exec_driver_sql("PRAGMA mmap_size").scalar()
        with sqlite.reading_engine(path).connect() as reading:
            assert not reading.exec_driver_sql("PRAGMA mmap_size").scalar()


def move(path: Path) -> None:
    path.rename(path.with_name("elsewhere.db"))


def remove(path: Path) -> None:
    path.rename(path.with_name("elsewhere.db"))
    path.with_name("store.db-wal").unlink()
    path.with_name("store.db-shm").unlink()


def replace_with_a_copy(path: Path) -> None:
    path.rename(path.with_name("elsewhere.db"))
    shutil.copy(path.with_name("elsewhere.db"), path)


@pytest.mark.parametrize("how", [move, remove, replace_with_a_copy])
def test_nothing_is_written_to_a_file_that_is_no_longer_in_its_place(
    tmp_path: Path, how: Callable[[Path], None]
) -> None:
    """It would be lost: the next start opens what is in its place then."""
    path, observer = tmp_path / "store.db", NotingObserver()

    async def scenario() -> None:
        async with opened(path, observer) as store:
            await store.add(email("notif-1"))
            how(path)
            with pytest.raises(StoreUnavailable, match=MISPLACED):
                await store.add(email("notif-2"))
            with pytest.raises(StoreUnavailable, match=MISPLACED):
                await store.save(email("notif-1").cancel(NOON))
            with pytest.raises(StoreUnavailable, match=MISPLACED):
                await store.claim_due(Channel.EMAIL, NOON, timedelta(minutes=1), 5)
            await store._watch._round()
            path.with_name("elsewhere.db").replace(path)
            await store.save(email("notif-1").cancel(NOON))

    run(scenario())
    ((_, trouble),) = observer.troubles
    assert re.search(MISPLACED, str(trouble))


def refuse_to_sync(code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def fsync(_file: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", fsync)


def test_a_new_folder_that_the_disk_does_not_take_is_trouble(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And there is no file yet, so that the next start asks again."""
    refuse_to_sync(errno.EIO, monkeypatch)
    with pytest.raises(StoreUnavailable, match="cannot be used: Input/output error"):
        run(warnings_of(tmp_path / "new" / "store.db"))
    assert list((tmp_path / "new").iterdir()) == []


def test_a_file_system_that_synchronises_no_folders_is_taken_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_to_sync(errno.EINVAL, monkeypatch)
    run(warnings_of(tmp_path / "new" / "store.db"))
    assert (tmp_path / "new" / "store.db").exists()


def test_folders_above_that_may_not_be_read_are_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, *_: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", refuse)
        sqlite_file._sync(tmp_path)


def test_folders_are_asked_about_up_to_where_their_disk_is_mounted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Path, "is_mount", lambda path: path == Path("/srv"))
    folders = Path("/srv/some/folder/store.db").parents
    assert list(sqlite_file._of_this_disk(folders)) == [*folders][:3]
