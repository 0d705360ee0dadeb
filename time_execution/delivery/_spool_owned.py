"""The file that a store writes to: made when first needed, replaced when it breaks, retried when the disk refuses."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, TypeVar

from time_execution.delivery._spool_folder import (
    OwnerLock,
    make_folder,
    new_name,
    quarantine,
    remove_database,
    take_lock,
)
from time_execution.delivery._spool_rows import RowFile, is_damage

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from time_execution.types import Clock

_RETRY_AFTER = 30.0
_T = TypeVar("_T")


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

    def exists(self) -> bool:
        """Return whether the file was made."""
        return self._rows is not None

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
        for _ in range(2):
            try:
                if self._rows is None:
                    self._rows, self._lock = self._make()
                elif not self._rows.is_in_place():
                    self._replace(self._rows, "is gone")
                result = work(self._rows)
            except (sqlite3.Error, OSError) as exc:
                if self._rows is None or not is_damage(exc) or not self._try_replace(self._rows, exc):
                    self._refused(exc)
                    return otherwise
            else:
                if not reads:
                    self.degraded = False
                    self._blocked_until = float("-inf")
                return result
        return otherwise

    def close(self, *, remove: bool) -> None:
        """Close the file and let go of it.

        Args:
            remove: Remove it, for it holds nothing.
        """
        if self._rows is not None:
            self._rows.close()
            if remove:
                remove_database(self._rows.path)
        if self._lock is not None:
            self._lock.release(remove=remove)
        self._rows = self._lock = None

    def forget(self) -> None:
        """Drop, in a forked child, what belongs to the parent."""
        if self._rows is not None:
            self._rows.abandon()
        if self._lock is not None:
            self._lock.forget()
        self._rows = self._lock = None
        self._blocked_until = float("-inf")
        self.degraded = False

    def _make(self) -> tuple[RowFile, OwnerLock]:
        make_folder(self._folder)
        name = new_name(self._folder, self._name)
        lock = take_lock(name.lock_path, new=True)
        if lock is None:  # somebody who sweeps up leftover locks was quicker; he cannot be for ever
            return self._make()
        try:
            return RowFile(name.path, create=True, durable=self._durable), lock
        except BaseException:
            remove_database(name.path)
            lock.release(remove=True)
            raise

    def _try_replace(self, broken: RowFile, cause: Exception) -> bool:
        try:
            self._replace(broken, f"is damaged ({cause})")
        except (sqlite3.Error, OSError) as exc:
            self._refused(exc)
            return False
        self.corrupt += 1
        return True

    def _replace(self, broken: RowFile, why: str) -> None:
        """Go on in a new file. The old one keeps its name and lock until its rows are safe, in case we are killed."""
        rows, lock = self._make()
        try:
            self._rescue(broken, rows)
        except BaseException:
            rows.close()
            remove_database(rows.path)
            lock.release(remove=True)
            raise
        self._tell(f"spool file {broken.path.name} {why}; going on in {rows.path.name}")
        was_in_place = broken.is_in_place()
        broken.close()
        if was_in_place:
            quarantine(broken.path)
        if self._lock is not None:
            self._lock.release(remove=True)
        self._rows, self._lock = rows, lock

    def _refused(self, exc: Exception) -> None:
        self.degraded = True
        self._blocked_until = self._clock() + _RETRY_AFTER
        self.last_error = f"{type(exc).__name__}: {exc}"
        self._tell(f"spool {self._folder}: {self.last_error}; trying again in 30 s")
