"""CSV that a spreadsheet may open: RFC 4180, and no text that it would take for a formula."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from typing import TextIO

from time_execution.formats.spreadsheet import neutral


def write_csv(stream: TextIO, heads: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write rows under a line of titles; numbers stay numbers, None is empty."""
    writer = csv.writer(stream, lineterminator="\r\n")
    writer.writerow(heads)
    for row in rows:
        writer.writerow([neutral(cell) if isinstance(cell, str) else cell for cell in row])
