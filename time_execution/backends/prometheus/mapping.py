"""From metrics to series: which one a metric belongs to, and what it adds to it.

Names and base units are as Prometheus advises (https://prometheus.io/docs/practices/naming/).
"""

from __future__ import annotations

import re
import time
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from functools import lru_cache
from math import inf
from typing import Any

from time_execution.backends.prometheus.tally import Exemplar, Labels, Series, Tally
from time_execution.formats.labels import own_labels, plain_values
from time_execution.formats.number import finite_number, number_field
from time_execution.formats.outcome import has_failed
from time_execution.types import NAME, TIMESTAMP, Metric, Reject

MAX_TEXT = 1024
"""Longer names and label values are cut, so that a scrape stays small."""

_MAX_EXEMPLAR = 128  # characters of names and values together, as OpenMetrics 1.0 has it
_TRACE = "trace_id"
_EXEMPLAR_FIELDS = (_TRACE, "span_id")
_MAX_WORD = 1 << 64
_NO_LABELS = Metric.labels
# What histograms have of their own; and what a scrape or a push sets, which then calls ours like this.
_MARKS = frozenset({"le", "quantile"})
_TARGETS = frozenset({"job", "instance"})
_MAX_KNOWN = 10_000
_MAX_KEPT = 256  # a longer text is worth no place
_NO_LETTER = re.compile(r"[^a-zA-Z0-9_]+")
_CUT = "\N{HORIZONTAL ELLIPSIS}"
_KINDS = {"counter": "counter", "event": "counter", "gauge": "gauge"}
# The base unit of each unit, and what one of it is in base units.
_UNITS: Mapping[str, tuple[str, float]] = {
    "ns": ("seconds", 1e-9),
    "us": ("seconds", 1e-6),
    "µs": ("seconds", 1e-6),
    "ms": ("seconds", 1e-3),
    "mS": ("seconds", 1e-3),
    "s": ("seconds", 1.0),
    "seconds": ("seconds", 1.0),
    "B": ("bytes", 1.0),
    "bytes": ("bytes", 1.0),
    "kB": ("bytes", 1e3),
    "MB": ("bytes", 1e6),
    "GB": ("bytes", 1e9),
    "KiB": ("bytes", 1024.0),
    "MiB": ("bytes", 1024.0**2),
    "GiB": ("bytes", 1024.0**3),
    "%": ("ratio", 0.01),
}
_NO_NUMBER = Reject("no number", "Prometheus takes finite numbers only, and the metric has none")
_NEGATIVE = Reject("negative", "neither a duration nor what is added to a counter may be below 0")


class Mapper:
    """Adds metrics up by the series that they belong to. Thread-safe: what it remembers, it would find again.

    Args:
        labels: The fields that become labels, by the label's name, besides those that a metric names itself.
        bounds: The upper bounds of the buckets, in seconds, rising.
        exemplars: Whether a trace id makes a call an example of its bucket.
        value_field: The field that holds the number, where it is not ``value``.
    """

    def __init__(
        self, *, labels: Mapping[str, str], bounds: Sequence[float], exemplars: bool, value_field: str
    ) -> None:
        self._labels = tuple(labels.items())
        self._bounds = tuple(bounds)
        self._uppers = (*self._bounds, inf)
        self._exemplars = exemplars
        self._value_field = value_field
        self._fields = tuple(labels.values())
        self._known: dict[tuple[Any, ...], Series] = {}

    def tally(self, metrics: Sequence[Metric]) -> tuple[Tally, list[Series | Reject]]:
        """Return the metrics added up, and of each its series, or why it has none."""
        tally = Tally()
        found: list[Series | Reject] = []
        field = self._value_field
        for metric in metrics:
            if metric.kind == "timing" and type(value := metric.get(field)) is float and 0.0 <= value < inf:
                found.append(self._add_timing(tally, metric, value / 1000.0))
            else:
                found.append(self._add_any(tally, metric))
        return tally, found

    def _add_any(self, tally: Tally, metric: Metric) -> Series | Reject:
        """Add a metric of whatever kind, with whatever number."""
        value = finite_number(metric.get(number_field(metric, self._value_field)))
        if metric.kind != "timing":
            return self._add_number(tally, metric, value)
        if value is None:
            return _NO_NUMBER
        return _NEGATIVE if value < 0 else self._add_timing(tally, metric, value / 1000.0)

    def _add_timing(self, tally: Tally, metric: Metric, seconds: float) -> Series:
        series = self._series_of_timing(metric)
        cell = tally.cell(series, (has_failed(metric), self._uppers[bisect_left(self._bounds, seconds)]))
        cell.count += 1
        cell.value += seconds
        if self._exemplars and _TRACE in metric:
            cell.exemplar = _exemplar(metric, seconds) or cell.exemplar
        return series

    def _series_of_timing(self, metric: Metric) -> Series:
        """Return one of the family of all functions, or, where a metric has labels of its own, of the name's."""
        if metric.labels is _NO_LABELS or not (fields := own_labels(metric)):
            return "timing", text_of(metric.get(NAME)), self._labels_of(metric) if self._labels else ()
        # Most are of few series, and to make the labels' texts would be the larger part of what a metric costs.
        key = plain_values(metric, (NAME, *fields, *self._fields))
        if key is not None and (series := self._known.get((fields, key))) is not None:
            return series
        family, _ = family_of(text_of(metric.get(NAME)), "duration", "ms")
        series = "duration", family, self._labels_of(metric, _own(fields))
        if key is not None and all(type(value) is not str or len(value) <= _MAX_KEPT for value in key):
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            self._known[fields, key] = series
        return series

    def _add_number(self, tally: Tally, metric: Metric, value: float | None) -> Series | Reject:
        kind = _KINDS.get(metric.kind, "value")
        if metric.kind == "event":
            value = 1.0
        if value is None:
            return _NO_NUMBER
        if kind == "counter" and value < 0:
            return _NEGATIVE
        name, factor = family_of(text_of(metric.get(NAME)), kind, None if metric.kind == "event" else metric.unit)
        own = () if metric.labels is _NO_LABELS else _own(own_labels(metric))
        series = (kind, name, self._labels_of(metric, own) if self._labels or own else ())
        cell = tally.cell(series)
        cell.count += 1
        if kind == "counter":
            cell.value += value * factor
        elif (moment := _moment(metric)) >= cell.moment:
            cell.value, cell.moment = value * factor, moment
        return series

    def _labels_of(self, metric: Metric, own: tuple[tuple[str, str], ...] = ()) -> Labels:
        pairs = ((label, text_of(metric.get(field))) for label, field in self._labels)
        if own:
            # What is configured comes last, since it was named for this store.
            given = {label: text_of(metric.get(field)) for label, field in own} | dict(pairs)
            pairs = (pair for pair in sorted(given.items()))
        return tuple((label, text) for label, text in pairs if text)


def text_of(value: Any) -> str:
    """Return what a value is as a name or as a label's value; runs no code of the value's own.

    Lone surrogates are written as escapes, since the format is UTF-8; longer texts than `MAX_TEXT` are cut. None is an
    empty text, which Prometheus takes for no label; what is no plain value is shown by its type.

    Example:
        >>> text_of("shop.checkout"), text_of(None), text_of(True), text_of([1])
        ('shop.checkout', '', 'true', '<list>')
    """
    kind = type(value)
    if kind is str:
        if len(value) > MAX_TEXT:
            value = value[: MAX_TEXT - 1] + _CUT
        text: str = value if value.isascii() else value.encode("utf-8", "backslashreplace").decode()
        return text
    if value is None:
        return ""
    if kind is bool:
        return "true" if value else "false"
    if kind is float or (kind is int and -_MAX_WORD < value < _MAX_WORD):
        return repr(value)
    return f"<{kind.__name__}>"


@lru_cache(maxsize=1024)
def _own(fields: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Return a label for each of a metric's own, with its field; of two that make one, the first."""
    found: dict[str, str] = {}
    for field in fields:
        label = _NO_LETTER.sub("_", field)
        if label in _TARGETS:
            label = f"exported_{label}"
        elif label in _MARKS or label.startswith("__") or not label[:1].isidentifier():
            label = f"label_{label.lstrip('_')}"
        found.setdefault(label, field)
    return tuple(found.items())


@lru_cache(maxsize=20_000)
def family_of(name: str, kind: str, unit: str | None) -> tuple[str, float]:
    """Return the name of a family, and what its numbers are multiplied by to be in the base unit.

    Args:
        name: The metric's name; what Prometheus does not allow in one becomes ``_``.
        kind: ``counter``, whose ``_total`` is left out here, or another.
        unit: The metric's unit; one that is not known changes nothing.

    Example:
        >>> family_of("cpu.load.1m", "value", None), family_of("net.received", "counter", "KiB")
        (('cpu_load_1m', 1.0), ('net_received_bytes', 1024.0))
    """
    plain = _NO_LETTER.sub("_", name)
    if not plain or plain[0].isdigit():
        plain = f"_{plain}"
    if kind == "counter":
        plain = plain.removesuffix("_total") or "_"
    base, factor = _UNITS.get(unit or "", ("", 1.0))
    if base and not plain.endswith(f"_{base}"):
        plain = f"{plain.removesuffix(f'_{unit}')}_{base}"
    return plain, factor


def _moment(metric: Metric) -> int:
    """Return when a metric was taken; one that is still to come would outlast all that follow until then."""
    moment, now = metric.get(TIMESTAMP), time.time_ns()
    return moment if type(moment) is int and 0 <= moment <= now else now


def _exemplar(metric: Metric, seconds: float) -> Exemplar | None:
    """Return a call as an example; None where its ids are no texts, or too long to be shown."""
    given = ((field, metric.get(field)) for field in _EXEMPLAR_FIELDS)
    labels = tuple((field, text_of(value)) for field, value in given if type(value) is str and value)
    if _TRACE not in dict(labels) or sum(len(field) + len(value) for field, value in labels) > _MAX_EXEMPLAR:
        return None
    return Exemplar(labels, seconds, _moment(metric))
