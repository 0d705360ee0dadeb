"""Reading a metrics database of `SQLiteBackend`, also while it is written to.

Ranges of time are widened to whole minutes, because rollups know nothing smaller; where the minutes have been deleted
already, to whole hours or days. What is rolled up is read from the widest periods that fit into the range, so the time
a report takes does not grow with the number of calls.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from datetime import datetime
from math import inf

from time_execution.backends.sqlite.schema import LATEST, SECOND, WIDTHS
from time_execution.formats.timestamp import to_datetime
from time_execution.report._calls import calls_of, select_calls
from time_execution.report._seen import MOST_SEEN, refine
from time_execution.report._slowest import Search
from time_execution.report._view import View, nanoseconds
from time_execution.report.statistics import Aggregate, Call, FunctionStats, Point, Series, matches

_MOMENTS = """SELECT timestamp, name_id, error FROM raw
WHERE name_id IN (SELECT value FROM json_each(?)) AND timestamp >= ? AND timestamp < ? ORDER BY id"""


def read(
    path: str | os.PathLike[str],
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    pattern: str | None = None,
    most: int | None = MOST_SEEN,
) -> list[FunctionStats]:
    """Return the figures of each function, greatest total first, then those of each series of any other kind, by name.

    Takes milliseconds for millions of calls, and blocks no writer.

    Args:
        path: The database.
        since: The first moment that counts, moved back to its minute; a naive one is taken as UTC.
        until: The end, moved on to its minute's; None for no end.
        pattern: Names to report, with the wildcards of `fnmatch`; None for all. One that has labels is reported when
            its name matches with them or without.
        most: Look at so many single metrics to find the moments between which each series was seen, None for no end;
            where that does not suffice, they are minutes.

    Raises:
        DatabaseMissingError: When there is no file, or an empty one.
        NotADatabaseError: When the file is no metrics database that this version knows.
        DatabaseError: When it cannot be read.
    """
    found = _aggregates(path, since=since, until=until, pattern=pattern, most=most)
    stats = [aggregate.stats(series) for series, aggregate in found.items()]
    return sorted(stats, key=lambda row: (-(row.total or 0.0) if row.is_timing else inf, row.name))


def histograms(
    path: str | os.PathLike[str],
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    pattern: str | None = None,
) -> dict[str, dict[int, int]]:
    """Return how the values of each function, or series of any kind, lie: name -> bucket, ascending -> how many.

    `time_execution.formats.histogram.bounds` tells between which numbers, in the unit of the series, a bucket lies.
    Histograms merge by adding up what is in the same bucket. A series without any number has an empty one.

    Args:
        path: The database.
        since: As `read` takes it.
        until: As `read` takes it.
        pattern: As `read` takes it.

    Raises:
        DatabaseError: As `read` does.
    """
    found = _aggregates(path, since=since, until=until, pattern=pattern)
    return {series.name: dict(sorted(aggregate.buckets.items())) for series, aggregate in found.items()}


def series(
    path: str | os.PathLike[str],
    name: str | None = None,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    seconds: int | None = None,
) -> list[Point]:
    """Return the figures of one function, or of each, over time, in order; periods without a metric are left out.

    Args:
        path: The database.
        name: The function, or the name that several series have in common; None for all of them. A period has a point
            for each function that was called in it, told apart by ``point.stats.name``.
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
    with View.open(path) as view:
        start, end = view.extent(*view.align(since, until))
        width = seconds or view.suitable_width(start, end)
        found = view.periods(start // width * width, -(-end // width) * width, width, name=name)
        known = view.series()
    return [
        Point(start=to_datetime(period * SECOND), seconds=width, stats=found[period, name_id].stats(known[name_id]))
        for period, name_id in sorted(found)
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

    Reads those metrics only that were stored near one of them.

    Args:
        path: The database.
        name: The function, or the name that several series have in common.
        limit: How many to return.
        since: The first moment that counts, exactly; a naive one is taken as UTC.
        until: The end, exactly; None for no end.

    Raises:
        DatabaseError: As `read` does.
    """
    with View.open(path) as view:
        found = Search(view, view.ids_of(name), limit=limit, since=since, until=until).ids()
        return calls_of(view, found)


def moments(
    path: str | os.PathLike[str],
    names: Collection[str],
    *,
    since: datetime | None = None,
    until: datetime | None = None,
) -> list[tuple[int, str, bool]]:
    """Return when calls ended, in nanoseconds since the epoch, with their names and whether they failed.

    They are those that are still kept singly, in the order in which they were stored. Takes a tenth of a second for a
    million of others, and memory for those that are returned.

    Args:
        path: The database.
        names: Of the functions.
        since: The first moment that counts, exactly; a naive one is taken as UTC.
        until: The end, exactly; None for no end.

    Raises:
        DatabaseError: As `read` does.
    """
    with View.open(path) as view:
        known = {key: series.name for key, series in view.series().items() if series.name in names}
        bounds = (json.dumps(list(known)), nanoseconds(since, 0), nanoseconds(until, LATEST + 1))
        found = view.connection.execute(_MOMENTS, bounds).fetchall()
    return [(timestamp, known[name_id], bool(error)) for timestamp, name_id, error in found]


def tail(
    path: str | os.PathLike[str], *, after: int | None = None, limit: int = 100, pattern: str | None = None
) -> list[Call]:
    """Return metrics in the order in which they were stored.

    Args:
        path: The database.
        after: The id of the last one seen; None begins `limit` metrics before the end.
        limit: The most to look at; those that match the pattern may be fewer.
        pattern: Names to return, as `read` takes it.

    Raises:
        DatabaseError: As `read` does.
    """
    with View.open(path) as view:
        if after is None:
            after = view.newest_id() - limit
        calls = select_calls(view, "WHERE raw.id > ? ORDER BY raw.id LIMIT ?", (after, limit))
    return [call for call in calls if matches(call, pattern)]


def _aggregates(
    path: str | os.PathLike[str],
    *,
    since: datetime | None,
    until: datetime | None,
    pattern: str | None,
    most: int | None = 0,  # single metrics to look at: by default none, so that moments are minutes
) -> dict[Series, Aggregate]:
    with View.open(path) as view:
        start, end = view.align(since, until)
        found = view.aggregates(start, end)
        if most != 0:
            refine(view, found, start=start, end=end, most=most)
        known = view.series()
    return {known[name_id]: aggregate for name_id, aggregate in found.items() if matches(known[name_id], pattern)}
