"""`Followed`: the course of one function or route, with its slowest calls and its callers."""

from __future__ import annotations

import time
from math import inf
from typing import TYPE_CHECKING, NamedTuple

from time_execution.backends.sqlite.schema import SECOND
from time_execution.formats.timestamp import to_datetime
from time_execution.hooks.call_tree import PARENT
from time_execution.report._slowest import Search
from time_execution.web.dashboard.data.course import WANTED, Course
from time_execution.web.dashboard.data.totals import ROWS
from time_execution.web.dashboard.data.window import END

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from time_execution.report._view import View
    from time_execution.web.dashboard.data.catalogue import Named

SLOWEST = 10
# More than are shown, since some leave the range.
_KEPT = 40
# How many of the latest metrics are looked at for callers: a tenth of a second's work at the most, seldom done.
_LOOKED_AT = 500_000
_CALLERS_INTERVAL = 30.0
_MOST_CALLERS = 20

_GREATEST = f"""SELECT -value, id, timestamp {ROWS} {WANTED} AND value > :least
ORDER BY value DESC, id LIMIT :limit"""
_MOMENT = "SELECT -value, id, timestamp FROM raw WHERE id = ?"
_CALLERS = f"""SELECT json_extract(fields, '$.{PARENT}') AS caller, count(*) {ROWS} {WANTED} AND json_valid(fields)
GROUP BY caller HAVING typeof(caller) = 'text' ORDER BY 2 DESC, 1 LIMIT {_MOST_CALLERS}"""


class _Slow(NamedTuple):
    """A slow call; the slowest sorts first."""

    negative_value: float
    id: int
    timestamp: int


class Followed(Course):
    """How some series came along, all in one group, and more.

    Which calls were the slowest is looked for once, which may take a tenth of a second; from then on, each new row is
    compared with them.

    Args:
        start: As `Course` takes it.
        end: As `Course` takes it.
        step: As `Course` takes it.
        groups_of: As `Course` takes it.
        measured: The group that is followed.

    Attributes:
        callers: Those who called, with how often among the latest metrics, most first.
    """

    def __init__(
        self, start: int, end: int | None, *, step: int, groups_of: Callable[[Named], tuple[str, ...]], measured: str
    ) -> None:
        super().__init__(start, end, step=step, groups_of=groups_of, measured=measured)
        self.callers: list[tuple[str, int]] = []
        self._slowest: list[_Slow] = []
        self._is_searched = False
        self._callers_found = -inf

    def slowest(self) -> list[int]:
        """Return the ids of the slowest calls, as far as they are known; slowest first."""
        return [slow.id for slow in self._slowest[:SLOWEST]]

    def _clear(self, now: float) -> None:
        super()._clear(now)
        self.callers, self._slowest = [], []
        self._is_searched, self._callers_found = False, -inf

    def _moved(self) -> None:
        super()._moved()
        kept = [slow for slow in self._slowest if slow.timestamp >= self.start * SECOND]
        if len(kept) < min(SLOWEST, len(self._slowest)):
            self._is_searched = False
        self._slowest = kept

    def _add_rows(
        self, view: View, series: Mapping[int, Named], *, after: int, upto: int, since: int, until: int
    ) -> None:
        super()._add_rows(view, series, after=after, upto=upto, since=since, until=until)
        if self._is_searched:
            least = -self._slowest[-1].negative_value if len(self._slowest) == _KEPT else -inf
            bounds = self._bounds(view, after=after, upto=upto, since=since, until=until)
            wanted = {**bounds, "ids": self.measured_json, "least": least, "limit": _KEPT}
            found = [_Slow(*row) for row in view.connection.execute(_GREATEST, wanted)]
            self._slowest = sorted([*self._slowest, *found])[:_KEPT]

    def _finish(self, view: View) -> None:
        if not self._is_searched:
            since = to_datetime(self.start * SECOND)
            until = None if self._end == END else to_datetime(self._end * SECOND)
            ids = Search(view, self.measured_ids, limit=_KEPT, since=since, until=until).ids()
            self._slowest = [_Slow(*row) for key in ids for row in view.connection.execute(_MOMENT, (key,))]
            self._is_searched = True
        if time.monotonic() - self._callers_found > _CALLERS_INTERVAL:
            self._callers_found = time.monotonic()
            after = max(0, self._last_id - _LOOKED_AT)
            bounds = self._bounds(view, after=after, upto=self._last_id, since=self.start, until=self._end)
            found = view.connection.execute(_CALLERS, {**bounds, "ids": self.measured_json})
            self.callers = [(str(caller), int(calls)) for caller, calls in found]

    def _is_finished(self) -> bool:
        return self._is_searched
