"""`Course`: how a few groups of series came along in a range of time, step by step."""

from __future__ import annotations

import json
from array import array
from itertools import repeat
from math import ceil, inf
from typing import TYPE_CHECKING, Any

from time_execution.backends.sqlite.schema import DAY, HOUR, MINUTE, SECOND
from time_execution.formats.histogram import NO_NUMBER
from time_execution.web.dashboard.data.histogram import Histogram
from time_execution.web.dashboard.data.totals import BUCKET_BITS, COUNTED_ID, ROWS
from time_execution.web.dashboard.data.window import Window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from time_execution.report._view import Segment, View
    from time_execution.web.dashboard.data.catalogue import Named

_BUCKET = (1 << BUCKET_BITS) - 1
WANTED = f"AND ({COUNTED_ID}) IN (SELECT value FROM json_each(:ids))"  # noqa: S608 - constants
"""Those of some series only; takes ``:ids``, a JSON array, and ``:max_names``."""

_STEP_OF_ROW = f"(timestamp / {SECOND} - :base) / :step"
_SUMS_OF_ROWS = f"""SELECT {_STEP_OF_ROW}, {COUNTED_ID}, count(*), sum(error), total(value), min(value), max(value),
    min(timestamp), max(timestamp) {ROWS} {WANTED} GROUP BY 1, 2"""
_KEYS_OF_ROWS = f"""SELECT json_group_array(({_STEP_OF_ROW}) << {BUCKET_BITS} | bucket)
{ROWS} {WANTED} AND bucket <> {NO_NUMBER}"""

# Found by their keys in each period in turn: the series in between are not read.
_OF_IDS = """FROM (
        WITH RECURSIVE periods(period) AS (
            SELECT :start UNION ALL SELECT period + :width FROM periods WHERE period + :width < :end
        ) SELECT period FROM periods
    ) CROSS JOIN (SELECT value AS wanted FROM json_each(:ids)) CROSS JOIN {table} AS found
    ON found.width = :width AND found.start = period AND found.name_id = wanted"""
_SUMS = f"""SELECT (start - :base) / :step, name_id, sum(calls), sum(errors), total(total), min(low), max(high),
    min(first) * {SECOND}, max(last) * {SECOND} {_OF_IDS.format(table="rollup")} GROUP BY 1, 2"""
_CELLS = f"""SELECT json_group_array(cell), json_group_array(calls) FROM (
    SELECT (start - :base) / :step << {BUCKET_BITS} | bucket AS cell, sum(calls) AS calls
    {_OF_IDS.format(table="histogram")} GROUP BY 1)"""  # noqa: S608 - constants
_LAST_PERIOD = "SELECT max(start) FROM rollup WHERE width = ?"
_CHUNKS = "SELECT first_id, last_id FROM chunks WHERE newest >= :since AND oldest < :until"
# What clocks that are ahead have stamped, and so lies beyond the last step, is left out.
_STEPS_AHEAD = 2


class Group:
    """What a group came to; lists have a number for each step.

    Attributes:
        calls: How many.
        errors: How many of them failed.
        total: The sum of the values.
        low: The least value; infinite without any.
        high: The greatest; minus infinity without any.
        first: The moment of the first, in nanoseconds since the epoch; its minute where no more is known.
        last: The moment of the last, likewise.
    """

    __slots__ = ("calls", "errors", "first", "high", "last", "low", "total")

    def __init__(self, steps: int) -> None:
        self.calls, self.errors, self.total = (array("d", repeat(0.0, steps)) for _ in range(3))
        self.low, self.high = array("d", repeat(inf, steps)), array("d", repeat(-inf, steps))
        self.first, self.last = 1 << 62, 0

    def add(self, step: int, sums: Iterable[Any]) -> None:
        """Count calls, errors, total, least and greatest value, first and last moment: those of a step."""
        calls, errors, total, low, high, first, last = sums
        self.calls[step] += calls
        self.errors[step] += errors
        self.total[step] += total
        if low is not None:
            self.low[step] = min(self.low[step], low)
            self.high[step] = max(self.high[step], high)
        self.first = min(self.first, first)
        self.last = max(self.last, last)

    def shift(self, steps: int) -> None:
        """Forget the first steps, and make room for as many after the last."""
        zeros = ((numbers, 0.0) for numbers in (self.calls, self.errors, self.total))
        for numbers, nothing in (*zeros, (self.low, inf), (self.high, -inf)):
            del numbers[:steps]
            numbers.extend(repeat(nothing, steps))


class Course(Window):
    """How groups of series came along.

    Args:
        start: The first second that counts.
        end: The end; None for a range that ends now.
        step: How long a step is, in seconds; below a minute, single metrics are read instead of rollups.
        groups_of: Returns the groups that a series belongs to; most belong to none.
        measured: The group whose values are counted in histograms; "" for none.

    Attributes:
        step: As given.
        groups: Group -> what it came to; those only that there was something of.
        histograms: Of the values of the measured group, in each step.
        measured: As given.
        measured_ids: The series of that group.
        measured_json: The same as a JSON array, for queries.
    """

    def __init__(
        self,
        start: int,
        end: int | None,
        *,
        step: int,
        groups_of: Callable[[Named], tuple[str, ...]],
        measured: str = "",
    ) -> None:
        # The widest period that steps are made of; what is shorter than a minute is made of rows.
        widest = next((width for width in (DAY, HOUR, MINUTE) if step % width == 0), MINUTE)
        super().__init__(start, end, widest=widest, grain=max(step, MINUTE))
        self.step = step
        self.groups: dict[str, Group] = {}
        self.histograms: list[Histogram] = []
        self._groups_of = groups_of
        self.measured = measured
        self._base = start
        self._steps = 1
        self._known: Mapping[int, Named] = {}
        self._groups_by_id: dict[int, tuple[str, ...]] = {}
        self._ids = self.measured_json = "[]"
        self.measured_ids: list[int] = []

    def times(self, now: float) -> list[float]:
        """Return where each step begins, in seconds since the epoch: those that have begun."""
        count = ceil((min(now, self._end) - self._base) / self.step)
        return [float(self._base + step * self.step) for step in range(max(0, min(count, self._steps)))]

    def passed(self, now: float) -> float:
        """Return how much of the last of these steps lies in the range, and is past, in seconds."""
        end = min(now, self._end)
        return end - self._base - max(0, ceil((end - self._base) / self.step) - 1) * self.step

    def _clear(self, now: float) -> None:
        self.groups = {}
        self._base = self.start
        self._steps = max(1, ceil((min(now, self._end) - self.start) / self.step))
        if self._moves:
            # The present moves on before the range does, which happens once an hour at the least.
            self._steps += max(_STEPS_AHEAD, ceil(HOUR / self.step))
        self.histograms = [Histogram() for _ in range(self._steps)]

    def _has_room(self, start: int, now: float) -> bool:
        return not self._moves or now - start < self._steps * self.step

    def _moved(self) -> None:
        steps = (self.start - self._base) // self.step
        self._base += steps * self.step
        for name, group in list(self.groups.items()):
            group.shift(steps)
            if not any(group.calls):
                del self.groups[name]
            elif group.first < self._base * SECOND:
                step = next(step for step, calls in enumerate(group.calls) if calls)
                group.first = (self._base + step * self.step) * SECOND
        del self.histograms[:steps]
        self.histograms.extend(Histogram() for _ in range(steps))

    def _drop(self, view: View, series: Mapping[int, Named], start: int, end: int) -> None:
        """Do nothing: what leaves the range are whole steps."""

    def _add_rows(
        self, view: View, series: Mapping[int, Named], *, after: int, upto: int, since: int, until: int
    ) -> None:
        self._know(series)
        self._add_raw(view, self._bounds(view, after=after, upto=upto, since=since, until=until))

    def _add_piece(self, view: View, series: Mapping[int, Named], start: int, end: int) -> None:
        self._know(series)
        if self.step < MINUTE:
            piece = {"since": start * SECOND, "until": end * SECOND}
            for first, last in view.connection.execute(_CHUNKS, piece).fetchall():
                self._add_raw(view, self._bounds(view, after=first - 1, upto=last, since=start, until=end))
        else:
            for segment in view.segments(start, min(end, self._rolled_up_until(view)), widest=self.widest()):
                self._add_segment(view, segment)
        waiting = self._waiting(view, start, end)
        if waiting is not None:
            self._add_raw(view, waiting)

    def _know(self, series: Mapping[int, Named]) -> None:
        """Find the series that belong to a group, when there are new ones."""
        if series is self._known:
            return
        self._known = series
        self._groups_by_id = {key: groups for key, named in series.items() if (groups := self._groups_of(named))}
        self._ids = json.dumps(list(self._groups_by_id))
        self.measured_ids = [key for key, groups in self._groups_by_id.items() if self.measured in groups]
        self.measured_json = json.dumps(self.measured_ids)

    def _rolled_up_until(self, view: View) -> int:
        """Return the second from which on there is no rollup: up to there, each period is looked for."""
        (last,) = view.connection.execute(_LAST_PERIOD, (MINUTE,)).fetchone()
        return self.start if last is None else int(last) + MINUTE

    def _add_segment(self, view: View, segment: Segment) -> None:
        bounds = {**segment._asdict(), "base": self._base, "step": self.step}
        self._add_sums(view.connection.execute(_SUMS, {**bounds, "ids": self._ids}))
        if self.measured:
            keys, calls = view.connection.execute(_CELLS, {**bounds, "ids": self.measured_json}).fetchone()
            self._count(json.loads(keys), json.loads(calls))

    def _add_raw(self, view: View, bounds: Mapping[str, int]) -> None:
        bounds = {**bounds, "base": self._base, "step": self.step}
        self._add_sums(view.connection.execute(_SUMS_OF_ROWS, {**bounds, "ids": self._ids}))
        if self.measured:
            (keys,) = view.connection.execute(_KEYS_OF_ROWS, {**bounds, "ids": self.measured_json}).fetchone()
            self._count(json.loads(keys), repeat(1))

    def _add_sums(self, rows: Iterable[tuple[Any, ...]]) -> None:
        for step, key, *sums in rows:
            if step < self._steps:
                for name in self._groups_by_id[key]:
                    group = self.groups.get(name)
                    if group is None:
                        group = self.groups[name] = Group(self._steps)
                    group.add(step, sums)

    def _count(self, keys: Iterable[int], counts: Iterable[int]) -> None:
        for key, count in zip(keys, counts):  # noqa: B905 - one of the counts may stand for all
            if key >> BUCKET_BITS < self._steps:
                self.histograms[key >> BUCKET_BITS].add(key & _BUCKET, count)
