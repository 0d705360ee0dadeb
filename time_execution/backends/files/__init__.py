"""Plain files that many processes may write.

`JSONLinesBackend` is for programs, `CSVBackend` for spreadsheets, `ParquetBackend` for data frames, with `open_rows`,
which reads what it wrote. The last two need pyarrow, and are loaded when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from time_execution.backends.files.csv import CSVBackend
from time_execution.backends.files.json_lines import JSONLinesBackend

if TYPE_CHECKING:
    from time_execution.backends.files.parquet import ParquetBackend, open_rows
else:

    def __getattr__(name: str) -> object:
        """Load the module of Parquet when something of it is first asked for."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from time_execution.backends.files import parquet  # noqa: PLC0415 - needs pyarrow

        return getattr(parquet, name)


__all__ = ["CSVBackend", "JSONLinesBackend", "ParquetBackend", "open_rows"]
