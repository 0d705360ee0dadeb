r"""InfluxDB's line protocol: a metric as one point, ``name,hostname=web-1 value=1.5 1700000000000000000``.

The syntax is that of https://docs.influxdata.com/influxdb/v1/write_protocols/line_protocol_reference/. It has no way to
write a newline or a backslash at the end of a name, and servers disagree on backslashes elsewhere in one. So in names,
keys and tags, control characters, backslashes, lone surrogates and a ``#`` at the beginning become ``%`` and two
hexadecimal digits for each byte of their UTF-8; a ``%`` that stands before such a code becomes ``%25``, and the empty
name a ``%`` alone. Nothing else changes, and no two names become one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from math import inf, isfinite
from typing import Any, Final, cast

from time_execution.formats.json import encode_value, moment_text
from time_execution.formats.labels import own_labels
from time_execution.formats.snapshot import snapshot_fields
from time_execution.types import HOSTNAME, NAME, ORIGIN, TIMESTAMP, VALUE, Metric

UNITS: Final[Mapping[str, int]] = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}
"""The precisions of timestamps, in nanoseconds."""

ALWAYS_TAGS = (HOSTNAME, ORIGIN)

# What a server takes at most: a measurement with its tags and a field's key together, and the text of a field.
_MAX_SERIES = 65_535
_MAX_KEY = 1024
_MAX_TEXT = 65_535
# No server takes the very first and last nanoseconds of 64 bits.
_NO_LABELS = Metric.labels
_LATEST = (1 << 63) - 2
_WORD = 1 << 63
_MAX_CACHED = 10_000
_MAX_ENCODERS = 100
_MAX_CACHED_TEXT = 512
# What a metric that is not looked at twice may have: its line stays below the limits above.
_MAX_FLAT = 50
_MAX_SHORT = 512
_PLAIN = frozenset((float, int, bool, type(None)))

_CODE = "(?:[01][0-9A-F]|7F|23|25|5C|ED)"
_UNSAFE = re.compile(rf"[\x00-\x1f\x7f\\\ud800-\udfff]|%(?={_CODE})|\A#|\A%?\Z")
_SURROGATE = re.compile("[\ud800-\udfff]")
# InfluxDB's own columns: it drops a field of such a name, or refuses the point.
_RESERVED = re.compile(r"(?:time|_field|_measurement)_*\Z")

_escape_measurement = str.maketrans({" ": "\\ ", ",": "\\,"})
_escape_key = str.maketrans({" ": "\\ ", ",": "\\,", "=": "\\="})
_escape_text = str.maketrans({'"': '\\"', "\\": "\\\\"})
_escape_line = str.maketrans({'"': '\\"', "\\": "\\\\", "\n": "\\\\n"})

Place = Callable[[str, int, "str | None"], int]
"""Says which timestamp a point gets: from its series, the one it has, and the id of its metric."""


class NoPointError(ValueError):
    """A metric has nothing that InfluxDB could store; the text says what is missing."""


class LineEncoder:
    r"""Makes lines of metrics; keeps what it made of names, so one encoder should serve many of them. Thread-safe.

    ``name`` becomes the measurement, ``hostname``, ``origin``, the tags named and a metric's own labels become tags,
    all else fields. The number under `value_field` is always a float. Other numbers are floats too, unless `integers`
    are asked for: the first write of a field settles its type, and a count that is 0 once and 0.5 later would be
    refused. NaN, infinities and None are left out; lists and dicts become JSON text, datetimes ISO 8601 text.

    Args:
        tags: Names of fields that become tags, beside `ALWAYS_TAGS`.
        value_field: The field that holds the number of a metric.
        precision: The unit of timestamps, a key of `UNITS`.
        integers: Write integers as such (``3i``), those beyond 64 bits not at all.
        one_line: Write a newline in a text as ``\n``, for servers that split the lines of a request before they look
            for quotes.
        place: Which timestamp each point gets, in that unit; by default its own.

    Raises:
        ValueError: When there are more tags than a server takes.

    Example:
        >>> LineEncoder().line(Metric({"name": "a b", "value": 2, "hostname": "h", "ok": True, "timestamp": 7}), 0)
        'a\\ b,hostname=h value=2.0,ok=true 7'
    """

    def __init__(
        self,
        *,
        tags: Sequence[str] = (),
        value_field: str = VALUE,
        precision: str = "ns",
        integers: bool = False,
        one_line: bool = False,
        place: Place | None = None,
    ) -> None:
        sorted_tags = sorted({*ALWAYS_TAGS, *tags})
        self._tags = tuple(tags)
        self._twin = partial(
            LineEncoder,
            value_field=value_field,
            precision=precision,
            integers=integers,
            one_line=one_line,
            place=place,
        )
        self._labelled: dict[tuple[str, ...], LineEncoder] = {}
        self._heads = (NAME, *sorted_tags)
        self._tag_keys = [f",{key_text(tag)}=" for tag in sorted_tags]
        spent = sum(len(key.encode()) for key in self._tag_keys) + _MAX_KEY + 8
        self._max_text = (_MAX_SERIES - spent) // len(self._heads)
        if self._max_text < _MAX_KEY:
            raise ValueError("there are too many: their names and values must fit in 64 KiB")
        self._value_field = value_field
        self._value_key = f"{key_text(value_field)}="
        self._unit = UNITS[precision]
        self._suffix = "i" if integers else ""
        self._escape = _escape_line if one_line else _escape_text
        self._quotable = re.compile('["\\\\\n\ud800-\udfff]' if one_line else '["\\\\\ud800-\udfff]')
        self._place = place or _as_it_is
        # What is written elsewhere in a line has no key among the fields.
        self._no_fields = dict.fromkeys((*self._heads, value_field, TIMESTAMP), "")
        self._keys = dict(self._no_fields)
        self._series: dict[tuple[str | None, ...], str] = {}

    def line(self, metric: Metric, now: int) -> str:
        """Return the line of a metric, without a newline at its end.

        Args:
            metric: Not changed.
            now: The moment, in nanoseconds since the epoch, of a metric that has none that fits.

        Raises:
            NoPointError: When its value is no number, or it has no field at all.
        """
        if metric.labels is not _NO_LABELS and (labels := own_labels(metric)):
            return self._with(labels)._made(metric, now)  # noqa: SLF001 - of the same class
        return self._made(metric, now)

    def _made(self, metric: Metric, now: int) -> str:
        return self._flat_line(metric) or self._any_line(metric, now)

    def _with(self, labels: tuple[str, ...]) -> LineEncoder:
        """Return the encoder of metrics with some labels of their own: this one, if there is no room for them."""
        encoder = self._labelled.get(labels)
        if encoder is None:
            tags = {*self._tags, *labels} - {self._value_field}
            try:
                encoder = self._twin(tags=sorted(tags))
            except ValueError:
                encoder = self
            if len(self._labelled) >= _MAX_ENCODERS:
                self._labelled.clear()
            self._labelled[labels] = encoder
        return encoder

    def _flat_line(self, metric: Metric) -> str | None:
        """Return the line of a metric of plain, short values whose series and keys were met before; None for others."""
        value, timestamp = metric.get(self._value_field), metric.get(TIMESTAMP)
        if type(value) is int and -_WORD <= value < _WORD:
            value = float(value)
        if type(value) is not float or type(timestamp) is not int or not 0 <= timestamp <= _LATEST:
            return None
        texts = tuple(map(metric.get, self._heads))
        for text in texts:
            if text is not None and type(text) is not str:
                return None
        series = self._series.get(texts)
        if series is None or not -inf < value < inf or len(metric) > _MAX_FLAT:
            return None
        # Beside the texts that are there, the number and the timestamp.
        has_more = len(metric) > len(texts) - texts.count(None) + 2
        more = self._flat_fields(metric) if has_more else ""
        if more is None:
            return None
        moment = self._place(series, timestamp // self._unit, metric.id)
        return f"{series} {self._value_key}{value!r}{more} {moment}"

    def _flat_fields(self, metric: Metric) -> str | None:
        """Return the other fields of a flat metric, each after a comma; None when one is not plain, short and known."""
        known, line = self._keys, ""
        for key, value in metric.items():
            if type(key) is not str or (prefix := known.get(key)) is None:
                return None
            if not prefix:
                continue
            kind = type(value)
            if kind is str and len(value) <= _MAX_SHORT:
                line += f"{prefix}{self._quoted(value)}"
            elif kind in _PLAIN and not (kind is int and abs(value) >= _WORD):
                text = self._field_text(value)
                line += f"{prefix}{text}" if text else ""
            else:
                return None
        return line

    def _any_line(self, metric: Metric, now: int) -> str:
        fields, _ = snapshot_fields(metric)
        series = self._series_of(tuple(text_of(fields.pop(key, None)) for key in self._heads))
        timestamp = fields.get(TIMESTAMP)
        if type(timestamp) is int and -_LATEST <= timestamp <= _LATEST:
            del fields[TIMESTAMP]
        else:  # any other, but None, is kept as a field
            timestamp = now
        written = self._any_fields(fields)
        return f"{series} {written} {self._place(series, timestamp // self._unit, metric.id)}"

    def _series_of(self, texts: tuple[str | None, ...]) -> str:
        """Return the measurement with its tags, sorted by name."""
        series = self._series.get(texts)
        if series is None:
            name, *values = texts
            series = _fitting(name or "", self._max_text, _measurement_text)
            for key, value in zip(self._tag_keys, values, strict=True):
                if value:
                    series += f"{key}{_fitting(value, self._max_text, _tag_text)}"
            if len(series) <= _MAX_CACHED_TEXT:
                if len(self._series) >= _MAX_CACHED:
                    self._series.clear()
                self._series[texts] = series
        return series

    def _any_fields(self, fields: dict[str, Any]) -> str:
        """Return the fields of a snapshot, the number first."""
        parts = []
        value = fields.pop(self._value_field, None)
        if value is not None:
            number = float_of(value)
            if number is None:
                raise NoPointError(f"{self._value_field} must be a number, for InfluxDB keeps one type in a field")
            if isfinite(number):
                parts.append(f",{self._value_key}{number!r}")
        for key, field in fields.items():
            text = self._field_text(field)
            if text is not None:
                parts.append(f"{self._keys.get(key) or self._key(key)}{text}")
        if not parts:
            raise NoPointError("no field is left: a point needs a number, a truth value or a text")
        return "".join(parts)[1:]

    def _field_text(self, value: Any) -> str | None:
        """Return a value as a line holds it; None for one that it cannot hold."""
        kind = type(value)
        if kind is float:
            return repr(value) if -inf < value < inf else None
        if kind is int:
            return f"{value}{self._suffix}" if -_WORD <= value < _WORD else self._beyond_words(value)
        if kind is bool:
            return "true" if value else "false"
        return None if value is None else self._quoted(text_of(value) or "")

    def _beyond_words(self, value: int) -> str | None:
        number = None if self._suffix else float_of(value)
        return None if number is None or number == inf else repr(number)

    def _quoted(self, text: str) -> str:
        if len(text) > _MAX_TEXT // 9:  # the bytes of the longest code
            text = _fitting(text, _MAX_TEXT, lambda text: _SURROGATE.sub(_code, text))
        if self._quotable.search(text):
            text = _SURROGATE.sub(_code, text).translate(self._escape)
        return f'"{text}"'

    def _key(self, key: str) -> str:
        written = f",{_fitting(key, _MAX_KEY, key_text)}="
        if key not in self._no_fields and len(key) <= _MAX_CACHED_TEXT:
            if len(self._keys) >= _MAX_CACHED:
                self._keys = dict(self._no_fields)
            self._keys[key] = written
        return written


def name_text(text: str) -> str:
    r"""Return a name in characters that every server keeps apart; see the module.

    Example:
        >>> name_text("a\nb"), name_text("50%"), name_text("%0A"), name_text("")
        ('a%0Ab', '50%', '%250A', '%')
    """
    return _UNSAFE.sub(_code, text)


def column_text(key: str) -> str:
    """Return the name of a column: itself, or with one more ``_`` where InfluxDB has one of that name.

    Example:
        >>> column_text("time"), column_text("time_"), column_text("times")
        ('time_', 'time__', 'times')
    """
    return f"{key}_" if _RESERVED.match(key) else key


def key_text(key: str) -> str:
    """Return the key of a tag or a field, escaped."""
    return name_text(column_text(key)).translate(_escape_key)


def _as_it_is(_series: str, timestamp: int, _id: str | None) -> int:
    return timestamp


def _measurement_text(name: str) -> str:
    return name_text(name).translate(_escape_measurement)


def _tag_text(value: str) -> str:
    return name_text(value).translate(_escape_key)


def _code(found: re.Match[str]) -> str:
    """Return what stands for a character: the codes of its bytes, or ``%`` for the empty text."""
    text = found[0]
    return "".join(f"%{byte:02X}" for byte in text.encode("utf-8", "surrogatepass")) if text else "%"


def _fitting(text: str, limit: int, escape: Callable[[str], str]) -> str:
    """Return a text escaped; cut first, with a word on it, if that takes more bytes than the limit."""
    escaped = escape(text)
    cut = text
    while (size := len(escaped.encode())) > limit:
        cut = cut[: (limit - 64) * len(cut) // size]
        escaped = escape(f"{cut}…[cut, {len(text)} characters]")
    return escaped


def float_of(value: Any) -> float | None:
    """Return a number of a snapshot as a float, infinite beyond floats; None for what is no number."""
    if type(value) is float:
        return value
    if type(value) not in {int, bool}:
        return None
    try:
        return float(value)
    except OverflowError:
        return inf


def text_of(value: Any) -> str | None:
    """Return a plain value as text."""
    kind = type(value)
    if kind is str or value is None:
        return cast("str | None", value)
    return moment_text(value) if kind is datetime else encode_value(value)
