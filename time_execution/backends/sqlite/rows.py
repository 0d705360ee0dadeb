"""From metrics to rows: plain ones on a short path, everything else through a snapshot.

A core field whose value does not fit its column is kept as it was, under its own name, in the JSON of ``fields``, and
the column gets the nearest that does fit: text for a name or host, the nearest float for a number (NULL when there is
none: NaN, infinities, text), the present moment for a timestamp. Labels stay among the other fields as they are; the
name that a row refers to is that of their series.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from collections.abc import Hashable, Mapping, Sequence
from datetime import datetime
from itertools import chain
from math import inf, isfinite
from operator import itemgetter
from typing import Any, NamedTuple, TypeAlias

from time_execution.backends.sqlite.schema import LATEST
from time_execution.formats.histogram import NO_NUMBER, bucket_of
from time_execution.formats.json import encode
from time_execution.formats.labels import own_labels, plain_values
from time_execution.formats.outcome import has_failed
from time_execution.formats.series import MAX_VALUE, label_text, series_text
from time_execution.formats.snapshot import MAX_BYTES, snapshot_fields
from time_execution.formats.timestamp import to_nanoseconds
from time_execution.types import HOSTNAME, NAME, TIMESTAMP, VALUE, Metric

_CORE_FIELDS = 4
_WORDS = {True: "true", False: "false", None: "null"}
_quote = json.encoder.encode_basestring_ascii
_NO_LABELS = Metric.labels
_MAX_CACHED = 100_000
_MAX_ATTRIBUTE = 64
_WORD = 1 << 63  # beyond SQLite's integers

Row: TypeAlias = tuple[int, int | None, float | None, int, int, int, str | None]

# A statement that inserts so many rows takes two thirds of the time, for each, of one that inserts a single row.
_TOGETHER = 25
_PLACES = "(?, ?, ?, ?, ?, ?, ?)"
_INSERT = f"INSERT INTO raw (name_id, host_id, value, timestamp, bucket, error, fields) VALUES {_PLACES}"  # noqa: S608 - a constant
_INSERT_TOGETHER = _INSERT + f", {_PLACES}" * (_TOGETHER - 1)


def insert(connection: sqlite3.Connection, rows: Sequence[Row]) -> None:
    """Insert rows, in order, inside the caller's transaction."""
    rest = len(rows) % _TOGETHER
    for start in range(0, len(rows) - rest, _TOGETHER):
        connection.execute(_INSERT_TOGETHER, tuple(chain.from_iterable(rows[start : start + _TOGETHER])))
    connection.executemany(_INSERT, rows[len(rows) - rest :])


_FIND_HOST = "SELECT id FROM hosts WHERE hostname = ?"
_ADD_HOST = "INSERT INTO hosts (hostname) VALUES (?) ON CONFLICT DO NOTHING"
# A name that a file of an earlier release has already gets its kind from the first metric that comes now.
_FIND_NAME = "SELECT id FROM names WHERE name = ? AND kind IS NOT NULL"
_ADD_NAME = """INSERT INTO names (name, kind, unit, family, labels) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (name) DO UPDATE SET kind = excluded.kind, unit = excluded.unit WHERE kind IS NULL"""


class Interned(dict[Hashable, int]):
    """The ids of the texts that a table keeps once, by what this process has met them under.

    Args:
        connection: Not in a transaction when a new text is met.
        find: Selects the id of a text.
        add: Adds a text, with what is known of it, unless another process just has.
    """

    def __init__(self, connection: sqlite3.Connection, *, find: str, add: str) -> None:
        super().__init__()
        self._connection = connection
        self._find = find
        self._add = add

    def id_of(self, key: Hashable, text: str, *known: str | None) -> int:
        """Return the id of a text, which is added to the table if it is not there.

        Args:
            key: What to keep the id under.
            text: The text.
            known: What else is added.
        """
        found = self.get(key)
        if found is None:
            row = self._connection.execute(self._find, (text,)).fetchone()
            if row is None:
                self._connection.execute(self._add, (text, *known))
                row = self._connection.execute(self._find, (text,)).fetchone()
            if len(self) >= _MAX_CACHED:
                self.clear()
            self[key] = found = int(row[0])
        return found


class _Shape(NamedTuple):
    """What the rows of a series that has labels share.

    Attributes:
        series: The id of its name.
        begun: The labels, as the JSON of the other fields begins.
        written: The fields that are not to be written again: the labels, and those that have columns.
    """

    series: int
    begun: str
    written: frozenset[str]


class RowMaker:
    """Turns metrics into rows of ``raw``; belongs to one connection, and to one thread at a time."""

    def __init__(self, connection: sqlite3.Connection, *, value_field: str) -> None:
        self._names = Interned(connection, find=_FIND_NAME, add=_ADD_NAME)
        self._hosts = Interned(connection, find=_FIND_HOST, add=_ADD_HOST)
        self._value_field = value_field
        columns = (NAME, value_field, HOSTNAME, TIMESTAMP)
        self._core = itemgetter(*columns)
        self._columns = frozenset(columns)
        self._shapes: dict[Hashable, _Shape] = {}

    def rows(self, metrics: Sequence[Metric]) -> list[Row]:
        """Return a row for each metric, in order; the metrics are not changed."""
        return [self._plain_row(metric) or self._row(metric) for metric in metrics]

    def _plain_row(self, metric: Metric) -> Row | None:
        """Return the row of a metric whose fields are all plain, its name and host met before; None for any other."""
        try:
            name, value, host, timestamp = self._core(metric)
            if (
                type(name) is type(host) is str
                and type(value) is float
                and type(timestamp) is int
                and 0.0 < value < inf
                and 0 <= timestamp <= LATEST
            ):
                if len(metric) == _CORE_FIELDS:
                    return self._names[name], self._hosts[host], value, timestamp, bucket_of(value), 0, None
                if metric.labels is _NO_LABELS:
                    series, begun, written = self._names[name], "", self._columns
                else:
                    key = _key(metric, name)
                    series, begun, written = self._shapes.get(key) or self._shape(metric, key)
                text = _flat_json(metric, begun, written)
                if text is not None:
                    failed = int(has_failed(metric))
                    return series, self._hosts[host], value, timestamp, bucket_of(value), failed, text
        except (KeyError, TypeError):
            return None
        return None

    def _shape(self, metric: Metric, key: Hashable) -> _Shape:
        """Return, and keep, what rows of a series share whose name was met before.

        Raises:
            KeyError: When it was not.
        """
        series = self._names[key]
        labels = {label: metric[label] for label in metric.labels if label not in self._columns}
        begun = _flat_json(labels, "", self._columns)
        if begun is None:
            raise KeyError(key)
        if len(self._shapes) >= _MAX_CACHED:
            self._shapes.clear()
        found = self._shapes[key] = _Shape(series, begun[1:-1], self._columns.union(labels))
        return found

    def _row(self, metric: Metric) -> Row:
        """Return the row of any metric at all."""
        fields, _ = snapshot_fields(metric)
        labels = _labels(metric, fields, self._columns)
        name, host = self._text(fields, NAME), self._text(fields, HOSTNAME)
        value = self._value(fields)
        timestamp = self._timestamp(fields)
        return (
            self._series(metric, "None" if name is None else name, labels),
            None if host is None else self._hosts.id_of(host, host),
            value,
            timestamp,
            NO_NUMBER if value is None else bucket_of(value),
            int(has_failed(fields)),
            encode(fields) if fields else None,
        )

    def _series(self, metric: Metric, family: str, labels: Mapping[str, str]) -> int:
        """Return the id of a series; families and labels are stored apart only where the text holds more than a name.

        It is cached by what a plain metric of that series is looked up by, or else by its text.
        """
        text = series_text(family, labels)
        key: Hashable = family
        if labels:
            try:
                key = _key(metric, family)
            except (KeyError, TypeError):
                key = (text,)
            if any(type(value) is str and len(value) > MAX_VALUE for value in map(metric.get, metric.labels)):
                key = (text,)  # which is cut where they are not: nothing so long is kept
        known = (None, None) if text == family else (family, encode(labels) if labels else None)
        return self._names.id_of(key, text, _attribute(metric.kind) or "timing", _attribute(metric.unit), *known)

    def _text(self, fields: dict[str, Any], field: str) -> str | None:
        """Take a text out of the fields, unless what is stored differs from what was given."""
        value = fields.get(field)
        if value is None:
            return None
        text = _storable(str(value))
        if text == value:
            del fields[field]
        return text

    def _value(self, fields: dict[str, Any]) -> float | None:
        # What is written by hand has its number under ``value``, whatever durations are called.
        field = self._value_field if self._value_field in fields else VALUE
        value = fields.get(field)
        if (type(value) is float and isfinite(value)) or (type(value) is int and -_WORD <= value < _WORD):
            del fields[field]
            return value
        if type(value) is int or type(value) is bool:
            with contextlib.suppress(OverflowError):
                return float(value)
        return None

    def _timestamp(self, fields: dict[str, Any]) -> int:
        value = fields.get(TIMESTAMP)
        moment = to_nanoseconds(value) if isinstance(value, datetime) else value
        if type(moment) is int and 0 <= moment <= LATEST:
            del fields[TIMESTAMP]
            return moment
        return time.time_ns()


def _storable(text: str) -> str:
    """Return a text that SQLite takes: lone surrogates are written as escapes."""
    return text.encode("utf-8", "backslashreplace").decode()


def _labels(metric: Metric, fields: Mapping[str, Any], columns: frozenset[str]) -> dict[str, str]:
    """Return the labels of a metric with their values, both as SQLite takes them."""
    texts = {
        label: text
        for label in own_labels(metric)
        if label not in columns and (text := label_text(fields.get(label))) is not None
    }
    return {_storable(label): _storable(text) for label, text in texts.items()}


def _key(metric: Metric, name: str) -> Hashable:
    """Return what tells a metric's series from others of its name, if the values of its labels are plain.

    Raises:
        KeyError: When they are not, or one is missing.
        TypeError: When the labels are no names.
    """
    if type(metric.labels) is not tuple:
        raise TypeError(type(metric.labels))
    values = plain_values(metric, metric.labels)
    if values is None or None in values:
        raise KeyError(values)
    return name, metric.labels, values


def _attribute(value: object) -> str | None:
    """Return a kind or a unit; None for what is neither, since attributes are not checked where they are set."""
    return _storable(value[:_MAX_ATTRIBUTE]) if isinstance(value, str) else None


def _flat_json(fields: Mapping[str, Any], begun: str, written: frozenset[str]) -> str | None:
    """Return the other fields as a JSON object if all of them are scalars, at a fifth of an encoder's price.

    Args:
        fields: Any fields.
        begun: What the object begins with; empty for nothing.
        written: The fields that it is not to have besides.
    """
    parts = [begun] if begun else []
    for key, value in fields.items():
        if type(key) is not str:
            return None
        if key in written:
            continue
        kind = type(value)
        if kind is str:
            text = _quote(value)
        elif kind is bool or value is None:
            text = _WORDS[value]
        elif (kind is int and -_WORD <= value < _WORD) or (kind is float and isfinite(value)):
            text = repr(value)
        else:
            return None
        parts.append(f"{_quote(key)}:{text}")
    joined = ",".join(parts)
    return f"{{{joined}}}" if len(joined) < MAX_BYTES else None
