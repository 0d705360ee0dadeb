"""`JSONLinesBackend`: one line of JSON for each metric, in a file that may turn over at a size."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from time_execution.backends.files.line_file import LineFileBackend
from time_execution.formats.json import document

if TYPE_CHECKING:
    from time_execution.types import Metric


class JSONLinesBackend(LineFileBackend):
    """Append each metric as a line of JSON (`time_execution.formats.json.document`) to a file.

    Thread-safe and fork-safe; any number of processes may write to one file, and lines are neither torn nor lost nor
    doubled, also while it turns over or is moved away by logrotate. A batch is one write, of all or nothing, unless it
    is larger than `max_bytes`: then it is divided among files. Blocks as long as the disk does.

    Args:
        path: Made absolute. Created by the first batch with mode 0600, missing folders with 0700. No symbolic link.
        max_bytes: Turn over to a new file rather than grow beyond so many bytes; None for never, for a store does not
            give up by itself what it has stored.
        backup_count: With `max_bytes`, keep so many older files: ``<path>.1`` is the latest. By default 5.
        gzip_backups: With `max_bytes`, compress older files: ``<path>.1.gz`` is the latest. The batch that turns a file
            over takes longer, about an eighth of a second for 10 MB; others go on meanwhile.

    Raises:
        ConfigurationError: When an argument is wrong, or no file can ever be written at the path.

    Example:
        >>> path = getfixture("tmp_path") / "metrics.jsonl"
        >>> JSONLinesBackend(path).write("cpu.load", value=0.25, timestamp=0)
        >>> print(path.read_text(), end="")
        {"name":"cpu.load","value":0.25,"timestamp":"1970-01-01T00:00:00.000000Z"}
    """

    def __init__(
        self,
        path: str | os.PathLike[str] = "metrics.jsonl",
        *,
        max_bytes: int | None = None,
        backup_count: int | None = None,
        gzip_backups: bool = False,
    ) -> None:
        super().__init__(path, max_bytes=max_bytes, backup_count=backup_count, gzip_backups=gzip_backups)

    def _lines(self, metrics: Sequence[Metric], now: int) -> list[bytes]:
        text = "".join([f"{document(metric, timestamp=now)}\n" for metric in metrics])
        return text.encode().splitlines(keepends=True)  # a document has no other ends of lines; each encoded costs more
