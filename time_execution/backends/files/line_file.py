"""`LineFileBackend`: what backends have in common that append lines to a file which many processes may write."""

from __future__ import annotations

import errno
import os
import time
from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from time_execution.append_file import AppendFile
from time_execution.argument_check import check_use
from time_execution.backends.base import BaseMetricsBackend
from time_execution.exceptions import BackendDenied, BackendUnavailable
from time_execution.file_path import path_from_url

if TYPE_CHECKING:
    from urllib.parse import SplitResult

    from time_execution.types import Metric

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

    Args:
        path: Made absolute. Created by the first batch with mode 0600, missing folders with 0700. No symbolic link.
        max_bytes: Turn over to a new file rather than grow beyond so many bytes; None for never.
        backup_count: Keep so many older files, where files turn over; by default 5.
        **options: Further ones of `time_execution.append_file.AppendFile`.

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
        backup_count: int | None,
        **options: Any,
    ) -> None:
        if max_bytes is None:
            check_use("without max_bytes", backup_count=backup_count)
        count = _BACKUP_COUNT if backup_count is None else backup_count
        self._file = AppendFile(path, max_bytes=max_bytes, backup_count=count, **options)
        self.path = self._file.path

    @classmethod
    def options_from_url(cls, url: SplitResult) -> dict[str, Any]:
        """Return the path of ``scheme:///relative`` or ``scheme:////absolute``; without one, nothing."""
        return path_from_url(url)

    def write_many(self, metrics: Sequence[Metric]) -> None:
        """Append a batch.

        Raises:
            BackendDenied: When the path cannot be written to, or what lies there is no such file.
            BackendUnavailable: When the disk is full or fails, or the file stays locked.
        """
        lines = self._lines(metrics, time.time_ns())
        if not lines:
            return
        try:
            self._file.append(lines)
        except OSError as exc:
            error = BackendDenied if exc.errno in _DENIED else BackendUnavailable
            raise error(f"{self.path} cannot be written to: {exc.strerror or type(exc).__name__}") from exc

    @abstractmethod
    def _lines(self, metrics: Sequence[Metric], now: int) -> bytes:
        """Return metrics as lines, each with its end.

        Args:
            metrics: What is to be written.
            now: Nanoseconds since the epoch, for those without a ``timestamp``.
        """
