"""Reading CSV whose first line names the columns, as `CSVBackend` and `Timer` write it."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from io import BufferedIOBase
from typing import Any

from time_execution.formats.spreadsheet import neutral
from time_execution.report._lines import Tally, lines
from time_execution.report._record import CPU_MS, FUNCTION, MEMORY_CHANGE_BYTES, RSS_BYTES, WALL_MS
from time_execution.report._timing import FIELDS, NEEDED, Timing, timing_of
from time_execution.types import NAME, VALUE

_REST = "fields"


def _whole(cell: str) -> float:
    try:
        return int(cell)
    except ValueError:
        # Programs that know no missing integers write the others with a point.
        number = float(cell)
        return int(number) if number.is_integer() else number


_NUMBERS: Mapping[str, Callable[[str], float]] = {
    WALL_MS: float,
    CPU_MS: float,
    MEMORY_CHANGE_BYTES: _whole,
    RSS_BYTES: _whole,
}


def has_columns(line: str, *, value_field: str) -> bool:
    """Whether a line names columns that tell of metrics."""
    try:
        columns = set(_original(next(csv.reader([line]), [])))
    except csv.Error:
        return False
    return {FUNCTION, WALL_MS} <= columns or (NAME in columns and not columns.isdisjoint({VALUE, value_field, _REST}))


def records(stream: BufferedIOBase, tally: Tally, *, value_field: str) -> Iterator[dict[str, Any] | Timing]:
    """Give the fields of each row that has as many cells as there are columns; empty cells are left out.

    Args:
        stream: The file.
        tally: Where other rows are counted; blank ones are not.
        value_field: The column that holds the number, besides ``value``.

    Raises:
        OSError: When the file cannot be read.
    """
    rows = csv.reader(lines(stream, tally))
    columns: list[str] = []
    numbers: list[tuple[str, Callable[[str], float]]] = []
    places: list[int] = []
    while True:
        try:
            row = next(rows)
            if not row:
                continue
            if not columns:
                columns = _original(row)
                numbers = _numbers(columns, value_field)
                places = [columns.index(field) for field in NEEDED] if set(columns) == FIELDS else []
            elif len(row) == len(columns):
                # A file that was put together from several has the first line of each.
                if row != columns:
                    yield (places and _timing(row, places)) or _record(columns, row, numbers)
            else:
                tally.skipped += 1
        except StopIteration:
            return
        except (csv.Error, ValueError, RecursionError):
            tally.skipped += 1


def _timing(row: Sequence[str], places: Sequence[int]) -> Timing | None:
    """Return what is stored of a row of `Timer`, where it is as it usually is.

    Args:
        row: The cells.
        places: Where those are that count.

    Raises:
        ValueError: When a number is none.
    """
    name, ended, wall, call_id, arguments, cpu, change, rss, outcome = [row[place] for place in places]
    if name[:1] == "'" or call_id[:1] == "'":
        return None
    if arguments[:1] == "'":
        arguments = _original_cell(arguments)
    if cpu and change and rss:
        resources: tuple[Any, ...] = float(cpu), _whole(change), _whole(rss)
    elif cpu or change or rss:
        return None
    else:
        resources = None, None, None
    return timing_of((name, ended, float(wall), call_id, arguments, *resources, outcome))


def _numbers(columns: Sequence[str], value_field: str) -> list[tuple[str, Callable[[str], float]]]:
    """Return the columns that hold numbers, with what reads these."""
    known = {**_NUMBERS, VALUE: float, value_field: float}
    return [(column, known[column]) for column in columns if column in known]


def _record(
    columns: Sequence[str], row: list[str], numbers: Sequence[tuple[str, Callable[[str], float]]]
) -> dict[str, Any]:
    """Return the fields of a row.

    Raises:
        ValueError: When a number is none, or the column for all other fields holds no JSON object.
    """
    for place, cell in enumerate(row):
        if cell[:1] == "'":
            row[place] = _original_cell(cell)
    record: dict[str, Any] = dict(zip(columns, row, strict=True))
    for column, number in numbers:
        if cell := record[column]:
            record[column] = number(cell)
    rest = record.pop(_REST, None)
    if "" in row:
        record = {column: value for column, value in record.items() if value != ""}
    if rest:
        others = json.loads(rest)
        if type(others) is not dict:
            raise ValueError("no object")
        record = others | record
    return record


def _original(cells: list[str]) -> list[str]:
    return [_original_cell(cell) for cell in cells]


def _original_cell(cell: str) -> str:
    """Return a cell without the apostrophe that keeps spreadsheets from taking it for a formula."""
    return cell[1:] if cell[:1] == "'" and neutral(cell[1:]) == cell else cell
