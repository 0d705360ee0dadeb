"""Files whose owner is gone: finding them, reading them out in order, and what becomes of them afterwards."""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING

from time_execution.delivery._spool_folder import (
    OwnerLock,
    SpoolName,
    files_in,
    is_trusted,
    parse_name,
    quarantine,
    remove_database,
    take_lock,
)
from time_execution.delivery._spool_rows import NotOurs, Row, RowFile, is_damage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path


class Orphan:
    """A file that we hold the lock of, and read out before it goes.

    A sound file loses its rows as they are taken over. A damaged one cannot be relied on to do that: it is read as far
    as that goes, and then put aside whole.

    Attributes:
        path: The database.
        is_damaged: Whether it was found broken, at once or on the way.

    Raises:
        sqlite3.Error: When it cannot be opened now.
        NotOurs: When it is somebody else's.
    """

    def __init__(self, file: SpoolName, lock: OwnerLock) -> None:
        self.path = file.path
        self._lock = lock
        self._rows: RowFile | None = None
        self._salvage: Iterator[list[Row]] | None = None
        self._after = 0
        if not is_trusted(self.path):
            raise NotOurs("it is not a regular file of ours")
        # Its owner was killed while making it, or it was cut off: nothing to lose, nothing to keep.
        self._is_empty = self.is_damaged = self.path.stat().st_size == 0
        if self._is_empty:
            return
        try:
            self._rows = RowFile(self.path)
            self.is_damaged = not self._rows.is_sound()
        except sqlite3.Error as exc:
            if not is_damage(exc):
                self._close()
                raise
            self.is_damaged = True

    def next_rows(self, limit: int) -> list[Row]:
        """Return the next rows in line; none when all were read.

        Raises:
            sqlite3.Error: When the file cannot be read now.
        """
        if self._rows is None:
            return []
        if not self.is_damaged:
            try:
                return self._rows.page(self._after, limit)
            except sqlite3.Error as exc:
                self._note(exc)
        self._salvage = self._salvage or self._rows.salvage(limit, after=self._after)
        return next((rows for rows in self._salvage if rows), [])

    def taken(self, rows: list[Row]) -> None:
        """Take rows out that lie safe elsewhere.

        Raises:
            sqlite3.Error: When the file cannot be written to now.
        """
        self._after = rows[-1].seq
        self._delete([row.seq for row in rows])

    def ids(self, limit: int, *, at_end: bool) -> dict[bytes, int]:
        """Return ids and places of the first rows in line, or of the last; none when they cannot be read."""
        if self._rows is not None and not self.is_damaged:
            with suppress(sqlite3.Error):
                return self._rows.ids(limit, at_end=at_end)
        return {}

    def drop(self, seqs: Iterable[int]) -> bool:
        """Take rows out that are in another file as well; False when that cannot be done, which does no harm."""
        with suppress(sqlite3.Error):
            self._delete(list(seqs))
            return not self.is_damaged
        return False

    def _delete(self, seqs: list[int]) -> None:
        if self._rows is None or self.is_damaged:
            return
        try:
            with self._rows.transaction():
                self._rows.delete(seqs)
        except sqlite3.Error as exc:
            self._note(exc)

    def _note(self, exc: sqlite3.Error) -> None:
        if not is_damage(exc):
            raise exc
        self.is_damaged = True

    def finish(self) -> None:
        """Remove the file, all of which was read, or put it aside when it is damaged."""
        self._close()
        if self.is_damaged and not self._is_empty:
            quarantine(self.path)
        else:
            remove_database(self.path)
        self._lock.release(remove=not _is_there(self.path))

    def release(self) -> None:
        """Leave the file, with what is still in it, to whoever comes next."""
        self._close()
        self._lock.release(remove=False)

    def _close(self) -> None:
        if self._rows is not None:
            self._rows.close()

    def forget(self) -> None:
        """Drop what a fork copied."""
        if self._rows is not None:
            self._rows.abandon()
        self._lock.forget()


def claim(file: SpoolName) -> Orphan | None:
    """Return a file whose owner is gone, locked; None when it has one, or is gone itself.

    Raises:
        sqlite3.Error: When it cannot be opened now.
        OSError: The same.
        NotOurs: When it is somebody else's.
    """
    lock = lock_orphan(file)
    if lock is None:
        return None
    if not _is_there(file.path):
        lock.release(remove=True)
        return None
    try:
        return Orphan(file, lock)
    except BaseException:
        lock.release(remove=False)
        raise


def finish_moves(orphans: list[Orphan], limit: int) -> None:
    """Make up for a kill amid adoption: rows at the head of one file that had arrived at the end of another go.

    Args:
        orphans: The files found together.
        limit: The most rows that are moved at a time.
    """
    ends = [orphan.ids(limit, at_end=True) for orphan in orphans] if len(orphans) > 1 else []
    arrived = Counter(key for end in ends for key in end)
    for orphan, end in zip(orphans, ends, strict=False):
        doubled = {
            key: seq for key, seq in orphan.ids(limit, at_end=False).items() if arrived[key] > (1 if key in end else 0)
        }
        if doubled and orphan.drop(doubled.values()):
            arrived.subtract(doubled.keys() & end.keys())


def lock_orphan(file: SpoolName) -> OwnerLock | None:
    """Return the lock of a file whose owner is gone; None when it has one.

    Raises:
        OSError: When the lock file cannot be opened.
    """
    try:
        return take_lock(file.lock_path)
    except FileNotFoundError:
        return take_lock(file.lock_path, new=True)  # removed by hand


def sweep_locks(folder: Path, name: str) -> None:
    """Remove the lock files that were left without a database, by a kill between making the one and the other."""
    databases = {file.lock_path.name for file in files_in(folder, name)}
    for path in folder.glob("*.lock"):
        parsed = parse_name(path.with_suffix(".db"))
        if parsed is None or parsed.name != name or path.name in databases:
            continue
        with suppress(OSError):
            lock = take_lock(path)
            if lock is not None:
                # Its owner may have made the database just before it let go, so look again under the lock.
                lock.release(remove=not _is_there(path.with_suffix(".db")))


def _is_there(path: Path) -> bool:
    return path.is_symlink() or path.exists()
