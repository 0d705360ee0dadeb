"""Plain files that many processes may write.

`JSONLinesBackend` is for programs, `CSVBackend` for spreadsheets, `ParquetBackend` for data frames, with `open_rows`,
which reads what it wrote. The last two need pyarrow, and are loaded when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from time_execution.backends.files.csv import CSVBackend
from time_execution.backends.files.json_lines import JSONLinesBackend
from time_execution.lazy_names import lazy_names

if TYPE_CHECKING:
    from time_execution.backends.files.parquet import ParquetBackend, open_rows
else:
    __getattr__ = lazy_names(__name__, {"ParquetBackend": "parquet", "open_rows": "parquet"})


__all__ = ["CSVBackend", "JSONLinesBackend", "ParquetBackend", "open_rows"]
