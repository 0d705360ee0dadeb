"""What the pages of one function and of one route show alike."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from time_execution.backends.sqlite.schema import LATEST, SECOND
from time_execution.report._calls import calls_of
from time_execution.report.live import errors_in
from time_execution.web.dashboard.data.catalogue import SYSTEM_PREFIX, Named
from time_execution.web.dashboard.data.figures import Points, row
from time_execution.web.dashboard.data.followed import Followed
from time_execution.web.dashboard.data.histogram import merged
from time_execution.web.dashboard.data.page import STEP

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Hashable, Mapping

    from time_execution.report import Call
    from time_execution.report._view import View
    from time_execution.web.dashboard.data.query import Query
    from time_execution.web.dashboard.data.store import Store
    from time_execution.web.dashboard.data.totals import SeriesTotals

EMPTY: dict[str, Any] = {
    "summary": None,
    "times": [],
    "calls": [],
    "errors": [],
    "mean": [],
    "p50": [],
    "p95": [],
    "p99": [],
    "max": [],
    "histogram": [],
    "slowest": [],
    "failed": [],
    "callers": [],
}

_FOLLOWED = "followed"
_ALIVE = "alive"
_MOST_FAILED = 20
_MOST_FIELDS = 60
_MOST_TEXT = 2_000


def over_time(store: Store, query: Query, *, key: Hashable, wanted: Callable[[Named], bool]) -> dict[str, Any]:
    """Return everything but the summary.

    Args:
        store: What is read.
        query: Which range.
        key: What tells this function or route from any other.
        wanted: Says whether a series belongs to it.
    """

    def groups_of(series: Named) -> tuple[str, ...]:
        if wanted(series):
            return (_FOLLOWED,)
        # They tell when the application ran and this was not called.
        return (_ALIVE,) if series.family.startswith(SYSTEM_PREFIX) else ()

    with store.course(query, key=key, groups_of=groups_of, measured=_FOLLOWED, kind=Followed) as used:
        window = used.window
        points, group = Points(window, query.now), window.groups.get(_FOLLOWED)
        ids, slowest = window.measured_ids, window.slowest()
        found = {
            "times": points.times,
            "calls": points.counts(None if group is None else group.calls),
            "errors": points.counts(None if group is None else group.errors),
            "mean": points.means(group),
            **points.percentiles(group),
            "max": points.maxima(group),
            "histogram": merged(window.histograms).bars(),
            "callers": [{"name": name, "calls": calls} for name, calls in window.callers],
            STEP: window.step,
            "warming": not window.is_warm,
        }
    with store.look() as look:
        return {**found, **_calls(look.view, query, ids, slowest)}


def summary(
    totals: Mapping[int, SeriesTotals], ids: Collection[int], *, of_all: float, ranges: list[tuple[int, int]]
) -> dict[str, Any] | None:
    """Return a row of some series together, with ``first`` and ``last`` (s); None when there was nothing of them."""
    found = [totals[key] for key in ids if key in totals]
    if not found:
        return None
    return {
        **row(found, of_all=of_all),
        "spark": found[0].spark(ranges) if len(found) == 1 else [],
        "first": min(each.first for each in found) / SECOND,
        "last": max(each.last for each in found) / SECOND,
    }


def call(found: Call) -> dict[str, Any]:
    """Return a call as JSON shows it: ``time``, ``value``, ``hostname``, ``error`` and ``fields``, long texts cut."""
    fields = list(found.fields.items())[:_MOST_FIELDS]
    return {
        "time": found.timestamp / SECOND,
        "value": found.value,
        "hostname": found.hostname,
        "error": found.is_error,
        "fields": {name: cut(value) for name, value in fields},
    }


def cut(value: Any) -> Any:
    """Return a value, a long text or anything that is nested as a text of at most 2 000 characters."""
    if isinstance(value, (dict, list)):
        value = as_json(value)
    return f"{value[:_MOST_TEXT]}…" if isinstance(value, str) and len(value) > _MOST_TEXT else value


def as_json(value: Any) -> str:
    """Return a value as JSON, in as few letters as it takes."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)


def _calls(view: View, query: Query, ids: Collection[int], slowest: list[int]) -> dict[str, Any]:
    since = query.range.start * SECOND
    until = LATEST + 1 if query.range.until is None else query.range.until * SECOND
    failed = errors_in(view, ids, limit=_MOST_FAILED, since=since, until=until) if ids else []
    return {
        "slowest": [call(each) for each in calls_of(view, slowest)],
        "failed": [call(each) for each in failed],
    }
