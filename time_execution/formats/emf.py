"""CloudWatch's embedded metric format: log lines from which CloudWatch extracts metrics.

What the format is, and its limits: "Specification: Embedded metric format" of the Amazon CloudWatch User Guide, and the
data types ``MetricDatum`` and ``Dimension`` of the CloudWatch API Reference.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

from time_execution.exceptions import ConfigurationError
from time_execution.formats.json import encode, encode_value, to_ascii
from time_execution.formats.labels import own_labels
from time_execution.formats.number import finite_number, number_field
from time_execution.formats.snapshot import snapshot_fields
from time_execution.formats.timestamp import to_nanoseconds
from time_execution.types import NAME, STORED, TIMESTAMP, Metric, Reject, Result

MAX_METRICS = 100
MAX_VALUES = 100
MAX_DIMENSIONS = 29
MAX_BYTES = 256 * 1024 - 512
"""The most bytes of a document: 256 KiB is what a log event may have, with what CloudWatch Logs adds to it."""

METADATA = "_aws"
# The API takes 255 characters, Amazon's own client 250.
_LONGEST_NAME = 250
_LONGEST_DIMENSION = 1024
_NO_LABELS = Metric.labels
_LARGEST = 2.0**360
_MILLISECOND = 1_000_000
_SECOND = 1_000_000_000
_OLDEST = 14 * 86_400 * _SECOND
_NEWEST = 2 * 3_600 * _SECOND
_UNPRINTABLE = re.compile(r"[^ -~]|\A[ :]| \Z|_(?=x[0-9A-F])|\A_(?=x_\Z)|\A_(?=aws\Z)")
_NAMESPACE = re.compile(r"(?!AWS/)[A-Za-z0-9._#:/-]{1,255}")
_LOG_NAME = re.compile(r"[^:*\x00-\x1f\x7f]{1,512}")
_UNITS = {
    "ms": "Milliseconds",
    "s": "Seconds",
    "us": "Microseconds",
    "µs": "Microseconds",
    "B": "Bytes",
    "kB": "Kilobytes",
    "MB": "Megabytes",
    "GB": "Gigabytes",
    "TB": "Terabytes",
    "bit": "Bits",
    "%": "Percent",
    "B/s": "Bytes/Second",
    "1/s": "Count/Second",
}
_SIZES = {f"{prefix}{of}" for of in ("bytes", "bits") for prefix in ("", "kilo", "mega", "giga", "tera")}
_RATED = {size.capitalize() for size in _SIZES} | {"Count"}
UNITS = frozenset({"Seconds", "Microseconds", "Milliseconds", "Percent", "None"} | _RATED)
UNITS |= {f"{unit}/Second" for unit in _RATED}


def encode_name(name: str) -> str:
    """Return a name as CloudWatch takes it: 1 to 250 printable ASCII characters, a different one for each name.

    Any other character becomes ``_x<its code point in hexadecimal>_``, as do a space at either end and a colon at the
    beginning; an empty name becomes ``_x_``. A name that is too long ends in a checksum of what was cut off.

    Example:
        >>> encode_name("shop.<lambda>"), encode_name("\u00e9t\u00e9"), len(encode_name("x" * 1000))
        ('shop.<lambda>', '_xE9_t_xE9_', 250)
    """
    return _remembered(name) if len(name) <= _LONGEST_NAME else _encoded(name)


def _encoded(name: str) -> str:
    text = _UNPRINTABLE.sub(_escaped, name) or "_x_"
    if len(text) <= _LONGEST_NAME:
        return text
    return f"{text[: _LONGEST_NAME - 9]}-{zlib.crc32(text.encode()):08x}"


_remembered = lru_cache(maxsize=10_000)(_encoded)


def unit_of(metric: Metric) -> str | None:
    """Return CloudWatch's name for the unit of a metric's number; None for one that it has no name for.

    Example:
        >>> unit_of(Metric()), unit_of(Metric(kind="gauge", unit="MB")), unit_of(Metric(kind="gauge", unit="jobs"))
        ('Milliseconds', 'Megabytes', None)
    """
    if metric.kind == "timing":
        return "Milliseconds"
    unit = metric.unit or ""
    found = unit if unit in UNITS else _UNITS.get(unit)
    return found or ("Count" if metric.kind in {"counter", "event"} else None)


class _Point(NamedTuple):
    """One metric, taken apart.

    Attributes:
        name: Of the metric in CloudWatch, a member of the document.
        number: Finite, within CloudWatch's range.
        unit: Of CloudWatch, or None.
        moment: Nanoseconds since the epoch.
        dimensions: Members of the document that tell one series from another.
        members: The other members of the document, as JSON without its braces.
    """

    name: str
    number: int | float
    unit: str | None
    moment: int
    dimensions: tuple[str, ...]
    members: str


@dataclass(slots=True)
class _Document:
    """Metrics that share a second, the dimensions and all other fields; `places` are theirs in the batch."""

    moment: int
    dimensions: tuple[str, ...]
    members: str
    size: int
    places: list[int] = field(default_factory=list)
    units: dict[str, str | None] = field(default_factory=dict)
    numbers: dict[str, list[int | float]] = field(default_factory=dict)

    def takes(self, point: _Point, max_bytes: int) -> bool:
        """Add a metric unless a limit forbids it."""
        is_known = point.name in self.numbers
        if is_known and (self.units[point.name] != point.unit or len(self.numbers[point.name]) >= MAX_VALUES):
            return False
        # Escaped twice at the worst, with a definition around.
        size = self.size + len(repr(point.number)) + 1 + (0 if is_known else 4 * len(point.name) + 80)
        if size > max_bytes or (not is_known and len(self.numbers) >= MAX_METRICS):
            return False
        self.size = size
        self.units[point.name] = point.unit
        self.numbers.setdefault(point.name, []).append(point.number)
        return True


class EmbeddedMetrics:
    """Makes documents of batches. Thread-safe.

    Metrics of a batch share a document where they share the second, the dimensions and all other fields: values of one
    name are an array then. So nothing is lost, for CloudWatch's finest resolution is a second.

    Args:
        namespace: Of all metrics in CloudWatch.
        dimensions: The fields that become dimensions, where a metric has them, besides its own labels: each
            combination of their values is a series of its own, with its own price.
        log_group: Tells the CloudWatch agent where the documents go; not for others.
        log_stream: The same, within the log group.
        high_resolution: Keep the metrics by the second instead of by the minute.
        value_field: The field that holds the number.
        max_bytes: The most bytes of a document.

    Raises:
        ConfigurationError: When an argument is wrong.
    """

    def __init__(
        self,
        namespace: str,
        *,
        dimensions: Sequence[str] = (),
        log_group: str | None = None,
        log_stream: str | None = None,
        high_resolution: bool = False,
        value_field: str = "value",
        max_bytes: int = MAX_BYTES,
    ) -> None:
        if not isinstance(value_field, str):
            raise ConfigurationError(f"value_field must be a str, not {type(value_field).__name__}")
        self._dimensions = _checked_dimensions(dimensions)
        self._namespace = _checked_namespace(namespace)
        groups = {
            "LogGroupName": _log_name("log_group", log_group),
            "LogStreamName": _log_name("log_stream", log_stream),
        }
        self._target = {key: name for key, name in groups.items() if name is not None}
        self._resolution = {"StorageResolution": 1} if high_resolution else {}
        self._value_field = value_field
        self._max_bytes = max_bytes
        # Of a document without metrics, dimensions and other members.
        self._size = len(self._text(_Document(0, (), "", 0))) + 20

    def documents(self, metrics: Sequence[Metric], *, now: int) -> tuple[list[str], list[Result], list[list[int]]]:
        """Return the documents of a batch, each a line of ASCII without its end, and a result for each metric.

        The third list says of each document which metrics of the batch are in it.

        Args:
            metrics: Not changed.
            now: Nanoseconds since the epoch: the moment of metrics that have none. CloudWatch takes none that is older
                than two weeks or more than two hours ahead; those are refused here, where it can be seen.
        """
        made: list[_Document] = []
        latest: dict[Any, _Document] = {}
        results: list[Result] = []
        for place, metric in enumerate(metrics):
            point = self._point(metric, now)
            if isinstance(point, Reject):
                results.append(point)
                continue
            shared = (point.moment // _SECOND, point.dimensions, point.members)
            document = latest.get(shared)
            if document is None or not document.takes(point, self._max_bytes):
                document = self._begun(point)
                if not document.takes(point, self._max_bytes):
                    results.append(Reject("too large", "its fields do not fit into a document"))
                    continue
                latest[shared] = document
                made.append(document)
            document.places.append(place)
            results.append(STORED)
        return [self._text(document) for document in made], results, [document.places for document in made]

    def _begun(self, point: _Point) -> _Document:
        size = self._size + 2 * sum(len(key) + 3 for key in point.dimensions) + len(point.members)
        return _Document(point.moment, point.dimensions, point.members, size)

    def _point(self, metric: Metric, now: int) -> _Point | Reject:
        number_key = number_field(metric, self._value_field)
        number = 1 if metric.kind == "event" else finite_number(metric.get(number_key))
        if number is None or abs(number) > _LARGEST:
            return Reject("no number", "CloudWatch takes numbers from -2**360 to 2**360 only")
        moment = metric.get(TIMESTAMP, now)
        moment = to_nanoseconds(moment) if isinstance(moment, datetime) else moment if type(moment) is int else now
        if moment < now - _OLDEST:
            return Reject("too old", "CloudWatch takes no metrics that are older than two weeks")
        if moment > now + _NEWEST:
            return Reject("too new", "CloudWatch takes no metrics that are over two hours ahead")
        fields = snapshot_fields(metric)[0]
        given = fields.pop(NAME, "")
        name = encode_name(given if type(given) is str else str(given))
        fields.pop(TIMESTAMP, None)
        if metric.kind != "event":
            fields.pop(number_key, None)
        keys = self._dimensions if metric.labels is _NO_LABELS else self._with(own_labels(metric))
        dimensions = {key: text for key in keys if (text := dimension_text(fields.get(key)))}
        fields.update(dimensions)
        renamed = {key: _unlike(key, name, fields) for key in (name, METADATA) if key in fields}
        members = {renamed.get(key, key): value for key, value in fields.items()}
        shown = tuple(renamed.get(key, key) for key in dimensions)
        return _Point(name, number, unit_of(metric), moment, shown, to_ascii(encode(members))[1:-1])

    def _with(self, labels: tuple[str, ...]) -> tuple[str, ...]:
        """Return the dimensions with a metric's own labels, as far as CloudWatch takes them: in name and in number."""
        own = (label for label in labels if label and encode_name(label) == label)
        return tuple(dict.fromkeys((*self._dimensions, *own)))[:MAX_DIMENSIONS]

    def _text(self, document: _Document) -> str:
        metrics = [
            {"Name": name, **({"Unit": unit} if unit else {}), **self._resolution}
            for name, unit in document.units.items()
        ]
        directive = {"Namespace": self._namespace, "Dimensions": [document.dimensions], "Metrics": metrics}
        moment = document.moment // _MILLISECOND
        metadata = {"Timestamp": moment, **self._target, "CloudWatchMetrics": [directive]}
        targets = {name: found[0] if len(found) == 1 else found for name, found in document.numbers.items()}
        text = json.dumps({METADATA: metadata, **targets}, separators=(",", ":"))
        return f"{text[:-1]},{document.members}}}" if document.members else text


def dimension_text(value: Any) -> str:
    """Return the value of a dimension, at most 1024 printable ASCII characters; empty for what makes none.

    Example:
        >>> dimension_text("web-1"), dimension_text(5), dimension_text(" "), dimension_text(None)
        ('web-1', '5', '', '')
    """
    if value is None:
        return ""
    text = value if type(value) is str else encode_value(value)
    return _UNPRINTABLE.sub(_escaped, text)[:_LONGEST_DIMENSION] if text.strip() else ""


def _escaped(found: re.Match[str]) -> str:
    return f"_x{ord(found[0]):X}_"


def _unlike(key: str, name: str, fields: Mapping[str, Any]) -> str:
    """Return another key for a field, whose own is taken by the metric or by the metadata."""
    while key in fields or key == name:
        key += "_"
    return key


def _checked_namespace(given: Any) -> str:
    if not isinstance(given, str) or not _NAMESPACE.fullmatch(given):
        rule = "1 to 255 ASCII letters, digits and '._-/#:', and not begin with 'AWS/'"
        raise ConfigurationError(f"namespace must be {rule}")
    return given


def _checked_dimensions(given: Any) -> tuple[str, ...]:
    if not isinstance(given, (list, tuple)) or not all(isinstance(key, str) for key in given):
        raise ConfigurationError("dimensions must be a list of names of fields")
    if len(given) > MAX_DIMENSIONS:
        raise ConfigurationError(f"dimensions must be at most {MAX_DIMENSIONS}; CloudWatch takes no more")
    if not all(key and encode_name(key) == key for key in given):
        raise ConfigurationError("dimensions must be 1 to 250 printable ASCII characters, without a colon at the start")
    return tuple(dict.fromkeys(given))


def _log_name(key: str, given: Any) -> str | None:
    if given is not None and not (isinstance(given, str) and _LOG_NAME.fullmatch(given)):
        raise ConfigurationError(f"{key} must be 1 to 512 characters, without colons, asterisks and control characters")
    return given
