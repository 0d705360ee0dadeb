"""The books of a spool: which rows are in line, which are handed out, and what became of the others. No locks here."""

from __future__ import annotations

import math
import zlib
from collections import Counter
from typing import TYPE_CHECKING

from time_execution.delivery._spool_rows import Row, RowFile
from time_execution.formats.json import unpack

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from time_execution.types import Clock, Metric

# Reasons under which rows given up are counted.
SPOOL_FULL = "spool_full"
SPOOL_CORRUPT = "spool_corrupt"
EXPIRED = "expired"
PURGED = "purged"

_RESCUE_ROWS = 500


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
        # Handed out and not deleted yet, with their sizes: these never give way to others.
        self._leased: dict[int, int] = {}
        # Handed out, then lost with a damaged file; the one who has them may still deliver them.
        self._phantoms: set[int] = set()
        # Deleted, but not from the disk yet.
        self._gone: set[int] = set()

    def rows(self, packed: Iterable[tuple[bytes | None, bytes]]) -> list[Row]:
        """Return rows for the end of the line from ids and packed metrics."""
        now = self._now()
        first = self._sequence + 1
        return [Row(seq, key, now, 0, zlib.crc32(body), body) for seq, (key, body) in enumerate(packed, first)]

    def requeued(self, rows: Sequence[Row]) -> list[Row]:
        """Return rows of another file as rows for the end of the line, each as old as it is."""
        return [row._replace(seq=seq) for seq, row in enumerate(rows, self._sequence + 1)]

    def put(self, file: RowFile, rows: Sequence[Row]) -> int:
        """Commit rows from `rows` or `requeued`, giving up the oldest beyond the bounds; return how many were new."""
        with file.transaction():
            file.delete(self._gone)
            added = file.insert(rows)
            weight = sum(row.size for row in rows) if added == len(rows) else file.totals(first=rows[0].seq)[1]
            surplus = self._surplus(file, self.bytes + weight - self.max_bytes)
            for sizes in surplus.values():
                file.delete(sizes)
        self._gone.clear()
        self._sequence = rows[-1].seq
        self.count += added
        self.bytes += weight
        for reason, sizes in surplus.items():
            self._forget(sizes)
            self.give_up(reason, len(sizes))
        return added

    def page(self, file: RowFile, limit: int, after: int) -> list[tuple[int, Metric]]:
        """Return the next rows past a place and lease them; drop on the way what is damaged or too old."""
        found: list[tuple[int, Metric]] = []
        lost: dict[str, dict[int, int]] = {SPOOL_CORRUPT: {}, EXPIRED: {}}
        seq = after
        while not found and (rows := file.page(seq, limit)):
            for row in rows:
                seq = row.seq
                if seq in self._gone:
                    continue
                metric = restored(row)
                if metric is None:
                    lost[SPOOL_CORRUPT][seq] = row.size
                elif self.is_expired(row.ts) and seq not in self._leased:
                    lost[EXPIRED][seq] = row.size
                else:
                    found.append((seq, metric))
                    self._leased[seq] = row.size
        for reason, sizes in lost.items():
            self._forget(sizes)
            self._gone.update(sizes)
            self.give_up(reason, len(sizes))
        if not found and not after:
            self._purged()
        return found

    def remove(self, keys: Iterable[int]) -> int:
        """Take leased rows out of line; `sweep` takes them from the disk. Returns how many were still in it."""
        sizes = {key: self._leased[key] for key in keys if key in self._leased}
        self._gone.update(sizes.keys() - self._phantoms)
        self._phantoms.difference_update(sizes)
        self._forget(sizes)
        return len(sizes)

    def sweep(self, file: RowFile) -> None:
        """Delete from the disk what is deleted."""
        with file.transaction():
            file.delete(self._gone)
        self._gone.clear()
        if not self.count:
            file.shrink()

    def needs_sweep(self) -> bool:
        """Return whether the disk holds rows that are deleted."""
        return bool(self._gone)

    def drop_phantoms(self) -> None:
        """Count as lost what went down with a file while it was handed out; nobody is going to deliver it."""
        self.give_up(SPOOL_CORRUPT, len(self._phantoms))
        self._forget({key: self._leased[key] for key in self._phantoms})
        self._phantoms.clear()

    def rescue(self, broken: RowFile, successor: RowFile) -> None:
        """Copy what a broken file still holds of these rows into another, and count what it lost."""
        kept: set[int] = set()
        for rows in broken.salvage(_RESCUE_ROWS):
            intact = [row for row in rows if 0 < row.seq <= self._sequence and row.seq not in self._gone]
            intact = [row for row in intact if row.is_intact()]
            kept.update(row.seq for row in intact if row.seq in self._leased)
            with successor.transaction():
                successor.insert(intact)
        phantoms = self._leased.keys() - kept
        count, size = successor.totals()
        self.give_up(SPOOL_CORRUPT, self.count - count - len(phantoms))
        self.count = count + len(phantoms)
        self.bytes = size + sum(self._leased[key] for key in phantoms)
        self._phantoms = phantoms
        self._gone.clear()

    def is_expired(self, ts: float) -> bool:
        """Return whether a row spooled then is too old."""
        return self._now() - ts > self._max_age

    def give_up(self, reason: str, count: int) -> None:
        """Count rows given up."""
        if count > 0:
            self.dropped[reason] += count

    def _surplus(self, file: RowFile, over: int) -> dict[str, dict[int, int]]:
        """Return the rows that must go, by reason, with their sizes: from the oldest on that is not handed out."""
        surplus: dict[str, dict[int, int]] = {}
        if over > 0 or self._max_age < math.inf:
            for seq, ts, size in file.heads(max(self._leased, default=0)):
                if self.is_expired(ts):
                    surplus.setdefault(EXPIRED, {})[seq] = size
                elif over > 0:
                    surplus.setdefault(SPOOL_FULL, {})[seq] = size
                else:
                    break
                over -= size
        return surplus

    def _forget(self, sizes: Mapping[int, int]) -> None:
        self.count -= len(sizes)
        self.bytes = self.bytes - sum(sizes.values()) if self.count else 0
        for key in sizes:
            self._leased.pop(key, None)

    def _purged(self) -> None:
        """Settle the books when the file turns out to be empty: somebody purged it by force."""
        self.give_up(PURGED, self.count)
        self.count = self.bytes = 0
        self._leased.clear()
        self._phantoms.clear()


def restored(row: Row) -> Metric | None:
    """Return a row's metric; None when the row is damaged."""
    if not row.is_intact():
        return None
    try:
        return unpack(row.body.decode())
    except ValueError:
        return None
