"""Rolling raw rows up into minutes, hours and days, and deleting what is too old; all inside the caller's transaction.

Rows are taken in the order of their ids, each once: the watermark moves in the transaction that adds them. Minutes get
every row at once. Hours and days get them later, in bulk, from the finer width; only a row that comes too late for that
is added to all of them directly.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from time_execution.backends.sqlite.schema import CELL, DAY, HOUR, MINUTE, OF_CELL, SECOND, WIDTHS
from time_execution.formats.histogram import NO_NUMBER

# A wider level is filled once the finer one is so many seconds ahead: rare enough to cost next to nothing, often enough
# that readers find little in the finer one.
_FILL_AFTER = {HOUR: 10 * MINUTE, DAY: HOUR}
_PRUNED_CHUNKS = 16

MOST_PRUNED = 16_384
"""How many rows no write deletes more of, more or less; ten milliseconds' work."""

STEP = (
    "CREATE TEMP TABLE step (cell INTEGER PRIMARY KEY, calls INTEGER, total, low, high)",
    f"CREATE TEMP VIEW step_cells AS SELECT {OF_CELL} FROM temp.step",  # noqa: S608 - constants
)
"""What `roll_up` needs in each connection; kept in memory."""

# Row by row, which takes three quarters of the time that grouping does. Values of one cell are numbers, or all NULL.
_TAKE = f"""INSERT INTO temp.step
SELECT {CELL}, 1, value, value, value FROM raw WHERE id > :after AND id <= :upto
ON CONFLICT DO UPDATE SET calls = calls + 1, total = total + excluded.total,
    low = min(low, excluded.low), high = max(high, excluded.high)"""  # noqa: S608 - constants

_ADD_HISTOGRAM = f"""INSERT INTO main.histogram
SELECT :width, start / :width * :width, name_id, bucket, calls FROM {{source}} AND bucket <> {NO_NUMBER}
ON CONFLICT DO UPDATE SET calls = calls + excluded.calls"""  # noqa: S608 - constants

_ADD_ROLLUP = """INSERT INTO main.rollup
SELECT :width, start / :width * :width, name_id, sum(calls), sum(errors), total(total), min(low), max(high),
    min(first), max(last)
FROM {source} GROUP BY 2, 3
ON CONFLICT DO UPDATE SET
    calls = calls + excluded.calls, errors = errors + excluded.errors, total = total + excluded.total,
    low = min(coalesce(low, excluded.low), coalesce(excluded.low, low)),
    high = max(coalesce(high, excluded.high), coalesce(excluded.high, high)),
    first = min(first, excluded.first), last = max(last, excluded.last)"""

_STEP = "temp.step_cells WHERE start < :before"
_FINER = "main.{table} WHERE width = :finer AND start >= :after AND start < :before"
_ADD_STEP = (_ADD_HISTOGRAM.format(source=_STEP), _ADD_ROLLUP.format(source=_STEP))
_ADD_FINER = (
    _ADD_HISTOGRAM.format(source=_FINER.format(table="histogram")),
    _ADD_ROLLUP.format(source=_FINER.format(table="rollup")),
)
_ALWAYS = 1 << 62


def waiting_rows(connection: sqlite3.Connection) -> int:
    """Return how many raw rows lie past the watermark."""
    (count,) = connection.execute("SELECT coalesce(max(id), 0) - (SELECT watermark FROM state) FROM raw").fetchone()
    return int(count)


def roll_up(connection: sqlite3.Connection, *, max_rows: int, now: float) -> int:
    """Add the next raw rows to the rollups and move the watermark past them; if they are few, fill wider levels too.

    Args:
        connection: Inside a write transaction, and with `STEP`.
        max_rows: The most rows to take.
        now: Seconds since the epoch.

    Returns:
        How many ids were passed.
    """
    after, max_names = connection.execute("SELECT watermark, max_names FROM state").fetchone()
    (newest_id,) = connection.execute("SELECT coalesce(max(id), 0) FROM raw").fetchone()
    upto = min(newest_id, after + max_rows)
    if upto > after:
        connection.execute("DELETE FROM temp.step")
        connection.execute(_TAKE, {"after": after, "upto": upto, "max_names": max_names})
        _add_step(connection, after, upto)
        connection.execute("UPDATE state SET watermark = ?", (upto,))
    passed = max(0, int(upto - after))
    _fill_levels(connection, room=max_rows - 2 * passed, now=now)
    return passed


def prune(
    connection: sqlite3.Connection, *, retention: Mapping[int, float | None], now: float, max_rows: int = MOST_PRUNED
) -> int:
    """Delete a little of what is older than its retention.

    Args:
        connection: Inside a write transaction.
        retention: Seconds for each of `WIDTHS`, and for 0: the raw rows; None keeps for ever.
        now: Seconds since the epoch.
        max_rows: Delete so many rows; of rollups always those of one period at least.

    Returns:
        How many rows were deleted, in all tables.
    """
    pruned = 0
    filled = _filled(connection)
    for width, wider in zip(WIDTHS, (*WIDTHS[1:], None), strict=True):
        if (kept := retention[width]) is not None and pruned < max_rows:
            # What a wider level has yet to get from this one stays.
            limit = _before(now, kept) if wider is None else min(_before(now, kept), filled[wider])
            unit = wider or width
            pruned += _prune_level(connection, width, limit // unit * unit, max_rows=max_rows - pruned)
    if (kept := retention[0]) is not None and pruned < max_rows:
        pruned += _prune_raw(connection, _before(now, kept) * SECOND, max_rows=max_rows - pruned)
    return pruned


def _before(now: float, kept: float) -> int:
    """Return the second before which everything has expired: the first of all if it is kept for longer than that."""
    return int(max(0.0, now - kept))


def _filled(connection: sqlite3.Connection) -> dict[int, int]:
    return dict(connection.execute("SELECT width, filled_until FROM levels"))


def _add_step(connection: sqlite3.Connection, after: int, upto: int) -> None:
    """Add what was taken to the minutes, and what comes late to wider levels; note which timestamps it had."""
    first, last = connection.execute("SELECT min(start), max(start) FROM temp.step_cells").fetchone()
    if first is None:
        return
    _add(connection, _ADD_STEP, width=MINUTE, before=_ALWAYS)
    for width, filled_until in _filled(connection).items():
        if width != MINUTE and first < filled_until:
            _add(connection, _ADD_STEP, width=width, before=filled_until)
    bounds = (upto, after + 1, first * SECOND, (last + MINUTE) * SECOND - 1)
    connection.execute("INSERT INTO chunks (last_id, first_id, oldest, newest) VALUES (?, ?, ?, ?)", bounds)


def _add(connection: sqlite3.Connection, statements: tuple[str, ...], **bounds: int) -> int:
    """Add to a level from the step or a finer level; returns how many entries of the histogram were met."""
    histogram, rollup = statements
    entries = connection.execute(histogram, bounds).rowcount
    connection.execute(rollup, bounds)
    return entries


def _fill_levels(connection: sqlite3.Connection, *, room: int, now: float) -> None:
    """Bring hours and days closer to the finer level, where that is worth it by now; `room` entries, more or less."""
    (last_start,) = connection.execute("SELECT max(start) FROM rollup WHERE width = ?", (MINUTE,)).fetchone()
    target = min(last_start or 0, int(now))
    for width, finer in ((HOUR, MINUTE), (DAY, HOUR)):
        target = target // finer * finer
        filled = _filled(connection)[width]
        if room > 0 and target - filled >= _FILL_AFTER[width]:
            before = _reach(connection, finer, filled, target, entries=room)
            room -= _add(connection, _ADD_FINER, width=width, finer=finer, after=filled, before=before)
            connection.execute("UPDATE levels SET filled_until = ? WHERE width = ?", (before, width))
            filled = before
        target = filled


def _reach(connection: sqlite3.Connection, width: int, start: int, end: int, *, entries: int) -> int:
    """Return where the periods from `start` on that hold so many entries end: after one at least, at `end` at most."""
    for table in ("rollup", "histogram"):
        periods = f"SELECT start FROM {table} WHERE width = ? AND start >= ? AND start < ? ORDER BY start LIMIT 1"  # noqa: S608 - ours
        beyond = connection.execute(f"{periods} OFFSET ?", (width, start, end, entries)).fetchone()
        if beyond is not None:
            (first,) = connection.execute(periods, (width, start, end)).fetchone()
            end = max(beyond[0], first + width)
    return end


def _prune_raw(connection: sqlite3.Connection, cutoff: int, *, max_rows: int) -> int:
    """Delete the expired rows of the oldest ranges of ids that hold any."""
    ranges = connection.execute(
        "SELECT first_id, last_id FROM chunks WHERE oldest < ? ORDER BY last_id LIMIT ?", (cutoff, _PRUNED_CHUNKS)
    ).fetchall()
    pruned = 0
    for first, end in ranges:
        if max_rows <= 0:
            break
        last = end if end - first < max_rows else _split(connection, first, end, at=first + max_rows - 1)
        max_rows -= last - first + 1
        # The row at the watermark stays: SQLite gives a new row the id after the greatest, and ids must not come back.
        pruned += connection.execute(
            "DELETE FROM raw WHERE id BETWEEN ? AND ? AND timestamp < ? AND id < (SELECT watermark FROM state)",
            (first, last, cutoff),
        ).rowcount
        left = "SELECT min(timestamp) FROM raw WHERE id BETWEEN ? AND ?"
        (oldest,) = connection.execute(left, (first, last)).fetchone()
        if oldest is None:
            connection.execute("DELETE FROM chunks WHERE last_id = ?", (last,))
        else:
            connection.execute("UPDATE chunks SET oldest = ? WHERE last_id = ?", (oldest, last))
    return pruned


def _split(connection: sqlite3.Connection, first: int, last: int, *, at: int) -> int:
    """Make two of a range of ids, since deleting all of it would take long; returns where the first one ends."""
    copy = "INSERT INTO chunks (last_id, first_id, oldest, newest) SELECT ?, ?, oldest, newest FROM chunks"
    connection.execute(f"{copy} WHERE last_id = ?", (at, first, last))
    connection.execute("UPDATE chunks SET first_id = ? WHERE last_id = ?", (at + 1, last))
    return at


def _prune_level(connection: sqlite3.Connection, width: int, cutoff: int, *, max_rows: int) -> int:
    """Delete the oldest periods of a width; readers do not ask for them from now on."""
    (oldest,) = connection.execute("SELECT min(start) FROM rollup WHERE width = ?", (width,)).fetchone()
    if oldest is None or oldest >= cutoff:
        return 0
    connection.execute("UPDATE levels SET kept_from = max(kept_from, ?) WHERE width = ?", (cutoff, width))
    end = _reach(connection, width, oldest, cutoff, entries=max_rows)
    return sum(
        connection.execute(f"DELETE FROM {table} WHERE width = ? AND start < ?", (width, end)).rowcount  # noqa: S608 - ours
        for table in ("histogram", "rollup")
    )
