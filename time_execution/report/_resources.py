"""What calls took of the machine besides time: read from the fields that `Timer` and `ResourcesHook` add."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from time_execution.backends.sqlite.schema import LATEST
from time_execution.formats.number import finite_number
from time_execution.report._view import View, nanoseconds
from time_execution.report.statistics import matches

MOST_ROWS = 250_000
"""How many of a database's latest metrics are looked at unless told otherwise: a quarter of a second's work."""

# Found by their text first, which takes a tenth of the time of reading the JSON that holds them.
_CPU, _CHANGE, _OTHER_CHANGE, _RSS = "cpu_ms", "memory_change_bytes", "rss_change_bytes", "rss_bytes"
_HAS_ANY = " OR ".join(f"instr(fields, '\"{field}\":')" for field in (_CPU, _CHANGE, _OTHER_CHANGE, _RSS))
_QUERY = f"""SELECT name_id, count(*), count(cpu), total(cpu), count(change), total(change), min(change), max(change),
    max(rss)
FROM (
    SELECT name_id, json_extract(fields, '$.{_CPU}') + 0 AS cpu,
        coalesce(json_extract(fields, '$.{_CHANGE}'), json_extract(fields, '$.{_OTHER_CHANGE}')) + 0 AS change,
        json_extract(fields, '$.{_RSS}') + 0 AS rss
    FROM raw WHERE id > :after AND timestamp >= :since AND timestamp < :until AND ({_HAS_ANY})
        AND json_valid(fields) LIMIT -1 OFFSET 0
) GROUP BY name_id HAVING count(cpu) + count(change) + count(rss)"""  # noqa: S608 - constants


@dataclass(frozen=True, slots=True)
class Resources:
    """What the calls of one function took, as far as that was recorded; None where it was not.

    Attributes:
        calls: How many calls anything is known of.
        mean_cpu: CPU time of a call, in milliseconds: its thread's or its process's, whichever was recorded.
        memory_change: By how many bytes the process grew (or, negative, shrank) during all calls together.
        mean_memory_change: The same of one call.
        least_memory_change: The least of one call.
        most_memory_change: The most of one call.
        max_rss: The most memory that the process held after a call, in bytes.
    """

    calls: int
    mean_cpu: float | None
    memory_change: float | None
    mean_memory_change: float | None
    least_memory_change: float | None
    most_memory_change: float | None
    max_rss: float | None


def resources(
    path: str | os.PathLike[str],
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    pattern: str | None = None,
    most: int | None = MOST_ROWS,
) -> dict[str, Resources]:
    """Return what the calls of each function took of the machine: name -> figures; functions without any are left out.

    Only metrics that are still kept singly can tell. Takes a microsecond for each that is looked at.

    Args:
        path: The database.
        since: The first moment that counts, exactly; a naive one is taken as UTC.
        until: The end, exactly; None for no end.
        pattern: Names to report, as `read` takes it.
        most: Look at so many of the metrics that were stored last; None for all.

    Raises:
        DatabaseError: As `read` does.
    """
    with View.open(path) as view:
        bounds = {"after": 0 if most is None else view.newest_id() - most}
        bounds |= {"since": nanoseconds(since, 0), "until": nanoseconds(until, LATEST + 1)}
        rows = view.connection.execute(_QUERY, bounds).fetchall()
        known = view.series()
    return {known[key].name: _figures(figures) for key, *figures in rows if matches(known[key], pattern)}


def _figures(row: Sequence[Any]) -> Resources:
    calls, timed, cpu, changed, change, low, high, rss = row
    mean_cpu = cpu / timed if timed else None
    mean_change = change / changed if changed else None
    figures = (mean_cpu, change if changed else None, mean_change, low, high, rss)
    # Whatever somebody may have written there.
    return Resources(calls, *(finite_number(figure) for figure in figures))
