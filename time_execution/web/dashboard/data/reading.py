"""`Reader`: short looks into a metrics database, a few at once, with pauses in which writers can tidy up."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

from time_execution.exceptions import DatabaseMissingError
from time_execution.report._view import View
from time_execution.sqlite_file import Identity, identity

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_AT_ONCE = 4
# SQLite begins its write-ahead log anew only while nobody reads: without a pause it would grow for as long as readers
# relieve each other. Where it has grown, those who write need longer to come to its end.
_LONGEST_STRETCH = 0.5
_PAUSE, _LONG_PAUSE = 0.1, 0.5
_GROWN = 64 << 20


# File systems give the number of a file that was deleted to the next one.
_MOMENT = "SELECT timestamp FROM raw WHERE id = ?"


class Which(NamedTuple):
    """Which database it is.

    Attributes:
        file: Its file.
        number: Counts what that file has held.
    """

    file: Identity
    number: int


class Look(NamedTuple):
    """A database, open for reading.

    Attributes:
        view: The state that it was in when it was opened.
        file: Which one it is; another when the database was replaced, also in the same file. None when nobody can tell.
    """

    view: View
    file: Which | None


class _Seen(NamedTuple):
    """The newest row that was seen of a database."""

    which: Which
    id: int
    timestamp: int | None


class Reader:
    """Opens a database for one look at a time, at most four at once.

    Opening costs half a millisecond, so nothing is kept open: a file that was replaced is found, and a forked child
    inherits nothing. Thread-safe. `fork_locks` are for `hold_forks_up`, since SQLite has locks of its own.

    Args:
        path: The database; need not be there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.after_fork()

    def after_fork(self) -> None:
        """Begin anew in a forked child: what the parent has open stays open there, untouched."""
        self._changed = threading.Condition()
        self._locks = [threading.RLock() for _ in range(_AT_ONCE)]
        self._free = list(self._locks)
        self._busy_since = self._quiet_until = 0.0
        self._seen: _Seen | None = None
        self._numbers = count()

    @contextlib.contextmanager
    def look(self) -> Iterator[Look]:
        """Open the database for the block, which should be short: for as long, the write-ahead log only grows.

        Blocks while four others look, and for a tenth of a second now and then, when others look all the time.

        Raises:
            DatabaseError: As `time_execution.report.read` does.
        """
        lock = self._take()
        try:
            with lock:
                file, seen = identity(self._path), self._seen
                with View.open(self._path) as view:
                    # Opened while it was being replaced: whoever keeps anything of it is to begin anew.
                    is_known = file is not None and identity(self._path) == file
                    yield Look(view, self._which(view, file, seen) if is_known and file is not None else None)
        except DatabaseMissingError:
            self._seen = None
            raise
        finally:
            self._give_back(lock)

    def fork_locks(self) -> tuple[threading.RLock, ...]:
        """Return the locks that a fork waits for."""
        return tuple(self._locks)

    def _which(self, view: View, file: Identity, seen: _Seen | None) -> Which:
        """Return which database a view shows, that was opened after some row was seen: one with that row is the same.

        What the caller keeps of a database is kept for as long as this is the same.
        """
        newest = view.newest_id()
        is_same = seen is not None and seen.which.file == file and _holds(view, seen, newest)
        which = seen.which if seen is not None and is_same else Which(file, next(self._numbers))
        found = view.connection.execute(_MOMENT, (newest,)).fetchone()
        with self._changed:
            # Somebody else may have looked later, and said so sooner.
            if self._seen is seen or (self._seen is not None and self._seen.which == which and self._seen.id < newest):
                self._seen = _Seen(which, newest, None if found is None else found[0])
        return which

    def _take(self) -> threading.RLock:
        with self._changed:
            while (wait := self._wait()) is not None:
                self._changed.wait(wait)
            if len(self._free) == _AT_ONCE:
                self._busy_since = time.monotonic()
            return self._free.pop()

    def _wait(self) -> float | None:
        """Return for how long to wait before asking again; None to go ahead."""
        now = time.monotonic()
        if now < self._quiet_until:
            return self._quiet_until - now
        is_idle = len(self._free) == _AT_ONCE
        if not self._free or (not is_idle and now - self._busy_since > _LONGEST_STRETCH):
            return _LONGEST_STRETCH
        return None

    def _pause(self) -> float:
        """Return for how long nobody shall look."""
        try:
            size = os.stat(f"{self._path}-wal").st_size  # noqa: PTH116 - a suffix to the whole name
        except OSError:
            return _PAUSE
        return _LONG_PAUSE if size > _GROWN else _PAUSE

    def _give_back(self, lock: threading.RLock) -> None:
        with self._changed:
            self._free.append(lock)
            now = time.monotonic()
            if len(self._free) == _AT_ONCE and now - self._busy_since > _LONGEST_STRETCH:
                self._quiet_until = now + self._pause()
            self._changed.notify_all()


def _holds(view: View, seen: _Seen, newest: int) -> bool:
    """Whether a row that was seen is there, or was deleted since: others came after it."""
    found = view.connection.execute(_MOMENT, (seen.id,)).fetchone()
    return newest >= seen.id if found is None else bool(found[0] == seen.timestamp)
