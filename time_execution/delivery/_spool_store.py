"""A delivery's end of the spool: `_spool_line` made safe for threads, forks and disks, and the adoption of orphans."""

from __future__ import annotations

import os
import sqlite3
import threading
import weakref
from collections import Counter, deque
from contextlib import contextmanager
from typing import TYPE_CHECKING

from time_execution.delivery._spool_folder import files_in, safe_name
from time_execution.delivery._spool_line import EXPIRED, SPOOL_CORRUPT, Line
from time_execution.delivery._spool_orphan import Orphan, claim, finish_moves, sweep_locks
from time_execution.delivery._spool_owned import OwnedFile
from time_execution.delivery._spool_rows import NotOurs, Row, RowFile
from time_execution.formats.json import pack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from time_execution.types import Clock, Metric

_ADOPT_ROWS = 500
_MAX_NEWS = 20
_FORK_WAIT = 1.0


class SpoolStore:
    """The rows of one backend in this process: a queue on disk, oldest first. Made by `Spool.open`.

    What was appended survives a kill. Nothing raises, whatever the disk does: a method that cannot do its work does
    none of it, `degraded` says so, and after 30 s it is tried again. Thread-safe; calls wait for each other and for the
    disk. In a forked child it is empty and makes a file of its own.

    At any moment: rows appended + adopted == ``len(store)`` + deleted + sum of `dropped` + `duplicates`.

    Attributes:
        duplicates: Rows appended whose id was there already.
        news: Sentences about trouble, the latest last, for the owner to log once it holds no lock: a log handler may
            be measured itself. No more than 20 are kept.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        *,
        max_bytes: int,
        max_age: float | None,
        durable: bool,
        clock: Clock,
        wall_clock: Clock,
    ) -> None:
        self._folder = folder
        self._name = safe_name(name)
        # Asked once, so that setting the clock of the machine ages no row.
        epoch = wall_clock() - clock()
        self._now: Callable[[], float] = lambda: epoch + clock()
        self.news: deque[str] = deque(maxlen=_MAX_NEWS)
        self._line = Line(max_bytes=max_bytes, max_age=max_age, now=self._now)
        self._file = OwnedFile(
            folder, self._name, durable=durable, clock=clock, tell=self.news.append, rescue=self._line.rescue
        )
        self._orphans: list[Orphan] = []
        self._corrupt_orphans = 0
        self.duplicates = 0
        self._closed = False
        self._reset()
        _track(self)

    def _reset(self) -> None:
        self.lock = threading.RLock()
        self._pid = os.getpid()
        self._busy = False

    def append(self, metrics: Sequence[Metric]) -> int:
        """Put metrics at the end of the line and commit; beyond ``max_bytes`` the oldest rows give way.

        Returns:
            How many of them, from the first on, the spool has taken charge of: all, or none when the disk refuses.
        """
        packed = [(_encoded(metric.id), pack(metric).encode()) for metric in metrics]
        with self._entered() as entered:
            if not entered or not packed or self._file.is_blocked():
                return 0
            rows = self._line.rows(packed)
            added = self._file.run(lambda file: self._line.put(file, rows), None)
            if added is None:
                return 0
            self.duplicates += len(rows) - added
            return len(rows)

    def peek(self, limit: int, *, after: int | None = None) -> list[tuple[int, Metric]]:
        """Return rows from the head of the line without taking them out, oldest first.

        They stay until they are deleted, whatever the bounds say. Rows that are too old or damaged are dropped on the
        way.

        Args:
            limit: The most rows to return; fewer come when they are large, about 1 MiB at a time.
            after: Begin past this key; None begins at the head.

        Returns:
            Pairs of a key and a metric, the keys ascending.
        """
        with self._entered() as entered:
            if not entered or not self._file.exists():
                return []
            if after is None:
                self._line.drop_phantoms()
            return self._file.run(lambda file: self._line.page(file, limit, after or 0), [], reads=True)

    def delete(self, keys: Iterable[int]) -> int:
        """Take rows out that `peek` returned; return how many it took out, those deleted before not among them.

        Should the disk refuse, they are not seen again by this process all the same.
        """
        with self._entered() as entered:
            if not entered:
                return 0
            deleted = self._line.remove(keys)
            if self._line.needs_sweep():
                self._file.run(self._line.sweep, None)
            return deleted

    def mark_attempt(self, keys: Iterable[int]) -> None:
        """Note that these rows were sent in vain."""
        with self._entered() as entered:
            if entered and self._file.exists():
                self._file.run(lambda file: file.mark_attempt(set(keys)), None)

    def __len__(self) -> int:
        """Return the number of rows."""
        return self._line.count

    @property
    def bytes(self) -> int:
        """What the rows weigh, in bytes, which is about what they take up on disk."""
        return self._line.bytes

    @property
    def dropped(self) -> Counter[str]:
        """Reason -> rows given up: ``spool_full``, ``expired``, ``spool_corrupt``, ``purged`` (by force, from outside).

        The store's own counter, not a copy; its counts never go back.
        """
        return self._line.dropped

    @property
    def degraded(self) -> bool:
        """Whether the disk refused the last time."""
        return self._file.degraded

    @property
    def last_error(self) -> str | None:
        """What the disk said when it last refused; None if it never did."""
        return self._file.last_error

    @property
    def corrupt_files(self) -> int:
        """How many files were found damaged, adopted ones included; they are kept, as ``.corrupt``."""
        return self._file.corrupt + self._corrupt_orphans

    def oldest_age(self) -> float:
        """Return how long the first row has been in the spool, in seconds; 0.0 when it is empty."""
        with self._entered() as entered:
            if not entered or not self._line.count or not self._file.exists():
                return 0.0
            oldest = self._file.run(RowFile.oldest, None, reads=True)
            return 0.0 if oldest is None else max(0.0, self._now() - oldest)

    def claim(self) -> int:
        """Lock and check the files of this name whose owner is gone, for `adopt` to move; return how many there are.

        It reads them from end to end; other calls do not wait for it.
        """
        fresh: list[Orphan] = []
        for name in files_in(self._folder, self._name):
            try:
                orphan = claim(name)
            except (sqlite3.Error, OSError, NotOurs) as exc:
                self.news.append(f"spool file {name.path} is left alone: {exc}")
            else:
                fresh += [orphan] if orphan is not None else []
        sweep_locks(self._folder, self._name)
        finish_moves(fresh, _ADOPT_ROWS)
        with self._entered() as entered:
            if entered:
                self._orphans += fresh
                return len(self._orphans)
        for orphan in fresh:
            orphan.release()
        return 0

    def adopt(self, *, limit: int | None = None) -> int:
        """Move rows that processes now gone left behind to the end of our line, theirs in order.

        What finds no room within ``max_bytes`` stays where it is until there is some. A kill on the way loses nothing,
        and leaves at most one batch in two files, under the same ids.

        Args:
            limit: Stop after so many rows; call again for the rest. None moves all.

        Returns:
            How many rows came, those included that were too old or damaged and dropped on arrival.
        """
        if not self._orphans:
            self.claim()
        taken = 0
        while limit is None or taken < limit:
            with self._entered() as entered:
                if not entered or not self._orphans:
                    break
                moved = self._adopt_some(_ADOPT_ROWS if limit is None else min(_ADOPT_ROWS, limit - taken))
            if moved is None:
                break
            taken += moved
        return taken

    def _adopt_some(self, limit: int) -> int | None:
        """Move the next rows of the first orphan, and let go of it at its end; None when nothing finds room now."""
        orphan = self._orphans[0]
        arrived: int | None = 0
        try:
            found = orphan.next_rows(limit)
            if not found:
                self._orphans.remove(orphan)
                self._corrupt_orphans += orphan.is_damaged
                orphan.finish()
                return 0
            arrived = self._receive(found)
            if arrived is not None:
                orphan.taken(found)
        except (sqlite3.Error, OSError) as exc:
            self.news.append(f"spool file {orphan.path.name} is left alone: {exc}")
            self._orphans.remove(orphan)
            orphan.release()
        return arrived

    def _receive(self, found: Sequence[Row]) -> int | None:
        """Put an orphan's rows in, each as old as it is; None when there is no room for them."""
        line = self._line
        intact = [row for row in found if row.is_intact()]
        if line.count and line.bytes + sum(row.size for row in intact) > line.max_bytes:
            return None
        fresh = line.requeued([row for row in intact if not line.is_expired(row.ts)])
        added = 0
        if fresh:
            if self._file.is_blocked():
                return None
            stored = self._file.run(lambda file: file.committed(lambda: line.put(file, fresh)), None)
            if stored is None:
                return None
            added = stored
        line.give_up(SPOOL_CORRUPT, len(found) - len(intact))
        line.give_up(EXPIRED, len(intact) - len(fresh))
        return len(found) - len(fresh) + added

    def close(self) -> None:
        """Release the file; with rows in it, a later process adopts it. Idempotent."""
        with self._entered() as entered:
            if not entered:
                return
            if self._line.needs_sweep():
                self._file.run(self._line.sweep, None)
            for orphan in self._orphans:
                orphan.release()
            self._orphans.clear()
            self._file.close(remove=not self._line.count)
            self._closed = True

    def after_fork(self) -> None:
        """Forget, in a forked child, the rows and files that are the parent's. Idempotent."""
        if self._pid == os.getpid():
            return
        self._file.forget()
        for orphan in self._orphans:
            orphan.forget()
        self._orphans.clear()
        self._line.clear()
        self._reset()

    @contextmanager
    def _entered(self) -> Iterator[bool]:
        """Hold the lock; False when there is nothing to be done: closed, or entered again by the same thread.

        The latter is a finalizer or signal handler that the interpreter ran in the middle of one of our calls.
        """
        if self._pid != os.getpid():
            self.after_fork()
        with self.lock:
            if self._busy or self._closed:
                yield False
                return
            self._busy = True
            try:
                yield True
            finally:
                self._busy = False


def _encoded(key: str | None) -> bytes | None:
    return None if key is None else key.encode("utf-8", "replace")


# SQLite's own locks are not made for forks: one held by another thread at that moment would stay held in the child for
# ever. So a fork waits, for a moment at the most, until no store is at work.
_stores: weakref.WeakSet[SpoolStore] = weakref.WeakSet()
_paused: list[SpoolStore] = []
_is_registered = False


def _track(store: SpoolStore) -> None:
    global _is_registered  # noqa: PLW0603 - what the interpreter offers is process-wide too
    _stores.add(store)
    if not _is_registered and hasattr(os, "register_at_fork"):
        _is_registered = True
        os.register_at_fork(before=_pause, after_in_parent=_resume, after_in_child=_begin_afresh)


def _pause() -> None:
    _paused.extend(store for store in list(_stores) if store.lock.acquire(timeout=_FORK_WAIT))


def _resume() -> None:
    while _paused:
        _paused.pop().lock.release()


def _begin_afresh() -> None:
    _paused.clear()
    for store in list(_stores):
        store.after_fork()
