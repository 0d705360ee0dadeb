"""What pages should show, computed from single metrics by brute force, with nothing of the code under test."""

from __future__ import annotations

import math
import sqlite3
from collections import defaultdict
from contextlib import closing
from typing import Any, NamedTuple

from time_execution.formats.histogram import bucket_of, estimate

SECOND = 1_000_000_000


class Row(NamedTuple):
    """A metric as it was stored."""

    id: int
    name: str
    value: float | None
    timestamp: int
    error: bool


def rows_of(path) -> list[Row]:
    """Return all single metrics of a database, with the text of their series as name."""
    query = "SELECT raw.id, name, value, timestamp, error FROM raw JOIN names ON names.id = raw.name_id ORDER BY raw.id"
    with closing(sqlite3.connect(path)) as connection:
        return [Row._make((*row[:4], bool(row[4]))) for row in connection.execute(query)]


def between(rows, start, end=math.inf):
    """Return the rows of a range of time, in seconds."""
    return [row for row in rows if start * SECOND <= row.timestamp < end * SECOND]


def percentile(values, fraction):
    """Return what a histogram tells of the nearest-rank percentile: the middle of its bucket, within the extremes."""
    ranked = sorted(values)
    exact = ranked[max(1, math.ceil(round(fraction * len(ranked), 6))) - 1]
    told = float(f"{estimate(bucket_of(exact)):.4g}")
    return min(max(told, ranked[0]), ranked[-1])


def figures(rows) -> dict[str, Any]:
    """Return the figures of some rows together."""
    values = [row.value for row in rows if row.value is not None]
    found: dict[str, Any] = {"calls": len(rows), "errors": sum(row.error for row in rows)}
    found["max"] = max(values) if values else None
    found["total"] = math.fsum(values)
    found["mean"] = math.fsum(values) / len(values) if values else None
    for name, fraction in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
        found[name] = percentile(values, fraction) if values else None
    return found


def by_name(rows) -> dict[str, list[Row]]:
    """Return name -> its rows."""
    found: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[row.name].append(row)
    return dict(found)


def steps(rows, start, step, count):
    """Return the rows of each step of a range."""
    found: list[list[Row]] = [[] for _ in range(count)]
    for row in rows:
        place = (row.timestamp // SECOND - start) // step
        if 0 <= place < count:
            found[place].append(row)
    return found
