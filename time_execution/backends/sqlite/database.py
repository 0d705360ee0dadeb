"""The database in the file: opened, set up, told apart from what is not ours, and made smaller again."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

from time_execution.backends.sqlite.rollup import STEP
from time_execution.backends.sqlite.schema import ADDED, ADDED_COLUMNS, APPLICATION_ID, STATEMENTS, VERSION
from time_execution.exceptions import BackendDenied
from time_execution.sqlite_file import nobody_moves, transaction

_LOCKED = "database is locked"
_RETRY_PAUSE = 0.01
_FREE_SHARE = 4
_FREE_PAGES = 256
_SHRUNK_PAGES = 512


def connect(path: Path, *, busy_timeout: float, max_names: int) -> sqlite3.Connection:
    """Open a metrics database for writing, and set it up when the file is empty.

    Blocks up to `busy_timeout` seconds while another process sets the same file up.

    Raises:
        BackendDenied: When it is another program's database, or one of a later version.
        sqlite3.Error: When SQLite cannot open it.
    """
    with nobody_moves(path, timeout=busy_timeout):
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
    there = {column for _, column, *_ in connection.execute("PRAGMA table_info(names)")}
    for column, statements in ADDED_COLUMNS.items():
        if column not in there:
            for statement in statements:
                connection.execute(statement)
    for statement in ADDED:
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
