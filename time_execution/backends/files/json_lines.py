"""`JSONLinesBackend`: one line of JSON for each metric, in a file that may turn over at a size."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from time_execution.backends.base import BaseMetricsBackend
from time_execution.backends.files.append_file import AppendFile, path_from_url
from time_execution.formats.json import document

if TYPE_CHECKING:
    from urllib.parse import SplitResult

    from time_execution.types import Metric


class JSONLinesBackend(BaseMetricsBackend):
    """Append each metric as a line of JSON (`time_execution.formats.json.document`) to a file.

    Thread-safe and fork-safe; any number of processes may write to one file, and lines are neither torn nor lost nor
    doubled, also while it turns over or is moved away by logrotate. A batch is one write, of all or nothing. Blocks as
    long as the disk does.

    Args:
        path: Made absolute. Created by the first batch with mode 0600, missing folders with 0700. No symbolic link.
        max_bytes: Turn over to a new file rather than grow beyond so many bytes; None for never, for a store does not
            give up by itself what it has stored.
        backup_count: Keep so many older files: ``<path>.1`` is the latest.

    Raises:
        ConfigurationError: When an argument is wrong, or no file can ever be written at the path.

    Example:
        >>> path = getfixture("tmp_path") / "metrics.jsonl"
        >>> JSONLinesBackend(path).write("cpu.load", value=0.25, timestamp=0)
        >>> print(path.read_text(), end="")
        {"name":"cpu.load","value":0.25,"timestamp":"1970-01-01T00:00:00.000000Z"}
    """

    wants_nanoseconds: ClassVar[bool] = True
    repr_fields: ClassVar[tuple[str, ...]] = ("path",)

    def __init__(
        self,
        path: str | os.PathLike[str] = "metrics.jsonl",
        *,
        max_bytes: int | None = None,
        backup_count: int = 5,
    ) -> None:
        self._file = AppendFile(path, max_bytes=max_bytes, backup_count=backup_count)
        self.path = self._file.path

    @classmethod
    def options_from_url(cls, url: SplitResult) -> dict[str, Any]:
        """Return the path of ``jsonl:///relative.jsonl`` or ``jsonl:////absolute.jsonl``; without one, nothing."""
        return path_from_url(url)

    def write_many(self, metrics: Sequence[Metric]) -> None:
        """Append a batch.

        Raises:
            BackendDenied: When the path cannot be written to.
            BackendUnavailable: When the disk is full or fails, or the file stays locked.
        """
        now = time.time_ns()
        lines = [f"{document(metric, timestamp=now)}\n" for metric in metrics]
        if lines:
            self._file.append("".join(lines).encode())
