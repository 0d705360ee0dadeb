"""Reading a metrics database of `SQLiteBackend`, also while it is written to.

Ranges of time are widened to whole minutes, because rollups know nothing smaller; where the minutes have been deleted
already, to whole hours or days. What is rolled up is read from the widest periods that fit into the range, so the time
a report takes does not grow with the number of calls.
"""

from __future__ import annotations

import json
import os
import sqlite3
from datetime import datetime
from fnmatch import fnmatchcase

from time_execution.backends.sqlite.schema import LATEST, SECOND, WIDTHS
from time_execution.formats.timestamp import to_datetime
from time_execution.report._snapshot import Snapshot, nanoseconds
from time_execution.report.statistics import Call, FunctionStats, Point

_CALLS = """SELECT raw.id, names.name, raw.value, hosts.hostname, raw.timestamp, raw.error, raw.fields
FROM raw JOIN names ON names.id = raw.name_id LEFT JOIN hosts ON hosts.id = raw.host_id"""
_WANTED = "name_id = :name_id AND value IS NOT NULL AND timestamp >= :since AND timestamp < :until"
# Ranges of ids that hold nothing of the range of time are passed over; what is not rolled up belongs to none yet.
_SLOWEST = f"""{_CALLS} WHERE raw.id IN (
    SELECT id FROM (
        SELECT raw.id, value FROM chunks CROSS JOIN raw ON raw.id BETWEEN first_id AND last_id
        WHERE newest >= :since AND oldest < :until AND {_WANTED}
        UNION ALL SELECT id, value FROM raw WHERE id > :watermark AND {_WANTED}
    ) ORDER BY value DESC, id LIMIT :limit
) ORDER BY raw.value DESC, raw.id"""  # noqa: S608 - constants


def read(
    path: str | os.PathLike[str],
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    pattern: str | None = None,
) -> list[FunctionStats]:
    """Return the figures of each function, greatest total first.

    Takes milliseconds for millions of calls, and blocks no writer.

    Args:
        path: The database.
        since: The first moment that counts, moved back to its minute; a naive one is taken as UTC.
        until: The end, moved on to its minute's; None for no end.
        pattern: Names to report, with the wildcards of `fnmatch`; None for all.

    Raises:
        DatabaseMissingError: When there is no file.
        NotADatabaseError: When the file is no metrics database that this version knows.
        DatabaseError: When it cannot be read.
    """
    with Snapshot.open(path) as snapshot:
        start, end = snapshot.align(since, until)
        found = snapshot.aggregates(start, end)
        names = snapshot.names()
    stats = [
        aggregate.stats(names[key])
        for key, aggregate in found.items()
        if pattern is None or fnmatchcase(names[key], pattern)
    ]
    return sorted(stats, key=lambda row: (-(row.total or 0.0), row.name))


def series(
    path: str | os.PathLike[str],
    name: str,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    seconds: int | None = None,
) -> list[Point]:
    """Return the figures of one function over time, in order; periods without a metric are left out.

    Args:
        path: The database.
        name: The function.
        since: The first moment, moved back to a whole period.
        until: The end, moved on to a whole period.
        seconds: The length of a period: 60, 3 600 or 86 400; None chooses the shortest that is kept for all of the
            range and makes no more than 1 500 periods.

    Raises:
        ValueError: When `seconds` is none of these.
        DatabaseError: As `read` does.
    """
    if seconds is not None and seconds not in WIDTHS:
        raise ValueError(f"seconds must be one of {WIDTHS}")
    with Snapshot.open(path) as snapshot:
        start, end = snapshot.extent(*snapshot.align(since, until))
        width = seconds or snapshot.suitable_width(start, end)
        found = snapshot.periods(name, start // width * width, -(-end // width) * width, width)
    return [
        Point(start=to_datetime(period * SECOND), seconds=width, stats=found[period].stats(name))
        for period in sorted(found)
    ]


def slowest(
    path: str | os.PathLike[str],
    name: str,
    *,
    limit: int = 10,
    since: datetime | None = None,
    until: datetime | None = None,
) -> list[Call]:
    """Return the calls of a function with the greatest values, of those that are still kept singly; greatest first.

    The range is exact, not widened. Looks at every single metric within it.

    Raises:
        DatabaseError: As `read` does.
    """
    with Snapshot.open(path) as snapshot:
        bounds = {
            "name_id": snapshot.name_id(name),
            "watermark": snapshot.watermark,
            "since": nanoseconds(since, 0),
            "until": nanoseconds(until, LATEST + 1),
            "limit": limit,
        }
        return _calls(snapshot.connection.execute(_SLOWEST, bounds))


def tail(
    path: str | os.PathLike[str], *, after: int | None = None, limit: int = 100, pattern: str | None = None
) -> list[Call]:
    """Return metrics in the order in which they were stored.

    Args:
        path: The database.
        after: The id of the last one seen; None begins `limit` metrics before the end.
        limit: The most to look at; those that match the pattern may be fewer.
        pattern: Names to return, with the wildcards of `fnmatch`; None for all.

    Raises:
        DatabaseError: As `read` does.
    """
    with Snapshot.open(path) as snapshot:
        if after is None:
            (newest,) = snapshot.connection.execute("SELECT coalesce(max(id), 0) FROM raw").fetchone()
            after = newest - limit
        query = f"{_CALLS} WHERE raw.id > ? ORDER BY raw.id LIMIT ?"
        calls = _calls(snapshot.connection.execute(query, (after, limit)))
    return [call for call in calls if pattern is None or fnmatchcase(call.name, pattern)]


def _calls(rows: sqlite3.Cursor) -> list[Call]:
    return [
        Call(key, name, value, hostname, timestamp, bool(error), json.loads(fields) if fields else {})
        for key, name, value, hostname, timestamp, error, fields in rows
    ]
