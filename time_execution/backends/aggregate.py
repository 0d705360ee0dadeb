"""`AggregateBackend`: hands another backend one summary for each series and interval, in place of every metric."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar

from time_execution.argument_check import check_counts
from time_execution.backends.base import BaseMetricsBackend, QueuedBackend
from time_execution.backends.factory import make_backend
from time_execution.backends.threaded import ThreadedBackend
from time_execution.delivery import lifecycle
from time_execution.exceptions import ConfigurationError
from time_execution.formats.histogram import bucket_of, quantiles
from time_execution.formats.json import encode_value
from time_execution.formats.labels import own_labels
from time_execution.formats.number import finite_number, number_field
from time_execution.formats.outcome import has_failed
from time_execution.formats.snapshot import snapshot
from time_execution.formats.timestamp import to_nanoseconds
from time_execution.types import HOSTNAME, NAME, ORIGIN, TIMESTAMP, VALUE, Kind, Metric, Reject, Result

OVERFLOW = "__overflow__"
"""The name of the series in which those beyond `max_series` count together."""

COUNT, SUM, MIN, MAX, ERRORS = "count", "sum", "min", "max", "errors"

_SECOND = 1_000_000_000
# What is measured at the end of an interval comes later, up to as long as a queue waits for its batch to fill.
_GRACE = 2 * _SECOND
_DAY = 86_400.0
_SHORTEST = 0.01
_MAX_LABEL = 256
_MAX_BYTES = 64 * 1024 * 1024
_NO_LABELS = Metric.labels
_SHARED = (HOSTNAME, ORIGIN)
_MIXED = object()
_CLOSED = Reject("after_close", "the aggregate backend is closed")


@dataclass(slots=True)
class _Series:
    """What the metrics of one series and interval come to.

    Attributes:
        fields: The name and the labels, as a summary has them.
        shared: ``hostname`` and ``origin`` of the first metric; `_MIXED` where another one differs.
        labels: The metrics' own, as `Metric` has them.
        numbers: How many of the metrics had a number.
        buckets: How many numbers fell into each bucket of the histogram; empty when nobody wants percentiles.
    """

    kind: Kind
    unit: str | None
    fields: dict[str, Any]
    shared: list[Any]
    labels: tuple[str, ...]
    count: int = 0
    errors: int = 0
    numbers: int = 0
    total: float = 0
    low: float = math.inf
    high: float = -math.inf
    last: float = 0
    buckets: dict[int, int] = field(default_factory=dict)

    def value(self) -> float | None:
        """Return the number that stands for all: what a counter adds up to, where a gauge ends, else the mean."""
        if not self.numbers:
            return None
        if self.kind == "counter":
            return self.total
        return self.last if self.kind == "gauge" else self.total / self.numbers


class AggregateBackend(BaseMetricsBackend):
    """Count, sum, and take percentiles of metrics by name and labels; hand another backend the summaries only.

    Intervals are those of the clock: of 10 s each, from every full minute on. A metric counts in the one of its own
    timestamp, also when it comes late: the interval then gets a second summary, whose counts and sums add up with those
    of the first. An interval is handed on two seconds after its end, by the next batch, by `idle`, `flush` or `close`.

    A summary has the kind, the unit and the labels of its metrics, and these fields: ``name``, the labels' values and
    those of `by`, ``value`` (the mean; of counters the sum, of gauges the last), ``count``, ``sum``, ``min``, ``max``,
    percentiles such as ``p95`` (at most 2 % off), ``errors``, ``hostname`` and ``origin`` where all have the same, and
    as ``timestamp`` the end of the interval, less a part of a millisecond that differs between processes, so that no
    store takes two summaries for one. A metric without a finite number counts, and has no part in the rest.

    What was written is in memory until its interval is handed on; then the inner backend's queue delivers it. One that
    has none gets one, so nobody waits for it. Thread-safe; does not block. Fork-safe: a child starts empty.

    Args:
        backend: What gets the summaries: an instance, a class, a factory or the import path of one. Closed with this
            one.
        interval: Length of the intervals, in seconds.
        by: The fields that tell series apart, besides the name and a metric's own labels; each combination of their
            values is a series.
        percentiles: Which to take, above 0 and up to 100; none makes a write cheaper.
        max_series: So many series are told apart in all open intervals; further ones count as ``__overflow__``.
        value_field: The field whose number is the value, if `settings.duration_field` renames it.
        clock: Returns nanoseconds since the epoch; tests hand in their own.

    Attributes:
        backend: The queue in front of the inner backend.

    Raises:
        ConfigurationError: When an argument is wrong, or the inner backend cannot be made.
        MissingExtraError: When the client of the inner backend is not installed.

    Example:
        >>> from time_execution.backends.memory import MemoryBackend
        >>> store = MemoryBackend()
        >>> with AggregateBackend(store) as backend:
        ...     for number in (1, 2, 6):
        ...         backend.write("queue.length", value=number)
        >>> [(metric["name"], metric["value"], metric["count"], metric["max"]) for metric in store.metrics]
        [('queue.length', 3.0, 3, 6)]
    """

    wants_nanoseconds: ClassVar[bool] = True
    repr_fields: ClassVar[tuple[str, ...]] = ("backend", "interval", "by")
    backend_options: ClassVar[tuple[str, ...]] = ("backend",)

    def __init__(
        self,
        backend: Any,
        *,
        interval: float = 10.0,
        by: Sequence[str] = (),
        percentiles: Sequence[float] = (50, 95, 99),
        max_series: int = 10_000,
        value_field: str = "value",
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self.interval = _checked_interval(interval)
        self.by = _names(by)
        self._percentiles = _checked_percentiles(percentiles)
        self._value_field = value_field
        _check_fields(self.by, value_field, {NAME, TIMESTAMP, COUNT, SUM, MIN, MAX, ERRORS, *self._percentiles})
        check_counts(max_series=max_series)
        # What a summary has of its own is no label, whoever names it.
        self._taken = {COUNT, SUM, MIN, MAX, ERRORS, value_field, *self._percentiles}
        self._max_series = max_series
        self._clock = clock
        self._length = round(self.interval * _SECOND)
        # Last of what may be refused: a backend that was made would stay open.
        made = make_backend(backend, where="AggregateBackend: backend")
        is_queue = isinstance(made, QueuedBackend)
        # All series of an interval come at once, and of the next one, too, while the first is on its way.
        self.backend = made if is_queue else ThreadedBackend(made, queue_maxsize=2 * max_series, max_bytes=_MAX_BYTES)
        self.shutdown_timeout: float = getattr(self.backend, "shutdown_timeout", 2.0)
        self._begin()
        lifecycle.track(self)

    def _begin(self) -> None:
        """Start from nothing, with a lock of its own."""
        self._lock = threading.RLock()
        self._is_closed = False
        self._open: dict[int, dict[tuple[Any, ...], _Series]] = {}
        self._counts = dict.fromkeys(("series", "waiting", "aggregated", "summaries", "overflowed"), 0)
        self._rounds = 0

    def write_many(self, metrics: Sequence[Metric]) -> list[Result] | None:
        """Add a batch to its intervals, and hand on those that have ended; does not block."""
        with self._lock:
            if self._is_closed:
                return [_CLOSED] * len(metrics)
            now = self._clock()
            for metric in metrics:
                self._add(metric, now)
            self._hand_on(now - _GRACE, now)
        if metrics:
            self.start_worker()
        return None

    def start_worker(self) -> None:
        """Start what delivers the summaries: at the end of the interpreter, some versions of Python start no thread."""
        start = getattr(self.backend, "start_worker", None)
        if callable(start):
            start()

    def idle(self) -> None:
        """Hand on the intervals that have ended."""
        with self._lock:
            now = self._clock()
            self._hand_on(now - _GRACE, now)

    def flush(self, timeout: float | None = None) -> bool:
        """Hand on everything, the interval at hand as well, and wait until the inner backend has it.

        Args:
            timeout: The longest wait, in seconds; None waits as long as it takes.
        """
        self._hand_on_all()
        return self.backend.flush(timeout)

    def begin_close(self) -> None:
        """Refuse new metrics, hand on everything, and let the inner queue send it; does not wait."""
        self._hand_on_all(is_last=True)
        begin = getattr(self.backend, "begin_close", None)
        if callable(begin):
            begin()

    def close(self, timeout: float | None = None) -> None:
        """Hand on everything, and close the inner backend when that has it; idempotent.

        Args:
            timeout: The longest wait, in seconds; None for that of the inner queue.
        """
        self._hand_on_all(is_last=True)
        self.backend.close(timeout)

    def is_closed(self) -> bool:
        """Return whether it was closed."""
        return self._is_closed

    def undelivered(self) -> int:
        """Return how many summaries the last close gave up."""
        count = getattr(self.backend, "undelivered", None)
        return int(count()) if callable(count) else 0

    def after_fork(self) -> None:
        """Start empty in a child: what the parent had counted is the parent's."""
        self._begin()
        self.backend.after_fork()

    def stats(self) -> dict[str, Any]:
        """Return what became of the metrics.

        Returns:
            ``waiting`` (metrics in open intervals) and ``aggregated`` (those in summaries that were handed on), which
            together are all that came; ``series`` (open), ``summaries``, ``overflowed`` (metrics beyond `max_series`);
            ``backend`` (what became of the summaries).
        """
        with self._lock:
            counts: dict[str, Any] = dict(self._counts)
        told = getattr(self.backend, "stats", None)
        return counts | ({"backend": told()} if callable(told) else {})

    def _add(self, metric: Metric, now: int) -> None:
        # None counts in the future: it would be in memory until then.
        interval = min(_moment_of(metric.get(TIMESTAMP), now), now) // self._length
        table = self._open.setdefault(interval, {})
        names = self.by if metric.labels is _NO_LABELS else self._with(own_labels(metric))
        labels = [_label(metric.get(label)) for label in names]
        name = metric.get(NAME, "")
        key = (metric.kind, metric.unit, names, name if type(name) is str else _label(name), *labels)
        series = table.get(key)
        if series is None:
            series = self._series(table, key, metric)
        self._counts["waiting"] += 1
        series.count += 1
        series.errors += has_failed(metric)
        for place, shared in enumerate(_SHARED):
            if series.shared[place] is not _MIXED and _text(metric.get(shared)) != series.shared[place]:
                series.shared[place] = _MIXED
        number = finite_number(metric.get(number_field(metric, self._value_field)))
        if number is not None:
            _observe(series, number, with_bucket=bool(self._percentiles))

    def _series(self, table: dict[tuple[Any, ...], _Series], key: tuple[Any, ...], metric: Metric) -> _Series:
        """Return a new series, or that of all others when there are too many."""
        kind, unit, names, name, *labels = key
        fields = {NAME: name, **dict(zip(names, labels, strict=True))}
        own = tuple(label for label in own_labels(metric) if label in names)
        if self._counts["series"] >= self._max_series:
            self._counts["overflowed"] += 1
            key, fields, unit, own = (kind, OVERFLOW), {NAME: OVERFLOW}, None, ()
            if key in table:
                return table[key]
        plain = {label: value[1] if type(value) is tuple else value for label, value in fields.items()}
        shared = [_text(metric.get(field)) for field in _SHARED]
        given = {label: value for label, value in plain.items() if value is not None}
        series = table[key] = _Series(kind, unit, given, shared, own)
        self._counts["series"] += 1
        return series

    def _with(self, labels: tuple[str, ...]) -> tuple[str, ...]:
        """Return the fields that tell series apart whose metrics have some labels of their own."""
        return (*self.by, *(label for label in labels if label not in self.by and label not in self._taken))

    def _hand_on_all(self, *, is_last: bool = False) -> None:
        with self._lock:
            if not self._is_closed:
                self._hand_on(math.inf, self._clock())
                self._is_closed = is_last

    def _hand_on(self, limit: float, now: int) -> None:
        """Queue the summaries of the intervals that end by a moment, both in nanoseconds.

        Those that begin after now are from before the clock was set back, and nothing is added to them any more.
        """
        present = now // self._length
        due = sorted(each for each in self._open if (each + 1) * self._length <= limit or each > present)
        for interval in due:
            table = self._open.pop(interval)
            self._rounds += 1
            moment = min((interval + 1) * self._length, now) - self._offset()
            for series in table.values():
                self.backend.enqueue(self._summary(series, moment))
                self._counts["waiting"] -= series.count
                self._counts["aggregated"] += series.count
            self._counts["series"] -= len(table)
            self._counts["summaries"] += len(table)

    def _offset(self) -> int:
        """Return nanoseconds, less than a millisecond of them, that differ between processes and summaries."""
        return 1 + os.getpid() % 32_768 * 30 + self._rounds % 30

    def _summary(self, series: _Series, moment: int) -> Metric:
        fields = dict(series.fields)
        value = series.value()
        if value is not None:
            fields[self._value_field if series.kind == "timing" else VALUE] = value
        fields |= {name: text for name, text in zip(_SHARED, series.shared, strict=True) if type(text) is str}
        fields |= {TIMESTAMP: moment, COUNT: series.count}
        if series.numbers:
            fields |= {SUM: series.total, MIN: series.low, MAX: series.high}
        if series.buckets:
            found = quantiles(series.buckets, *self._percentiles.values())
            fields |= {
                name: min(max(number, series.low), series.high)
                for name, number in zip(self._percentiles, found, strict=True)
            }
        return Metric({**fields, ERRORS: series.errors}, kind=series.kind, unit=series.unit, labels=series.labels)


def _observe(series: _Series, number: float, *, with_bucket: bool) -> None:
    series.numbers += 1
    series.total += number
    series.last = number
    series.low, series.high = min(series.low, number), max(series.high, number)
    if with_bucket:
        bucket = bucket_of(number)
        series.buckets[bucket] = series.buckets.get(bucket, 0) + 1


def _moment_of(timestamp: Any, now: int) -> int:
    if isinstance(timestamp, datetime):
        return to_nanoseconds(timestamp)
    return timestamp if type(timestamp) is int else now


def _text(value: Any) -> str | None:
    return value if type(value) is str else None


def _label(value: Any) -> Any:
    """Return what tells the value of a label from others; a pair with its type where equal values are not the same."""
    kind = type(value)
    if value is None or kind is int or (kind is str and len(value) <= _MAX_LABEL):
        return value
    plain = snapshot(value)
    if isinstance(plain, (bool, float)) and math.isfinite(plain):
        return type(plain).__name__, plain
    text = plain if isinstance(plain, str) else encode_value(plain)
    return text if len(text) <= _MAX_LABEL else f"{text[:_MAX_LABEL]}…"


def _checked_interval(interval: Any) -> float:
    if isinstance(interval, bool) or not isinstance(interval, (int, float)) or not _SHORTEST <= interval <= _DAY:
        raise ConfigurationError("interval must be a number of seconds, from 10 ms to a day")
    return float(interval)


def _names(by: Any) -> tuple[str, ...]:
    names = (by,) if isinstance(by, str) else by
    if not isinstance(names, (list, tuple, set, frozenset)) or not all(isinstance(name, str) for name in names):
        raise ConfigurationError("by must be a list of names of fields")
    return tuple(dict.fromkeys(names))


def _checked_percentiles(percentiles: Any) -> dict[str, float]:
    """Return the fraction of each by the name of its field, ascending."""
    given = percentiles if isinstance(percentiles, (list, tuple, set, frozenset)) else None
    if given is None or not all(type(number) in {int, float} and 0 < number <= 100 for number in given):  # noqa: PLR2004
        raise ConfigurationError("percentiles must be a list of numbers above 0 and up to 100")
    # No dot: some stores take a name with one for an object.
    named = {number: repr(float(number)).removesuffix(".0").replace(".", "_") for number in sorted(given)}
    return {f"p{name}": number / 100 for number, name in named.items()}


def _check_fields(by: tuple[str, ...], value_field: Any, taken: set[str]) -> None:
    if not isinstance(value_field, str) or value_field in taken:
        raise ConfigurationError(f"value_field must be the name of a field other than {', '.join(sorted(taken))}")
    own = taken | {VALUE, value_field}
    if not own.isdisjoint(by):
        raise ConfigurationError(f"by must not name {', '.join(sorted(own))}: a summary has its own")
