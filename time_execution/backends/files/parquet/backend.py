"""`ParquetBackend`: one row for each metric, in a file for data frames and analytical databases."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from time_execution.argument_check import check_seconds, check_switches
from time_execution.backends.base import BaseMetricsBackend
from time_execution.backends.files.line_file import error_of, tell_moved
from time_execution.backends.files.parquet.columns import COLUMNS, Columns
from time_execution.backends.files.parquet.store import Store
from time_execution.exceptions import BackendError
from time_execution.file_path import path_from_url
from time_execution.forking import hold_forks_up
from time_execution.quietlog import QuietLog

if TYPE_CHECKING:
    from pathlib import Path
    from urllib.parse import SplitResult

    from time_execution.types import Metric

_LINE_ROWS = 512
# Merging reads and writes the whole file: so it waits until the journal, whose rows take several times the room, is as
# large, and for a second with each so many bytes, which is far longer than it takes.
_MIN_JOURNAL = 4 * 1024 * 1024
_BYTES_PER_SECOND = 1024 * 1024


class ParquetBackend(BaseMetricsBackend):
    """Append each metric as a row to a Parquet file, by way of a journal.

    A Parquet file cannot be appended to. A batch is stored when it is in the journal, ``<path>.journal``, whole and in
    one write: it survives the death of the process, not a loss of power. The journal is merged into the file when it
    has grown large, when its rows have waited for `merge_interval`, by `flush` and by `close`. Merging writes the file
    anew, so it takes time in proportion to its size, and others append meanwhile; no kill at any moment loses a row or
    doubles one. `open_rows` reads both.

    Thread-safe and fork-safe; any number of processes may write to one file. Blocks as long as the disk does. Not for
    Windows, where an open file cannot be renamed.

    Args:
        path: Of the Parquet file. Made absolute; files get mode 0600, missing folders 0700. No symbolic link.
        columns: Names to ``str``, ``int``, ``float``, ``bool`` or ``datetime``, in order; by default ``timestamp``,
            ``name``, ``value``, ``hostname``, ``origin`` and ``fields``. The last takes, as JSON, what has no column or
            does not fit into it; where there is none, that is left out.
        merge_interval: The longest that rows wait in the journal, in seconds, as long as a worker runs or metrics come.
            A file of more than 60 MiB makes them wait longer, a second for each MiB.
        move_aside: Move a file that is no Parquet, is damaged, or has other columns to ``<path>.before-<n>``, a name
            that is free, log that, and begin a new one; once, for should there be another one later, somebody else
            uses the path. By default, and where the journal has other columns, metrics are rejected.

    Raises:
        ConfigurationError: When an argument is wrong, or no file can ever be written at the path.

    Example:
        >>> path = getfixture("tmp_path") / "metrics.parquet"
        >>> with ParquetBackend(path) as backend:
        ...     backend.write("cpu.load", value=0.25, timestamp=0)
        >>> path.exists()
        True
    """

    wants_nanoseconds: ClassVar[bool] = True
    repr_fields: ClassVar[tuple[str, ...]] = ("path",)

    def __init__(
        self,
        path: str | os.PathLike[str] = "metrics.parquet",
        columns: Mapping[str, type] | None = None,
        *,
        merge_interval: float = 60.0,
        move_aside: bool = False,
    ) -> None:
        check_seconds(merge_interval=merge_interval)
        check_switches(move_aside=move_aside)
        self._columns = Columns(COLUMNS if columns is None else columns)
        self._store = Store(path, self._columns.kinds, on_move=self._tell_moved if move_aside else None)
        self.path = self._store.path
        self._merge_interval = merge_interval
        # Since when rows of ours may be in the journal, in monotonic seconds; None when there are none.
        self._waiting_since: float | None = None
        self._not_before = -math.inf
        self._merges = self._merge_failures = self._unfit = 0
        self.after_fork()
        hold_forks_up(self)

    @classmethod
    def options_from_url(cls, url: SplitResult) -> dict[str, Any]:
        """Return the path of ``parquet:///relative`` or ``parquet:////absolute``; without one, nothing."""
        return path_from_url(url)

    def write_many(self, metrics: Sequence[Metric]) -> None:
        """Append a batch to the journal, all of it or nothing; merge if that is due.

        Raises:
            BackendRejected: When what lies there is not ours.
            BackendDenied: When a path cannot be written to.
            BackendTimeout: When the journal stays locked.
            BackendUnavailable: When the disk is full or fails.
        """
        now = time.time_ns()
        parts, unfit = [], 0
        for first in range(0, len(metrics), _LINE_ROWS):
            cells, left_out = self._columns.cells(metrics[first : first + _LINE_ROWS], now)
            parts.append(cells)
            unfit += left_out
        if not parts:
            return
        try:
            self._store.append(parts)
        except OSError as exc:
            raise error_of(exc, self.path) from exc
        with self._lock:
            self._unfit += unfit
            if self._waiting_since is None:
                self._waiting_since = time.monotonic()
        self.idle()

    def idle(self) -> None:
        """Merge if that is due."""
        since, now = self._waiting_since, time.monotonic()
        if since is None or now < self._not_before:
            return
        journal, file = self._store.sizes()
        longest = max(self._merge_interval, file / _BYTES_PER_SECOND)
        if journal >= max(_MIN_JOURNAL, file) or now - since >= longest:
            self._merge(0.0)

    def flush(self, timeout: float | None = None) -> bool:
        """Merge; True when every row that was stored before is in the Parquet file.

        Args:
            timeout: The longest wait, in seconds, for another process or thread that merges; None waits as long as
                that takes.
        """
        return self._merge(math.inf if timeout is None else timeout)

    def close(self, timeout: float | None = None) -> None:
        """Merge. Nothing is held open, so a later batch is stored all the same.

        Args:
            timeout: As for `flush`. What is not merged stays in the journal, for whoever merges next.
        """
        if self._waiting_since is not None:
            self._merge(math.inf if timeout is None else timeout)

    def fork_locks(self) -> tuple[threading.RLock, ...]:
        """Return the lock that a fork waits for."""
        return (self._lock,)

    def after_fork(self) -> None:
        """Get locks of its own in a forked child."""
        self._lock = threading.RLock()
        self._log = QuietLog()

    def stats(self) -> dict[str, int]:
        """Return what this process has counted.

        Returns:
            ``merges``; ``merge_failures``, after each of which the rows wait on; ``unfit_values``, which fit into no
            column and were left out; ``damaged_lines`` of journals, which killed writers leave.
        """
        return {
            "merges": self._merges,
            "merge_failures": self._merge_failures,
            "unfit_values": self._unfit,
            "damaged_lines": self._store.damaged,
        }

    def _merge(self, timeout: float) -> bool:
        """Merge; what goes wrong is counted, for the rows are stored and wait on."""
        self._waiting_since = None
        try:
            self._store.merge(timeout)
        except (OSError, MemoryError, BackendError) as exc:
            self._wait_on(exc)
            return False
        with self._lock:
            self._merges += 1
        return True

    def _tell_moved(self, aside: Path) -> None:
        tell_moved(self.path, aside)

    def _wait_on(self, exc: OSError | MemoryError | BackendError) -> None:
        """Try again in a while, not with every batch: another one is at work, or finding what is wrong takes long."""
        with self._lock:
            self._waiting_since = time.monotonic()
            self._not_before = self._waiting_since + self._merge_interval
            if isinstance(exc, TimeoutError):
                return
            self._merge_failures += 1
        trouble = error_of(exc, self.path) if isinstance(exc, OSError) else exc
        self._log.tell("merge", f"merging into {self.path.name} failed and is tried again later: {trouble!r}")
