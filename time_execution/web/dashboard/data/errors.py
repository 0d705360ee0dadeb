"""What failed: errors by type and place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from time_execution.backends.sqlite.schema import SECOND
from time_execution.web.dashboard.data import application
from time_execution.web.dashboard.data.catalogue import ERROR, Named
from time_execution.web.dashboard.data.figures import Points, matching
from time_execution.web.dashboard.data.groups import Errors, group_id
from time_execution.web.dashboard.data.page import STEP

if TYPE_CHECKING:
    from collections.abc import Mapping

    from time_execution.web.dashboard.data.query import Query
    from time_execution.web.dashboard.data.store import Store
    from time_execution.web.dashboard.data.totals import Totals

EMPTY: dict[str, Any] = {"times": [], "count": [], "groups": [], "truncated": False}

_MOST_GROUPS = 200
_MOST_KNOWN = 1_000


def data(store: Store, query: Query) -> dict[str, Any]:
    """Return errors over time, and a group for each type and place, the latest first, or those that contain ``q``.

    Returns:
        ``times``, ``count`` (list), ``groups`` (list of ``id``, ``type``, ``place``, ``message`` (of the latest),
        ``count`` (in the range), ``first``, ``last`` (in the range; minutes where no more is known), ``spark``
        (counts), ``traceback``, ``calls`` (the latest: ``time``, ``request_id``, ``route``, ``method``, ``message``)),
        ``truncated``.
    """
    with application.course(store, query) as used:
        points = Points(used.window, query.now)
        of_errors = points.of(application.ERRORS)
        found: dict[str, Any] = {
            "times": points.times,
            "count": points.counts(None if of_errors is None else of_errors.calls),
            STEP: used.window.step,
        }
        is_warm = used.window.is_warm
    with store.totals(query) as totals:
        groups = groups_in(totals.window, totals.series, query.now)
        is_warm = is_warm and totals.window.is_warm
    wanted = {key: (group["count"], int(group["last"])) for key, group in groups.items()}
    if not query.q:
        # What is not shown need not be read.
        wanted = dict(list(wanted.items())[:_MOST_GROUPS])
    with store.look() as look:
        latest = store.latest_errors.read(
            look.view, look.file, wanted, start=query.range.start, until=query.range.until
        )
    shown = [
        {**groups[key], **errors._asdict()} for key, errors in latest.items() if _matches(groups[key], errors, query.q)
    ]
    limit = min(query.limit, _MOST_GROUPS)
    is_truncated = len(shown) > limit or len(wanted) < len(groups) or len(groups) == _MOST_KNOWN
    return {**found, "groups": shown[:limit], "truncated": is_truncated, "warming": not is_warm}


def groups_in(window: Totals, series: Mapping[int, Named], now: float) -> dict[int, dict[str, Any]]:
    """Return the id of each series of errors -> the group, but for what its latest errors tell; the latest first.

    At most a thousand.
    """
    ranges = window.spark_ranges(now)
    found: dict[int, dict[str, Any]] = {}
    for key, each in window.series.items():
        labels = series[key].labels
        if series[key].family == ERROR and labels:
            kind, place = labels.get("type", ""), labels.get("place", "")
            found[key] = {
                "id": group_id(kind, place),
                "type": kind,
                "place": place,
                "count": each.calls,
                "first": each.first / SECOND,
                "last": each.last / SECOND,
                "spark": [count or 0 for count in each.spark(ranges, counts=True)],
            }
    ranked = sorted(found.items(), key=lambda item: (-item[1]["last"], -item[1]["count"], item[1]["id"]))
    return dict(ranked[:_MOST_KNOWN])


def _matches(group: Mapping[str, Any], errors: Errors, q: str) -> bool:
    return matching(f"{group['type']}\n{group['place']}\n{errors.message}", q)
