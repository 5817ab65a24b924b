"""The file of an SQLite database: making it, and what is wrong with where it is."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from pinguin_core.errors import StoreUnavailable

MOUNTS: Final = Path("/proc/self/mountinfo")
"""Where Linux says what is mounted (https://man7.org/linux/man-pages/man5/proc_pid_mountinfo.5.html)."""

_ON_A_NETWORK: Final = frozenset(
    {
        *("nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "afs", "coda"),
        *("ceph", "lustre", "beegfs", "gpfs", "fuse.ceph", "fuse.glusterfs", "fuse.juicefs"),
        *("fuse.sshfs", "fuse.davfs", "fuse.s3fs", "fuse.rclone", "fuse.gcsfuse", "fuse.blobfuse2"),
    }
)
_OF_A_HOST: Final = frozenset({"9p", "virtiofs", "vboxsf", "fuse.vmhgfs-fuse", "prl_fs"})
_ESCAPED: Final = re.compile(r"\\([0-7]{3})")


class Place:
    """Where a file that is open should stay: what is written to it elsewhere, nobody finds again.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: os.stat_result | None = None

    def note(self) -> None:
        """Take the file that is there for the one that is open from now on."""
        self._file = self._path.stat()

    def require(self) -> None:
        """Make sure that it is still there, if it has been noted.

        Raises:
            StoreUnavailable: if it was moved, removed or replaced.
        """
        try:
            is_there = self._file is None or os.path.samestat(self._file, self._path.stat())
        except FileNotFoundError:
            is_there = False
        except OSError as error:
            raise StoreUnavailable(f"the file cannot be found: {error.strerror}") from error
        if not is_there:
            raise StoreUnavailable(
                f"the file {self._path} was moved, removed or replaced while it was open, so that"
                " nothing more is stored: stop the service, see that the right file is there, and"
                " start it again"
            )


def make_file(path: Path) -> None:
    """Make sure that the file is there, with its folders, and that only its owner can read it.

    An existing file stays as it is. Before one is made, its folders are sure to outlast a power
    cut; SQLite sees to what is in the file's own folder.

    Raises:
        StoreUnavailable: if that is impossible, or the file is on a network.
    """
    _refuse_networks(path)
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            for folder in _of_this_disk(path.parents):
                _sync(folder)
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except OSError as error:
        raise StoreUnavailable(
            _no_folder(path) or error.strerror or "the operating system refuses to create it"
        ) from error


def weaknesses(path: Path) -> Sequence[str]:
    """Say what is wrong with where the file is and who may read it, and how it should be."""
    weak = []
    if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        weak.append(f"other users may read addresses and messages in it: chmod 600 {path}")
    if (kind := file_system(path)) in _OF_A_HOST:
        weak.append(
            f"it is on a folder shared with another system ({kind}), whose programs must not open"
            " it: move it to a disk of this system"
        )
    return weak


def file_system(path: Path) -> str:
    """Return the kind of file system that a path is on, such as `ext4`, or nothing if unknown."""
    try:
        lines = MOUNTS.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return ""
    path, best, kind = Path(os.path.realpath(path)), -1, ""
    for line in lines:
        mount, found = _parsed(line)
        depth = len(mount.parts)
        if depth >= best and path.is_relative_to(mount):  # the last of several hides the others
            best, kind = depth, found
    return kind


def _parsed(line: str) -> tuple[Path, str]:
    """Read where something is mounted, and of what kind it is."""
    before, _, after = line.partition(" - ")
    mount = _ESCAPED.sub(lambda code: chr(int(code[1], 8)), before.split(" ")[4])
    return Path(mount), after.split(" ")[0]


def _of_this_disk(folders: Iterable[Path]) -> Iterator[Path]:
    """Leave out those above where the disk is mounted; they were there before."""
    for folder in folders:
        yield folder
        if folder.is_mount():
            return


def _sync(folder: Path) -> None:
    """Have the names in a folder outlast a power cut, where its file system can do that.

    A folder that we may not read is not of our making.
    """
    with suppress(PermissionError):
        file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(file)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
        finally:
            os.close(file)


def _refuse_networks(path: Path) -> None:
    if (kind := file_system(path)) in _ON_A_NETWORK:
        raise StoreUnavailable(
            f"it is on a network file system ({kind}), where SQLite's locks do not work: name a"
            " file on a local disk, or a PostgreSQL or MariaDB server"
        )


def _no_folder(path: Path) -> str:
    """Name the file that is where a folder should be, if there is one."""
    blocking = next((each for each in path.parents if each.exists()), path)
    return "" if blocking.is_dir() else f"{blocking} is not a directory"
