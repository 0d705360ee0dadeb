"""Figures as JSON shows them: rows of tables, points of plots. None stands for a gap."""

from __future__ import annotations

from math import inf, isfinite
from typing import TYPE_CHECKING, Any

from time_execution.web.dashboard.data.histogram import Histogram, merged

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from time_execution.web.dashboard.data.course import Course, Group
    from time_execution.web.dashboard.data.totals import SeriesTotals

PERCENTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}

# Steps so close to something that was stored count as times at which the application ran: what is missing there is
# zero, not unknown. Gauges come once a minute by default.
_ALIVE_FOR = 150


def rounded(number: float, digits: int = 4) -> float | None:
    """Return a number with so many significant digits; None in place of one that JSON does not know."""
    return float(f"{number:.{digits}g}") if isfinite(number) else None


def percentiles(histogram: Histogram, *, low: float, high: float) -> dict[str, float | None]:
    """Return ``p50``, ``p95`` and ``p99``; None without a value."""
    found = histogram.quantiles(tuple(PERCENTILES.values()), least=low, greatest=high)
    if not found:
        return dict.fromkeys(PERCENTILES)
    return dict(zip(PERCENTILES, found, strict=True))


def row(totals: Sequence[SeriesTotals], *, of_all: float) -> dict[str, Any]:
    """Return what one or more series came to together.

    Args:
        totals: Of the series; at least one.
        of_all: The total that `share` is of.

    Returns:
        ``calls``, ``errors``, ``mean``, ``p50``, ``p95``, ``p99``, ``max``, ``total`` and ``share``.
    """
    histogram = totals[0].histogram if len(totals) == 1 else merged(each.histogram for each in totals)
    low, high = min(each.low for each in totals), max(each.high for each in totals)
    total = sum(each.total for each in totals)
    measured = histogram.total()
    return {
        "calls": sum(each.calls for each in totals),
        "errors": sum(each.errors for each in totals),
        "mean": finite(total / measured) if measured else None,
        **percentiles(histogram, low=low, high=high),
        "max": finite(high),
        "total": finite(total),
        "share": rounded(total / of_all) if of_all > 0 else 0.0,
    }


def finite(number: float) -> float | None:
    """Return a number, None in place of one that JSON does not know."""
    return number if isfinite(number) else None


class Points:
    """The points of a course's plots.

    Args:
        course: It; held.
        now: The present moment, in seconds since the epoch.

    Attributes:
        times: Where each step begins, in seconds since the epoch.
    """

    def __init__(self, course: Course, now: float) -> None:
        self._course = course
        self._now = now
        self.times = course.times(now)
        self._alive = self._steps_alive()

    def of(self, name: str) -> Group | None:
        """Return a group; None when there was nothing of it."""
        return self._course.groups.get(name)

    def names(self, prefix: str) -> list[str]:
        """Return the names of the groups that begin with a text."""
        return sorted(name for name in self._course.groups if name.startswith(prefix))

    def failing(self, name: str) -> list[float | None]:
        """Return 1 for each step in which a check failed, 0 for the others; None where it did not run."""
        group = self._course.groups[name]
        ran = [float(group.errors[step] > 0) if group.calls[step] else None for step in range(len(self.times))]
        return self.carried(ran)

    def counts(self, numbers: Sequence[float] | None) -> list[int | None]:
        """Return how many there were in each step; None where nothing at all was stored."""
        return [
            int(numbers[step]) if numbers is not None and numbers[step] else 0 if is_alive else None
            for step, is_alive in enumerate(self._alive)
        ]

    def rates(self, numbers: Sequence[float] | None) -> list[float | None]:
        """Return how many a second there were in each step; the one that is under way counts from its half on."""
        counts = self.counts(numbers)
        seconds = float(self._course.step)
        rates = [None if count is None else rounded(count / seconds) for count in counts]
        if rates and counts[-1] is not None:
            is_early = self._now - self.times[-1] < seconds / 2
            # Of a range that does not divide into whole steps, less than a step is left at its end.
            rates[-1] = None if is_early else rounded(counts[-1] / self._course.passed(self._now))
        return rates

    def shares(self, part: Sequence[float], whole: Sequence[float]) -> list[float | None]:
        """Return how many percent a part is in each step; None where there is no whole."""
        return [rounded(100.0 * part[step] / whole[step]) if whole[step] else None for step in range(len(self.times))]

    def means(self, group: Group | None) -> list[float | None]:
        """Return the mean of a group in each step; of the measured one, what has no value does not count."""
        if group is None:
            return [None] * len(self.times)
        is_measured = group is self._course.groups.get(self._course.measured)
        counts = [histogram.total() for histogram in self._course.histograms] if is_measured else group.calls
        return [rounded(group.total[step] / counts[step]) if counts[step] else None for step in range(len(self.times))]

    def carried(self, points: Sequence[float | None]) -> list[float | None]:
        """Return points in which what is measured now and then stands until the next time, for 150 s."""
        most = int(_ALIVE_FOR // self._course.step)
        found: list[float | None] = []
        missing = 0
        for point in points:
            missing = 0 if point is not None else missing + 1
            found.append(found[-1] if point is None and missing <= most and found else point)
        return found

    def percentiles(self, group: Group | None) -> dict[str, list[float | None]]:
        """Return ``p50``, ``p95`` and ``p99`` of the measured group in each step."""
        found: dict[str, list[float | None]] = {name: [] for name in PERCENTILES}
        for step in range(len(self.times)):
            low, high = (-inf, inf) if group is None else (group.low[step], group.high[step])
            each = percentiles(self._course.histograms[step], low=low, high=high)
            for name, points in found.items():
                points.append(each[name])
        return found

    def maxima(self, group: Group | None) -> list[float | None]:
        """Return the greatest value of a group in each step."""
        return [None if group is None else finite(group.high[step]) for step in range(len(self.times))]

    def _steps_alive(self) -> list[bool]:
        """Say of each step whether the application ran then, as far as can be told."""
        reach = int(_ALIVE_FOR // self._course.step)
        first_loaded = self._course.loaded_from()
        seen = [False] * len(self.times)
        for group in self._course.groups.values():
            for step, calls in enumerate(group.calls[: len(seen)]):
                seen[step] = seen[step] or calls > 0
        return [
            time >= first_loaded and any(seen[max(0, step - reach) : step + reach + 1])
            for step, time in enumerate(self.times)
        ]


def last_of(points: Iterable[float | None]) -> float | None:
    """Return the last point that is none of a gap."""
    known = [point for point in points if point is not None]
    return known[-1] if known else None


def matching(text: str, q: str) -> bool:
    """Whether a text contains another, in whatever case."""
    return not q or q.casefold() in text.casefold()
