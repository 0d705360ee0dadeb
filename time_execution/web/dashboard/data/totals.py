"""`Totals`: what each series came to in a range of time: sums, extremes, histogram, and its course in coarse steps."""

from __future__ import annotations

import json
from array import array
from bisect import bisect_right
from functools import cache
from itertools import pairwise, repeat
from math import ceil, inf, isfinite
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from time_execution.backends.sqlite.schema import DAY, HOUR, MINUTE, OVERFLOW_ID, SECOND
from time_execution.formats.histogram import NO_NUMBER
from time_execution.web.dashboard.data.histogram import Histogram
from time_execution.web.dashboard.data.window import Window

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from time_execution.report._view import View
    from time_execution.web.dashboard.data.catalogue import Named

SPARK_POINTS = 24

BUCKET_BITS = 12
_ID_BITS = 24
_ID = (1 << _ID_BITS) - 1
_BUCKET = (1 << BUCKET_BITS) - 1

COUNTED_ID = f"CASE WHEN name_id <= :max_names THEN name_id ELSE {OVERFLOW_ID} END"
"""The series that rollups count a raw row under."""

ROWS = "FROM raw WHERE id > :after AND id <= :upto AND timestamp >= :since AND timestamp < :until"
"""Raw rows by id and moment, as `Window` bounds them."""

# One text of all numbers is read in a third of the time that rows take; and each row would hand the interpreter over to
# the application's threads, and wait for it again.
# One integer to group by costs half of what two do.
_SUMS_OF_ROWS = f"""SELECT place >> {_ID_BITS}, place & {_ID}, calls, errors, total, low, high, first, last FROM (
    SELECT ((timestamp / {SECOND} - :base) / :unit << {_ID_BITS}) | ({COUNTED_ID}) AS place, count(*) AS calls,
    sum(error) AS errors, total(value) AS total, min(value) AS low, max(value) AS high,
    min(timestamp) AS first, max(timestamp) AS last {ROWS} GROUP BY place)"""  # noqa: S608 - constants
_KEYS_OF_ROWS = f"SELECT json_group_array(({COUNTED_ID}) << {BUCKET_BITS} | bucket) {ROWS} AND bucket <> {NO_NUMBER}"
_OF_RANGE = "WHERE width = :width AND start >= :start AND start < :end"
_SUMS = f"""SELECT (start - :base) / :unit, name_id, calls, errors, total, low, high, first * {SECOND}, last * {SECOND}
FROM rollup {_OF_RANGE}"""  # noqa: S608 - constants
_CELLS = f"""SELECT json_group_array(name_id << {BUCKET_BITS} | bucket), json_group_array(calls)
FROM histogram {_OF_RANGE}"""  # noqa: S608 - constants


_NOTHING = (0.0, 0.0, 0.0, inf, -inf)
_END_OF = itemgetter(1)


class SeriesTotals:
    """What a series came to.

    Attributes:
        calls: How many.
        errors: How many of them failed.
        total: The sum of the values.
        low: The least; infinite without any.
        high: The greatest; minus infinity without any.
        first: The moment of the first, in nanoseconds since the epoch; its minute where no more is known.
        last: The moment of the last, likewise.
        histogram: Of the values.
        of_unit: Calls, errors, totals, least and greatest values: of each unit of the range, in order.
    """

    __slots__ = (
        "_changed",
        "_ranges",
        "_spark",
        "calls",
        "errors",
        "first",
        "high",
        "histogram",
        "last",
        "low",
        "of_unit",
        "total",
    )

    def __init__(self, units: int) -> None:
        self.calls = self.errors = self.last = 0
        self.total = 0.0
        self.low, self.high = inf, -inf
        self.first = 1 << 62
        self.histogram = Histogram()
        self.of_unit = tuple(array("d", repeat(value, units)) for value in _NOTHING)
        # The spark as it was shown last, of which ranges, and the first unit that has changed since.
        self._spark: list[float | None] = []
        self._ranges: Sequence[tuple[int, int]] = ()
        self._changed = 0

    def add(self, place: int, sums: Sequence[Any]) -> None:
        """Count calls, errors, total, least and greatest value, first and last moment: those of a unit."""
        calls, errors, total, low, high, first, last = sums
        of_calls, of_errors, of_total, of_low, of_high = self.of_unit
        self.calls += calls
        self.errors += errors
        self.total += total
        of_calls[place] += calls
        of_errors[place] += errors
        of_total[place] += total
        self._changed = min(self._changed, place)
        self.first = min(self.first, first)
        self.last = max(self.last, last)
        if low is not None:
            of_low[place] = min(of_low[place], low)
            of_high[place] = max(of_high[place], high)
            self.low = min(self.low, low)
            self.high = max(self.high, high)

    def shift(self, units: int, *, start: int, unit: int) -> None:
        """Forget the first units, and make room for as many after the last.

        Args:
            units: How many.
            start: The second at which what is left begins.
            unit: How long one is, in seconds.
        """
        for numbers, nothing in zip(self.of_unit, _NOTHING, strict=True):
            del numbers[:units]
            numbers.extend(repeat(nothing, units))
        self._changed = 0
        of_calls, of_errors, of_total, of_low, of_high = self.of_unit
        self.calls, self.errors = int(sum(of_calls)), int(sum(of_errors))
        # Added up anew, since floats that are taken away leave something behind.
        self.total = sum(of_total)
        self.low, self.high = min(of_low), max(of_high)
        if self.first < start * SECOND:
            place = next((place for place, calls in enumerate(of_calls) if calls), 0)
            self.first = (start + place * unit) * SECOND

    def spark(self, ranges: Sequence[tuple[int, int]], *, counts: bool = False) -> list[float | None]:
        """Return the mean of the values in each of some ranges of units, with three digits, or how many there are.

        None where there is none. Of one series, always the same is to be asked; made anew is what has changed.
        """
        of_calls, _, of_total, of_low, _ = self.of_unit
        # What was shown may not change: somebody may be writing it down.
        points: list[float | None] = []
        if ranges is self._ranges:
            points = self._spark[: bisect_right(ranges, self._changed, key=_END_OF)]
        for start, end in ranges[len(points) :]:
            calls = sum(of_calls[start:end])
            if not calls or (not counts and min(of_low[start:end]) == inf):
                points.append(None)
            elif counts:
                points.append(int(calls))
            else:
                points.append(three_digits(sum(of_total[start:end]) / calls))
        self._spark, self._ranges = points, ranges
        # The last range, of the present, is one that grows.
        self._changed = ranges[-1][0]
        return points


class Totals(Window):
    """What every series came to.

    Args:
        start: The first second that counts.
        end: The end; None for a range that ends now.
        unit: How long a unit is, in seconds; a range that ends now moves on by units.

    Attributes:
        series: Id -> what the series came to; those only that there was something of.
    """

    def __init__(self, start: int, end: int | None, *, unit: int) -> None:
        super().__init__(start, end, widest=DAY if unit >= HOUR else MINUTE)
        self.series: dict[int, SeriesTotals] = {}
        self._unit = unit
        # The widest period that units are made of.
        self._width = next(width for width in (DAY, HOUR, MINUTE) if unit % width == 0)
        self._base = start
        self._units = 1
        self._is_ahead = False

    def spark_ranges(self, now: float) -> list[tuple[int, int]]:
        """Return which units make each 24th of the range; where there are fewer, each stands for several."""
        last = int((min(now, self._end - 1) - self._base) // self._unit)
        return _ranges(min(self._units, max(1, last + 1)))

    def _clear(self, now: float) -> None:
        self.series = {}
        self._base = self.start
        # One more than there are: the present moves into the next unit before the range moves on.
        self._units = max(1, ceil((min(now, self._end) - self.start) / self._unit)) + (1 if self._moves else 0)
        self._is_ahead = False

    def _has_room(self, start: int, now: float) -> bool:
        if self._is_ahead and start > self.start:
            # What counts as of another moment than its own would leave the range at that moment, or not as a whole.
            return False
        return not self._moves or now - start < self._units * self._unit

    def _moved(self) -> None:
        units = (self.start - self._base) // self._unit
        self._base += units * self._unit
        for key, totals in list(self.series.items()):
            totals.shift(units, start=self._base, unit=self._unit)
            if not totals.calls:
                del self.series[key]

    def _add_rows(
        self,
        view: View,
        series: Mapping[int, Named],  # noqa: ARG002 - every series counts
        *,
        after: int,
        upto: int,
        since: int,
        until: int,
    ) -> None:
        bounds = self._bounds(view, after=after, upto=upto, since=since, until=until)
        self._add_raw(view, {**bounds, "base": self._base, "unit": self._unit})

    def _add_raw(self, view: View, bounds: Mapping[str, int]) -> None:
        self._add_sums(view.connection.execute(_SUMS_OF_ROWS, bounds))
        self._count_raw(view, bounds, 1)

    def _add_piece(
        self,
        view: View,
        series: Mapping[int, Named],  # noqa: ARG002 - every series counts
        start: int,
        end: int,
    ) -> None:
        units = {"base": self._base, "unit": self._unit}
        for segment in view.segments(start, end, widest=self.widest(self._width)):
            self._add_sums(view.connection.execute(_SUMS, {**segment._asdict(), **units}))
        for segment in view.segments(start, end, widest=self.widest()):
            self._count_cells(view, segment._asdict(), 1)
        waiting = self._waiting(view, start, end)
        if waiting is not None:
            self._add_raw(view, {**waiting, **units})

    def _drop(
        self,
        view: View,
        series: Mapping[int, Named],  # noqa: ARG002 - every series counts
        start: int,
        end: int,
    ) -> None:
        for segment in view.segments(start, end, widest=self.widest()):
            self._count_cells(view, segment._asdict(), -1)
        waiting = self._waiting(view, start, end)
        if waiting is not None:
            self._count_raw(view, waiting, -1)

    def _add_sums(self, rows: Iterable[tuple[Any, ...]]) -> None:
        known, last = self.series, self._units - 1
        for place, key, *sums in rows:
            totals = known.get(key)
            if totals is None:
                totals = known[key] = SeriesTotals(self._units)
            if place > last:
                # What clocks that are ahead have stamped counts as of now.
                place, self._is_ahead = last, True  # noqa: PLW2901 - of this row
            totals.add(place, sums)

    def _count_cells(self, view: View, bounds: Mapping[str, int], sign: int) -> None:
        keys, calls = view.connection.execute(_CELLS, bounds).fetchone()
        counts = json.loads(calls)
        self._count(json.loads(keys), counts if sign > 0 else [-count for count in counts])

    def _count_raw(self, view: View, bounds: Mapping[str, int], sign: int) -> None:
        (keys,) = view.connection.execute(_KEYS_OF_ROWS, bounds).fetchone()
        self._count(sorted(json.loads(keys)), repeat(sign))

    def _count(self, keys: Sequence[int], counts: Iterable[int]) -> None:
        """Count values by series and bucket, those of a series one after the other.

        Raises:
            OverflowError: When values are taken away that were never counted.
        """
        known = self.series
        current, low, histogram = -1, 0, Histogram()
        places = histogram.counts
        for key, count in zip(keys, counts):  # noqa: B905 - one of the counts may stand for all
            if key >> BUCKET_BITS != current:
                current = key >> BUCKET_BITS
                totals = known.get(current)
                if totals is None:
                    raise OverflowError("a series that was never counted")
                histogram = totals.histogram
                low, places = histogram.low, histogram.counts
            place = (key & _BUCKET) - low
            if not 0 <= place < len(places):
                histogram.make_room(key & _BUCKET)
                low, places = histogram.low, histogram.counts
                place = (key & _BUCKET) - low
            places[place] += count


@cache
def _ranges(units: int) -> list[tuple[int, int]]:
    """Return the same list for the same number each time, which tells series that their sparks hold."""
    starts = [point * units // SPARK_POINTS for point in range(SPARK_POINTS + 1)]
    return [(start, max(end, start + 1)) for start, end in pairwise(starts)]


def three_digits(number: float) -> float | None:
    """Return a number with three significant digits: enough for a picture. None in place of one beyond all floats."""
    return float(f"{number:.3g}") if isfinite(number) else None
