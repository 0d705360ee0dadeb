"""Where the failures are that were stored last: found series by series through an index that holds nothing else."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from time_execution.backends.sqlite.schema import LATEST

if TYPE_CHECKING:
    from time_execution.report._view import View

MOST_ROWS = 250_000
"""How many of the latest metrics are looked at where there is no index."""

_HAS_INDEX = "SELECT 1 FROM sqlite_master WHERE type = 'index' AND name = 'raw_errors'"
# From one series that has failures to the next: the others are not read.
_FAILING = """WITH RECURSIVE failing(name_id) AS (
    SELECT min(name_id) FROM raw WHERE error = 1
    UNION ALL
    SELECT (SELECT min(name_id) FROM raw WHERE error = 1 AND raw.name_id > failing.name_id) FROM failing
    WHERE failing.name_id IS NOT NULL
)
SELECT name_id FROM failing WHERE name_id IS NOT NULL"""
_LAST = """SELECT id FROM raw WHERE name_id = :name_id AND error = 1 AND id > :after AND id <= :upto
AND timestamp >= :since AND timestamp < :until ORDER BY id DESC LIMIT :limit"""
_WITHOUT_INDEX = """SELECT id, name_id FROM raw WHERE error = 1 AND id > :after AND id <= :upto
AND timestamp >= :since AND timestamp < :until ORDER BY id DESC"""


def latest_failures(
    view: View, ids: Collection[int] | None, *, limit: int, since: int = 0, until: int = LATEST + 1
) -> list[int]:
    """Return the ids of the failures that were stored last, latest first.

    Args:
        view: The database.
        ids: Of the series; None for all.
        limit: How many to find.
        since: The first moment that counts, in nanoseconds since the epoch.
        until: The end, likewise.
    """
    if limit < 1:
        return []
    after, upto = _range(view, since, until)
    bounds = {"after": after, "upto": upto, "since": since, "until": until, "limit": limit}
    if view.connection.execute(_HAS_INDEX).fetchone() is None:
        bounds["after"] = max(after, view.newest_id() - MOST_ROWS)
        rows = view.connection.execute(_WITHOUT_INDEX, bounds)
        wanted: Iterator[int] = (key for key, name_id in rows if ids is None or name_id in ids)
        return [key for key, _ in zip(wanted, range(limit), strict=False)]
    found: list[int] = []
    failing = [name_id for (name_id,) in view.connection.execute(_FAILING)] if ids is None else ids
    for name_id in failing:
        for (key,) in view.connection.execute(_LAST, {**bounds, "name_id": name_id}):
            (heapq.heappush if len(found) < limit else heapq.heappushpop)(found, key)
        if len(found) == limit:
            bounds["after"] = found[0]
    return sorted(found, reverse=True)


def _range(view: View, since: int, until: int) -> tuple[int, int]:
    """Return the id after which, and the one up to which, rows of a range of time are stored."""
    begins = "SELECT coalesce(min(first_id), :waiting) - 1 FROM chunks WHERE newest >= :since"
    ends = "SELECT coalesce(max(last_id), 0) FROM chunks WHERE oldest < :until"
    waiting = view.watermark + 1
    (after,) = view.connection.execute(begins, {"waiting": waiting, "since": since}).fetchone()
    if view.newest_id() >= waiting:  # when these are from, nothing but they themselves can tell
        return min(after, waiting - 1), LATEST
    (upto,) = view.connection.execute(ends, {"until": until}).fetchone()
    return after, upto
