"""Looking at a spool folder from outside, and cleaning it up: no delivery runs here, and none is disturbed."""

from __future__ import annotations

import math
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from time_execution.delivery._spool_folder import (
    SpoolName,
    corrupt_files,
    files_in,
    has_owner,
    is_trusted,
    remove_database,
)
from time_execution.delivery._spool_line import restored
from time_execution.delivery._spool_orphan import lock_orphan
from time_execution.delivery._spool_rows import NotOurs, RowFile, is_damage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from time_execution.types import Metric

_READ_ROWS = 500


@dataclass(frozen=True, slots=True)
class SpoolFile:
    """One file of a spool folder.

    Attributes:
        path: The database.
        name: The backend it belongs to.
        pid: The process that made it.
        has_owner: Whether that process holds it still.
        rows: The number of metrics in it; 0 when it cannot be read.
        bytes: The size on disk.
        oldest: When its first metric was spooled, seconds since the epoch; None without any.
        problem: Why it cannot be read, or is left alone; empty when all is well.
    """

    path: Path
    name: str
    pid: int
    has_owner: bool
    rows: int
    bytes: int
    oldest: float | None
    problem: str = ""


def inspect_folder(path: str | Path) -> list[SpoolFile]:
    """Return what lies in a spool folder, oldest file first, damaged files that were put aside last.

    Nothing is changed; an owner goes on undisturbed.
    """
    folder = Path(path)
    aside = [_inspect(file, problem="damaged") for file in corrupt_files(folder)]
    return [_inspect(file) for file in files_in(folder)] + aside


def read(path: str | Path) -> Iterator[Metric]:
    """Yield the metrics of a spool folder, or of one file of it, oldest first within a file; damaged rows are skipped.

    Nothing is changed or taken over: the owner, or whoever adopts the file, sends them all the same.

    Raises:
        FileNotFoundError: When there is nothing at that path.
        sqlite3.Error: When a file cannot be read now.
        NotOurs: When a file is somebody else's.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"there is no spool at {path}")
    for file in [each.path for each in files_in(path)] if path.is_dir() else [path]:
        if file.stat().st_size:
            with closing(RowFile(file, read_only=True)) as rows:
                for page in rows.salvage(_READ_ROWS):
                    yield from (metric for row in page if (metric := restored(row)) is not None)


def purge(path: str | Path, *, older_than: float | None = None, name: str | None = None, force: bool = False) -> int:
    """Remove metrics from a spool folder for good; return how many.

    Args:
        path: The folder.
        older_than: Only what was spooled more than so many seconds ago; None removes the files whole, and those that
            were put aside as damaged.
        name: Only what belongs to this backend.
        force: Also from files whose owner is at work, which counts these metrics as ``purged`` once it finds out.

    Raises:
        sqlite3.Error: When a file cannot be written to now.
    """
    removed = 0
    for file in files_in(Path(path), name):
        removed += _purge(file, older_than=older_than, force=force)
    if older_than is None:
        for file in corrupt_files(Path(path), name):
            remove_database(file.path)
    return removed


def _purge(file: SpoolName, *, older_than: float | None, force: bool) -> int:
    """Purge one file; its lock is held meanwhile, unless its owner has it and we are to go on all the same."""
    lock = lock_orphan(file)
    if not is_trusted(file.path) or (lock is None and not force):
        if lock is not None:
            lock.release(remove=False)
        return 0
    removed, is_empty = 0, False
    try:
        removed, left = _delete(file.path, math.inf if older_than is None else time.time() - older_than)
        is_empty = lock is not None and not left
    except NotOurs:
        pass  # not ours to judge
    except sqlite3.DatabaseError as exc:
        if not is_damage(exc):
            raise
        is_empty = lock is not None and older_than is None
    finally:
        if is_empty:
            remove_database(file.path)
        if lock is not None:
            lock.release(remove=is_empty)
    return removed


def _delete(path: Path, before: float) -> tuple[int, int]:
    """Delete the rows spooled before a time; return how many there were, and how many are left."""
    if not path.stat().st_size:
        return 0, 0
    with closing(RowFile(path)) as rows:
        with rows.transaction():
            removed = rows.delete_older(before)
        return removed, rows.totals()[0]


def _inspect(file: SpoolName, problem: str = "") -> SpoolFile:
    count, oldest, size = 0, None, 0
    owned = not problem and has_owner(file)
    try:
        size = file.path.stat().st_size
        if size:
            with closing(RowFile(file.path, read_only=True)) as rows:
                (count, _), oldest = rows.totals(), rows.oldest()
    except (sqlite3.Error, OSError, NotOurs) as exc:
        problem = problem or str(exc) or type(exc).__name__
    return SpoolFile(file.path, file.name, file.pid, owned, count, size, oldest, problem)
