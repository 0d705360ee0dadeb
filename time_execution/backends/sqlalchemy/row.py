"""A record as a row: which field goes into which column, and the rest as JSON."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from time_execution.formats.json import encode, encode_value
from time_execution.types import NAME, TIMESTAMP

if TYPE_CHECKING:
    from time_execution.backends.sqlalchemy.table import Layout
    from time_execution.types import Metric

_LOG = "log"
_SEQUENCE_DIGITS = 12
# By the column, the field; those of an exception come from within it.
_SAME = (
    *("level", "logger", "message", "module", "function", "line", "process_id", "thread_id"),
    *("environment", "request_id"),
)
_MADE = frozenset({"id", "timestamp", "extra"})
_EXCEPTION = {"exception_type": "type", "exception_message": "message", "traceback": "traceback"}


def row_of(record: Metric, layout: Layout) -> dict[str, Any]:
    """Return the row of a record: a value, or None, for each column that anything is stored in.

    What has no column, or does not fit into its own, is part of ``extra``.
    """
    rest = {key: value for key, value in record.items() if not key.startswith("_")}
    if rest.get(NAME) == _LOG:
        del rest[NAME]
    row = {column: rest.pop(column) for column in _SAME if column in rest} | _exception_of(rest)
    moment = rest.get(TIMESTAMP)
    if isinstance(moment, datetime):
        del rest[TIMESTAMP]
    fitted = {column: fit(row.get(column)) for column, fit in layout.fits.items() if column not in _MADE}
    rest |= {column: value for column, value in row.items() if value is not None and fitted.get(column) is None}
    made = {"id": id_of(record), "timestamp": moment, "extra": encode(rest) if rest else None}
    return fitted | {column: layout.fits[column](value) for column, value in made.items() if column in layout.fits}


def id_of(record: Metric) -> str:
    """Return what identifies a record however often it is sent; ids of one process are in the order of its records."""
    process, dash, number = (record.id or "").partition("-")
    return f"{process}-{number:0>{_SEQUENCE_DIGITS}}" if dash else uuid.uuid4().hex


def _exception_of(rest: dict[str, Any]) -> dict[str, Any]:
    """Take the exception out of the fields, and return it by columns; ``error`` events have it flat."""
    found = rest.get("exception")
    if isinstance(found, Mapping):
        row = {column: found.get(key) for column, key in _EXCEPTION.items()}
        rest["exception"] = {key: value for key, value in found.items() if key not in _EXCEPTION.values()}
        if not rest["exception"]:
            del rest["exception"]
    else:
        row = {"exception_type": rest.pop("error_type", None), "traceback": rest.pop("traceback", None)}
    lines = row["traceback"]
    if isinstance(lines, (list, tuple)):
        texts = (line if isinstance(line, str) else encode_value(line) for line in lines)
        row["traceback"] = "\n".join(text.removesuffix("\n") for text in texts)
    return row
