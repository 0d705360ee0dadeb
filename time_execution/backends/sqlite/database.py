"""The file itself: created safely, opened, told apart from what is not ours, moved aside when it is broken."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import TypeAlias

from time_execution.backends.sqlite.rollup import STEP
from time_execution.backends.sqlite.schema import ADDED, APPLICATION_ID, STATEMENTS, VERSION
from time_execution.exceptions import BackendDenied, BackendError, BackendUnavailable
from time_execution.file_path import make_folder

if sys.platform != "win32":
    import fcntl

_COMPANIONS = ("-wal", "-shm", "-journal")
_DAMAGE = ("malformed", "not a database")
_DENIALS = ("readonly", "read-only", "unsupported file format", "access permission denied")
_LOCKED = "database is locked"
_RETRY_PAUSE = 0.01
_FREE_SHARE = 4
_FREE_PAGES = 256
_SHRUNK_PAGES = 512

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


def connect(path: Path, *, busy_timeout: float, max_names: int) -> sqlite3.Connection:
    """Open a metrics database for writing, and set it up when the file is empty.

    Blocks up to `busy_timeout` seconds while another process sets the same file up.

    Raises:
        BackendDenied: When it is another program's database, or one of a later version.
        sqlite3.Error: When SQLite cannot open it.
    """
    with _nobody_moves(path):
        connection = sqlite3.connect(
            f"{path.as_uri()}?mode=rw", uri=True, timeout=busy_timeout, isolation_level=None, check_same_thread=False
        )
        deadline = time.monotonic() + busy_timeout
        try:
            while not _set_up(connection, path, max_names=max_names, is_last_try=time.monotonic() >= deadline):
                time.sleep(_RETRY_PAUSE)
        except BaseException:
            connection.close()
            raise
    return connection


@contextlib.contextmanager
def _nobody_moves(path: Path, *, but_us: bool = False) -> Iterator[None]:
    """Keep a database at its path while it is opened, or, alone, while it is moved aside.

    SQLite opens the file itself first and its companions, by their names, with the first statement. A connection that
    took the broken file and the companions of the fresh one in its place would cut the shared memory of those short
    that work on it: they die of SIGBUS. The lock is on the folder; a side file would stay behind.
    """
    if sys.platform == "win32":
        yield
        return
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if but_us else fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Hold the write lock; commit at the end, roll back when anything is raised."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # Some errors, such as a full disk, have rolled back already.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def shrink(connection: sqlite3.Connection) -> bool:
    """Give a little of what is free in the file back to the file system; says if there may be more.

    A quarter of the file may be free, for what comes next; a steady flow uses again what retention frees, and nothing
    is done. The file ends earlier once SQLite has copied the write-ahead log into it.

    Args:
        connection: Inside a write transaction.
    """
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    (free,) = connection.execute("PRAGMA freelist_count").fetchone()
    surplus = free - max(pages // _FREE_SHARE, _FREE_PAGES)
    for _ in range(min(surplus, _SHRUNK_PAGES)):
        # One at a time, because the module ends a statement without columns after its first step.
        connection.execute("PRAGMA incremental_vacuum(1)")
    (left,) = connection.execute("PRAGMA freelist_count").fetchone()
    return bool(free - left >= _SHRUNK_PAGES)


def identity(path: Path) -> Identity | None:
    """Return which file is at a path now; None when there is none."""
    try:
        found = os.stat(path)  # noqa: PTH116 - on the way of every batch
    except OSError:
        return None
    return found.st_dev, found.st_ino


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
    with _nobody_moves(path, but_us=True):
        # Not opened for a look: closing it would drop the locks that SQLite holds on it in this process.
        if identity(path) != broken:
            return None
        target = _free_name(path)
        # The companions first: a write-ahead log left behind would be played into the database that comes next.
        for suffix in _COMPANIONS:
            with contextlib.suppress(FileNotFoundError):
                os.rename(f"{path}{suffix}", f"{target}{suffix}")  # noqa: PTH104 - a suffix to the whole name
        return path.rename(target)


def _free_name(path: Path) -> Path:
    stamp = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%S.%fZ")
    return path.with_name(f"{path.name}.corrupt-{stamp}")


def _set_up(connection: sqlite3.Connection, path: Path, *, max_names: int, is_last_try: bool) -> bool:
    """Prepare a connection, and a new file; False when another process is in the way at the moment."""
    try:
        if _is_new(connection, path):
            # Only possible before the first table, and outside of a transaction.
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA temp_store = MEMORY")
        with transaction(connection):
            if _signature(connection) == (0, 0):
                for statement in STATEMENTS:
                    connection.execute(statement)
                connection.execute("INSERT INTO state VALUES (0, ?)", (max_names,))
            _upgrade(connection)
        for statement in STEP:
            connection.execute(statement)
    except sqlite3.OperationalError as exc:
        # SQLite does not wait for the lock that a change of the journal mode takes.
        if is_last_try or _LOCKED not in str(exc):
            raise
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        return False
    return True


def _upgrade(connection: sqlite3.Connection) -> None:
    """Add what a file of an earlier release lacks; inside a transaction."""
    for (table, column), statement in ADDED.items():
        if all(found[1] != column for found in connection.execute(f"PRAGMA table_info({table})")):
            connection.execute(statement)


def _signature(connection: sqlite3.Connection) -> tuple[int, int]:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return application, version


def _is_new(connection: sqlite3.Connection, path: Path) -> bool:
    """Say whether a database is empty as yet.

    Raises:
        BackendDenied: When it is neither that nor one of ours.
    """
    connection.execute("BEGIN")
    application, version = _signature(connection)
    has_tables = connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is not None
    connection.execute("COMMIT")
    if application == APPLICATION_ID and version <= VERSION:
        return False
    if application == APPLICATION_ID:
        raise BackendDenied(f"{path.name} has version {version}, and this release knows {VERSION} at most: upgrade it")
    if has_tables or application or version:
        raise BackendDenied(f"{path.name} is another program's database")
    return True
