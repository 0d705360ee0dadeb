"""One function over time: percentiles, histogram, slowest and failed calls, callers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from time_execution.web.dashboard.data import detail

if TYPE_CHECKING:
    from time_execution.web.dashboard.data.query import Query
    from time_execution.web.dashboard.data.store import Store

EMPTY: dict[str, Any] = {"name": "", **detail.EMPTY}


def data(store: Store, query: Query) -> dict[str, Any]:
    """Return one function, ``query.name``, over time.

    Returns:
        ``name``, ``summary`` (a row as `functions` has, with ``first`` and ``last``; None when it did not run),
        ``times``, ``calls``, ``errors``, ``mean``, ``p50``, ``p95``, ``p99``, ``max`` (lists, a number for each of
        `times`), ``histogram`` (``low``, ``high``: ms, ``count``), ``slowest`` and ``failed`` (lists of ``time``,
        ``value``, ``hostname``, ``error``, ``fields``), ``callers`` (``name``, ``calls``: among the latest calls that
        tell), most first.
    """
    found = detail.over_time(
        store, query, key=("function", query.name), wanted=lambda series: series.text == query.name
    )
    with store.totals(query) as used:
        window, series = used.window, used.series
        ids = [key for key in window.series if series[key].text == query.name]
        of_all = sum(each.total for key, each in window.series.items() if series[key].is_function)
        ranges = window.spark_ranges(query.now)
        return {
            **found,
            "name": query.name,
            "summary": detail.summary(window.series, ids, of_all=of_all, ranges=ranges),
            "warming": found["warming"] or not window.is_warm,
        }
