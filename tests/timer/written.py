"""Timers and error catchers whose files a test reads, and how it reads them."""

from __future__ import annotations

import csv
import json
from typing import Any

from tests.backends.line_files import lines_of
from time_execution import flush
from time_execution.timer import ErrorCatcher, Timer

FIELDS = [
    "call_id",
    "function",
    "started",
    "ended",
    "wall_ms",
    "cpu_ms",
    "memory_change_bytes",
    "rss_bytes",
    "arguments",
    "outcome",
]
ERROR_FIELDS = ["call_id", "function", "time", "type", "message", "traceback", "arguments"]


class Written:
    """Makes timers and catchers that write to one folder, quietly, and reads what they wrote.

    Attributes:
        folder: Not there until the first record is written.
    """

    def __init__(self, folder) -> None:
        self.folder = folder

    def timer(self, **options: Any) -> Timer:
        """Return a timer without a console."""
        return Timer(**{"log_to_console": False, "log_dir": self.folder, **options})

    def catcher(self, **options: Any) -> ErrorCatcher:
        """Return a catcher without a console."""
        return ErrorCatcher(**{"log_to_console": False, "error_log_file": self.folder / "error.log", **options})

    def timings(self) -> list[dict[str, Any]]:
        """Return the records of ``timing.log`` and of its older files, oldest first."""
        return self.records("timing.log")

    def errors(self) -> list[dict[str, Any]]:
        """Return the records of ``error.log`` and of its older files, oldest first."""
        return self.records("error.log")

    def records(self, name: str) -> list[dict[str, Any]]:
        """Return the records of a log, once all of them are written."""
        assert flush(20)
        return [json.loads(line) for line in lines_of(self.folder / name)]

    def rows(self) -> list[list[str]]:
        """Return the rows of the table, its header first."""
        assert flush(20)
        with (self.folder / "timing_results.csv").open(encoding="utf-8", newline="") as file:
            return list(csv.reader(file))

    def arguments(self) -> list[str]:
        """Return the texts of the arguments, of timings."""
        return [record["arguments"] for record in self.timings()]
