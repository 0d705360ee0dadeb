"""Where tallies are kept: the interface of both stores, and the one that lies in this process's memory."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterator

from time_execution.backends.prometheus.tally import (
    LEVELS,
    OVERFLOWED,
    OWN_PREFIX,
    Catalogue,
    Cell,
    Placed,
    Series,
    Tally,
)
from time_execution.exceptions import BackendError, BackendUnavailable
from time_execution.forking import hold_forks_up
from time_execution.quietlog import QuietLog

_ERRORS: Series = ("counter", f"{OWN_PREFIX}store_errors", ())
_CLASHES: Series = ("counter", f"{OWN_PREFIX}name_clashes", ())


class Store(ABC):
    """Adds tallies up, and gives the totals to whoever scrapes. Thread-safe and fork-safe.

    A thread waits while another is at work. Forks wait, too; a child begins as an empty store does.

    Args:
        max_series: The most series that have a name and labels of their own.

    Attributes:
        errors: How often the totals could not be read, or were lost.
        overflowed: How many metrics of this process had no series of their own.
        clashes: How many series of this process were refused, since their name is of another kind.
    """

    def __init__(self, max_series: int) -> None:
        self._catalogue = Catalogue(max_series)
        self._locks: dict[int, threading.RLock] = {}
        self._owner = os.getpid()
        self._is_busy = False
        self._log = QuietLog()
        self.errors = self.overflowed = self.clashes = 0
        self._untold = Tally()
        hold_forks_up(self)

    @property
    @abstractmethod
    def key(self) -> Hashable:
        """What two stores of the same totals have in common."""

    def __len__(self) -> int:
        """Return how many series there are, as far as this process knows."""
        return len(self._catalogue)

    def add(self, tally: Tally) -> set[Series]:
        """Add a tally for good, all of it or, when an error is raised, nothing.

        Returns:
            The series that were refused, since their name is taken by metrics of another kind.

        Raises:
            BackendError: When nothing was added.
        """
        with self._exclusively():
            tally.merge(self._untold)
            placed = self._add(tally)
            self._untold = Tally()
            self.overflowed += placed.overflowed
            if placed.refused:
                self.clashes += len(placed.refused)
                self._tell(_CLASHES, len(placed.refused))
            return placed.refused

    def read(self) -> Tally:
        """Return the totals; where they cannot be read, the count of such errors alone."""
        with self._exclusively():
            try:
                tally = self._read()
            except BackendError as exc:
                self._fail(str(exc))
                tally = Tally()
            tally.merge(self._untold)
            for series in (_ERRORS, _CLASHES, OVERFLOWED):
                tally.cell(series)  # at 0 where nothing has happened, so that a rise can be seen
            return tally

    def close(self) -> None:
        """Release what is held open; idempotent, and undone by the next use."""
        with self._exclusively():
            self._close()

    def fork_locks(self) -> tuple[threading.RLock, ...]:
        """Return the lock that a fork waits for."""
        return (self._locks.setdefault(os.getpid(), threading.RLock()),)

    def after_fork(self) -> None:
        """Begin afresh in a forked child: what the parent added up is the parent's to show."""
        with contextlib.suppress(BackendUnavailable), self._exclusively():
            pass

    @abstractmethod
    def _add(self, tally: Tally) -> Placed:
        """Add a tally."""

    @abstractmethod
    def _read(self) -> Tally:
        """Return the totals, a copy."""

    @abstractmethod
    def _close(self) -> None:
        """Release what is held open."""

    @abstractmethod
    def _forget(self) -> None:
        """Let go of what belongs to the parent, without closing it."""

    def _fail(self, trouble: str) -> None:
        """Count an error, in the totals too, and log it."""
        self.errors += 1
        self._tell(_ERRORS, 1)
        self._log.tell("store", f"Prometheus metrics: {trouble}")

    def _tell(self, series: Series, count: int) -> None:
        self._untold.cell(series).absorb(Cell(count, float(count)), is_latest=False)

    @contextlib.contextmanager
    def _exclusively(self) -> Iterator[None]:
        """Keep other threads out, and refuse a thread that is inside already, through a signal or a finalizer.

        Each process has a lock of its own: another thread may have held the parent's when it forked.
        """
        process = os.getpid()
        with self.fork_locks()[0]:
            if self._owner != process:
                self._begin_afresh(process)
            if self._is_busy:
                raise BackendUnavailable("called from within itself")
            self._is_busy = True
            try:
                yield
            finally:
                self._is_busy = False

    def _begin_afresh(self, process: int) -> None:
        self._forget()
        self._catalogue.clear()
        self._untold = Tally()
        self.errors = self.overflowed = self.clashes = 0
        self._is_busy = False
        self._log.after_fork()
        self._owner = process


class MemoryStore(Store):
    """Keeps totals in memory: those of this process alone.

    Args:
        max_series: As `Store` has it.
        ttl: A series goes when nothing was added to it for so many seconds; None for never.
    """

    def __init__(self, max_series: int, *, ttl: float | None) -> None:
        super().__init__(max_series)
        self._ttl = ttl
        self._total = Tally()
        self._seen: dict[Series, float] = {}

    @property
    def key(self) -> Hashable:
        """Itself: no other store has its totals."""
        return id(self)

    def _add(self, tally: Tally) -> Placed:
        self._expire()
        placed = self._catalogue.place(tally)
        self._total.merge(placed.tally, latest=LEVELS)
        if self._ttl is not None:
            self._seen.update(dict.fromkeys(placed.tally, time.monotonic()))
        return placed

    def _read(self) -> Tally:
        self._expire()
        copy = Tally()
        copy.merge(self._total)
        return copy

    def _expire(self) -> None:
        if self._ttl is None:
            return
        oldest = time.monotonic() - self._ttl
        gone = [series for series, seen in self._seen.items() if seen < oldest]
        if not gone:
            return
        for series in gone:
            del self._seen[series], self._total[series]
        self._catalogue.clear()
        for series in self._total:
            self._catalogue.enter(series)

    def _close(self) -> None:
        pass

    def _forget(self) -> None:
        self._total, self._seen = Tally(), {}
