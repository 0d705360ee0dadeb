"""The disk spool: what neither network nor process can keep lies here until this process or a later one sends it.

A `Spool` says where and how much; `Spool.open` gives a delivery its `SpoolStore`, a file of its own in that folder.
Rows are JSON, never pickles. Nothing the disk does reaches the caller: it is counted, told, and tried again.
`inspect_folder`, `read` and `purge` work on the folder from outside, and disturb no delivery that is at work.
"""

from __future__ import annotations

import math
import os
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from time_execution.delivery._spool_folder import (
    CORRUPT,
    SpoolName,
    check_path,
    files_in,
    has_owner,
    is_trusted,
    remove_database,
    take_lock,
)
from time_execution.delivery._spool_rows import NotOurs, RowFile, is_damage
from time_execution.delivery._spool_store import SpoolStore
from time_execution.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from time_execution.types import Clock, Metric

__all__ = ["Spool", "SpoolFile", "SpoolStore", "inspect_folder", "purge", "read"]

_MAX_BYTES = 256 << 20
_MIN_BYTES = 64 << 10
_READ_ROWS = 500


class Spool:
    """Where a delivery may keep on disk what it cannot send, and how much of it. Touches no file itself.

    Args:
        path: A folder on a local disk, made with the first row, for its owner only. Any number of processes share it.
        max_bytes: The most that each process keeps in it for each backend, at least 64 KiB; beyond it the oldest rows
            give way.
        max_age: Rows older than so many seconds are given up; None keeps them for as long as it takes.
        durable: Write every metric to the disk, safe from a loss of power, before the caller goes on. Without it a kill
            costs what is still in memory, and a loss of power may cost the last commits besides.
        clock: Returns seconds, never going back.
        wall_clock: Returns seconds since the epoch; asked once for each store.

    Raises:
        ConfigurationError: When an argument cannot be honoured.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        max_bytes: int = _MAX_BYTES,
        max_age: float | None = None,
        durable: bool = False,
        clock: Clock = time.monotonic,
        wall_clock: Clock = time.time,
    ) -> None:
        given: Any = path
        if not isinstance(given, (str, os.PathLike)) or not os.fspath(given):
            raise ConfigurationError(f"spool must be the path of a folder, not {_said(given)}")
        if type(max_bytes) is not int or max_bytes < _MIN_BYTES:
            raise ConfigurationError(
                f"max_bytes of a spool must be an int of {_MIN_BYTES} or more, not {_said(max_bytes)}"
            )
        if max_age is not None and (type(max_age) not in {int, float} or not max_age > 0):
            raise ConfigurationError(f"max_age of a spool must be seconds above 0, or None, not {_said(max_age)}")
        if type(durable) is not bool:
            raise ConfigurationError(f"durable of a spool must be a bool, not {_said(durable)}")
        self.path = Path(os.path.abspath(path))  # noqa: PTH100 - a program may change its folder; links are looked at later
        self.max_bytes = max_bytes
        self.max_age = max_age
        self.durable = durable
        self._clock = clock
        self._wall_clock = wall_clock
        check_path(self.path, "spool")

    def open(self, name: str) -> SpoolStore:
        """Return a store for one backend of this process; it makes its file with the first row.

        Args:
            name: Names the backend: a store adopts what earlier stores of this name left behind.
        """
        return SpoolStore(
            self.path,
            name,
            max_bytes=self.max_bytes,
            max_age=self.max_age,
            durable=self.durable,
            clock=self._clock,
            wall_clock=self._wall_clock,
        )

    def __repr__(self) -> str:
        """Return the arguments."""
        return f"Spool({str(self.path)!r}, max_bytes={self.max_bytes}, max_age={self.max_age}, durable={self.durable})"


def _said(value: object) -> str:
    """Return a number as it is, of anything else the type only."""
    return repr(value) if type(value) in {int, float} else type(value).__name__


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
    aside = [_inspect(file, problem="damaged") for file in files_in(folder, suffixes=(CORRUPT,))]
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
                    yield from (metric for row in page if (metric := row.metric()) is not None)


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
        for file in files_in(Path(path), name, suffixes=(CORRUPT,)):
            remove_database(file.path)
    return removed


def _purge(file: SpoolName, *, older_than: float | None, force: bool) -> int:
    """Purge one file; its lock is held meanwhile, unless its owner has it and we are to go on all the same."""
    lock = take_lock(file.lock_path)
    removed, is_spent = 0, False
    try:
        if is_trusted(file.path) and (lock is not None or force):
            removed, is_spent = _delete(file.path, older_than)
    finally:
        if lock is not None:
            if is_spent:
                remove_database(file.path)
            lock.release(remove=is_spent)
    return removed


def _delete(path: Path, older_than: float | None) -> tuple[int, bool]:
    """Delete rows; return how many, and whether what remains of the file is not worth keeping."""
    try:
        with closing(RowFile(path)) as rows:
            with rows.transaction():
                removed = rows.delete_older(math.inf if older_than is None else time.time() - older_than)
            return removed, not rows.totals()[0]
    except NotOurs:  # nor ours to judge
        return 0, False
    except sqlite3.DatabaseError as exc:
        if not is_damage(exc):
            raise
        return 0, older_than is None


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
