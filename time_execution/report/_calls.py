"""Single metrics out of a database, as `Call`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from time_execution.report.statistics import Call

if TYPE_CHECKING:
    from time_execution.report._view import View

_CALLS = """SELECT raw.id, series.name, raw.value, hosts.hostname, raw.timestamp, raw.error, raw.fields,
    series.kind, series.unit
FROM raw JOIN temp.series ON series.id = raw.name_id LEFT JOIN hosts ON hosts.id = raw.host_id"""


def select_calls(view: View, condition: str, values: Sequence[Any] = ()) -> list[Call]:
    """Return the metrics that meet a condition of ours, which begins with ``WHERE``."""
    rows = view.connection.execute(f"{_CALLS} {condition}", values)
    return [
        Call(key, name, value, hostname, timestamp, bool(error), json.loads(fields) if fields else {}, kind, unit)
        for key, name, value, hostname, timestamp, error, fields, kind, unit in rows
    ]


def calls_of(view: View, ids: Sequence[int]) -> list[Call]:
    """Return the metrics with these ids, in this order."""
    return [call for key in ids for call in select_calls(view, "WHERE raw.id = ?", (key,))]
