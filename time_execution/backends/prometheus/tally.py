"""What is added up: series, their cells, and the catalogue of those that there is room for."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import NamedTuple, TypeAlias

OVERFLOW = "__overflow__"
"""Stands for the names and label values that there is no room for."""

OWN_PREFIX = "timeexecution_"
"""Begins the names of metrics about ourselves."""

Labels: TypeAlias = tuple[tuple[str, str], ...]
"""Names and values of labels, sorted by name; those without a value are left out."""

Series: TypeAlias = tuple[str, str, Labels]
"""Kind, name and labels. The kind is ``timing``, ``counter``, ``gauge``, ``value``, or, of a timing in a family of its
name's own, ``duration``."""

Part: TypeAlias = tuple[bool, float]
"""Of a timing: whether the call failed, and the upper bound of its bucket in seconds."""

WHOLE: Part = (False, 0.0)
"""The one part of a series that is no timing."""

LEVELS = frozenset({"gauge", "value"})
"""The kinds of which a process knows one number, its latest; those of several processes' gauges are added up."""

HISTOGRAMS = frozenset({"timing", "duration"})
"""The kinds whose series have a part for each bucket."""

LATEST = frozenset({"value"})
"""The kinds of which the latest number of all processes counts."""

OVERFLOWED: Series = ("counter", f"{OWN_PREFIX}series_overflow", ())
"""Counts the metrics that have no series of their own."""

_OVERFLOW_NAMES = {
    "counter": f"{OWN_PREFIX}overflow",
    "gauge": f"{OWN_PREFIX}overflow_level",
    "value": f"{OWN_PREFIX}overflow_value",
}
_SUFFIXES = ("_total", "_bucket", "_count", "_sum", "_created", "_info")
_TIMING_FAMILIES = ("function_duration_seconds", "function_calls")


class Exemplar(NamedTuple):
    """One call as an example of those in its bucket.

    Attributes:
        labels: What leads to its trace; ``trace_id`` and, where known, ``span_id``.
        seconds: How long it took.
        moment: When it was, in nanoseconds since the epoch.
    """

    labels: Labels
    seconds: float
    moment: int


@dataclass(slots=True)
class Cell:
    """What is known of one part of a series.

    Attributes:
        count: How many metrics came to this.
        value: Their sum (of a timing in seconds), or for a level its latest number.
        moment: Of a level: when that was, in nanoseconds since the epoch.
        exemplar: Of a timing: the latest example.
    """

    count: int = 0
    value: float = 0.0
    moment: int = 0
    exemplar: Exemplar | None = None

    def absorb(self, other: Cell, *, is_latest: bool) -> None:
        """Add another cell to this one, or let the later of both numbers count.

        A moment that is still to come, since the clock was set back, is no later than any other.
        """
        self.count += other.count
        self.exemplar = other.exemplar or self.exemplar
        if not is_latest:
            self.value += other.value
            return
        now = time.time_ns()
        if _if_past(other.moment, now) >= _if_past(self.moment, now):
            self.value, self.moment = other.value, other.moment


class Tally(dict[Series, dict[Part, Cell]]):
    """Metrics added up by series and part. Not thread-safe."""

    def cell(self, series: Series, part: Part = WHOLE) -> Cell:
        """Return a cell to write to; a new one is empty."""
        parts = self.get(series)
        if parts is None:
            parts = self[series] = {}
        cell = parts.get(part)
        if cell is None:
            cell = parts[part] = Cell()
        return cell

    def merge(self, other: Tally, *, latest: Collection[str] = LEVELS) -> None:
        """Add another tally, which is left alone.

        Args:
            other: What to add.
            latest: The kinds of which the later number counts, instead of the sum.
        """
        for series, parts in other.items():
            self.absorb(series, parts, latest=latest)

    def absorb(self, series: Series, parts: dict[Part, Cell], *, latest: Collection[str] = LEVELS) -> None:
        """Add the cells of one series, which are left alone."""
        own = self.setdefault(series, {})
        for part, cell in parts.items():
            found = own.get(part)
            if found is None:
                own[part] = replace(cell)
            else:
                found.absorb(cell, is_latest=series[0] in latest)


@dataclass(slots=True)
class Placed:
    """A tally as there is room for it.

    Attributes:
        tally: The metrics, each in a series that the catalogue has.
        refused: The series whose name is taken by metrics of another kind.
        overflowed: How many metrics have no series of their own.
    """

    tally: Tally
    refused: set[Series] = field(default_factory=set)
    overflowed: int = 0


class Catalogue:
    """The series that there are, at most so many, and what kind each name is of. Not thread-safe.

    A series beyond the limit keeps its name, and its labels become `OVERFLOW`; should the name be new as well, that
    becomes `OVERFLOW` too. These, and metrics about ourselves, make at most as many series again.

    Args:
        max_series: The limit.
    """

    def __init__(self, max_series: int) -> None:
        self._max_series = max_series
        self.clear()

    def clear(self) -> None:
        """Forget all series."""
        self._ids: dict[Series, int] = {}
        self._kinds: dict[str, str] = dict.fromkeys(map(_stem, _TIMING_FAMILIES), "timing")
        self._names: set[tuple[str, str]] = set()
        self._extra = 0

    def __len__(self) -> int:
        """Return how many series there are."""
        return len(self._ids)

    def __contains__(self, series: Series) -> bool:
        """Whether a series is there."""
        return series in self._ids

    def id_of(self, series: Series) -> int:
        """Return the number that a store has given a series; 0 until then."""
        return self._ids[series]

    def enter(self, series: Series, id_: int = 0) -> None:
        """Add a series, or give it its number."""
        kind, name, _ = series
        if series not in self._ids and _is_extra(series):
            self._extra += 1
        self._ids[series] = id_
        self._names.add((kind, name))
        if kind != "timing":
            self._kinds.setdefault(_stem(name), kind)

    def place(self, tally: Tally) -> Placed:
        """Find room for each series of a tally, entering those that are new."""
        if all(series in self._ids for series in tally):
            return Placed(tally)
        placed = Placed(Tally())
        for series, parts in tally.items():
            found = self._room_for(series)
            if found is None:
                placed.refused.add(series)
                continue
            self.enter(found, self._ids.get(found, 0))
            placed.tally.absorb(found, parts)
            if found != series:
                placed.overflowed += sum(cell.count for cell in parts.values())
        if placed.overflowed:
            self.enter(OVERFLOWED, self._ids.get(OVERFLOWED, 0))
            placed.tally.absorb(OVERFLOWED, {WHOLE: Cell(placed.overflowed, float(placed.overflowed))})
        return placed

    def _room_for(self, series: Series) -> Series | None:
        """Return the series that takes the metrics of another one; None when the name is of another kind."""
        if series in self._ids:
            return series
        kind, name, labels = series
        if kind != "timing" and self._kinds.get(_stem(name), kind) != kind:
            return None
        # Bounded, since nothing keeps an application from writing `OVERFLOW` itself.
        extra = min(self._extra, self._max_series)
        if len(self._ids) - extra < self._max_series or (extra < self._max_series and _is_extra(series)):
            return series
        if labels and (kind, name) in self._names:
            return kind, name, tuple((label, OVERFLOW) for label, _ in labels)
        if kind in HISTOGRAMS:
            return "timing", OVERFLOW, ()
        # Counters and levels cannot be one family.
        return kind, _OVERFLOW_NAMES[kind], (("name", OVERFLOW),)


def is_about_us(series: Series) -> bool:
    """Whether a series is about delivery and totals, not the application's own."""
    kind, name, _ = series
    return kind != "timing" and name.startswith(OWN_PREFIX)


def _if_past(moment: int, now: int) -> int:
    return moment if moment <= now else 0


def _is_extra(series: Series) -> bool:
    """Whether a series has room in any case."""
    _, name, labels = series
    return is_about_us(series) or name == OVERFLOW or (bool(labels) and all(value == OVERFLOW for _, value in labels))


def _stem(name: str) -> str:
    """Return what a name has in common with those that its samples may be given."""
    return next((name.removesuffix(suffix) for suffix in _SUFFIXES if name.endswith(suffix)), name)
