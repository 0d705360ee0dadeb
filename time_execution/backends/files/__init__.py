"""Plain files that many processes may write: `JSONLinesBackend` for programs, `CSVBackend` for spreadsheets."""

from time_execution.backends.files.csv import CSVBackend
from time_execution.backends.files.json_lines import JSONLinesBackend

__all__ = ["CSVBackend", "JSONLinesBackend"]
