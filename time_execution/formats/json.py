"""JSON for readers of any kind: strict documents, one physical line each, at the price of a mapping.

No code of the values runs: what is not plain becomes its snapshot first.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from json.encoder import encode_basestring
from typing import Any

from time_execution.formats.snapshot import snapshot_fields
from time_execution.formats.timestamp import to_datetime
from time_execution.types import TIMESTAMP, Metric

_SECOND = 1_000_000_000
_THREE_DIGITS = tuple(f"{number:03d}" for number in range(1000))
_WORD = 1 << 63
# So few fields of plain values, with so short a text, are never cut: their snapshot is equal to them.
_FEW_FIELDS, _SHORT_TEXT = 32, 1536
# What JSON leaves as it is, but some reader takes for the end of a line, a terminal for a command, or UTF-8 not at all.
_UNSAFE = re.compile("[\x80-\x9f\u2028\u2029\ud800-\udfff]")
_NOT_ASCII = re.compile("[^\x00-\x7f]+")


def load() -> None:
    """Load what encodes JSON; a child forked while a thread does that at the first need would wait for it for ever."""
    for writer in (_writer, _flat_writer, _array_writer):
        writer()


def encode(fields: Mapping[str, Any]) -> str:
    r"""Return fields as strict JSON on one physical line, in their order.

    The fields become their snapshot first, so any value is taken, and none fails. Of what JSON has no form for: NaN
    and the infinities become ``null`` (a text would turn the field of a store that learns types from its first
    document into a text field), integers beyond 64 bits the text of their digits (other readers would round them or
    fail), datetimes ISO 8601 in UTC with microseconds and ``Z``. Control characters (U+0085 too), U+2028, U+2029 and
    lone surrogates are escaped: the line encodes to UTF-8, and no reader sees more than one line.

    Uses orjson where it is installed. Thread-safe; the fields are not changed.

    Example:
        >>> encode({"name": "a\u2028b", "value": float("nan"), "id": 2**64})
        '{"name":"a\\u2028b","value":null,"id":"18446744073709551616"}'
    """
    return _writer()(snapshot_fields(fields)[0])


def encode_value(value: Any) -> str:
    """Return a single value as `encode` writes it, for a place that holds text.

    Example:
        >>> encode_value([1, float("inf")])
        '[1,null]'
    """
    return encode({"": value})[len('{"":') : -1]


def document(metric: Mapping[str, Any], *, timestamp: int | None = None) -> str:
    """Return a metric as `encode` does, its ``timestamp`` in nanoseconds as ISO 8601 text.

    A short metric of plain values, as most that come from a queue are, costs two thirds of what others do.

    Args:
        metric: Not changed.
        timestamp: The moment, in nanoseconds since the epoch, of a metric that has none.

    Example:
        >>> document({"name": "a", "timestamp": 1_700_000_000_000_001_999})
        '{"name":"a","timestamp":"2023-11-14T22:13:20.000001Z"}'
    """
    if (type(metric) is Metric or type(metric) is dict) and len(metric) <= _FEW_FIELDS:
        text = _flat_writer()(metric, timestamp)
        if text is not None and len(text) <= _SHORT_TEXT:
            return text
    fields, _ = snapshot_fields(metric)
    moment = fields.get(TIMESTAMP, timestamp)
    if type(moment) is int:
        fields[TIMESTAMP] = nanoseconds_text(moment)
    return _writer()(fields)


def documents(snapshots: Sequence[Metric], *, timestamp: int) -> str:
    """Return metrics that came through a queue as a JSON array of what `document` writes of each.

    At half the price where orjson is installed, for they are not looked at first.

    Args:
        snapshots: Snapshots; not changed.
        timestamp: The moment, in nanoseconds since the epoch, of those that have none.

    Example:
        >>> documents([Metric({"name": "a"}), Metric({"name": "b"})], timestamp=0)[:55]
        '[{"name":"a","timestamp":"1970-01-01T00:00:00.000000Z"}'
    """
    fields = [{**metric} for metric in snapshots]
    for each in fields:
        moment = each.get(TIMESTAMP, timestamp)
        if type(moment) is int:
            each[TIMESTAMP] = nanoseconds_text(moment)
    text = _array_writer()(fields)
    return f"[{','.join([document(each) for each in fields])}]" if text is None else text


def decode(line: str) -> dict[str, Any]:
    """Return the fields that `encode` or `document` wrote; moments stay text.

    Raises:
        ValueError: When the line holds no JSON object.
    """
    fields = json.loads(line)
    if type(fields) is not dict:
        raise ValueError("not a JSON object")
    return fields


def nanoseconds_text(nanoseconds: int) -> str | int:
    """Return the ISO 8601 text of a moment; the number itself if it is beyond the calendar."""
    second, rest = divmod(nanoseconds, _SECOND)
    milliseconds, microseconds = divmod(rest // 1000, 1000)
    try:  # the table is half as dear as a format
        return f"{_second_text(second)}.{_THREE_DIGITS[milliseconds]}{_THREE_DIGITS[microseconds]}Z"
    except OverflowError:
        return nanoseconds


@lru_cache(maxsize=64)
def _second_text(second: int) -> str:
    """Return the part of a moment's text that the metrics of one second share."""
    return to_datetime(second * _SECOND).isoformat()[:19]


def moment_text(moment: datetime) -> str:
    """Return the ISO 8601 text, with microseconds and ``Z``, of a datetime of a snapshot, which is in UTC."""
    return f"{moment.replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


def safe(text: str) -> str:
    """Return JSON that means the same, without the characters that some reader takes for something else."""
    return text if text.isascii() else _UNSAFE.sub(_escape, text)


def to_ascii(line: str) -> str:
    """Return a line of JSON that means the same and is all ASCII, for a stream that takes nothing else."""
    return _NOT_ASCII.sub(lambda text: json.dumps(text[0])[1:-1], line)


_CONSTANTS = {True: "true", False: "false", None: "null"}
_encode_strictly = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":"), default=moment_text
).encode


def _write(fields: dict[str, Any]) -> str:
    """Write a snapshot with the standard library."""
    for value in fields.values():
        kind = type(value)
        if kind is list or kind is dict or (kind is int and not _is_word(value)):
            fields = _strict(fields)
            break
    try:
        text = _encode_strictly(fields)
    except ValueError:
        text = _encode_strictly(_strict(fields))
    return safe(text)


def _strict(value: Any) -> Any:
    """Return a snapshot's value without the numbers that JSON readers do not agree on."""
    kind = type(value)
    if kind is float:
        return value if math.isfinite(value) else None
    if kind is int:
        return value if _is_word(value) else str(value)
    if kind is list:
        return [_strict(item) for item in value]
    if kind is dict:
        return {key: _strict(item) for key, item in value.items()}
    return value


def _is_word(value: int) -> bool:
    return -(1 << 63) <= value < 1 << 64


def _write_flat(fields: Mapping[str, Any], timestamp: int | None) -> str | None:
    """Write a document with the standard library, in one pass; None when a field is not plain."""
    parts = []
    for key, value in fields.items():
        kind = type(value)
        if type(key) is not str:
            return None
        if kind is str:
            text = encode_basestring(value)
        elif kind is float:
            text = repr(value) if value - value == 0.0 else "null"
        elif kind is int and -_WORD <= value < _WORD:
            text = f'"{nanoseconds_text(value)}"' if key == TIMESTAMP else str(value)
        elif kind is bool or value is None:
            text = _CONSTANTS[value]
        else:
            return None
        parts.append(f"{encode_basestring(key)}:{text}")
    if timestamp is not None and TIMESTAMP not in fields:
        parts.append(f'"{TIMESTAMP}":"{nanoseconds_text(timestamp)}"')
    text = f"{{{','.join(parts)}}}"
    return safe(text)


@lru_cache(maxsize=1)
def _writer() -> Callable[[dict[str, Any]], str]:
    """Return the quickest writer installed; looked for at the first document, so that no import needs it."""
    try:
        import orjson  # noqa: PLC0415
    except ImportError:
        return _write

    def write(fields: dict[str, Any]) -> str:
        try:
            text = orjson.dumps(fields, default=moment_text, option=orjson.OPT_PASSTHROUGH_DATETIME).decode()
        except TypeError:  # integers beyond 64 bits, lone surrogates
            return _write(fields)
        return safe(text)

    return write


@lru_cache(maxsize=1)
def _flat_writer() -> Callable[[Mapping[str, Any], int | None], str | None]:
    """Return what `_writer` is for documents that need no snapshot; it returns None for others."""
    try:
        import orjson  # noqa: PLC0415
    except ImportError:
        return _write_flat

    def write(fields: Mapping[str, Any], timestamp: int | None) -> str | None:
        for value in fields.values():
            kind = type(value)
            if kind is str or kind is float or (kind is int and -_WORD <= value < _WORD):
                continue
            if not (kind is bool or value is None):
                return None
        fields = {**fields}
        moment = fields.get(TIMESTAMP, timestamp)
        if type(moment) is int:
            fields[TIMESTAMP] = nanoseconds_text(moment)
        try:
            text = orjson.dumps(fields).decode()
        except TypeError:  # keys that are no texts, lone surrogates
            return None
        return safe(text)

    return write


@lru_cache(maxsize=1)
def _array_writer() -> Callable[[list[dict[str, Any]]], str | None]:
    """Return what writes a batch of snapshots at once; it returns None where one needs more care."""
    try:
        import orjson  # noqa: PLC0415
    except ImportError:
        return lambda _batch: None
    strictly = orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_SUBCLASS | orjson.OPT_PASSTHROUGH_DATACLASS

    def write(batch: list[dict[str, Any]]) -> str | None:
        try:
            text = orjson.dumps(batch, default=moment_text, option=strictly).decode()
        except (TypeError, AttributeError):  # integers beyond 64 bits, lone surrogates; what is no snapshot
            return None
        return safe(text)

    return write


def _escape(character: re.Match[str]) -> str:
    return f"\\u{ord(character[0]):04x}"
