"""Files whose owner is gone: finding them, reading them out in order, and what becomes of them afterwards."""

from __future__ import annotations

import os
import sqlite3
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

from time_execution.delivery._spool_folder import (
    OwnerLock,
    SpoolName,
    is_trusted,
    quarantine,
    remove_database,
    take_lock,
)
from time_execution.delivery._spool_rows import NotOurs, Row, RowFile, is_damage

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class Orphan:
    """A file that we hold the lock of, and read out before it goes.

    A sound file loses its rows as they are taken over. A damaged one cannot be relied on to do that: it is read as far
    as that goes, and then put aside whole.

    Attributes:
        path: The database.
        nonce: What it is sorted by among others: when it was made.
        is_damaged: Whether it was found broken, at once or on the way.
    """

    def __init__(self, file: SpoolName, lock: OwnerLock) -> None:
        self.path = file.path
        self.nonce = file.nonce
        self.is_damaged = False
        self._name = file.name
        self._lock = lock
        self._rows: RowFile | None = None
        self._salvage: Iterator[list[Row]] | None = None
        self._after = 0

    def open(self) -> None:
        """Open the file and read it from end to end, to see whether it is sound.

        Raises:
            sqlite3.Error: When it cannot be opened now.
            NotOurs: When it is somebody else's.
        """
        if not is_trusted(self.path):
            raise NotOurs("it is not a regular file of ours")
        with self._noting_damage():
            self._rows = RowFile(self.path)
            self.is_damaged = not self._rows.is_sound()

    @contextmanager
    def _noting_damage(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as exc:
            if not is_damage(exc):
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
            with self._noting_damage():
                return self._rows.page(self._after, limit)
        self._salvage = self._salvage or self._rows.salvage(limit, after=self._after)
        return next((rows for rows in self._salvage if rows), [])

    def taken(self, rows: Sequence[Row]) -> None:
        """Take rows out that lie safe elsewhere.

        Raises:
            sqlite3.Error: When the file cannot be written to now.
        """
        self._after = rows[-1].seq
        self._delete([row.seq for row in rows])

    def _delete(self, seqs: Sequence[int]) -> None:
        if seqs and self._rows is not None and not self.is_damaged:
            with self._noting_damage(), self._rows.transaction():
                self._rows.delete(seqs)

    def ids(self, limit: int, *, at_end: bool) -> dict[bytes, int]:
        """Return ids and places of the first rows in line, or of the last; none when they cannot be read."""
        if self._rows is not None and not self.is_damaged:
            with suppress(sqlite3.Error):
                return self._rows.ids(limit, at_end=at_end)
        return {}

    def drop(self, seqs: Sequence[int]) -> None:
        """Take rows out that are in another file as well; where that cannot be done, no harm is done."""
        with suppress(sqlite3.Error):
            self._delete(seqs)

    def finish(self) -> None:
        """Remove the file, all of which was read, or put it aside when it is damaged."""
        self._close()
        if self.is_damaged:
            quarantine(self.path, self._name)
        else:
            remove_database(self.path)
        self.release()

    def release(self) -> None:
        """Leave the file, with what is still in it, to whoever comes next."""
        self._close()
        self._lock.release(remove=not os.path.lexists(self.path))

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

    Of a place where a kill left nothing but the lock, that is removed.

    Raises:
        sqlite3.Error: When it cannot be opened now.
        OSError: The same.
        NotOurs: When it is somebody else's.
    """
    lock = take_lock(file.lock_path)
    if lock is None:
        return None
    orphan = Orphan(file, lock)
    with ExitStack() as stack:
        stack.callback(orphan.release)
        if os.path.lexists(file.path):
            orphan.open()
            stack.pop_all()
            return orphan
    return None


def finish_moves(orphans: Sequence[Orphan], limit: int) -> None:
    """Make up for a kill amid adoption: rows at the head of one file that had arrived at the end of another go.

    Args:
        orphans: The files found together.
        limit: The most rows that are moved at a time.
    """
    arrived = {key: orphan for orphan in orphans for key in orphan.ids(limit, at_end=True)}
    for orphan in orphans:
        heads = orphan.ids(limit, at_end=False)
        orphan.drop([seq for key, seq in heads.items() if arrived.get(key, orphan) is not orphan])
