"""CSV that a spreadsheet may open: RFC 4180, and no text that it would take for a formula."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from typing import TextIO

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\0", "|", "%")


def write_csv(stream: TextIO, heads: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write rows under a line of titles; numbers stay numbers, None is empty."""
    writer = csv.writer(stream, lineterminator="\r\n")
    writer.writerow(heads)
    for row in rows:
        writer.writerow([neutral(cell) if isinstance(cell, str) else cell for cell in row])


def neutral(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula: one that might be gets an apostrophe in front.

    Example:
        >>> print(neutral("=HYPERLINK(1)"), neutral("-x"), neutral("shop.total"))
        '=HYPERLINK(1) '-x shop.total
    """
    return f"'{text}" if text.lstrip(" \"'\u00a0\ufeff").startswith(_FORMULA_STARTS) else text
