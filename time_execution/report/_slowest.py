"""Where the greatest values of some series are: rollups tell which periods can hold them, others are not read.

Periods are taken greatest maximum first, days divided into hours and these into minutes, until as many values are found
as are asked for and no period left has a greater one. Each range of ids is read once at most, so that rows stored out
of order cost no more than reading all.
"""

from __future__ import annotations

import heapq
import json
import sqlite3
from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from math import inf
from typing import NamedTuple

from time_execution.backends.sqlite.schema import DAY, LATEST, MINUTE, OVERFLOW_ID, SECOND, WIDTHS
from time_execution.formats.timestamp import to_datetime
from time_execution.report._view import Segment, View, nanoseconds

_RANGES = "SELECT first_id, last_id, oldest, newest FROM chunks WHERE newest >= ? AND oldest < ?"
_GREATEST = """SELECT value, id FROM raw WHERE id BETWEEN :first AND :last
AND name_id {these} AND value >= :least AND timestamp >= :since AND timestamp < :until
ORDER BY value DESC, id LIMIT :limit"""
_ONE, _SOME = "= :ids", "IN (SELECT value FROM json_each(:ids))"
# From one period that is there to the next, and to the series in each: neither gaps nor other series are read.
_MAXIMA = """WITH RECURSIVE periods(period) AS (
    SELECT min(start) FROM rollup WHERE width = :width AND start >= :start AND start < :end
    UNION ALL
    SELECT (SELECT min(start) FROM rollup WHERE width = :width AND start > period AND start < :end)
    FROM periods WHERE period IS NOT NULL
)
SELECT period, max(high) FROM periods CROSS JOIN rollup ON width = :width AND start = period AND name_id {these}
WHERE high IS NOT NULL GROUP BY period"""


class _Range(NamedTuple):
    """Raw rows stored together, and between which timestamps they lie, in nanoseconds."""

    first: int
    last: int
    oldest: int
    newest: int


class Search:
    """Looks for the greatest values of one series or several.

    Args:
        view: The database.
        ids: Of the series.
        limit: How many to find.
        since: The first moment that counts.
        until: The end.
    """

    def __init__(
        self, view: View, ids: Collection[int], *, limit: int, since: datetime | None, until: datetime | None
    ) -> None:
        self._view = view
        self._ids = ids
        self._limit = limit
        self._since, self._until = nanoseconds(since, 0), nanoseconds(until, LATEST + 1)
        self._ranges: list[_Range] = []
        self._found: list[tuple[float, int]] = []

    def ids(self) -> list[int]:
        """Return the ids of the rows, greatest value first; of rows with the same, any may be among them."""
        if not self._ids or self._limit < 1:
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
        bounds = {"first": first, "last": last, "least": least, "since": self._since, "until": self._until}
        rows = self._select(_GREATEST, self._ids, bounds | {"limit": self._limit})
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
        counted = {key if key <= self._view.max_names else OVERFLOW_ID for key in self._ids}
        for start, high in self._select(_MAXIMA, counted, segment._asdict()):
            yield -high, Segment(segment.width, start, start + segment.width)

    def _select(self, query: str, ids: Collection[int], bounds: Mapping[str, float]) -> sqlite3.Cursor:
        """Ask for some series; for one in the way that takes two thirds of the time."""
        if len(ids) == 1:
            return self._view.connection.execute(query.format(these=_ONE), {**bounds, "ids": next(iter(ids))})
        return self._view.connection.execute(query.format(these=_SOME), {**bounds, "ids": json.dumps(list(ids))})

    def _finer(self, period: Segment) -> Segment | None:
        """Return the finer periods of a period; None when there are none, or not any more."""
        if period.width == MINUTE:
            return None
        finer = WIDTHS[WIDTHS.index(period.width) - 1]
        return period._replace(width=finer) if period.start >= self._view.levels[finer].kept_from else None
