"""Where records go: the log files and the console of `time_execution.record_output`, and tables of results."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from time_execution.backends.files import CSVBackend
from time_execution.formats.log_line import one_line
from time_execution.record_output import RecordOutput, absolute, checked, console, log_file, shared_file

if TYPE_CHECKING:
    from time_execution.backends.threaded import ThreadedBackend
    from time_execution.types import Metric

__all__ = ["RecordOutput", "RecordTable", "absolute", "checked", "console", "csv_file", "log_file", "parquet_file"]


class RecordTable(CSVBackend):
    r"""Appends each record as a row in one line, for tools that read line by line: ``\n`` stands for the end of one.

    Args:
        path: See `CSVBackend`.
        fieldnames: The same.
    """

    def _row(self, metric: Metric, now: int) -> list[Any]:
        return [one_line(cell) if isinstance(cell, str) else cell for cell in super()._row(metric, now)]


def csv_file(path: Path, columns: Mapping[str, type]) -> ThreadedBackend:
    """Return the one way of this process to a table as CSV.

    Raises:
        ConfigurationError: When no file can ever be written at the path, or it is in use otherwise.
    """
    return shared_file(path, ("csv", *columns), lambda: RecordTable(path, tuple(columns), move_aside=True))


def parquet_file(path: Path, columns: Mapping[str, type]) -> ThreadedBackend:
    """Return the one way of this process to a table in Parquet.

    Raises:
        ConfigurationError: When no file can ever be written at the path, or it is in use otherwise.
        MissingExtraError: When pyarrow is not installed.
    """
    from time_execution.backends.files import ParquetBackend  # noqa: PLC0415 - needs pyarrow

    return shared_file(path, ("parquet", *columns), lambda: ParquetBackend(path, columns, move_aside=True))
