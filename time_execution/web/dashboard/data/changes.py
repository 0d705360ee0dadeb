"""What became slower, and what fails more often: the last ten minutes against the hours before."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from time_execution.backends.sqlite.schema import MINUTE
from time_execution.formats.histogram import bucket_of
from time_execution.web.dashboard.data.catalogue import REQUEST, Named
from time_execution.web.dashboard.data.histogram import Histogram, merged
from time_execution.web.dashboard.data.query import Length

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from time_execution.web.dashboard.data.totals import SeriesTotals, Totals

LATELY = Length(10 * MINUTE, MINUTE, MINUTE)
"""The minutes that are compared with what came before."""

_P95 = (0.95,)
# Fewer calls than that make no percentile worth a sentence.
_LEAST_CALLS = 20
_LEAST_BEFORE = 100
_DOUBLED = 2.0
# What takes a thousandth of a second more annoys nobody.
_LEAST_MS = 1.0


class Slower(NamedTuple):
    """A function or a route that takes at least twice as long as before.

    Attributes:
        name: Of the function, or method and route.
        method: Of the route; "" of a function.
        route: Its template; "" of a function.
        calls: In the last ten minutes.
        p95: In ms, of the last ten minutes.
        before: The same of the hours before.
    """

    name: str
    method: str
    route: str
    calls: int
    p95: float
    before: float


class Failing(NamedTuple):
    """How many requests there were and failed.

    Attributes:
        calls: In the last ten minutes.
        errors: Of these.
        calls_before: In the hours before.
        errors_before: Of those.
    """

    calls: int
    errors: int
    calls_before: int
    errors_before: int


def slower(lately: Totals, day: Totals, series: Mapping[int, Named]) -> list[Slower]:
    """Return what became at least twice as slow, what costs most in all first.

    Args:
        lately: Of the last ten minutes.
        day: Of the last day, these minutes included; brought up to date after `lately`.
        series: Id -> series.
    """
    named: defaultdict[tuple[str, str, str], list[int]] = defaultdict(list)
    for key in lately.series:
        if series[key].is_function:
            named[series[key].text, "", ""].append(key)
        elif series[key].family == REQUEST:
            method, route = (series[key].labels.get(label, "") for label in ("method", "route"))
            named[f"{method} {route}", method, route].append(key)
    found = []
    for name, keys in named.items():
        compared = _compared(
            [lately.series[key] for key in keys], [day.series[key] for key in keys if key in day.series]
        )
        if compared is not None:
            found.append(Slower(*name, *compared))
    return sorted(found, key=lambda each: (-(each.p95 - each.before) * each.calls, each.name))


def failing(lately: Totals, day: Totals, series: Mapping[int, Named]) -> Failing:
    """Return how many requests failed, lately and before; the arguments are those of `slower`."""
    now = [each for key, each in lately.series.items() if series[key].family == REQUEST]
    all_day = [each for key, each in day.series.items() if series[key].family == REQUEST]
    calls, errors = sum(each.calls for each in now), sum(each.errors for each in now)
    calls_of_day, errors_of_day = sum(each.calls for each in all_day), sum(each.errors for each in all_day)
    return Failing(calls, errors, max(0, calls_of_day - calls), max(0, errors_of_day - errors))


def p95_of_requests(lately: Totals, series: Mapping[int, Named]) -> float | None:
    """Return the 95th percentile of all requests, in ms; None without any."""
    found = [each for key, each in lately.series.items() if series[key].family == REQUEST]
    if not found:
        return None
    p95 = _one(found).quantiles(_P95, **_extremes(found))
    return p95[0] if p95 else None


def _compared(lately: list[SeriesTotals], day: list[SeriesTotals]) -> tuple[int, float, float] | None:
    """Return how often something was called lately, and its 95th percentile then and before, if that has doubled."""
    calls = sum(each.calls for each in lately)
    if calls < _LEAST_CALLS or sum(each.calls for each in day) < calls + _LEAST_BEFORE:
        return None
    now, all_day = _one(lately), _one(day)
    found = now.quantiles(_P95, **_extremes(lately))
    if not found or not _may_have_doubled(now, all_day, found[0]):
        return None
    earlier = _without(all_day, now).quantiles(_P95, **_extremes(day))
    if not earlier or found[0] < max(_DOUBLED * earlier[0], earlier[0] + _LEAST_MS):
        return None
    return calls, found[0], earlier[0]


def _may_have_doubled(now: Histogram, all_day: Histogram, p95: float) -> bool:
    """Whether 95 of a hundred calls before took half as long at the most; answers most questions by two sums."""
    bucket = bucket_of(p95 / _DOUBLED)
    before = all_day.total() - now.total()
    return all_day.upto(bucket) - now.upto(bucket) >= _P95[0] * before - 1


def _extremes(totals: list[SeriesTotals]) -> dict[str, float]:
    return {"least": min(each.low for each in totals), "greatest": max(each.high for each in totals)}


def _one(totals: list[SeriesTotals]) -> Histogram:
    return totals[0].histogram if len(totals) == 1 else merged(each.histogram for each in totals)


def _without(all_of_it: Histogram, part: Histogram) -> Histogram:
    """Return a histogram without what another has counted."""
    rest = Histogram()
    rest.low, rest.counts = all_of_it.low, all_of_it.counts[:]
    for bucket, count in part.items():
        place = bucket - rest.low
        if 0 <= place < len(rest.counts):
            rest.counts[place] -= min(count, rest.counts[place])
    return rest


def worst(found: Iterable[Slower], most: int) -> list[dict[str, object]]:
    """Return the first few as JSON shows them: ``name``, ``p95``, ``before``, ``calls``, ``method``, ``route``."""
    return [each._asdict() for each, _ in zip(found, range(most), strict=False)]
