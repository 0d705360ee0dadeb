"""`Window`: sums over a range of time that are kept in memory, and brought up to date instead of being made anew.

What is in a window are all rows with an id up to some id whose moment lies in the part that was loaded. So bringing it
up to date means to add the rows with greater ids, wherever their moments lie: a row that comes late is counted at once.
Loading takes rollups, the latest first, in pieces that are read in milliseconds each. When the range moves on, what
leaves it is read once more and taken away.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from math import inf
from threading import RLock
from typing import TYPE_CHECKING

from time_execution.backends.sqlite.schema import DAY, HOUR, LATEST, MINUTE, SECOND

if TYPE_CHECKING:
    from collections.abc import Mapping

    from time_execution.report._view import View
    from time_execution.web.dashboard.data.catalogue import Named
    from time_execution.web.dashboard.data.reading import Look, Which

END = LATEST // SECOND // DAY * DAY
"""Where a range without an end ends, in seconds since the epoch."""

# Beyond this it takes less time to load rollups than to add rows.
_MOST_ROWS = 400_000
# Rows were deleted before they were added: everything has to be loaded again, but not all the time.
_LEAST_INTERVAL = 30.0
_COUNT = "SELECT count(*) FROM raw WHERE id > ? AND id <= ?"
_EARLIEST_WAITING = "SELECT min(timestamp) FROM raw WHERE id > ?"
_LAST_MINUTE = f"SELECT max(start) FROM rollup WHERE width = {MINUTE} AND start < ?"  # noqa: S608 - a constant


class Window(ABC):
    """Sums over a range of time. Whoever uses it holds `lock`, and opens the database only then.

    Args:
        start: The first second that counts.
        end: The end, in seconds since the epoch; None for a range that ends now, and moves on.
        widest: The longest period to load at once, one of a minute, an hour and a day.
        grain: How much to load at once where no such period fits, in seconds: a minute or more.

    Attributes:
        lock: To be held for everything here.
        start: The first second that counts: that of a period that is kept.
        is_warm: Whether all of the range was loaded, and nothing is left to do.
    """

    def __init__(self, start: int, end: int | None, *, widest: int, grain: int = MINUTE) -> None:
        self.lock = RLock()
        self.start = start
        self.is_warm = False
        self._end = END if end is None else end
        self._moves = end is None
        self._widest = widest
        self._grain = grain
        self._finest = MINUTE
        self._loaded_from = self._end
        self._last_id = -1
        self._file: Which | None = None
        self._began = -inf
        self._is_incomplete = False
        self._earliest_waiting: int | None = None

    def refresh(
        self,
        look: Look,
        series: Mapping[int, Named],
        *,
        start: int,
        now: float,
        deadline: float = inf,
        finish: bool = True,
    ) -> None:
        """Bring the window up to date, and load what is missing until the deadline; one piece at least.

        Args:
            look: The database, opened since `lock` was taken.
            series: Its series.
            start: Where the range begins by now.
            now: Seconds since the epoch.
            deadline: When to stop loading, on the clock of `time.monotonic`.
            finish: Do what takes longer than loading a piece, too, when all is loaded.
        """
        view, newest = look.view, look.view.newest_id()
        self._earliest_waiting = None
        is_same = look.file is not None and look.file == self._file
        # Until all went well: what fails midway leaves sums of which nobody knows what is in them.
        self._file, self.is_warm = None, False
        if not is_same or not self._follow(view, series, newest, start, now):
            self._begin(view, newest, start, now)
        while self._loaded_from > self.start:
            piece = max(self.start, self._piece(view, now))
            self._add_piece(view, series, piece, self._loaded_from)
            self._loaded_from = max(self.start, self._quiet_from(view, piece))
            if time.monotonic() >= deadline:
                break
        is_loaded = self._loaded_from <= self.start
        if is_loaded and finish:
            self._finish(view)
        self.is_warm = is_loaded and self._is_finished()
        self._file = look.file

    def widest(self, width: int | None = None) -> int:
        """Return the longest period to read where those of a width would do: at least as long as what is kept."""
        return max(self._widest if width is None else width, self._finest)

    def loaded_from(self) -> int:
        """Return the second from which on everything is counted; `start` once the window is warm."""
        return max(self.start, self._loaded_from)

    def seconds(self, now: float) -> float:
        """Return how many seconds are counted, up to the present moment or the end; one at least."""
        return max(1.0, min(now, self._end) - self.loaded_from())

    def _follow(self, view: View, series: Mapping[int, Named], newest: int, start: int, now: float) -> bool:
        """Take away what has left the range, and add new rows; False when that cannot be done."""
        after, loaded_from = self._last_id, self._loaded_from
        start = start // self._finest * self._finest
        if not after <= newest <= after + _MOST_ROWS or not self._has_room(max(start, self.start), now):
            return False
        if newest > after:
            (count,) = view.connection.execute(_COUNT, (after, newest)).fetchone()
            self._is_incomplete = self._is_incomplete or count < newest - after
        if self._is_incomplete and time.monotonic() - self._began > _LEAST_INTERVAL:
            return False
        self._last_id = newest
        if self._moves and start > self.start:
            if loaded_from < start:
                kept_from = view.levels[MINUTE if loaded_from % HOUR or start % HOUR else HOUR].kept_from
                # What was deleted cannot be taken away; and most of a range takes less time to load than to take away.
                if loaded_from < kept_from or 2 * (start - loaded_from) > now - loaded_from:
                    return False
                try:
                    self._leave(view, series, after, start)
                except OverflowError:
                    return False
            self.start = start
            self._moved()
        if newest > after:
            self._add_rows(view, series, after=after, upto=newest, since=self._loaded_from, until=self._end)
        return True

    def _leave(self, view: View, series: Mapping[int, Named], after: int, start: int) -> None:
        """Take away what lies before a second: first of all, what is new there is to be counted."""
        if self._last_id > after:
            self._add_rows(view, series, after=after, upto=self._last_id, since=self._loaded_from, until=start)
        self._drop(view, series, self._loaded_from, start)
        self._loaded_from = start

    def _begin(self, view: View, newest: int, start: int, now: float) -> None:
        """Begin with nothing."""
        self._finest = MINUTE
        for width, finer in ((HOUR, MINUTE), (DAY, HOUR)):
            if start < view.levels[finer].kept_from:
                # What is shorter is not kept any more.
                self._finest = width
                start = start // width * width
                self._end = -(-self._end // width) * width
        self.start = start
        self._last_id = newest
        self._loaded_from = self._end
        self._began = time.monotonic()
        self._is_incomplete = False
        self._clear(now)

    def _piece(self, view: View, now: float) -> int:
        """Return where the next piece to load begins, which ends where the part that was loaded begins."""
        end = self._loaded_from
        if end == END:
            return int(min(now, END - 1)) // MINUTE * MINUTE
        for width in (DAY, HOUR):
            is_whole = end % width == 0 and self.start <= end - width
            if width <= self.widest() and is_whole and end <= view.levels[width].filled_until:
                return end - width
        return (end - 1) // self._grain * self._grain

    def _quiet_from(self, view: View, end: int) -> int:
        """Return the second from which on nothing happened up to another one: nothing has to be read there."""
        if end * SECOND > self._earliest(view):
            return end
        (last,) = view.connection.execute(_LAST_MINUTE, (end,)).fetchone()
        quiet = max(view.levels[MINUTE].kept_from, 0 if last is None else int(last) + MINUTE)
        # Where long periods end, so that these can be read as a whole.
        ends = (-(-quiet // width) * width for width in (DAY, HOUR, MINUTE))
        return min(end, next((moment for moment in ends if moment < end), end))

    def _waiting(self, view: View, start: int, end: int) -> dict[str, int] | None:
        """Return the bounds of rows that are not rolled up yet and lie in a piece; None when there is none."""
        if end * SECOND <= self._earliest(view):
            return None
        return self._bounds(view, after=view.watermark, upto=self._last_id, since=start, until=end)

    def _earliest(self, view: View) -> int:
        """Return the moment of the earliest row that is not rolled up yet."""
        if self._earliest_waiting is None:
            (earliest,) = view.connection.execute(_EARLIEST_WAITING, (view.watermark,)).fetchone()
            self._earliest_waiting = LATEST if earliest is None else earliest
        return self._earliest_waiting

    def _bounds(self, view: View, *, after: int, upto: int, since: int, until: int) -> dict[str, int]:
        bounds = {"after": after, "upto": upto, "since": since * SECOND, "until": until * SECOND}
        return {**bounds, "max_names": view.max_names}

    @abstractmethod
    def _has_room(self, start: int, now: float) -> bool:
        """Say whether there is a place for the present moment, in a range that begins at a second."""

    def _finish(self, view: View) -> None:  # noqa: B027 - most have nothing to do
        """Do what is left when all is loaded."""

    def _is_finished(self) -> bool:
        """Say whether nothing is left to do."""
        return True

    @abstractmethod
    def _moved(self) -> None:
        """Forget what lies before `start`, which has moved on; what `_drop` took away is gone already."""

    @abstractmethod
    def _clear(self, now: float) -> None:
        """Forget everything."""

    @abstractmethod
    def _add_rows(
        self, view: View, series: Mapping[int, Named], *, after: int, upto: int, since: int, until: int
    ) -> None:
        """Count rows by their ids, of those moments only."""

    @abstractmethod
    def _add_piece(self, view: View, series: Mapping[int, Named], start: int, end: int) -> None:
        """Count what happened between two seconds, as rollups and the rows after them tell."""

    @abstractmethod
    def _drop(self, view: View, series: Mapping[int, Named], start: int, end: int) -> None:
        """Take away what happened between two seconds; OverflowError when that was never counted."""
