"""What somebody who watches asks of a metrics database: which series there are, what failed last, how processes are.

Each function opens a view of its own; who asks several things of one moment uses the functions on an open `View`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from datetime import datetime
from fnmatch import fnmatchcase

from time_execution.backends.sqlite.schema import LATEST
from time_execution.report._calls import calls_of
from time_execution.report._failures import latest_failures
from time_execution.report._view import View, nanoseconds
from time_execution.report.statistics import Call, Series, State

__all__ = ["State", "errors_in", "families", "latest_errors", "states", "states_in"]

# A file that was never written to by this release has none.
_HAS_STATES = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'states'"
_STATES = "SELECT owner, timestamp, body FROM states WHERE topic = ? ORDER BY timestamp DESC, owner"


def families(path: str | os.PathLike[str], *, pattern: str | None = None) -> dict[str, list[Series]]:
    """Return the series of each name that metrics were written under, both by name.

    A name without labels has one series; one with labels has a series for each combination of their values, told apart
    by ``labels``.

    Args:
        path: The database.
        pattern: Names to return, with the wildcards of `fnmatch`; None for all.

    Raises:
        DatabaseError: As `time_execution.report.read` does.
    """
    with View.open(path) as view:
        known = view.series().values()
    found: dict[str, list[Series]] = {}
    for series in sorted(known, key=lambda each: (each.family, each.name)):
        if pattern is None or fnmatchcase(series.family, pattern):
            found.setdefault(series.family, []).append(series)
    return found


def latest_errors(
    path: str | os.PathLike[str],
    name: str | None = None,
    *,
    limit: int = 20,
    since: datetime | None = None,
    until: datetime | None = None,
) -> list[Call]:
    """Return the metrics of failures that were stored last, of those that are still kept singly; latest first.

    Found by an index, whatever else is stored. In a file that was never written to by this release there is none: then
    only the latest 250 000 metrics are looked at.

    Args:
        path: The database.
        name: The series, or the name that several have in common; None for all that is there.
        limit: How many to return.
        since: The first moment that counts, exactly; a naive one is taken as UTC.
        until: The end, exactly; None for no end.

    Raises:
        DatabaseError: As `time_execution.report.read` does.
    """
    with View.open(path) as view:
        ids = None if name is None else view.ids_of(name)
        return errors_in(view, ids, limit=limit, since=nanoseconds(since, 0), until=nanoseconds(until, LATEST + 1))


def states(path: str | os.PathLike[str], topic: str) -> list[State]:
    """Return the latest word of each process on a topic, as `SQLiteBackend.put_state` stored it; latest first.

    A process that has ended is among them until its word is older than what the backend keeps: look at ``timestamp``.

    Args:
        path: The database.
        topic: Such as ``delivery``, ``health`` or ``process``.

    Raises:
        DatabaseError: As `time_execution.report.read` does.
    """
    with View.open(path) as view:
        return states_in(view, topic)


def errors_in(
    view: View, ids: Collection[int] | None = None, *, limit: int = 20, since: int = 0, until: int = LATEST + 1
) -> list[Call]:
    """Do what `latest_errors` does, in a view that is open: of the series with these ids, None for all.

    Moments are in nanoseconds since the epoch.
    """
    return calls_of(view, latest_failures(view, ids, limit=limit, since=since, until=until))


def states_in(view: View, topic: str) -> list[State]:
    """Do what `states` does, in a view that is open."""
    if view.connection.execute(_HAS_STATES).fetchone() is None:
        return []
    return [
        State(topic, owner, moment, json.loads(body))
        for owner, moment, body in view.connection.execute(_STATES, (topic,))
    ]
