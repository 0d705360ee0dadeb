"""Reading Parquet, with what `ParquetBackend` has not merged into the file yet."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from time_execution.report._lines import Tally

_REST = "fields"


def records(path: str, tally: Tally) -> Iterator[dict[str, Any]]:
    """Give the fields of each row, without those that are null.

    Args:
        path: The file.
        tally: Where rows are counted whose column for all other fields holds no JSON object.

    Raises:
        MissingExtraError: When pyarrow is not installed.
        DatabaseError: When the file cannot be read, or is damaged.
    """
    # What needs a client is imported where it is needed.
    from time_execution.backends.files.parquet import open_rows  # noqa: PLC0415

    with open_rows(path) as rows:
        for row in rows:
            rest = row.pop(_REST, None)
            if rest is None:
                yield row
                continue
            try:
                others = json.loads(rest)
            except (ValueError, TypeError, RecursionError):
                others = None
            if type(others) is dict:
                yield others | {column: cell for column, cell in row.items() if cell is not None}
            else:
                tally.skipped += 1
