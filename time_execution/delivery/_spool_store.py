"""A delivery's end of the spool: its own file made safe for threads and forks, and the adoption of orphans."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections import Counter, deque
from contextlib import contextmanager
from itertools import chain, islice
from typing import TYPE_CHECKING

from time_execution.delivery._spool_folder import DATABASE, LOCK, files_in, safe_name
from time_execution.delivery._spool_orphan import Orphan, claim, finish_moves
from time_execution.delivery._spool_owned import EXPIRED, SPOOL_CORRUPT, Line, OwnedFile
from time_execution.delivery._spool_rows import NotOurs, Row, RowFile
from time_execution.forking import hold_forks_up
from time_execution.formats.packed import pack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from time_execution.types import Clock, Metric

_ADOPT_ROWS = 500
# Each takes four descriptors of the process until it is read out.
_ADOPT_FILES = 16
_ALL = 1 << 60
_MAX_NEWS = 20


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
        self._left_alone: set[str] = set()
        self.duplicates = 0
        self._closed = False
        self._reset()
        hold_forks_up(self)

    def _reset(self) -> None:
        self.lock = threading.RLock()
        # Held while orphans are checked, which may take long; taken before the other.
        self.claim_lock = threading.RLock()
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
            if not entered or self._file.path is None:
                return []
            return self._file.run(lambda file: self._line.page(file, limit, after or 0), [], reads=True)

    def delete(self, keys: Iterable[int]) -> int:
        """Take rows out that `peek` returned; return how many it took out, those deleted before not among them.

        Should the disk refuse, they are not seen again by this process all the same.
        """
        with self._entered() as entered:
            if not entered:
                return 0
            deleted = self._line.remove(keys)
            if self._line.gone:
                self._file.run(self._line.sweep, None)
            return deleted

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
        return self._file.corrupt

    def oldest_age(self) -> float:
        """Return how long the first row has been in the spool, in seconds; 0.0 when it is empty."""
        with self._entered() as entered:
            if not entered or not self._line.count or self._file.path is None:
                return 0.0
            oldest = self._file.run(RowFile.oldest, None, reads=True)
            return 0.0 if oldest is None else max(0.0, self._now() - oldest)

    def claim(self) -> int:
        """Lock and check files of this name whose owner is gone, for `adopt` to move; return how many are in hand.

        While some are, it does nothing; without any in the folder it costs a listing and a try at the lock of each file
        there. It reads what it finds from end to end; other calls do not wait for it, but forks do. Sixteen files at
        the most are in hand at a time.
        """
        with self._entered() as entered:
            if not entered or self._orphans:
                return len(self._orphans)
        with self.claim_lock:
            fresh = sorted(islice(self._claimed(), _ADOPT_FILES), key=lambda orphan: orphan.nonce)
            finish_moves(fresh, _ADOPT_ROWS)
            with self._entered() as entered:
                if entered:
                    self._orphans += fresh
                    return len(self._orphans)
            for orphan in fresh:
                orphan.release()
        return 0

    def _claimed(self) -> Iterator[Orphan]:
        files = files_in(self._folder, self._name, suffixes=(DATABASE, LOCK))
        # From both ends: where a kill amid adoption left rows twice, it is in one of the oldest and one of the newest.
        for file in islice(chain.from_iterable(zip(files, reversed(files), strict=True)), len(files)):
            if file.path == self._file.path:  # its lock says so too, but somebody may have removed that
                continue
            try:
                orphan = claim(file)
            except (sqlite3.Error, OSError, NotOurs) as exc:
                self._leave_alone(file.path, exc)
            else:
                if orphan is not None:
                    yield orphan

    def _leave_alone(self, path: Path, exc: Exception) -> None:
        """Say, once, why a file is not taken over."""
        sentence = f"spool file {path.name} is left alone: {exc}"
        if sentence not in self._left_alone:
            self._left_alone.add(sentence)
            self.news.append(sentence)

    def adopt(self, *, limit: int | None = None) -> int:
        """Move rows that processes now gone left behind to the end of our line, theirs in order.

        What finds no room within ``max_bytes`` stays where it is until there is some. A kill on the way loses nothing,
        and leaves at most one batch in two files, under the same ids. With no files in hand it begins with `claim`.

        Args:
            limit: Stop after so many rows, or where the files in hand end; call again for the rest. None moves all.

        Returns:
            How many rows came, those included that were too old or damaged and dropped on arrival.
        """
        if limit is None:
            return sum(iter(lambda: self.adopt(limit=_ALL), 0))
        self.claim()
        taken = 0
        while self._orphans and taken < limit:
            with self._entered() as entered:
                if not entered or not self._orphans:
                    break
                moved = self._adopt_some(min(_ADOPT_ROWS, limit - taken))
            if moved is None:
                break
            taken += moved
        return taken

    def _adopt_some(self, limit: int) -> int | None:
        """Move the next rows of the first orphan, and let go of it at its end; None when nothing finds room now."""
        orphan = self._orphans[0]
        moved: int | None = 0
        try:
            if found := orphan.next_rows(limit):
                moved = self._receive(found)
                if moved is not None:
                    orphan.taken(found)
            else:
                self._orphans.remove(orphan)
                orphan.finish()
                if orphan.is_damaged:
                    self._file.corrupt += 1
                    self.news.append(f"{orphan.path.name} is damaged; what could be read of it is sent")
        except (sqlite3.Error, OSError) as exc:
            self._leave_alone(orphan.path, exc)
            self._orphans.remove(orphan)
            orphan.release()
        return moved

    def _receive(self, found: Sequence[Row]) -> int | None:
        """Put an orphan's rows in, each as old as it is; None when there is no room for them."""
        line = self._line
        intact = [row for row in found if row.is_intact()]
        fresh = line.requeued(row for row in intact if not line.is_expired(row))
        added = 0
        if fresh:
            is_full = line.count and line.bytes + sum(row.size for row in fresh) > line.max_bytes
            if is_full or self._file.is_blocked():
                return None
            # On the disk before it goes where it came from, in whatever order the system writes the two.
            stored = self._file.run(lambda file: line.put(file, fresh, durable=True), None)
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
            if self._line.gone:
                self._file.run(self._line.sweep, None)
            for orphan in self._orphans:
                orphan.release()
            self._orphans.clear()
            self._file.close(remove=not self._line.count)
            self._closed = True

    def fork_locks(self) -> tuple[threading.RLock, ...]:
        """Return the locks that a fork waits for."""
        return self.claim_lock, self.lock

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
