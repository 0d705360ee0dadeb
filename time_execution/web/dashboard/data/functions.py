"""Where the time goes: a row for each function."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from time_execution.web.dashboard.data.figures import finite, matching, row

if TYPE_CHECKING:
    from time_execution.web.dashboard.data.query import Query
    from time_execution.web.dashboard.data.store import Store

EMPTY: dict[str, Any] = {"total_ms": 0.0, "rows": [], "truncated": False}


def data(store: Store, query: Query) -> dict[str, Any]:
    """Return a row for each function that ran in the range, greatest total first, or those whose name contains ``q``.

    Returns:
        ``total_ms`` (of all functions), ``rows`` (list of ``name``, ``calls``, ``errors``, ``mean``, ``p50``, ``p95``,
        ``p99``, ``max``, ``total``: ms, ``share``: of `total_ms`, ``spark``: the mean in each 24th of the range, None
        where there was no call), ``truncated``.
    """
    with store.totals(query) as used:
        window, series = used.window, used.series
        functions = [(each, series[key].text) for key, each in window.series.items() if series[key].is_function]
        of_all = sum(each.total for each, _ in functions)
        wanted = [(each, name) for each, name in functions if matching(name, query.q)]
        wanted.sort(key=lambda found: (-found[0].total, found[1]))
        ranges = window.spark_ranges(query.now)
        rows = [
            {"name": name, **row([each], of_all=of_all), "spark": each.spark(ranges)}
            for each, name in wanted[: query.limit]
        ]
        return {
            "total_ms": finite(of_all),
            "rows": rows,
            "truncated": len(wanted) > query.limit,
            "warming": not window.is_warm,
        }
