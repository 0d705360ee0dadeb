"""From metrics to series: what each metric counts for, and how many series there may be. Knows nothing of messages.

====================  ===========================================================================================
kind                  becomes
====================  ===========================================================================================
``timing``            a histogram in seconds, ``function.duration``, with the metric's name as an attribute; with
                      labels of its own, the histogram of its name
``counter``           a monotonic sum of the metric's name
``event``             the same, of the number of events
``gauge``, ``value``  a gauge of the metric's name, with a point for each metric
====================  ===========================================================================================

A metric's own labels are attributes.
"""

from __future__ import annotations

import math
import re
import time
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, TypeAlias

from time_execution.formats.labels import own_labels
from time_execution.formats.number import number_field
from time_execution.formats.outcome import has_failed
from time_execution.formats.snapshot import snapshot
from time_execution.formats.timestamp import to_nanoseconds
from time_execution.types import HOSTNAME, NAME, TIMESTAMP, Metric, Reject

DURATION = "function.duration"
FUNCTION_NAME = "code.function.name"
ERROR_TYPE = "error.type"
OVERFLOW = "otel.metric.overflow"
OVERFLOW_NAME = "__overflow__"

Number: TypeAlias = int | float
Attribute: TypeAlias = tuple[str, type, Any]
"""Name, type and value: 1, 1.0 and True are equal, and not the same attribute."""

_NO_LABELS = Metric.labels
# What the semantic conventions call the labels of this histogram, which has its name from them.
_REQUEST = "http.server.request.duration"
_REQUEST_ATTRIBUTES = {
    "method": "http.request.method",
    "route": "http.route",
    "status_code": "http.response.status_code",
}
_ADDED_UP = frozenset(("timing", "counter", "event"))
_MS = 1000.0
_WORD = 1 << 63
_MAX_TEXT = 1024
_MAX_NAME = 4096
_TRACE_ID = re.compile("(?!0{32})[0-9a-f]{32}")
_SPAN_ID = re.compile("(?!0{16})[0-9a-f]{16}")
_OTHER = "_OTHER"  # what the semantic conventions call an error whose type is not known


class Key(NamedTuple):
    """Tells a series from others.

    Attributes:
        shape: ``histogram``, ``sum`` or ``gauge``.
        name: Of the metric, as the protocol calls it.
        unit: In the notation of UCUM where ours is; empty when there is none.
        host: Where it was measured; None for what the resource says.
        attributes: Of the point.
    """

    shape: str
    name: str
    unit: str
    host: str | None
    attributes: tuple[Attribute, ...]


@dataclass(slots=True)
class Histogram:
    """Durations of a series, in seconds.

    Attributes:
        counts: How many fell into each bucket, the last without an upper bound.
        exemplars: For each bucket the latest that belongs to a trace: seconds, nanoseconds, trace id, span id.
    """

    counts: list[int]
    total: float = 0.0
    low: float = math.inf
    high: float = -math.inf
    exemplars: dict[int, tuple[float, int, bytes, bytes]] = field(default_factory=dict)

    def after(self, earlier: Histogram) -> Histogram:
        """Return both together, with the exemplars of this one."""
        counts = [old + new for old, new in zip(earlier.counts, self.counts, strict=True)]
        total, low, high = earlier.total + self.total, min(earlier.low, self.low), max(earlier.high, self.high)
        return Histogram(counts, total, low, high, self.exemplars)


@dataclass(slots=True)
class Counts:
    """The sum of a series' increments."""

    total: Number = 0

    def after(self, earlier: Counts) -> Counts:
        """Return both together."""
        return Counts(earlier.total + self.total)


@dataclass(slots=True)
class Levels:
    """The values of a series, each with its moment in nanoseconds."""

    points: list[tuple[int, Number]] = field(default_factory=list)


Points: TypeAlias = Histogram | Counts | Levels


@dataclass(slots=True)
class Batch:
    """What a batch of metrics comes to.

    Attributes:
        points: By series.
        sources: By series, which metrics of the batch they came from.
        rejects: Those that no series takes, by their place in the batch.
        first: The earliest moment of a sum or histogram, in nanoseconds; infinite while there is none.
        last: The latest.
        overflowed: How many of the metrics have no series of their own.
    """

    points: dict[Key, Points] = field(default_factory=dict)
    sources: dict[Key, list[int]] = field(default_factory=dict)
    rejects: dict[int, Reject] = field(default_factory=dict)
    first: float = math.inf
    last: int = 0
    overflowed: int = 0

    def point_sources(self, *, of_gauges: bool = False) -> list[list[int]]:
        """Return, for each point or for those of gauges only, which metrics of the batch it came from."""
        found = []
        for key, places in self.sources.items():
            if key.shape == "gauge":
                found += [[place] for place in places]
            elif not of_gauges:
                found.append(places)
        return found


class SeriesMaker:
    """Sorts metrics into series, and knows which there were so far. Not thread-safe.

    Args:
        attributes: The fields that become attributes of points, besides a metric's own labels.
        bounds: Upper bounds of the buckets, in seconds.
        max_series: So many are told apart; what comes after counts in a series for all others.
        value_field: The field that holds the number.
        host: Where metrics come from that do not say it; None when the resource names one host for all.
    """

    def __init__(
        self,
        attributes: tuple[str, ...],
        bounds: Sequence[float],
        *,
        max_series: int,
        value_field: str,
        host: str | None,
    ) -> None:
        self._attributes = attributes
        self._bounds = bounds
        self._max_series = max_series
        self._value_field = value_field
        self._host = host
        self.clear()

    def clear(self) -> None:
        """Forget all series."""
        self._known: set[Key] = set()
        self._names: set[str] = set()

    def __len__(self) -> int:
        """Return how many series are told apart."""
        return len(self._known)

    def sort(self, metrics: Sequence[Metric]) -> Batch:
        """Return what a batch comes to; metrics are not changed."""
        batch = Batch()
        now = time.time_ns()
        for place, metric in enumerate(metrics):
            refused = self._take(metric, batch, place, now)
            if refused is not None:
                batch.rejects[place] = refused
        return batch

    def _take(self, metric: Metric, batch: Batch, place: int, now: int) -> Reject | None:
        kind = metric.kind
        number = 1 if kind == "event" else number_of(metric.get(number_field(metric, self._value_field)))
        if number is None:
            return Reject("no number", "a metric of OTLP needs a number")
        moment = _moment_of(metric.get(TIMESTAMP), now)
        if kind not in _ADDED_UP:
            levels = self._points(metric, "gauge", batch, place, Levels)
            levels.points.append((moment, number))
            return None
        if not 0 <= number < math.inf:
            return Reject("no amount", f"a {kind} must be 0 or more, and finite")
        batch.first, batch.last = min(batch.first, moment), max(batch.last, moment)
        if kind == "timing":
            self._observe(metric, number / _MS, moment, batch, place)
        else:
            self._points(metric, "sum", batch, place, Counts).total += number
        return None

    def _observe(self, metric: Metric, seconds: float, moment: int, batch: Batch, place: int) -> None:
        histogram = self._points(metric, "histogram", batch, place, self._empty)
        bucket = bisect_left(self._bounds, seconds)
        histogram.counts[bucket] += 1
        histogram.total += seconds
        histogram.low, histogram.high = min(histogram.low, seconds), max(histogram.high, seconds)
        trace, span = metric.get("trace_id"), metric.get("span_id")
        if type(trace) is str and type(span) is str and _TRACE_ID.fullmatch(trace) and _SPAN_ID.fullmatch(span):
            histogram.exemplars[bucket] = (seconds, moment, bytes.fromhex(trace), bytes.fromhex(span))

    def _empty(self) -> Histogram:
        return Histogram([0] * (len(self._bounds) + 1))

    def _points(self, metric: Metric, shape: str, batch: Batch, place: int, make: Any) -> Any:
        """Return where a metric counts, in the batch at hand."""
        key = self._admitted(self._key_of(metric, shape), batch)
        points = batch.points.get(key)
        if points is None:
            points = batch.points[key] = make()
            batch.sources[key] = []
        batch.sources[key].append(place)
        return points

    def _key_of(self, metric: Metric, shape: str) -> Key:
        name = text_of(metric.get(NAME, ""), _MAX_NAME)
        host = self._host and (_host_of(metric) or self._host)
        labels = () if metric.labels is _NO_LABELS else own_labels(metric)
        fields = self._attributes if not labels else tuple(dict.fromkeys((*labels, *self._attributes)))
        allowed = [_attribute(field, metric[field]) for field in fields if metric.get(field) is not None]
        if shape != "histogram":
            unit = "{event}" if metric.kind == "event" else text_of(metric.unit or "", 63)
            return Key(shape, name, unit, host, tuple(allowed))
        failure = [(ERROR_TYPE, str, _error_type(metric))] if has_failed(metric) else []
        if not labels:
            return Key(shape, DURATION, "s", host, ((FUNCTION_NAME, str, name), *failure, *allowed))
        if name == _REQUEST:
            allowed = [(_REQUEST_ATTRIBUTES.get(field, field), *value) for field, *value in allowed]
        return Key(shape, name, "s", host, (*failure, *allowed))

    def _admitted(self, key: Key, batch: Batch) -> Key:
        """Return the key itself, or that of the series for all others once there are too many."""
        if key in self._known:
            return key
        if len(self._known) < self._max_series:
            self._known.add(key)
            self._names.add(key.name)
            return key
        batch.overflowed += 1
        name = key.name if key.name in self._names else OVERFLOW_NAME
        unit = key.unit if key.shape == "histogram" else ""  # of others there may be any number
        return Key(key.shape, name, unit, self._host, ((OVERFLOW, bool, True),))


def number_of(value: Any) -> Number | None:
    """Return the number that a value is, as an int or a float; None when it is none that a message can hold."""
    kind = type(value)
    if kind is not float and kind is not int:
        value = snapshot(value)
        kind = type(value)
        if kind is bool:
            return int(value)
        if kind is not float and kind is not int:
            return None
    if kind is int and not -_WORD <= value < _WORD:
        try:
            return float(value)
        except OverflowError:
            return None
    return value  # type: ignore[no-any-return]


def text_of(value: Any, limit: int) -> str:
    """Return a text that UTF-8 can carry, at most so long; half a surrogate pair is written as its escape."""
    text = value if type(value) is str else str(snapshot(value))
    if not text.isascii():
        text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def _moment_of(timestamp: Any, now: int) -> int:
    """Return a moment in nanoseconds, the present for what is none that the protocol can hold."""
    moment = to_nanoseconds(timestamp) if isinstance(timestamp, datetime) else timestamp
    return moment if type(moment) is int and 0 <= moment < _WORD else now


def _attribute(name: str, value: Any) -> Attribute:
    plain = snapshot(value)
    kind = type(plain)
    if kind is bool or (kind is int and -_WORD <= plain < _WORD) or (kind is float and math.isfinite(plain)):
        return name, kind, plain
    return name, str, text_of(plain, _MAX_TEXT)


def _host_of(metric: Metric) -> str | None:
    host = metric.get(HOSTNAME)
    return text_of(host, _MAX_TEXT) if type(host) is str and host else None


def _error_type(metric: Metric) -> str:
    error = metric.get("error_type")
    return text_of(error, _MAX_TEXT) if type(error) is str and error else _OTHER
