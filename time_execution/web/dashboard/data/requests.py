"""Which requests there are: rates and percentiles over time, and a row for each route."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from time_execution.web.dashboard.data import application
from time_execution.web.dashboard.data.catalogue import REQUEST, Named
from time_execution.web.dashboard.data.figures import Points, matching, rounded, row
from time_execution.web.dashboard.data.page import STEP

if TYPE_CHECKING:
    from collections.abc import Mapping

    from time_execution.web.dashboard.data.query import Query
    from time_execution.web.dashboard.data.store import Store
    from time_execution.web.dashboard.data.totals import SeriesTotals, Totals

EMPTY: dict[str, Any] = {
    "times": [],
    "rate": {name: [] for name in application.CLASSES},
    "p50": [],
    "p95": [],
    "p99": [],
    "rows": [],
    "truncated": False,
}

_OfStatus = dict[str, "SeriesTotals"]


def data(store: Store, query: Query) -> dict[str, Any]:
    """Return requests over time, and a row for each method and route, or those that contain ``q``.

    Returns:
        ``times``, ``rate`` (``2xx``, ``3xx``, ``4xx``, ``5xx``: lists, requests a second), ``p50``, ``p95``, ``p99``
        (lists, ms), ``rows`` (list of ``method``, ``route``, ``calls``, ``rate`` (/s), ``errors``, ``error_rate`` (%),
        ``statuses`` (status -> calls), ``mean``, ``p50``, ``p95``, ``p99``, ``max``, ``total``: ms, ``share``,
        ``spark``: the mean in each 24th of the range), ``truncated``.
    """
    found = _over_time(store, query)
    with store.totals(query) as used:
        rows, is_truncated = _rows(used.window, used.series, query)
        is_warm = used.window.is_warm and not found["warming"]
    return {**found, "rows": rows, "truncated": is_truncated, "warming": not is_warm}


def _over_time(store: Store, query: Query) -> dict[str, Any]:
    with application.course(store, query) as used:
        points = Points(used.window, query.now)
        groups = {name: points.of(name) for name in application.CLASSES}
        return {
            "times": points.times,
            "rate": {name: points.rates(None if group is None else group.calls) for name, group in groups.items()},
            **points.percentiles(points.of(application.REQUESTS)),
            STEP: used.window.step,
            "warming": not used.window.is_warm,
        }


def _rows(window: Totals, series: Mapping[int, Named], query: Query) -> tuple[list[dict[str, Any]], bool]:
    """Return the rows that are wanted, greatest total first, and whether there are more."""
    routes: defaultdict[tuple[str, str], _OfStatus] = defaultdict(dict)
    of_all = 0.0
    for key, each in window.series.items():
        if series[key].family == REQUEST:
            labels = series[key].labels
            of_all += each.total
            route = labels.get("method", ""), labels.get("route", "")
            if matching(f"{route[0]} {route[1]}", query.q):
                routes[route][labels.get("status_code", "")] = each
    ranked = sorted(routes.items(), key=lambda found: (-sum(each.total for each in found[1].values()), found[0]))
    seconds = window.seconds(query.now)
    ranges = window.spark_ranges(query.now)
    rows = [
        {"method": method, "route": route, **_row(statuses, of_all, seconds), "spark": _spark(statuses, ranges)}
        for (method, route), statuses in ranked[: query.limit]
    ]
    return rows, len(ranked) > query.limit


def _row(statuses: _OfStatus, of_all: float, seconds: float) -> dict[str, Any]:
    found = row(list(statuses.values()), of_all=of_all)
    return {
        **found,
        "rate": rounded(found["calls"] / seconds),
        "error_rate": rounded(100.0 * found["errors"] / found["calls"]),
        "statuses": {status: statuses[status].calls for status in sorted(statuses)},
    }


def _spark(statuses: _OfStatus, ranges: list[tuple[int, int]]) -> list[float | None]:
    """Return the mean of all statuses together in each range of units."""
    points: list[float | None] = []
    for start, end in ranges:
        calls = sum(sum(each.of_unit[0][start:end]) for each in statuses.values())
        total = sum(sum(each.of_unit[2][start:end]) for each in statuses.values())
        points.append(rounded(total / calls, 3) if calls else None)
    return points
