"""The columns of a Parquet file: which there are, and what a metric's fields become under them. Needs no pyarrow."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any, TypeAlias

from time_execution.exceptions import ConfigurationError
from time_execution.formats.json import encode, encode_value, moment_text, nanoseconds_text
from time_execution.formats.snapshot import snapshot_fields
from time_execution.formats.timestamp import to_nanoseconds
from time_execution.types import HOSTNAME, NAME, ORIGIN, TIMESTAMP, VALUE, Metric

REST = "fields"
"""The column that takes, as JSON, whatever has no column of its own, or does not fit into it."""

COLUMNS: Mapping[str, type] = {TIMESTAMP: datetime, NAME: str, VALUE: float, HOSTNAME: str, ORIGIN: str, REST: str}

_WORD = 1 << 63
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MICROSECOND = timedelta(microseconds=1)
_FIRST = (datetime.min.replace(tzinfo=timezone.utc) - _EPOCH) // _MICROSECOND
_LAST = (datetime.max.replace(tzinfo=timezone.utc) - _EPOCH) // _MICROSECOND
_UNFIT = object()

Cells: TypeAlias = list[list[Any]]
"""The cells of some rows, column by column: text, float, int, bool or None; moments as microseconds since the epoch."""


class Columns:
    """Puts fields into columns. Immutable and thread-safe.

    Args:
        columns: What was asked for: names to ``str``, ``int``, ``float``, ``bool`` or ``datetime``.

    Attributes:
        kinds: Names to the names of their types, in order.

    Raises:
        ConfigurationError: When it is no such mapping.
    """

    def __init__(self, columns: Mapping[str, type]) -> None:
        self.kinds = _checked(columns)
        self._ways = [(name, _FITS[kind]) for name, kind in self.kinds.items() if name != REST]
        self._rest = list(self.kinds).index(REST) if REST in self.kinds else None

    def cells(self, metrics: Sequence[Metric], now: int) -> tuple[Cells, int]:
        """Return the cells of metrics, and how many values were left out for they fit into no column.

        Args:
            metrics: Not changed.
            now: Nanoseconds since the epoch, for those without a ``timestamp``.
        """
        rows, unfit = [], 0
        for metric in metrics:
            row, left_out = self._row(metric, now)
            rows.append(row)
            unfit += left_out
        return [list(column) for column in zip(*rows, strict=True)], unfit

    def _row(self, metric: Metric, now: int) -> tuple[list[Any], int]:
        fields, _ = snapshot_fields(metric)
        fields.setdefault(TIMESTAMP, now)
        row: list[Any] = []
        unfit: dict[str, Any] = {}
        for name, fit in self._ways:
            value = fields.pop(name, None)
            if value is not None:
                cell = fit(value)
                if cell is _UNFIT:
                    unfit[name] = value
                    cell = None
                value = cell
            row.append(value)
        if self._rest is None:
            return row, len(unfit)
        row.insert(self._rest, _rest_of(fields, unfit) if fields or unfit else None)
        return row, 0


def _rest_of(fields: dict[str, Any], unfit: dict[str, Any]) -> str:
    rest = {**unfit, **fields}
    moment = rest.get(TIMESTAMP)
    if type(moment) is int:
        rest[TIMESTAMP] = nanoseconds_text(moment)
    return encode(rest)


def _text(value: Any) -> Any:
    kind = type(value)
    if kind is str:
        # Parquet's texts are UTF-8, which has no lone surrogates.
        return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode()
    return moment_text(value) if kind is datetime else encode_value(value)


def _number(value: Any) -> Any:
    kind = type(value)
    if kind is float:
        return value if math.isfinite(value) else None
    if kind is not int:
        return _UNFIT
    try:
        return float(value)
    except OverflowError:
        return _UNFIT


def _whole(value: Any) -> Any:
    return value if type(value) is int and -_WORD <= value < _WORD else _UNFIT


def _truth(value: Any) -> Any:
    return value if type(value) is bool else _UNFIT


def _moment(value: Any) -> Any:
    kind = type(value)
    if kind is datetime:
        return to_nanoseconds(value) // 1000
    return value // 1000 if kind is int and _FIRST <= value // 1000 <= _LAST else _UNFIT


_FITS: Mapping[str, Callable[[Any], Any]] = {
    "str": _text,
    "float": _number,
    "int": _whole,
    "bool": _truth,
    "datetime": _moment,
}
KINDS = frozenset(_FITS)
"""The names of the types that columns may have."""

_NAMES: Mapping[type, str] = {str: "str", float: "float", int: "int", bool: "bool", datetime: "datetime"}


def _checked(columns: Any) -> dict[str, str]:
    if not isinstance(columns, Mapping) or not columns:
        got = "an empty one" if columns == {} else type(columns).__name__
        raise ConfigurationError(f"columns must map names to types, such as {{'name': str}}; got {got}")
    if not all(isinstance(name, str) and name and name.isprintable() for name in columns):
        raise ConfigurationError("columns must have printable texts for names, and one has none")
    for name, kind in columns.items():
        if not isinstance(kind, type) or kind not in _NAMES:
            raise ConfigurationError(f"columns: {name} must be one of the types str, int, float, bool and datetime")
    if columns.get(REST, str) is not str:
        raise ConfigurationError(f"columns: {REST} takes the rest as JSON, so its type must be str")
    return {name: _NAMES[kind] for name, kind in columns.items()}
