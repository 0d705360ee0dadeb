"""Which thresholds are exceeded: of each figure, what its latest alert said."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from time_execution.backends.sqlite.schema import DAY, MINUTE, SECOND
from time_execution.web.dashboard.data import processes
from time_execution.web.dashboard.data.catalogue import ALERT, Named

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from time_execution.report._view import View
    from time_execution.web.dashboard.data.processes import Told

_FIRING = "firing"
# An alert that nobody resolved for so long is forgotten; and one of which no process tells whether it still stands.
_LONGEST = 30 * DAY
_LONGEST_ALONE = 3600.0
_MOST_SERIES = 500
_MOST_TEXT = 300
_CHUNKS = "SELECT first_id, last_id FROM chunks WHERE newest >= ? AND oldest < ?"
_LATEST = """SELECT id, name_id, timestamp, fields FROM raw
WHERE id BETWEEN ? AND ? AND timestamp >= ? AND timestamp < ? AND name_id IN (SELECT value FROM json_each(?))
ORDER BY timestamp DESC, id DESC LIMIT 1"""


class Firing(NamedTuple):
    """A figure that exceeds its threshold.

    Attributes:
        metric: The figure.
        level: ``warning`` or ``critical``.
        since: When it was told, in seconds since the epoch.
        message: What was told; "" when that is not kept any more.
    """

    metric: str
    level: str
    since: float
    message: str


def firing(view: View, series: Mapping[int, Named], told: Iterable[Told], *, now: float) -> list[Firing]:
    """Return the figures that exceed their threshold by what their latest alert says, critical ones first.

    Args:
        view: The database.
        series: Id -> series.
        told: What processes say of themselves: an alert of one that has ended, or begun anew, stands for nothing.
        now: The present moment, in seconds since the epoch.
    """
    ids = [key for key, each in series.items() if each.family == ALERT and "metric" in each.labels][:_MOST_SERIES]
    if not ids:
        return []
    start = int(now - _LONGEST) // DAY * DAY
    found = view.aggregates(start, int(now) + MINUTE, ids=ids)
    minutes: defaultdict[str, dict[int, int]] = defaultdict(dict)
    for key, aggregate in found.items():
        if aggregate.sums is not None:
            minutes[series[key].labels["metric"]][key] = aggregate.sums.last // SECOND // MINUTE * MINUTE
    latest = [_latest(view, series, metric, known) for metric, known in minutes.items()]
    standing = [each for each in latest if each is not None and _stands(each, list(told), now)]
    return sorted(standing, key=lambda each: (each.level != "critical", each.metric))


def _latest(view: View, series: Mapping[int, Named], metric: str, minutes: Mapping[int, int]) -> Firing | None:
    """Return the latest alert of a figure if it fires; None when it is one that tells of its end."""
    minute = max(minutes.values())
    ids = [key for key, last in minutes.items() if last == minute]
    row = _row(view, ids, minute)
    if row is None:
        # Not kept singly any more. Of two in one minute, the worse is believed.
        key = next((key for key in ids if series[key].labels.get("state") == _FIRING), ids[0])
        moment, message = float(minute), ""
    else:
        _, key, timestamp, fields = row
        moment, message = timestamp / SECOND, _message(fields)
    labels = series[key].labels
    return Firing(metric, labels.get("level", ""), moment, message) if labels.get("state") == _FIRING else None


def _row(view: View, ids: list[int], minute: int) -> tuple[int, int, int, str | None] | None:
    """Return the latest row of some series in a minute; None when none is kept."""
    bounds = (minute * SECOND, (minute + MINUTE) * SECOND)
    places = view.connection.execute(_CHUNKS, bounds).fetchall()
    places.append((view.watermark + 1, view.newest_id()))
    wanted = json.dumps(ids)
    rows = [view.connection.execute(_LATEST, (*place, *bounds, wanted)).fetchone() for place in places]
    return max((row for row in rows if row is not None), key=lambda row: (row[2], row[0]), default=None)


def _message(fields: str | None) -> str:
    found = json.loads(fields) if fields else {}
    return str(found.get("message") or "")[:_MOST_TEXT]


def _stands(alert: Firing, told: list[Told], now: float) -> bool:
    """Whether a process that may have told an alert still runs; where no process tells of itself, whether it is new."""
    started = [processes.seconds_of(each.body.get("started")) for each in told if each.is_alive]
    if not told:
        return now - alert.since <= _LONGEST_ALONE
    return any(moment is not None and moment <= alert.since for moment in started)
