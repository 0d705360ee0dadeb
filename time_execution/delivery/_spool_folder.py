"""Whose file is whose in a spool folder: names, permissions, and locks that a kill releases. No rows in here.

A folder holds one ``<name>.<pid>.<nonce>.db`` for each process and backend, and beside it a ``.lock`` of the same stem
that the owner keeps locked for as long as it lives. The lock has a file of its own because POSIX drops a process's
locks on a file when it closes *any* descriptor of that file, and SQLite keeps locks of its own on the database.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
import sys
import time
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from time_execution.exceptions import ConfigurationError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_FILE = re.compile(r"(?P<name>.+)\.(?P<pid>\d{1,10})\.(?P<nonce>[0-9a-f]{24})\.db")
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")
_MAX_NAME = 80
_KEPT_CORRUPT = 3
_NO_FOLLOW: int = getattr(os, "O_NOFOLLOW", 0)

# What this process holds: (pid, device, inode) of lock files. Asking the operating system would not do: it grants a
# process its own lock again, and drops it when the second descriptor is closed. The pid makes a child start empty.
_held: dict[tuple[int, int, int], object] = {}


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
        return self.path.with_suffix(".lock")


def safe_name(name: str) -> str:
    """Return a name that is safe in a file name; names that differ stay different."""
    safe = _UNSAFE.sub("_", name)[:_MAX_NAME]
    return safe if safe == name else f"{safe}-{zlib.crc32(name.encode('utf-8', 'replace')):08x}"


def new_name(folder: Path, name: str) -> SpoolName:
    """Return a place that no other process has; places sort by the time they were made."""
    nonce = f"{time.time_ns() & 0xFFFFFFFFFFFFFFFF:016x}{secrets.token_hex(4)}"
    pid = os.getpid()
    return SpoolName(folder / f"{name}.{pid}.{nonce}.db", name, pid, nonce)


def parse_name(path: Path) -> SpoolName | None:
    """Return the parts of a database's name; None when it is not one of ours."""
    match = _FILE.fullmatch(path.name)
    return SpoolName(path, match["name"], int(match["pid"]), match["nonce"]) if match else None


def files_in(folder: Path, name: str | None = None) -> list[SpoolName]:
    """Return the databases of a folder, those made first first; none when there is no such folder.

    Args:
        folder: The spool folder.
        name: Only those of this backend; None for all.
    """
    found: list[SpoolName] = []
    with suppress(OSError):
        found = [parsed for entry in os.scandir(folder) if (parsed := parse_name(folder / entry.name))]
    return sorted((file for file in found if name in {None, file.name}), key=lambda file: file.nonce)


def check_path(path: Path, key: str) -> None:
    """Refuse a folder that cannot be one.

    Raises:
        ConfigurationError: When what is there already is no directory, or everyone may write to it.
    """
    with suppress(FileNotFoundError):
        try:
            _check_folder(path)
        except (NotADirectoryError, PermissionError) as exc:
            raise ConfigurationError(f"{key} needs a folder of ours, or a path where one can be made: {exc}") from exc


def make_folder(path: Path) -> None:
    """Make a folder and what is missing above it, for the owner only; leave one that exists as it is.

    Raises:
        OSError: When it cannot be made, is a symbolic link, or everyone may write to it.
    """
    for folder in [path, *path.parents][::-1]:
        if not folder.exists():
            with suppress(FileExistsError):
                folder.mkdir(0o700)
    _check_folder(path)


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

    def __init__(self, path: Path, descriptor: int, key: tuple[int, int, int]) -> None:
        self._path = path
        self._descriptor = descriptor
        self._key = key

    def release(self, *, remove: bool) -> None:
        """Give the lock up; idempotent.

        Args:
            remove: Also remove the lock file; only when its database is gone.
        """
        if self._descriptor < 0:
            return
        descriptor, self._descriptor = self._descriptor, -1
        # Removed before it is released: who waits for it sees that it is no longer the file of that name. Windows
        # removes nothing that is open, so there it goes after.
        if remove and sys.platform != "win32":
            remove_file(self._path)
        os.close(descriptor)
        _held.pop(self._key, None)
        if remove and sys.platform == "win32":
            remove_file(self._path)

    def forget(self) -> None:
        """Drop what a fork copied; the parent's lock stays, for POSIX locks belong to one process."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def take_lock(path: Path, *, new: bool = False) -> OwnerLock | None:
    """Return the lock of a file without waiting, or None when somebody has it, this process included.

    Args:
        path: The lock file.
        new: Make the file; it must not exist.

    Raises:
        OSError: When the file cannot be made or opened; with ``new=False``, `FileNotFoundError` when there is none.
    """
    claim = object()
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | _NO_FOLLOW, 0o600) if new else -1
    found = os.fstat(descriptor) if new else os.lstat(path)
    key = (os.getpid(), found.st_dev, found.st_ino)
    if _held.setdefault(key, claim) is not claim:
        if new:
            os.close(descriptor)
        return None
    try:
        if not new:
            descriptor = os.open(path, os.O_RDWR | _NO_FOLLOW)
        if _lock_now(descriptor) and os.path.samestat(os.fstat(descriptor), os.lstat(path)):
            return OwnerLock(path, descriptor, key)
    except FileNotFoundError:
        pass  # removed by the owner before us, together with its database
    except BaseException:
        _give_up(descriptor, key)
        raise
    _give_up(descriptor, key)
    return None


def has_owner(file: SpoolName) -> bool:
    """Return whether a process, this one included, holds a database; takes and releases the lock to find out."""
    try:
        lock = take_lock(file.lock_path)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    if lock is None:
        return True
    lock.release(remove=False)
    return False


def remove_file(path: Path) -> None:
    """Remove a file if it is there and can be removed."""
    with suppress(OSError):
        path.unlink()


def remove_database(path: Path) -> None:
    """Remove a closed database with what SQLite keeps beside it."""
    for part in _parts(path):
        remove_file(part)


def quarantine(path: Path) -> None:
    """Rename a damaged, closed database to ``.corrupt``, out of everybody's way; only the newest few are kept."""
    aside = path.with_name(path.name + ".corrupt")
    for part, target in zip(_parts(path), _parts(aside), strict=True):
        with suppress(OSError):
            part.replace(target)
    parsed = parse_name(path)
    for old in list(corrupt_files(path.parent, parsed.name if parsed else None))[:-_KEPT_CORRUPT]:
        remove_database(old.path)


def corrupt_files(folder: Path, name: str | None = None) -> Iterator[SpoolName]:
    """Yield the databases that were put aside, those made first first."""
    found = []
    with suppress(OSError):
        for entry in os.scandir(folder):
            parsed = parse_name(folder / entry.name.removesuffix(".corrupt"))
            if parsed and entry.name.endswith(".corrupt") and name in {None, parsed.name}:
                found.append(SpoolName(folder / entry.name, parsed.name, parsed.pid, parsed.nonce))
    yield from sorted(found, key=lambda file: file.nonce)


def _check_folder(path: Path) -> None:
    mode = os.lstat(path).st_mode
    if not stat.S_ISDIR(mode):
        raise NotADirectoryError(f"{path} is {'a symbolic link' if stat.S_ISLNK(mode) else 'not a directory'}")
    if sys.platform != "win32" and mode & stat.S_IWOTH:
        raise PermissionError(f"everyone may write to {path}")


def _parts(path: Path) -> list[Path]:
    return [path.with_name(path.name + suffix) for suffix in ("", "-wal", "-shm")]


def _lock_now(descriptor: int) -> bool:
    try:
        if sys.platform == "win32":
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _give_up(descriptor: int, key: tuple[int, int, int]) -> None:
    if descriptor >= 0:
        os.close(descriptor)
    _held.pop(key, None)
