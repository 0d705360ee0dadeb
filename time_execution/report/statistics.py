"""What reports are made of, and how single calls add up to it; knows no store."""

from __future__ import annotations

import operator
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, NamedTuple

from time_execution.formats.histogram import bucket_of, quantiles
from time_execution.formats.series import read_series
from time_execution.formats.timestamp import to_datetime

if TYPE_CHECKING:
    from time_execution.types import Kind

MILLISECONDS = "ms"


class Series(NamedTuple):
    """What metrics have in common whose numbers may be added up.

    Attributes:
        name: The name that its metrics were written under, with their labels if they have any, such as
            ``http.requests{method=GET,route=/}``.
        kind: What its numbers are: durations (``timing``), numbers written by hand (``value``), and so on.
        unit: What they are counted in: ``ms`` for timings; None when nobody said.
    """

    name: str
    kind: Kind = "timing"
    unit: str | None = MILLISECONDS

    @property
    def family(self) -> str:
        """The name alone, which all series have in common that only labels tell apart."""
        return read_series(self.name)[0]

    @property
    def labels(self) -> dict[str, str]:
        """What tells the series of one family apart: label -> value, as text; empty for most."""
        return read_series(self.name)[1]


@dataclass(frozen=True, slots=True)
class FunctionStats:
    """What is known of one function, or one series of numbers of any kind, in a range of time.

    Attributes:
        name: Its fully qualified name; with labels, if there are any.
        calls: How many metrics there are.
        errors: How many of them tell of a failure.
        total: The sum of the values, in `unit`, as all that follow. Values are None where no metric has a number.
        mean: Their mean.
        p50: Their median: the exact one by nearest rank, give or take 2 %.
        p95: The 95th percentile, likewise.
        p99: The 99th percentile, likewise.
        min: The least, exactly.
        max: The greatest, exactly.
        first_seen: The moment of the earliest metric (UTC); its minute where it is not kept singly any more.
        last_seen: The moment of the latest, likewise.
        kind: What the numbers are; see `Series`.
        unit: What they are counted in: ``ms`` for timings; None when nobody said.
    """

    name: str
    calls: int
    errors: int
    total: float | None
    mean: float | None
    p50: float | None
    p95: float | None
    p99: float | None
    min: float | None
    max: float | None
    first_seen: datetime
    last_seen: datetime
    kind: Kind = "timing"
    unit: str | None = MILLISECONDS

    @property
    def is_timing(self) -> bool:
        """Whether the numbers are durations of calls."""
        return self.kind == "timing"

    @property
    def family(self) -> str:
        """The name without labels; see `Series`."""
        return read_series(self.name)[0]

    @property
    def labels(self) -> dict[str, str]:
        """Label -> value, as text; empty for most."""
        return read_series(self.name)[1]


@dataclass(frozen=True, slots=True)
class Point:
    """One period of a series; the numbers are those of `FunctionStats`.

    Attributes:
        start: The moment it begins (UTC).
        seconds: How long it is.
        stats: What happened in it.
    """

    start: datetime
    seconds: int
    stats: FunctionStats


@dataclass(frozen=True, slots=True)
class Call:
    """One metric as it was stored.

    Attributes:
        id: Its place in the store: later metrics have greater ones.
        name: That of its series: the name, with labels if it has any.
        value: The number, in `unit`; None when there is none.
        hostname: Where it comes from; None when unknown.
        timestamp: When the call ended, in nanoseconds since the epoch.
        is_error: Whether it tells of a failure.
        fields: Everything else.
        kind: What the number is; see `Series`.
        unit: What it is counted in: ``ms`` for timings; None when nobody said.
    """

    id: int
    name: str
    value: float | None
    hostname: str | None
    timestamp: int
    is_error: bool
    fields: Mapping[str, Any]
    kind: Kind = "timing"
    unit: str | None = MILLISECONDS

    @property
    def family(self) -> str:
        """The name that it was written under."""
        return read_series(self.name)[0]

    @property
    def labels(self) -> dict[str, str]:
        """Label -> value, as text; empty for most."""
        return read_series(self.name)[1]


@dataclass(frozen=True, slots=True)
class State:
    """The latest word of a process on a topic.

    Attributes:
        topic: What it is about.
        owner: Whose it is.
        timestamp: When it was said, in nanoseconds since the epoch.
        body: What was said.
    """

    topic: str
    owner: str
    timestamp: int
    body: Mapping[str, Any]


class Sums(NamedTuple):
    """What metrics add up to, without their distribution.

    Attributes:
        calls: How many.
        errors: How many of them failed.
        total: The sum of the values.
        low: The least value; None without any.
        high: The greatest.
        first: The moment of the first, in nanoseconds since the epoch; its minute where no more is known.
        last: The moment of the last, likewise.
    """

    calls: int
    errors: int
    total: float | None
    low: float | None
    high: float | None
    first: int
    last: int


@dataclass(slots=True)
class Aggregate:
    """Running figures of one series; two of them merge into what one of all the metrics would be.

    Attributes:
        sums: What was counted; None before the first.
        buckets: How many values fell in each bucket of `time_execution.formats.histogram`.
    """

    sums: Sums | None = None
    buckets: Counter[int] = field(default_factory=Counter)

    def add(self, value: float | None, *, timestamp: int, is_error: bool = False) -> None:
        """Count one metric; its timestamp is in nanoseconds."""
        self.add_sums(Sums(1, int(is_error), value, value, value, timestamp, timestamp))
        if value is not None:
            self.buckets[bucket_of(value)] += 1

    def add_sums(self, more: Sums) -> None:
        """Count metrics whose values are not known one by one; `buckets` is left to the caller."""
        have = self.sums
        if have is None:
            self.sums = more
            return
        self.sums = Sums(
            calls=have.calls + more.calls,
            errors=have.errors + more.errors,
            total=_chosen(operator.add, have.total, more.total),
            low=_chosen(min, have.low, more.low),
            high=_chosen(max, have.high, more.high),
            first=min(have.first, more.first),
            last=max(have.last, more.last),
        )

    def merge(self, other: Aggregate) -> None:
        """Count what the other has counted."""
        if other.sums is not None:
            self.add_sums(other.sums)
            self.buckets.update(other.buckets)

    def stats(self, series: Series) -> FunctionStats:
        """Return the figures as they stand.

        Raises:
            ValueError: When nothing was counted.
        """
        if self.sums is None:
            raise ValueError("nothing was counted")
        calls, errors, total, low, high, first, last = self.sums
        measured = self.buckets.total()
        middle: list[float | None] = [None, None, None]
        if measured and low is not None and high is not None:
            # An estimate from a bucket may lie outside of what was measured.
            middle = [min(max(number, low), high) for number in quantiles(self.buckets, 0.5, 0.95, 0.99)]
        return FunctionStats(
            name=series.name,
            calls=calls,
            errors=errors,
            total=total if measured else None,
            mean=None if total is None or not measured else total / measured,
            p50=middle[0],
            p95=middle[1],
            p99=middle[2],
            min=low,
            max=high,
            first_seen=to_datetime(first),
            last_seen=to_datetime(last),
            kind=series.kind,
            unit=series.unit,
        )


def _chosen(choose: Callable[[float, float], float], one: float | None, other: float | None) -> float | None:
    """Combine two numbers of which either may be missing."""
    if one is None or other is None:
        return other if one is None else one
    return choose(one, other)


def matches(named: Series | FunctionStats | Call, pattern: str | None) -> bool:
    """Say whether a name, with its labels or without, matches a pattern with the wildcards of `fnmatch`.

    Example:
        >>> series = Series("http.requests{route=/,status=200}")
        >>> [matches(series, pattern) for pattern in ("http.requests", "*status=200}", "http", None)]
        [True, True, False, True]
    """
    return pattern is None or fnmatchcase(named.name, pattern) or fnmatchcase(named.family, pattern)


def aggregate_calls(calls: Iterable[Call]) -> dict[Series, Aggregate]:
    """Return the figures of each series: for stores that hold single metrics only."""
    found: defaultdict[Series, Aggregate] = defaultdict(Aggregate)
    for call in calls:
        found[Series(call.name, call.kind, call.unit)].add(call.value, timestamp=call.timestamp, is_error=call.is_error)
    return dict(found)
