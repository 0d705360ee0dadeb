"""Whose file is whose in a spool folder: names, permissions, and locks that a kill releases. No rows in here.

A folder holds one ``<name>.<pid>.<nonce>.db`` for each process and backend, and beside it a ``.lock`` of the same stem
that the owner keeps locked for as long as it lives. The lock has a file of its own because SQLite locks the database,
and its kind of lock is lost when the process closes *any* descriptor of that file. Ours is of the kind that belongs to
the opened file: another opening is refused, be it by the same process.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
import sys
import time
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from time_execution import file_path
from time_execution.exceptions import ConfigurationError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

DATABASE = ".db"
LOCK = ".lock"
CORRUPT = ".db.corrupt"
_FILE = re.compile(
    r"(?P<stem>(?P<name>.+)\.(?P<pid>\d{1,10})\.(?P<nonce>[0-9a-f]{24}))(?P<suffix>\.lock|\.db(\.corrupt)?)"
)
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")
_MAX_NAME = 80
_KEPT_CORRUPT = 3
_NO_FOLLOW: int = getattr(os, "O_NOFOLLOW", 0)


@dataclass(frozen=True, slots=True)
class SpoolName:
    """A database's place in its folder, taken apart."""

    path: Path
    name: str
    pid: int
    nonce: str

    @property
    def lock_path(self) -> Path:
        """The owner's lock file."""
        return self.path.with_suffix(LOCK)


def safe_name(name: str) -> str:
    """Return a name that is safe in a file name; names that differ stay different."""
    safe = _UNSAFE.sub("_", name)[:_MAX_NAME]
    return safe if safe == name else f"{safe}-{zlib.crc32(name.encode('utf-8', 'replace')):08x}"


def new_name(folder: Path, name: str) -> SpoolName:
    """Return a place that no other process has; places sort by the time they were made."""
    nonce = f"{time.time_ns() & 0xFFFFFFFFFFFFFFFF:016x}{secrets.token_hex(4)}"
    pid = os.getpid()
    return SpoolName(folder / f"{name}.{pid}.{nonce}{DATABASE}", name, pid, nonce)


def files_in(folder: Path, name: str | None = None, *, suffixes: tuple[str, ...] = (DATABASE,)) -> list[SpoolName]:
    """Return the places of a folder, those made first first; none when there is no such folder.

    Args:
        folder: The spool folder.
        name: Only those of this backend; None for all.
        suffixes: What a place is told by: ``DATABASE``, ``LOCK``, or ``CORRUPT`` for those that were put aside.
    """
    found: dict[Path, SpoolName] = {}
    with suppress(OSError):  # not there, or closed to us
        for entry in os.scandir(folder):
            match = _FILE.fullmatch(entry.name)
            if match and match["suffix"] in suffixes and name in {None, match["name"]}:
                path = folder / (match["stem"] + match["suffix"].replace(LOCK, DATABASE))
                found[path] = SpoolName(path, match["name"], int(match["pid"]), match["nonce"])
    return sorted(found.values(), key=lambda file: file.nonce)


def check_path(path: Path, key: str) -> None:
    """Refuse a folder that cannot be one.

    Raises:
        ConfigurationError: When what is there already is no directory, everyone may write to it, or none can ever be
            made or written to.
    """
    with suppress(FileNotFoundError):
        try:
            _check_folder(path)
        except (NotADirectoryError, PermissionError) as exc:
            raise ConfigurationError(f"{key} needs a folder of ours, or a path where one can be made: {exc}") from exc
    obstacle = file_path.obstacle_to(path.absolute() / "any file")
    if obstacle is not None:
        raise ConfigurationError(f"{key} needs a folder of ours, or a path where one can be made: {obstacle}")


def make_folder(path: Path) -> None:
    """Make a folder and what is missing above it, for the owner only; leave one that exists as it is.

    Raises:
        OSError: When it cannot be made, is a symbolic link, or everyone may write to it.
    """
    if not path.exists():
        file_path.make_folder(path)
    _check_folder(path)


def _check_folder(path: Path) -> None:
    mode = os.lstat(path).st_mode
    if not stat.S_ISDIR(mode):
        raise NotADirectoryError(f"{path} is {'a symbolic link' if stat.S_ISLNK(mode) else 'not a directory'}")
    if sys.platform != "win32" and mode & stat.S_IWOTH:
        raise PermissionError(f"everyone may write to {path}")


def make_file(path: Path) -> None:
    """Make an empty file that only its owner can read.

    Raises:
        OSError: When it cannot be made, or anything is there already, be it a dangling link.
    """
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | _NO_FOLLOW, 0o600))


def is_trusted(path: Path) -> bool:
    """Return whether a file is a regular one that we, or nobody but us, could have made."""
    try:
        found = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISREG(found.st_mode) and (sys.platform == "win32" or os.geteuid() in {0, found.st_uid})


class OwnerLock:
    """The lock that says that a database has an owner; made by `take_lock`."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor

    def release(self, *, remove: bool) -> None:
        """Give the lock up; idempotent.

        Args:
            remove: Also remove the lock file; only when its database is gone.
        """
        if self._descriptor < 0:
            return
        if sys.platform != "win32":
            # Closing would not do: a child that is being forked has the file open, too.
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        self.forget()
        if remove:
            remove_file(self._path)

    def forget(self) -> None:
        """Drop what a fork copied; the parent's lock stays."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def take_lock(path: Path, *, create: bool = True) -> OwnerLock | None:
    """Return the lock of a file without waiting, or None when somebody has it, this process included.

    Args:
        path: The lock file.
        create: Make it when it is not there.

    Raises:
        OSError: When it cannot be opened, made or locked.
    """
    descriptor = os.open(path, os.O_RDWR | _NO_FOLLOW | (os.O_CREAT if create else 0), 0o600)
    is_taken = False
    try:
        is_taken = _lock_now(descriptor) and _is_at(path, descriptor)
    finally:
        if not is_taken:
            os.close(descriptor)
    return OwnerLock(path, descriptor) if is_taken else None


def _lock_now(descriptor: int) -> bool:
    try:
        if sys.platform == "win32":
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


def _is_at(path: Path, descriptor: int) -> bool:
    """Return whether a file still has its name: the owner before us may have removed it, as we opened it."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(path))
    except FileNotFoundError:
        return False


def has_owner(file: SpoolName) -> bool:
    """Return whether a process, this one included, holds a database; takes and releases the lock to find out."""
    try:
        lock = take_lock(file.lock_path, create=False)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    if lock is not None:
        lock.release(remove=False)
    return lock is None


def remove_file(path: Path) -> None:
    """Remove a file if it is there and can be removed."""
    with suppress(OSError):
        path.unlink()


def remove_database(path: Path) -> None:
    """Remove a closed database with what SQLite keeps beside it."""
    for part in _parts(path):
        remove_file(part)


def quarantine(path: Path, name: str) -> None:
    """Rename a damaged, closed database to ``.corrupt``, out of everybody's way; only the newest few are kept."""
    with suppress(OSError):  # gone meanwhile
        if not path.stat().st_size:
            remove_database(path)
    for part, aside in zip(_parts(path), _parts(path.with_suffix(CORRUPT)), strict=True):
        with suppress(OSError):
            part.replace(aside)
    for old in files_in(path.parent, name, suffixes=(CORRUPT,))[:-_KEPT_CORRUPT]:
        remove_database(old.path)


def _parts(path: Path) -> list[Path]:
    return [path.with_name(path.name + suffix) for suffix in ("", "-wal", "-shm")]
