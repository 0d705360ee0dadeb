"""Where a name's greatest values are: rollups tell which periods can hold them, and other raw rows are not read.

Periods are taken greatest maximum first, days divided into hours and these into minutes, until as many values are found
as are asked for and no period left has a greater one. Each range of ids is read once at most, so that rows stored out
of order cost no more than reading all.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from datetime import datetime
from math import inf
from typing import NamedTuple

from time_execution.backends.sqlite.schema import DAY, LATEST, MINUTE, OVERFLOW_ID, SECOND, WIDTHS
from time_execution.formats.timestamp import to_datetime
from time_execution.report._view import Segment, View, nanoseconds

_RANGES = "SELECT first_id, last_id, oldest, newest FROM chunks WHERE newest >= ? AND oldest < ?"
_GREATEST = """SELECT value, id FROM raw WHERE id BETWEEN :first AND :last
AND name_id = :name_id AND value >= :least AND timestamp >= :since AND timestamp < :until
ORDER BY value DESC, id LIMIT :limit"""
# From one period that is there to the next, and to the name in each: neither gaps nor other names are read.
_MAXIMA = """WITH RECURSIVE periods(period) AS (
    SELECT min(start) FROM rollup WHERE width = :width AND start >= :start AND start < :end
    UNION ALL
    SELECT (SELECT min(start) FROM rollup WHERE width = :width AND start > period AND start < :end)
    FROM periods WHERE period IS NOT NULL
)
SELECT period, high FROM periods CROSS JOIN rollup ON width = :width AND start = period AND name_id = :name_id
WHERE high IS NOT NULL"""


class _Range(NamedTuple):
    """Raw rows stored together, and between which timestamps they lie, in nanoseconds."""

    first: int
    last: int
    oldest: int
    newest: int


class Search:
    """Looks for the greatest values of one name.

    Args:
        view: The database.
        name: The name.
        limit: How many to find.
        since: The first moment that counts.
        until: The end.
    """

    def __init__(self, view: View, name: str, *, limit: int, since: datetime | None, until: datetime | None) -> None:
        self._view = view
        self._name_id = view.name_id(name)
        self._limit = limit
        self._since, self._until = nanoseconds(since, 0), nanoseconds(until, LATEST + 1)
        self._ranges: list[_Range] = []
        self._found: list[tuple[float, int]] = []

    def ids(self) -> list[int]:
        """Return the ids of the rows, greatest value first; of rows with the same, any may be among them."""
        if self._name_id is None or self._limit < 1:
            return []
        ranges = self._view.connection.execute(_RANGES, (self._since, self._until))
        self._ranges = [_Range(*row) for row in ranges]
        self._look(self._view.watermark + 1, LATEST)
        # Where no rollup is left, none can tell.
        self._look_between(0, self._view.levels[DAY].kept_from)
        waiting = list(self._widest())
        heapq.heapify(waiting)
        while waiting and self._ranges:
            negative, period = heapq.heappop(waiting)
            if len(self._found) == self._limit and self._found[-1][0] <= negative:
                break
            finer = self._finer(period)
            if finer is None:
                self._look_between(period.start, period.end)
            else:
                for item in self._maxima(finer):
                    heapq.heappush(waiting, item)
        return [key for _, key in self._found]

    def _look(self, first: int, last: int) -> None:
        """Look at a range of ids; what is found is kept with negative values, so that the greatest come first."""
        least = -self._found[-1][0] if len(self._found) == self._limit else -inf
        bounds: dict[str, float | None] = {"first": first, "last": last, "least": least}
        bounds |= {"name_id": self._name_id, "limit": self._limit, "since": self._since, "until": self._until}
        rows = self._view.connection.execute(_GREATEST, bounds)
        self._found = sorted([*self._found, *((-value, key) for value, key in rows)])[: self._limit]

    def _look_between(self, start: int, end: int) -> None:
        """Look at the ranges that may hold rows between two seconds, unless that was done."""
        others = []
        for found in self._ranges:
            if found.newest >= start * SECOND and found.oldest < end * SECOND:
                self._look(found.first, found.last)
            else:
                others.append(found)
        self._ranges = others

    def _widest(self) -> Iterator[tuple[float, Segment]]:
        """Give the widest periods of the range of time in which there are single metrics."""
        if self._ranges:
            low = max(self._since, min(found.oldest for found in self._ranges))
            high = min(self._until, max(found.newest for found in self._ranges) + 1)
            start, end = self._view.align(to_datetime(low), to_datetime(-(-high // SECOND) * SECOND))
            for segment in self._view.segments(start, end):
                yield from self._maxima(segment)

    def _maxima(self, segment: Segment) -> Iterator[tuple[float, Segment]]:
        """Give each period of a segment with the negative of its greatest value."""
        is_known = self._name_id is not None and self._name_id <= self._view.max_names
        bounds = {**segment._asdict(), "name_id": self._name_id if is_known else OVERFLOW_ID}
        for start, high in self._view.connection.execute(_MAXIMA, bounds):
            yield -high, Segment(segment.width, start, start + segment.width)

    def _finer(self, period: Segment) -> Segment | None:
        """Return the finer periods of a period; None when there are none, or not any more."""
        if period.width == MINUTE:
            return None
        finer = WIDTHS[WIDTHS.index(period.width) - 1]
        return period._replace(width=finer) if period.start >= self._view.levels[finer].kept_from else None
