"""The table: how it is made where there is none, and what of a record fits into one that is there."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Any, NamedTuple

from time_execution.exceptions import BackendDenied
from time_execution.extra import extra

with extra("sqlalchemy"):
    from sqlalchemy import BigInteger, Column, DateTime, Index, Integer, MetaData, SmallInteger, String, Table, Text
    from sqlalchemy import types as kinds
    from sqlalchemy.dialects.mysql import DATETIME, LONGTEXT

_MOST_CHARACTERS = {
    "id": 48,
    "level": 32,
    "logger": 255,
    "module": 255,
    "function": 255,
    "environment": 64,
    "exception_type": 255,
    "request_id": 128,
}
_TEXTS = ("message", "exception_message", "traceback", "extra")
_INTEGERS = ("line", "process_id", "thread_id")
COLUMNS = (
    *("id", "timestamp", "level", "logger", "message", "module", "function", "line", "process_id", "thread_id"),
    *("environment", "exception_type", "exception_message", "traceback", "request_id", "extra"),
)
"""What is stored of a record, in this order."""

_SMALL, _WORD, _LONG = 1 << 15, 1 << 31, 1 << 63
Fit = Callable[[Any], Any]


class Layout(NamedTuple):
    """A table that is there.

    Attributes:
        table: Its columns, as far as anything is stored in them.
        fits: By column, what makes a value one that the column takes; None for one that does not fit.
        has_ids: Whether a row has the id of its record, so that none is stored twice.
    """

    table: Table
    fits: Mapping[str, Fit]
    has_ids: bool


def new_table(name: str) -> Table:
    """Return the table as it is made where there is none; a dot in the name parts the schema from it."""
    schema, _, name = name.rpartition(".")
    columns = [_column(column) for column in COLUMNS]
    index = Index(f"ix_{name}_timestamp", "timestamp")
    # Of a table with row ids, SQLite tells everybody who shares the connection which one was the last.
    return Table(name, MetaData(), *columns, index, schema=schema or None, sqlite_with_rowid=False)


def layout_of(table: Table, *, dialect: str) -> Layout:
    """Return what may be stored in a table.

    Args:
        table: Ours, or one that was there, as reflected.
        dialect: SQLAlchemy's name of the database.

    Raises:
        BackendDenied: When it has a column that has to have a value, and for which there is none.
    """
    fits = {column.name: fit for column in table.columns if (fit := _fit_of(column, dialect)) is not None}
    for column in table.columns:
        is_filled = column.nullable or column.server_default is not None or column.identity is not None
        if column.name not in fits and not is_filled and column is not table.autoincrement_column:
            raise BackendDenied(f"table {table.name} has a column {column.name}, which must have a value of its own")
    if "message" not in fits:
        raise BackendDenied(f"table {table.name} has no column message for texts; rename it, or choose another table")
    return Layout(table, fits, has_ids="id" in fits)


def _column(name: str) -> Column[Any]:
    if name == "id":
        return Column(name, String(_MOST_CHARACTERS[name]), primary_key=True)
    if name == "timestamp":
        moment = DateTime(timezone=True).with_variant(DATETIME(fsp=6), "mysql", "mariadb")
        return Column(name, moment, nullable=False)
    if name in _INTEGERS:
        return Column(name, Integer() if name == "line" else BigInteger())
    if name in _TEXTS:
        return Column(name, Text().with_variant(LONGTEXT(), "mysql", "mariadb"))
    return Column(name, String(_MOST_CHARACTERS[name]))


def _fit_of(column: Column[Any], dialect: str) -> Fit | None:
    """Return what makes values fit into a column; None when nothing of a record is stored there."""
    name, kind = column.name, column.type
    if name == "timestamp":
        return _moment_of(with_zone=bool(kind.timezone)) if isinstance(kind, DateTime) else None
    if name in _INTEGERS:
        return _integer_below(_bound_of(kind, dialect)) if isinstance(kind, Integer) else None
    if name == "extra" and isinstance(kind, kinds.JSON):
        return _json_of
    if name in COLUMNS and isinstance(kind, String) and not isinstance(kind, kinds.Enum):
        return _text_of(kind.length)
    return None


def _bound_of(kind: Integer, dialect: str) -> int:
    if isinstance(kind, BigInteger) or dialect == "sqlite":
        return _LONG
    return _SMALL if isinstance(kind, SmallInteger) else _WORD


def _text_of(length: int | None) -> Fit:
    def fit(value: Any) -> str | None:
        if not isinstance(value, str):
            return None
        if "\0" in value:
            value = value.replace("\0", r"\x00")  # PostgreSQL takes none
        if not value.isascii():
            value = value.encode("utf-8", "backslashreplace").decode()  # halves of characters no driver takes
        return value if length is None or len(value) <= length else f"{value[: max(0, length - 1)]}…"[:length]

    return fit


def _integer_below(bound: int) -> Fit:
    return lambda value: value if type(value) is int and -bound <= value < bound else None


def _moment_of(*, with_zone: bool) -> Fit:
    def fit(value: Any) -> datetime:
        moment = value if isinstance(value, datetime) else datetime.now(timezone.utc)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=timezone.utc)
        moment = moment.astimezone(timezone.utc)
        return moment if with_zone else moment.replace(tzinfo=None)

    return fit


def _json_of(text: Any) -> Any:
    """Return what a column of JSON takes in place of a document's text."""
    return None if text is None else json.loads(text)
