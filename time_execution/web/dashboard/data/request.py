"""One route over time."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from time_execution.web.dashboard.data import detail
from time_execution.web.dashboard.data.catalogue import REQUEST, Named
from time_execution.web.dashboard.data.figures import rounded

if TYPE_CHECKING:
    from time_execution.web.dashboard.data.query import Query
    from time_execution.web.dashboard.data.store import Store

EMPTY: dict[str, Any] = {"name": "", "method": "", "route": "", "statuses": {}, **detail.EMPTY}


def data(store: Store, query: Query) -> dict[str, Any]:
    """Return one route, ``query.method`` and ``query.route``, over time: as `function`, and ``statuses``.

    Returns:
        What `function` does with ``method``, ``route`` and ``statuses`` (status -> calls); its summary has ``rate``
        and ``error_rate``, too.
    """

    def wanted(series: Named) -> bool:
        return series.family == REQUEST and (
            (series.labels.get("method"), series.labels.get("route")) == (query.method, query.route)
        )

    key = ("request", query.method, query.route)
    found = detail.over_time(store, query, key=key, wanted=wanted)
    with store.totals(query) as used:
        window, series = used.window, used.series
        ids = [key for key in window.series if wanted(series[key])]
        of_all = sum(each.total for key, each in window.series.items() if series[key].family == REQUEST)
        summary = detail.summary(window.series, ids, of_all=of_all, ranges=window.spark_ranges(query.now))
        if summary is not None:
            summary["rate"] = rounded(summary["calls"] / window.seconds(query.now))
            summary["error_rate"] = rounded(100.0 * summary["errors"] / summary["calls"])
        statuses: Counter[str] = Counter()
        for each in ids:
            statuses[series[each].labels.get("status_code", "")] += window.series[each].calls
        return {
            **found,
            "name": f"{query.method} {query.route}",
            "method": query.method,
            "route": query.route,
            "statuses": dict(sorted(statuses.items())),
            "summary": summary,
            "warming": found["warming"] or not window.is_warm,
        }
