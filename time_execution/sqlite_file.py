"""An SQLite file that processes share: created safely, told apart from others, moved aside when it is broken.

Knows nothing of what is in it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import stat
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import TypeAlias

from time_execution.exceptions import BackendDenied, BackendError, BackendUnavailable
from time_execution.file_path import make_folder

if sys.platform != "win32":
    import fcntl

_LONGEST_WAIT = 5.0
_PAUSE = 0.01
_COMPANIONS = ("-wal", "-shm", "-journal")
_DAMAGE = ("malformed", "not a database")
_DENIALS = ("readonly", "read-only", "unsupported file format", "access permission denied")

Identity: TypeAlias = tuple[int, int]
"""Device and inode: which file it is, whatever its name."""


def create(path: Path) -> Identity:
    """Make an empty file and missing folders, for their owner only, unless there is one; returns which file it is.

    An existing file is never opened here: closing it would drop the locks that SQLite holds on it in this process.

    Raises:
        BackendDenied: When the path leads to a symbolic link, or to what is no file.
        OSError: When the file cannot be created.
    """
    make_folder(path.parent)
    found = None
    while found is None:
        # Exclusively, which does not follow links either; another process may have come first.
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        # It may also have moved the file aside since; were it the folder, creating would fail.
        with contextlib.suppress(FileNotFoundError):
            found = path.lstat()
    if stat.S_ISLNK(found.st_mode):
        raise BackendDenied("the database's path is a symbolic link; name the file that it leads to")
    if not stat.S_ISREG(found.st_mode):
        raise BackendDenied("the database's path leads to something that is not a file")
    return found.st_dev, found.st_ino


def identity(path: Path) -> Identity | None:
    """Return which file is at a path now; None when there is none."""
    try:
        found = os.stat(path)  # noqa: PTH116 - on the way of every batch
    except OSError:
        return None
    return found.st_dev, found.st_ino


@contextlib.contextmanager
def nobody_moves(path: Path, *, but_us: bool = False, timeout: float | None = None) -> Iterator[None]:
    """Keep a database at its path while it is opened, or, alone, while it is moved aside.

    SQLite opens the file itself first and its companions, by their names, with the first statement. A connection that
    took the broken file and the companions of the fresh one in its place would cut the shared memory of those short
    that work on it: they die of SIGBUS. The lock is on the folder; a side file would stay behind.

    Args:
        path: Of the database.
        but_us: Alone.
        timeout: The longest wait for the lock, in seconds; by default 5.

    Raises:
        TimeoutError: When somebody holds a lock on the folder for longer.
    """
    if sys.platform == "win32":
        yield
        return
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        _lock(descriptor, fcntl.LOCK_EX if but_us else fcntl.LOCK_SH, _LONGEST_WAIT if timeout is None else timeout)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, kind: int, timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while True:
        try:
            return fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                words = "another process holds a lock on the folder of the database"
                raise TimeoutError(errno.ETIMEDOUT, words) from None
        time.sleep(_PAUSE)


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection, *, writes: bool = True) -> Iterator[None]:
    """Work on one state of the database; commit at the end, roll back when anything is raised.

    Args:
        connection: One with ``isolation_level=None``.
        writes: Hold the write lock from the beginning.
    """
    connection.execute("BEGIN IMMEDIATE" if writes else "BEGIN")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # Some errors, such as a full disk, have rolled back already.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def is_damage(exc: sqlite3.Error) -> bool:
    """Say whether an error means that the file is broken or no database at all."""
    return any(text in str(exc) for text in _DAMAGE)


def backend_error(exc: sqlite3.Error | OSError) -> BackendError:
    """Return the error that tells delivery what to do; the message is SQLite's, which holds no data."""
    if isinstance(exc, OSError):
        denied = isinstance(exc, PermissionError | IsADirectoryError)
        return (BackendDenied if denied else BackendUnavailable)(exc.strerror or type(exc).__name__)
    denied = any(text in str(exc) for text in _DENIALS)
    return (BackendDenied if denied else BackendUnavailable)(str(exc))


def set_aside(path: Path, broken: Identity) -> Path | None:
    """Rename a broken database with its companions; returns the new path.

    Of several processes that find the same file broken, one moves it; the others, and one whose file was replaced
    meanwhile, get None.

    Raises:
        OSError: When it cannot be renamed.
    """
    with nobody_moves(path, but_us=True):
        # Not opened for a look: closing it would drop the locks that SQLite holds on it in this process.
        if identity(path) != broken:
            return None
        stamp = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%S.%fZ")
        target = path.with_name(f"{path.name}.corrupt-{stamp}")
        # The companions first: a write-ahead log left behind would be played into the database that comes next.
        for suffix in _COMPANIONS:
            with contextlib.suppress(FileNotFoundError):
                os.rename(f"{path}{suffix}", f"{target}{suffix}")  # noqa: PTH104 - a suffix to the whole name
        return path.rename(target)
