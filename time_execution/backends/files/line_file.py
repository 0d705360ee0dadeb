"""`LineFileBackend`: what backends have in common that append lines to a file which many processes may write."""

from __future__ import annotations

import errno
import os
import time
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from itertools import repeat
from typing import TYPE_CHECKING, Any, ClassVar

from time_execution.append_file import AppendFile, ForeignFileError
from time_execution.argument_check import check_switches, check_use
from time_execution.backends.base import BaseMetricsBackend
from time_execution.backends.files.daily_file import DailyFile
from time_execution.exceptions import (
    BackendDenied,
    BackendError,
    BackendRejected,
    BackendTimeout,
    BackendUnavailable,
)
from time_execution.file_path import path_from_url
from time_execution.quietlog import QuietLog
from time_execution.types import STORED

if TYPE_CHECKING:
    from pathlib import Path
    from urllib.parse import SplitResult

    from time_execution.types import Metric, Result, Results

_BACKUP_COUNT = 5
# What no waiting mends, until somebody changes the path, the permissions or what lies there.
_DENIED = {
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ELOOP,
    errno.EMLINK,
    errno.EISDIR,
    errno.ENOTDIR,
    errno.ENXIO,
    errno.EINVAL,
}


class LineFileBackend(BaseMetricsBackend):
    """Appends a batch as lines, all of them or none. Thread-safe and fork-safe; blocks as long as the disk does.

    A batch larger than a file may become is divided among files, at the ends of lines; then each part is written wholly
    or not at all. One line that is larger has a file of its own.

    Args:
        path: Made absolute. Created by the first batch with mode 0600, missing folders with 0700. No symbolic link.
        max_bytes: Turn over to a new file rather than grow beyond so many bytes; None for never.
        is_daily: Turn over with the first batch of a day; see `DailyFile`.
        backup_count: Keep so many older files, where files turn over; by default 5.
        gzip_backups: Compress older files, where files turn over.
        header: The first line of each file; a file that begins otherwise is not written to.
        quote: What has to be closed before the end of a half-written line.
        move_aside: Move such a file to ``<path>.before-<n>``, once, and log that.

    Raises:
        ConfigurationError: When an argument is wrong, or no file can ever be written at the path.
    """

    wants_nanoseconds: ClassVar[bool] = True
    repr_fields: ClassVar[tuple[str, ...]] = ("path",)

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        max_bytes: int | None,
        is_daily: bool = False,
        backup_count: int | None,
        gzip_backups: bool = False,
        header: bytes = b"",
        quote: bytes = b"",
        move_aside: bool = False,
    ) -> None:
        check_switches(gzip_backups=gzip_backups, move_aside=move_aside)
        if max_bytes is None:
            once = None if is_daily else backup_count
            check_use("without max_bytes", backup_count=once, gzip_backups=gzip_backups or None)
        options: dict[str, Any] = {"max_bytes": max_bytes, "gzip_backups": gzip_backups}
        if is_daily:
            check_use("where a file turns over each day", max_bytes=max_bytes)
            options = {}
        self._file = (DailyFile if is_daily else AppendFile)(
            path,
            backup_count=_BACKUP_COUNT if backup_count is None else backup_count,
            header=header,
            quote=quote,
            on_move=self._tell_moved if move_aside else None,
            **options,
        )
        self._room = None if max_bytes is None else max(1, max_bytes - len(header))
        self.path = self._file.path

    @classmethod
    def options_from_url(cls, url: SplitResult) -> dict[str, Any]:
        """Return the path of ``scheme:///relative`` or ``scheme:////absolute``; without one, nothing."""
        return path_from_url(url)

    def write_many(self, metrics: Sequence[Metric]) -> Results:
        """Append a batch.

        Returns:
            None when all of it is in the file. After a failure in the midst of a divided batch, results for what is,
            from an iterator that then raises.

        Raises:
            BackendRejected: When the file there begins otherwise.
            BackendDenied: When the path cannot be written to, or what lies there is no file.
            BackendTimeout: When others hold the file too long.
            BackendUnavailable: When the disk is full or fails.
        """
        written = 0
        for lines in self._parts(self._lines(metrics, time.time_ns())):
            try:
                self._file.append(b"".join(lines))
            except OSError as exc:
                error = error_of(exc, self.path)
                if not written:
                    raise error from exc
                return _until(error, exc, written)
            written += len(lines)
        return None

    def _parts(self, lines: list[bytes]) -> Iterator[list[bytes]]:
        """Yield lines together that fit into one file."""
        room = self._room
        if room is None or sum(map(len, lines)) <= room:
            if lines:
                yield lines
            return
        part: list[bytes] = []
        size = 0
        for line in lines:
            if part and size + len(line) > room:
                yield part
                part, size = [], 0
            part.append(line)
            size += len(line)
        yield part

    def _tell_moved(self, aside: Path) -> None:
        tell_moved(self.path, aside)

    @abstractmethod
    def _lines(self, metrics: Sequence[Metric], now: int) -> list[bytes]:
        """Return a line for each metric, with its end.

        Args:
            metrics: What is to be written.
            now: Nanoseconds since the epoch, for those without a ``timestamp``.
        """


def error_of(exc: OSError, path: Path) -> BackendError:
    """Return the error that tells delivery what to do about what a disk said."""
    error: type[BackendError] = BackendDenied if exc.errno in _DENIED else BackendUnavailable
    if isinstance(exc, ForeignFileError):
        error = BackendRejected
    elif isinstance(exc, TimeoutError):  # it is somebody else's turn, and then ours
        error = BackendTimeout
    return error(f"{path} cannot be written to: {exc.strerror or type(exc).__name__}")


def tell_moved(path: Path, aside: Path) -> None:
    """Log that a file was in the way; it happens once to each backend."""
    QuietLog().tell("moved", f"{path} holds something else, so it was moved to {aside.name}, and a new one is begun")


def _until(error: BackendError, cause: OSError, written: int) -> Iterator[Result]:
    """Yield that so many metrics are stored, then raise what kept the others."""
    yield from repeat(STORED, written)
    raise error from cause
