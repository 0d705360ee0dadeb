"""What a store owns: the file that it writes to, and the books of the rows in it. No locks here.

The file is made when first needed, replaced when it breaks, and tried again when the disk refuses.
"""

from __future__ import annotations

import math
import sqlite3
import zlib
from collections import Counter
from typing import TYPE_CHECKING, TypeVar

from time_execution.delivery._spool_folder import (
    OwnerLock,
    make_folder,
    new_name,
    quarantine,
    remove_database,
    take_lock,
)
from time_execution.delivery._spool_rows import Row, RowFile, is_damage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from time_execution.types import Clock, Metric

# Reasons under which rows given up are counted.
SPOOL_FULL = "spool_full"
SPOOL_CORRUPT = "spool_corrupt"
EXPIRED = "expired"
PURGED = "purged"

_RETRY_AFTER = 30.0
_RESCUE_ROWS = 500
_T = TypeVar("_T")


class Line:
    """The rows of one file in order, counted. Not thread-safe; passes on what SQLite raises, and is then unchanged.

    Args:
        max_bytes: The most the rows may weigh after a commit.
        max_age: Rows older than so many seconds are given up; None keeps them.
        now: Returns seconds since the epoch.

    Attributes:
        count: The number of rows.
        bytes: What they weigh, in bytes.
        dropped: Reason -> rows given up.
        gone: Places of rows that are deleted, but not from the disk yet.
    """

    def __init__(self, *, max_bytes: int, max_age: float | None, now: Clock) -> None:
        self.max_bytes = max_bytes
        self._max_age = math.inf if max_age is None else max_age
        self._now = now
        self._sequence = 0
        self.dropped: Counter[str] = Counter()
        self.clear()

    def clear(self) -> None:
        """Begin without rows; the counts of those given up stay."""
        self.count = 0
        self.bytes = 0
        self.gone: set[int] = set()
        # Handed out and not deleted yet, with their sizes: these never give way to others.
        self._leased: dict[int, int] = {}
        # Those of them that a damaged file took with it; the one who has them may still deliver them.
        self._phantoms: set[int] = set()

    def rows(self, packed: Iterable[tuple[bytes | None, bytes]]) -> list[Row]:
        """Return rows for the end of the line from ids and packed metrics."""
        now = self._now()
        first = self._sequence + 1
        return [Row(seq, key, now, 0, zlib.crc32(body), body) for seq, (key, body) in enumerate(packed, first)]

    def requeued(self, rows: Iterable[Row]) -> list[Row]:
        """Return rows of another file as rows for the end of the line, each as old as it is."""
        return [row._replace(seq=seq) for seq, row in enumerate(rows, self._sequence + 1)]

    def put(self, file: RowFile, rows: Sequence[Row], *, durable: bool = False) -> int:
        """Commit rows from `rows` or `requeued`, giving up the oldest beyond the bounds; return how many were new."""
        with file.transaction(durable=durable):
            file.delete(self.gone)
            added = file.insert(rows)
            weight = sum(row.size for row in rows) if added == len(rows) else file.totals(first=rows[0].seq)[1]
            surplus = self._surplus(file, self.bytes + weight - self.max_bytes)
            for sizes in surplus.values():
                file.delete(sizes)
        self.gone.clear()
        self._sequence = rows[-1].seq
        self.count += added
        self.bytes += weight
        for reason, sizes in surplus.items():
            self._lose(reason, sizes)
        return added

    def page(self, file: RowFile, limit: int, after: int) -> list[tuple[int, Metric]]:
        """Return the next rows past a place and lease them; drop on the way what is damaged or too old."""
        if not after:  # whoever had the phantoms begins anew, and delivers them no more
            self._lose(SPOOL_CORRUPT, {key: self._leased[key] for key in self._phantoms & self._leased.keys()})
            self._phantoms.clear()
        found: list[tuple[int, Metric]] = []
        lost: dict[str, dict[int, int]] = {SPOOL_CORRUPT: {}, EXPIRED: {}}
        seq = after
        while not found and (rows := file.page(seq, limit)):
            for row in rows:
                seq = row.seq
                if seq in self.gone:
                    continue
                metric = row.metric()
                if metric is None:
                    lost[SPOOL_CORRUPT][seq] = row.size
                elif self.is_expired(row) and seq not in self._leased:
                    lost[EXPIRED][seq] = row.size
                else:
                    found.append((seq, metric))
                    self._leased[seq] = row.size
        for reason, sizes in lost.items():
            self.gone.update(sizes)
            self._lose(reason, sizes)
        if not found and not after:  # somebody purged the file by force
            self.give_up(PURGED, self.count)
            self._leased.clear()
            self.count = self.bytes = 0
        return found

    def remove(self, keys: Iterable[int]) -> int:
        """Take leased rows out of line; `sweep` takes them from the disk. Returns how many were still in it."""
        sizes = {key: self._leased[key] for key in keys if key in self._leased}
        self.gone.update(sizes)
        self._forget(sizes)
        return len(sizes)

    def sweep(self, file: RowFile) -> None:
        """Delete from the disk what is deleted."""
        with file.transaction():
            file.delete(self.gone)
        self.gone.clear()
        if not self.count:
            file.shrink()

    def rescue(self, broken: RowFile, successor: RowFile) -> None:
        """Copy what a broken file still holds of these rows into another, and count what it lost."""
        phantoms = set(self._leased)
        for rows in broken.salvage(_RESCUE_ROWS):
            ours = [row for row in rows if 0 < row.seq <= self._sequence and row.seq not in self.gone]
            intact = [row for row in ours if row.is_intact()]
            phantoms.difference_update(row.seq for row in intact)
            with successor.transaction():
                successor.insert(intact)
        count, size = successor.totals()
        self.give_up(SPOOL_CORRUPT, self.count - count - len(phantoms))
        self.count = count + len(phantoms)
        self.bytes = size + sum(self._leased[key] for key in phantoms)
        self._phantoms = phantoms
        self.gone.clear()

    def is_expired(self, row: Row) -> bool:
        """Return whether a row is too old."""
        return self._now() - row.ts > self._max_age

    def give_up(self, reason: str, count: int) -> None:
        """Count rows given up."""
        if count > 0:
            self.dropped[reason] += count

    def _surplus(self, file: RowFile, over: int) -> dict[str, dict[int, int]]:
        """Return the rows that must go, by reason, with their sizes: from the oldest on that is not handed out."""
        surplus: dict[str, dict[int, int]] = {}
        if over > 0 or self._max_age < math.inf:
            for seq, ts, size in file.heads(max(self._leased, default=0)):
                if self._now() - ts > self._max_age:
                    surplus.setdefault(EXPIRED, {})[seq] = size
                elif over > 0:
                    surplus.setdefault(SPOOL_FULL, {})[seq] = size
                else:
                    break
                over -= size
        return surplus

    def _lose(self, reason: str, sizes: Mapping[int, int]) -> None:
        self._forget(sizes)
        self.give_up(reason, len(sizes))

    def _forget(self, sizes: Mapping[int, int]) -> None:
        self.count -= len(sizes)
        self.bytes = self.bytes - sum(sizes.values()) if self.count else 0
        for key in sizes:
            self._leased.pop(key, None)


class OwnedFile:
    """A row file that this process owns, and what the disk last said about it. Not thread-safe.

    Args:
        folder: Where it is made.
        name: The backend's name, safe in file names.
        durable: Whether commits wait for the disk.
        clock: Returns seconds, never going back.
        tell: Called with a sentence about each trouble.
        rescue: Called with a broken file and its successor, to copy what can be read.

    Attributes:
        degraded: Whether the last attempt to use it failed.
        last_error: What the disk said then; None before the first trouble.
        corrupt: How many files broke.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        *,
        durable: bool,
        clock: Clock,
        tell: Callable[[str], None],
        rescue: Callable[[RowFile, RowFile], None],
    ) -> None:
        self._folder = folder
        self._name = name
        self._durable = durable
        self._clock = clock
        self._tell = tell
        self._rescue = rescue
        self._rows: RowFile | None = None
        self._lock: OwnerLock | None = None
        self._blocked_until = float("-inf")
        self.degraded = False
        self.last_error: str | None = None
        self.corrupt = 0

    @property
    def path(self) -> Path | None:
        """The database; None before it was made."""
        return None if self._rows is None else self._rows.path

    def is_blocked(self) -> bool:
        """Return whether the disk refused a moment ago, so that asking again would only cost time."""
        return self._clock() < self._blocked_until

    def run(self, work: Callable[[RowFile], _T], otherwise: _T, *, reads: bool = False) -> _T:
        """Do something with the file and return what came of it, or another value when the disk does not let us.

        Args:
            work: Called with the open file; a second time with its successor, should it turn out to be broken.
            otherwise: What to return when the disk refuses.
            reads: The work only reads, so its success says nothing about a disk that was full.
        """
        try:
            try:
                result = work(self._in_place())
            except sqlite3.Error as exc:
                if self._rows is None or not is_damage(exc):
                    raise
                successor = self._replace(self._rows, f"is damaged ({exc})")
                self.corrupt += 1
                result = work(successor)
        except (sqlite3.Error, OSError) as exc:
            self.degraded = True
            self._blocked_until = self._clock() + _RETRY_AFTER
            self.last_error = f"{type(exc).__name__}: {exc}"
            self._tell(f"spool {self._folder}: {self.last_error}; trying again in 30 s")
            return otherwise
        if not reads:
            self.degraded = False
            self._blocked_until = float("-inf")
        return result

    def close(self, *, remove: bool) -> None:
        """Close the file and let go of it.

        Args:
            remove: Remove it, for it holds nothing.
        """
        if self._rows is not None and self._lock is not None:
            _discard(self._rows, self._lock, remove=remove)
        self._rows = self._lock = None

    def forget(self) -> None:
        """Drop, in a forked child, what belongs to the parent."""
        if self._rows is not None and self._lock is not None:
            self._rows.abandon()
            self._lock.forget()
        self._rows = self._lock = None
        self._blocked_until = float("-inf")
        self.degraded = False

    def _in_place(self) -> RowFile:
        """Return the file; make it when there is none, or when somebody removed it."""
        if self._rows is None:
            self._rows, self._lock = self._make()
        elif not self._rows.is_in_place():
            return self._replace(self._rows, "is gone")
        return self._rows

    def _make(self) -> tuple[RowFile, OwnerLock]:
        make_folder(self._folder)
        name = new_name(self._folder, self._name)
        lock = take_lock(name.lock_path)
        if lock is None:  # somebody who sweeps up leftover locks was quicker; he cannot be for ever
            return self._make()
        try:
            return RowFile(name.path, create=True, durable=self._durable), lock
        except BaseException:
            remove_database(name.path)
            lock.release(remove=True)
            raise

    def _replace(self, broken: RowFile, why: str) -> RowFile:
        """Go on in a new file. The old one keeps its name and lock until its rows are safe, in case we are killed."""
        rows, lock = self._make()
        try:
            self._rescue(broken, rows)
        except BaseException:
            _discard(rows, lock, remove=True)
            raise
        self._tell(f"spool file {broken.path.name} {why}; going on in {rows.path.name}")
        was_in_place = broken.is_in_place()
        broken.close()
        if was_in_place:
            quarantine(broken.path, self._name)
        if self._lock is not None:
            self._lock.release(remove=True)
        self._rows, self._lock = rows, lock
        return rows


def _discard(rows: RowFile, lock: OwnerLock, *, remove: bool) -> None:
    rows.close()
    if remove:
        remove_database(rows.path)
    lock.release(remove=remove)
