"""Between which moments a series was seen: rollups know the minutes, the metrics in these minutes know more."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from time_execution.backends.sqlite.schema import LATEST, MINUTE, SECOND

if TYPE_CHECKING:
    from time_execution.report._view import View
    from time_execution.report.statistics import Aggregate

MOST_SEEN = 25_000
"""How many metrics are looked at unless told otherwise: ten milliseconds' work."""

_WIDTH = MINUTE * SECOND
_RANGES = "SELECT first_id, last_id, oldest, newest FROM chunks"
_EXTREMES = """SELECT name_id, timestamp / :width, min(timestamp), max(timestamp) FROM raw
WHERE id BETWEEN :first AND :last AND timestamp >= :since AND timestamp < :until GROUP BY 1, 2"""


def refine(view: View, found: Mapping[int, Aggregate], *, start: int, end: int, most: int | None) -> None:
    """Replace the minutes between which each series was seen by the moments, as far as metrics are kept singly.

    Looks at the metrics only that were stored near the first and the last of a series; where these are very many, the
    minutes stay.

    Args:
        view: The database.
        found: The id of each name, and its figures; these are changed.
        start: The first second that counts.
        end: The end, in seconds.
        most: Look at so many metrics at most; None for no end.
    """
    wanted = {moment // _WIDTH for each in found.values() if each.sums for moment in (each.sums.first, each.sums.last)}
    ranges = _ranges(view, wanted)
    if most is not None and sum(last - first + 1 for first, last in ranges) > most:
        return
    ranges.append((view.watermark + 1, LATEST))
    seen: dict[tuple[int, int], tuple[int, int]] = {}
    bounds = {"width": _WIDTH, "since": start * SECOND, "until": end * SECOND}
    for first, last in ranges:
        rows = view.connection.execute(_EXTREMES, {**bounds, "first": first, "last": last})
        for name_id, minute, low, high in rows:
            if minute in wanted:
                before = seen.get((name_id, minute), (low, high))
                seen[name_id, minute] = min(before[0], low), max(before[1], high)
    for name_id, each in found.items():
        if each.sums is not None:
            low, _ = seen.get((name_id, each.sums.first // _WIDTH), (each.sums.first, 0))
            _, high = seen.get((name_id, each.sums.last // _WIDTH), (0, each.sums.last))
            each.sums = each.sums._replace(first=low, last=high)


def _ranges(view: View, wanted: Iterable[int]) -> list[tuple[int, int]]:
    """Return the ids that rows of some minutes may have, of those that are rolled up."""
    minutes = sorted(wanted)
    return [
        (first, last)
        for first, last, oldest, newest in view.connection.execute(_RANGES)
        if any(oldest // _WIDTH <= minute <= newest // _WIDTH for minute in minutes)
    ]
