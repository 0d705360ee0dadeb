"""`Store`: what the pages read from: the metrics database, and the folder with the log files."""

from __future__ import annotations

import contextlib
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from time_execution.backends.sqlite.schema import DAY, HOUR, MINUTE, SECOND
from time_execution.exceptions import DatabaseError, DatabaseMissingError
from time_execution.forking import hold_forks_up
from time_execution.web.dashboard.data.catalogue import Catalogue, Named
from time_execution.web.dashboard.data.course import Course
from time_execution.web.dashboard.data.groups import LatestErrors
from time_execution.web.dashboard.data.log_file import LogFolder
from time_execution.web.dashboard.data.losses import Losses
from time_execution.web.dashboard.data.query import CUSTOM, Query, Range
from time_execution.web.dashboard.data.reading import Look, Reader
from time_execution.web.dashboard.data.sharing import Answers
from time_execution.web.dashboard.data.totals import SPARK_POINTS, Totals
from time_execution.web.dashboard.data.windows import Used, Windows

if TYPE_CHECKING:
    import os
    import threading
    from collections.abc import Callable, Hashable, Iterator, Mapping

_Course = TypeVar("_Course", bound=Course)

_LAST = "SELECT timestamp FROM raw ORDER BY id DESC LIMIT 1"


class Store:
    """A metrics database that is read while others write it, and a folder of log files.

    Nothing is opened before the first page is asked for, and no file is ever written to. What was added up is kept for
    two minutes after it was asked for last, and brought up to date by a daemon thread meanwhile. Thread-safe and
    fork-safe: a forked child begins with nothing open and nothing kept. A database that is replaced, or that comes into
    being later, is found.

    Args:
        path: The database, as `SQLiteBackend` got it; need not be there.
        logs: The folder of the log files; None where there are none to show.
        in_background: Whether there is a thread. Without, no answer is ever ``warming``, and the first may take
            seconds.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, logs: str | os.PathLike[str] | None = None, in_background: bool = True
    ) -> None:
        self.path = Path(path).absolute()
        self.log_folder = None if logs is None else LogFolder(Path(logs).absolute())
        # One that is not whole is not given again: a moment later more is known.
        self.answers: Answers[dict[str, Any]] = Answers(is_final=lambda answer: not answer.get("warming"))
        self.latest_errors = LatestErrors()
        self.losses = Losses()
        self._reader = Reader(self.path)
        self._catalogue = Catalogue()
        self._windows = Windows(self._reader, self._catalogue, in_background=in_background)
        hold_forks_up(self)

    def close(self) -> None:
        """Give up what is kept, and end the thread; idempotent. What is asked for later begins anew."""
        self._windows.close()

    def fork_locks(self) -> tuple[threading.RLock, ...]:
        """Return the locks that a fork waits for."""
        return self._reader.fork_locks()

    def after_fork(self) -> None:
        """Begin anew in a forked child."""
        if self.log_folder is not None:
            self.log_folder.after_fork()
        for part in (self._reader, self._catalogue, self._windows, self.answers, self.latest_errors, self.losses):
            part.after_fork()

    def look(self) -> contextlib.AbstractContextManager[Look]:
        """Open the database for a block; see `Reader.look`.

        Raises:
            DatabaseError: As `time_execution.report.read` does.
        """
        return self._reader.look()

    def series(self, look: Look) -> Mapping[int, Named]:
        """Return id -> series, all that a look at the database knows; never changed afterwards."""
        return self._catalogue.series(look)

    def state(self, trouble: DatabaseError | None = None) -> dict[str, Any]:
        """Return ``state`` (``ok``, ``empty``, ``missing`` or ``broken``), ``last`` (s or None) and ``message``.

        ``last`` is the moment of the metric that was stored last.

        Args:
            trouble: What was raised when more than that was read; told where all seems well.
        """
        try:
            with self.look() as look:
                found = look.view.connection.execute(_LAST).fetchone()
        except DatabaseMissingError:
            if self.path.exists():
                return _state("empty", "The metrics database is empty: nothing has been stored in it yet.")
            return _state("missing", "There is no metrics database yet: nothing has been stored.")
        except DatabaseError as exc:
            return _state("broken", _told(exc))
        if found is None:
            return _state("empty", "The metrics database is empty: nothing has been stored in it yet.")
        last = found[0] / SECOND
        return _state("ok", "", last=last) if trouble is None else _state("broken", _told(trouble), last=last)

    def totals(self, query: Query, of: Range | None = None) -> contextlib.AbstractContextManager[Used[Totals]]:
        """Hold what every series came to in a range, up to date; see `Windows.use`.

        Args:
            query: Says what the present moment is, and for how long to load.
            of: The range; None for the query's.

        Raises:
            DatabaseError: As `time_execution.report.read` does.
        """
        wanted = of or query.range
        unit = wanted.unit
        if wanted.label == CUSTOM:
            # So that there are 24, as a spark has points.
            unit *= max(1, ceil((wanted.end - wanted.start) / SPARK_POINTS / unit))

        def make(start: int) -> Totals:
            return Totals(start, wanted.until, unit=unit)

        key = ("totals", *wanted.key)
        return self._windows.use(key, make, wanted.start_at, now=query.now, deadline=query.deadline)

    @contextlib.contextmanager
    def course(
        self,
        query: Query,
        *,
        key: Hashable,
        groups_of: Callable[[Named], tuple[str, ...]],
        measured: str,
        kind: type[_Course],
    ) -> Iterator[Used[_Course]]:
        """Hold how groups of series came along in a query's range, up to date; see `Windows.use` and `Course`.

        Args:
            query: As `totals` takes it.
            key: What tells these groups from any others.
            groups_of: As `Course` takes it.
            measured: As `Course` takes it.
            kind: `Course`, or a subclass.

        Raises:
            DatabaseError: As `time_execution.report.read` does.
        """
        of = query.range
        step = self._step(of)

        def make(start: int) -> _Course:
            return kind(start, of.until, step=step, groups_of=groups_of, measured=measured)

        wanted = (key, step, *of.key)
        with self._windows.use(wanted, make, of.start_at, now=query.now, deadline=query.deadline) as used:
            yield used

    def _step(self, of: Range) -> int:
        """Return the step of a range: longer where what is shorter was deleted."""
        with self.look() as look:
            levels = look.view.levels
        for width, finer in ((DAY, HOUR), (HOUR, MINUTE)):
            if of.start < levels[finer].kept_from:
                return max(width, of.step // width * width)
        return of.step


def _told(exc: DatabaseError) -> str:
    return f"The metrics database cannot be read: {exc}."


def _state(state: str, message: str, *, last: float | None = None) -> dict[str, Any]:
    return {"state": state, "last": last, "message": message}
