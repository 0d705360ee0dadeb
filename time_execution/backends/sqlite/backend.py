"""`SQLiteBackend`: takes batches from any thread and process, and keeps them in one file."""

from __future__ import annotations

import contextlib
import json
import math
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from time_execution.argument_check import check_counts, check_seconds
from time_execution.backends.base import BaseMetricsBackend
from time_execution.backends.sqlite import database, rollup, state
from time_execution.backends.sqlite.rows import RowMaker, insert
from time_execution.backends.sqlite.schema import DAY, HOUR, MAX_NAMES, MINUTE
from time_execution.exceptions import BackendRejected, BackendUnavailable, ConfigurationError
from time_execution.file_path import path_from_url, to_file
from time_execution.forking import hold_forks_up
from time_execution.quietlog import QuietLog
from time_execution.sqlite_file import Identity, backend_error, create, identity, is_damage, set_aside, transaction

if TYPE_CHECKING:
    from urllib.parse import SplitResult

    from time_execution.types import Metric

_WEEK = 7.0 * DAY
# A batch is stored again when the file was replaced under it; more often than this, something is wrong with the folder.
_ATTEMPTS = 5
# How many times on the way to `rollup_rows` of our own we ask whether all processes together have come so far.
_CHECKS = 8
# What is left to do waits for more rows, or for so many seconds.
_PAUSE = 1.0
# Connections of a parent process, kept from being collected: closing one in the child could harm the parent.
_inherited: list[object] = []
# Says whether it was done: not when the file is no longer at its path.
_Work: TypeAlias = "Callable[[sqlite3.Connection, RowMaker], bool]"


class SQLiteBackend(BaseMetricsBackend):
    """Keep metrics in a SQLite file: every one for a while, and their rollups for longer.

    The embedded default: no server, and ``time-execution report`` reads the file while it is written to. Several
    processes may write to one file (not over a network file system). Thread-safe and fork-safe. A batch is stored when
    `write_many` returns; every `rollup_rows` rows it takes a moment longer, to roll up, to delete what is too old or to
    shrink the file: each of them a little at a time, however much there is to do.
    Opened by the first batch, again by the first after `close`, and anew when the file was removed or replaced.

    A metric whose ``exception``, ``error`` or ``error_type`` is not empty counts as an error.

    Args:
        path: The file; made absolute, created with mode 0600, missing folders with 0700. No symbolic link.
        retention: How long each metric is kept, in seconds; None for ever. What is older goes a little at a time,
            while metrics are stored, and not before it is rolled up. The file shrinks when over a quarter is free.
        minute_retention: The same for the rollups of a minute.
        hour_retention: The same for those of an hour; at least as long.
        day_retention: The same for those of a day; at least as long.
        rollup_rows: Roll up when so many metrics are waiting; more are cheaper for each, and take longer at a time.
        rollup_interval: Roll up after so many seconds at the latest, if metrics are still coming.
        busy_timeout: The longest wait for other processes, in seconds.
        value_field: The field whose number is the value, if `settings.duration_field` renames it.
        max_names: The most series that rollups tell apart, each name and each combination of its labels' values being
            one; those beyond count as ``__overflow__``. Taken when the file is created.

    Attributes:
        corrupted: How many times a broken file was moved aside, to ``<path>.corrupt-<time>``, and a new one begun.
        rollup_failures: How many times rolling up or deleting failed, to be tried again with a later batch.

    Raises:
        ConfigurationError: When an argument is wrong, or no file can ever be written at the path.

    Example:
        >>> backend = SQLiteBackend(getfixture("tmp_path") / "metrics.db")
        >>> backend.write("shop.checkout", value=12.5)
        >>> backend.close()
    """

    wants_nanoseconds: ClassVar[bool] = True
    repr_fields: ClassVar[tuple[str, ...]] = ("path",)

    def __init__(
        self,
        path: str | os.PathLike[str] = "metrics.db",
        *,
        retention: float | None = _WEEK,
        minute_retention: float | None = _WEEK,
        hour_retention: float | None = 90.0 * DAY,
        day_retention: float | None = None,
        rollup_rows: int = 16_384,
        rollup_interval: float = 60.0,
        busy_timeout: float = 5.0,
        value_field: str = "value",
        max_names: int = 10_000,
    ) -> None:
        if path == ":memory:":
            raise ConfigurationError("path must name a file; MemoryBackend keeps metrics in memory")
        self.path = to_file(path)
        self.retention = retention
        _check_retention(retention=retention, minute=minute_retention, hour=hour_retention, day=day_retention)
        check_seconds(or_zero=True, rollup_interval=rollup_interval, busy_timeout=busy_timeout)
        check_counts(rollup_rows=rollup_rows, max_names=max_names)
        if max_names > MAX_NAMES:
            raise ConfigurationError(f"max_names must be at most {MAX_NAMES}")
        if not isinstance(value_field, str):
            raise ConfigurationError(f"value_field must be a str, not {type(value_field).__name__}")
        self._retention = {0: retention, MINUTE: minute_retention, HOUR: hour_retention, DAY: day_retention}
        self._rollup_rows = rollup_rows
        self._rollup_interval = rollup_interval
        self._busy_timeout = busy_timeout
        self._max_names = max_names
        self._value_field = value_field
        self._begin()
        hold_forks_up(self)

    def _begin(self) -> None:
        """Set what changes as batches are stored."""
        self.corrupted = 0
        self.rollup_failures = 0
        self._log = QuietLog()
        self._locks: dict[int, threading.RLock] = {}
        self._owner = os.getpid()
        self._is_busy = False
        self._file: Identity | None = None
        self._opened: tuple[sqlite3.Connection, RowMaker] | None = None
        self._unchecked_rows = 0
        self._is_behind = False
        self._next_rollup = time.monotonic() + self._rollup_interval

    @classmethod
    def options_from_url(cls, url: SplitResult) -> dict[str, Any]:
        """Return the path of ``sqlite:///relative.db`` or ``sqlite:////absolute.db``; without one, nothing."""
        return path_from_url(url)

    def write_many(self, metrics: Sequence[Metric]) -> None:
        """Store a batch in one transaction; returns after it is committed. Blocks while another process writes.

        Raises:
            BackendDenied: When the file may not be written, or is not ours to write to.
            BackendUnavailable: When it is locked for too long, or the disk is full.
        """

        def store(connection: sqlite3.Connection, maker: RowMaker) -> bool:
            rows = maker.rows(metrics)
            if not self._is_at_path():
                return False
            with transaction(connection):
                insert(connection, rows)
            self._maintain(connection, len(rows))
            return True

        self._do(store)

    def put_state(self, topic: str, owner: str, body: Mapping[str, Any]) -> None:
        """Store the latest word of a process on a topic, in place of the one before.

        Returns after it is committed; blocks while another process writes. Words that are older than `retention`, and
        than an hour, go then. Thread-safe and fork-safe; `time_execution.report.live.states` reads them.

        Args:
            topic: What it is about, such as ``health``.
            owner: Whose word it is: the same for each of a process, and no other process's.
            body: What JSON takes; not changed.

        Raises:
            BackendRejected: When JSON does not take it.
            BackendUnavailable: As `write_many` does, and `BackendDenied`.
        """
        try:
            text = json.dumps(body, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as exc:
            raise BackendRejected("the body of a state must be a dict that JSON takes") from exc
        kept = None if self.retention is None else max(self.retention, HOUR)

        def put(connection: sqlite3.Connection, _: RowMaker) -> bool:
            if not self._is_at_path():
                return False
            with transaction(connection):
                state.put(connection, topic, owner, text, kept=kept)
            return True

        self._do(put)

    def stats(self) -> dict[str, int]:
        """Return ``corrupted`` and ``rollup_failures``."""
        return {"corrupted": self.corrupted, "rollup_failures": self.rollup_failures}

    def close(self, timeout: float | None = None) -> None:  # noqa: ARG002 - nothing here waits for others
        """Close the file; idempotent. A later batch opens it again."""
        with self._exclusively() as is_free:
            if is_free:
                self._release()

    def fork_locks(self) -> tuple[threading.RLock, ...]:
        """Return the lock that a fork waits for."""
        return (self._locks.setdefault(os.getpid(), threading.RLock()),)

    def after_fork(self) -> None:
        """Forget the parent's connection without closing it; done by the child's first batch, too."""
        with self._exclusively():
            pass

    @contextlib.contextmanager
    def _exclusively(self) -> Iterator[bool]:
        """Keep other threads out; yields False to a thread that is inside already, through a signal or a finalizer.

        Each process has a lock of its own: another thread may have held the parent's when it forked.
        """
        process = os.getpid()
        with self.fork_locks()[0]:
            if self._owner != process:
                self._forget()
                self._owner = process
            if self._is_busy:
                yield False
                return
            self._is_busy = True
            try:
                yield True
            finally:
                self._is_busy = False

    def _forget(self) -> None:
        _inherited.append(self._opened)
        self._opened = None
        self._is_busy = False
        self._log.after_fork()

    def _release(self) -> None:
        opened, self._opened = self._opened, None
        if opened is not None:
            opened[0].close()

    def _do(self, work: _Work) -> None:
        """Do work in the database; again, in a fresh file, when this one is broken or no longer at its path.

        Raises:
            BackendError: When it cannot be done.
        """
        with self._exclusively() as is_free:
            if not is_free:
                raise BackendUnavailable("called from within itself")
            try:
                self._attempt(work)
            except (sqlite3.Error, OSError) as exc:
                self._release()
                raise backend_error(exc) from exc

    def _attempt(self, work: _Work) -> None:
        for _ in range(_ATTEMPTS):
            try:
                is_done = work(*(self._opened or self._open()))
            except sqlite3.DatabaseError as exc:
                if is_damage(exc):
                    self._replace(exc)
                elif self._is_at_path():
                    raise
                else:
                    self._release()
            else:
                # Otherwise the file was moved aside, removed or rotated, maybe at that very moment.
                if is_done and self._is_at_path():
                    return
                self._release()
        raise BackendUnavailable("the database is replaced again and again while it is written to")

    def _open(self) -> tuple[sqlite3.Connection, RowMaker]:
        self._file = create(self.path)
        connection = database.connect(self.path, busy_timeout=self._busy_timeout, max_names=self._max_names)
        self._opened = connection, RowMaker(connection, value_field=self._value_field)
        return self._opened

    def _is_at_path(self) -> bool:
        """Say whether the open file is still the one that others find; what is stored in another is lost to them."""
        return identity(self.path) == self._file

    def _maintain(self, connection: sqlite3.Connection, stored: int) -> None:
        """Do a bounded part of what is due by now; a failure waits for a later batch, as this one is stored."""
        self._unchecked_rows += stored
        is_due = time.monotonic() >= self._next_rollup
        if not is_due and self._unchecked_rows < self._rollup_rows // _CHECKS:
            return
        # However large the batches are: twice what they bring is taken off what waits.
        max_rows = self._rollup_rows + 2 * self._unchecked_rows
        self._unchecked_rows = 0
        try:
            if is_due or self._is_behind or rollup.waiting_rows(connection) >= self._rollup_rows:
                self._is_behind = False
                self._next_rollup = time.monotonic() + self._rollup_interval
                with transaction(connection):
                    self._is_behind = self._work(connection, max_rows)
                if self._is_behind:
                    self._next_rollup = time.monotonic() + min(_PAUSE, self._rollup_interval)
        except sqlite3.Error as exc:
            if is_damage(exc):
                raise
            self.rollup_failures += 1
            self._log.tell("rollup", f"rolling up {self.path.name} failed and is tried again later: {exc}")

    def _work(self, connection: sqlite3.Connection, max_rows: int) -> bool:
        """Roll up, delete and shrink, less of the latter after more of the former; says if there may be more to do."""
        now = time.time()
        if rollup.roll_up(connection, max_rows=max_rows, now=now) > max_rows // 2:
            return True
        if rollup.prune(connection, retention=self._retention, now=now) > rollup.MOST_PRUNED // 2:
            return True
        return database.shrink(connection)

    def _replace(self, exc: sqlite3.Error) -> None:
        """Move the broken file aside, unless another process has done so."""
        self._release()
        moved = None if self._file is None else set_aside(self.path, self._file)
        if moved is not None:
            self.corrupted += 1
            self._log.tell("corrupted", f"{self.path.name} is broken ({exc}); it is now {moved.name}")


def _check_retention(*, retention: Any, minute: Any, hour: Any, day: Any) -> None:
    options = {"retention": retention, "minute_retention": minute, "hour_retention": hour, "day_retention": day}
    # An infinity keeps for ever, as None does.
    finite = {option: seconds for option, seconds in options.items() if seconds is not None and seconds != math.inf}
    check_seconds(or_zero=True, **finite)
    minute, hour, day = (math.inf if seconds is None else seconds for seconds in (minute, hour, day))
    if not minute <= hour <= day:
        raise ConfigurationError("hour_retention must not be below minute_retention, nor day_retention below it")
