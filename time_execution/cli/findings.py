"""What a page tells of single functions, gathered from the store: histograms, calls over time, slowest calls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from time_execution.cli.axis import round_step
from time_execution.formats.histogram import ZERO, bounds
from time_execution.formats.timestamp import to_datetime, to_nanoseconds
from time_execution.report import histograms, moments, series, slowest

if TYPE_CHECKING:
    from time_execution.report import Call, FunctionStats, Point

_SLOTS, _MOST_SLOTS = 60, 90
_MARGIN = 10
_BRIEF = timedelta(milliseconds=100)
_FEW_CALLS = 100_000
_FEW_SERIES = 300
_MAX_COLUMNS = 40
_LEAST_COLUMNS = 25
_SLOWEST = 5
_SLOWEST_OF_ALL = 10
_MICROSECOND, _MINUTE = timedelta(microseconds=1), timedelta(minutes=1)
_EPOCH = datetime.fromtimestamp(0, timezone.utc)


@dataclass(slots=True)
class Timeline:
    """Calls counted in slots of time.

    Attributes:
        start: When the first slot begins (UTC).
        width: How long each is.
        calls: Name -> slot -> calls.
        errors: Name -> slot -> calls that failed.
        is_whole: Whether all functions are in it, not only those that details are told of.
        least_slots: How many slots there are at least.
        instant: The one moment of all calls, where they have the same.
    """

    start: datetime
    width: timedelta
    calls: dict[str, Counter[int]] = field(default_factory=dict)
    errors: dict[str, Counter[int]] = field(default_factory=dict)
    is_whole: bool = False
    least_slots: int = 1
    instant: datetime | None = None

    @property
    def end(self) -> datetime:
        """When the last slot with a call ends."""
        return self.start + self.width * self.slots

    @property
    def slots(self) -> int:
        """How many slots there are, up to the last with a call."""
        return max(self.least_slots, 1 + max((slot for counts in self.calls.values() for slot in counts), default=0))

    def add(self, name: str, slot: int, calls: int, errors: int) -> None:
        """Count calls."""
        self.calls.setdefault(name, Counter())[slot] += calls
        self.errors.setdefault(name, Counter())[slot] += errors

    def counts(self, names: Collection[str]) -> list[int]:
        """Return the calls in each slot, of these functions together."""
        return self._listed(self.calls, names)

    def failures(self, names: Collection[str]) -> list[int]:
        """Return the calls that failed in each slot."""
        return self._listed(self.errors, names)

    def _listed(self, counts: Mapping[str, Counter[int]], names: Collection[str]) -> list[int]:
        total = sum((counts[name] for name in names if name in counts), Counter[int]())
        return [total[slot] for slot in range(self.slots)]


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a histogram: calls whose value lies above `low`, up to `high`, in the unit of the series."""

    low: float
    high: float
    calls: int


@dataclass(frozen=True, slots=True)
class Detail:
    """What is told of one function."""

    stats: FunctionStats
    histogram: Sequence[Column]
    slowest: Sequence[Call]


def details(
    path: str, shown: Sequence[FunctionStats], *, since: datetime | None, until: datetime | None
) -> list[Detail]:
    """Return what is told of each function, in their order."""
    counts = histograms(path, since=since, until=until)
    return [
        Detail(
            row,
            histogram_columns(counts.get(row.name, {})),
            slowest(path, row.name, limit=_SLOWEST, since=since, until=until),
        )
        for row in shown
    ]


def slowest_of_all(
    path: str, functions: Sequence[FunctionStats], *, since: datetime | None, until: datetime | None
) -> list[Call]:
    """Return the slowest calls of all functions, of those that are still kept singly; slowest first."""
    known = [row for row in functions if row.max is not None]
    # A call among the slowest is of a function whose slowest call is among the slowest of each.
    slow = sorted(known, key=lambda row: -(row.max or 0.0))[:_SLOWEST_OF_ALL]
    found = [call for row in slow for call in slowest(path, row.name, limit=_SLOWEST_OF_ALL, since=since, until=until)]
    return sorted(found, key=lambda call: (-(call.value or 0.0), call.id))[:_SLOWEST_OF_ALL]


def histogram_columns(counts: Mapping[int, int]) -> list[Column]:
    """Return the counts of buckets as columns of equal width on a logarithmic scale, gaps included."""
    if not counts:
        return []
    first, last = min(counts), max(counts)
    # A single bucket across the whole width would look like much more than it is.
    margin = max(0, _LEAST_COLUMNS - (last - first + 1)) // 2
    if margin and first - margin > ZERO:
        first, last = first - margin, last + margin
    step = -(-(last - first + 1) // _MAX_COLUMNS)
    found = []
    for low in range(first, last + 1, step):
        high = min(low + step - 1, last)
        calls = sum(counts.get(bucket, 0) for bucket in range(low, high + 1))
        found.append(Column(bounds(low)[0], bounds(high)[1], calls))
    return [column for column in found if column.calls] if first <= ZERO else found


def timeline(
    path: str,
    stats: Sequence[FunctionStats],
    shown: Sequence[FunctionStats],
    *,
    since: datetime | None,
    until: datetime | None,
) -> Timeline | None:
    """Return calls over time: from single calls where these are few, else by the minute, the hour or the day.

    Args:
        path: The database.
        stats: All that is reported.
        shown: The most important of these: all that is in it where there are many.
        since: The beginning.
        until: The end.
    """
    if sum(row.calls for row in stats) <= _FEW_CALLS:
        exact = _from_calls(path, stats, since=since, until=until)
        # Single calls are deleted long before what they add up to.
        if exact is not None:
            return exact
    is_whole = len(stats) <= _FEW_SERIES
    names = [None] if is_whole else [row.name for row in shown]
    points = [point for name in names for point in series(path, name, since=since, until=until)]
    return _from_points(points, {row.name for row in stats}, is_whole=is_whole) if points else None


def _from_calls(
    path: str, stats: Sequence[FunctionStats], *, since: datetime | None, until: datetime | None
) -> Timeline | None:
    """Return calls as they are kept singly; None when they are not, or not from the first on."""
    found = moments(path, {row.name for row in stats}, since=since, until=until)
    if not found:
        return None
    first, last = to_datetime(min(found)[0]), to_datetime(max(found)[0])
    if first >= min(row.first_seen for row in stats) + _MINUTE:
        return None
    width = round_step(last - first, _SLOTS) if first < last else _BRIEF
    result = _aligned(first, last, width)
    start, length = to_nanoseconds(result.start), result.width // _MICROSECOND * 1000
    for moment, name, is_error in found:
        result.add(name, (moment - start) // length, 1, int(is_error))
    result.is_whole, result.instant = True, first if first == last else None
    return result


def _from_points(points: Sequence[Point], names: set[str], *, is_whole: bool) -> Timeline:
    period = timedelta(seconds=max(point.seconds for point in points))
    first, last = min(point.start for point in points), max(point.start for point in points)
    # More columns than that are too thin to be pointed at.
    result = _aligned(first, last, round_step(last - first + period, _MOST_SLOTS, multiple_of=period), period)
    result.is_whole = is_whole
    for point in points:
        if point.stats.name in names:
            slot = max(0, (point.start - result.start) // result.width)
            result.add(point.stats.name, slot, point.stats.calls, point.stats.errors)
    return result


def _aligned(first: datetime, last: datetime, width: timedelta, period: timedelta = _MICROSECOND) -> Timeline:
    """Return slots that begin at round moments of local time, with some around a single one.

    Args:
        first: A moment in the first slot.
        last: One in the last.
        width: How long each is.
        period: What is known of the moments: they are rounded down to its multiples in UTC.
    """
    offset = first.astimezone().utcoffset() or timedelta()
    # Where the periods lie otherwise than the hours and days of the clock on the wall, so do the slots.
    origin = _EPOCH - offset if not offset % period else _EPOCH
    start = first - (first - origin) % width
    if last < start + width:
        # A single slot across the whole width would look like much more than it is.
        return Timeline(max(start - width * _MARGIN, _EPOCH), width, least_slots=2 * _MARGIN + 1)
    return Timeline(start, width)
