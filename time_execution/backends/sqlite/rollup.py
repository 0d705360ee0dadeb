"""Rolling raw rows up into minutes, hours and days, and deleting what is too old; all inside the caller's transaction.

Rows are taken in the order of their ids, each once: the watermark moves in the transaction that adds them. Minutes get
every row at once. Hours and days get them later, in bulk, from the finer width; only a row that comes too late for that
is added to all of them directly.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from time_execution.backends.sqlite.schema import CELLS, DAY, HOUR, MINUTE, SECOND, WIDTHS
from time_execution.formats.histogram import NO_NUMBER

# A wider level is filled once the finer one is so many seconds ahead: rare enough to cost next to nothing, often enough
# that readers find little in the finer one.
_FILL_AFTER = {HOUR: 10 * MINUTE, DAY: HOUR}
# No write waits for more ranges of ids than this being deleted.
_PRUNED_CHUNKS = 2

STEP_TABLE = """CREATE TEMP TABLE step (
    start INTEGER, name_id INTEGER, bucket INTEGER, calls INTEGER, errors INTEGER,
    total, low, high, first INTEGER, last INTEGER
)"""

_TAKE = f"INSERT INTO temp.step {CELLS.format(rows='id > :after AND id <= :upto')}"

_ADD_HISTOGRAM = f"""INSERT INTO main.histogram
SELECT :width, start / :width * :width, name_id, bucket, {{calls}}
FROM {{source}} AND bucket <> {NO_NUMBER} {{group}}
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

_ADD_CHUNK = f"""INSERT INTO chunks
SELECT :upto, :after + 1, min(start) * {SECOND}, (max(start) + {MINUTE}) * {SECOND} - 1 FROM temp.step"""  # noqa: S608 - constants

_STEP = "temp.step WHERE start < :before"
_FINER = "main.{table} WHERE width = :finer AND start >= :after AND start < :before"
_SUM = {"calls": "sum(calls)", "group": "GROUP BY 2, 3, 4"}
# A step has one row for each minute, name and bucket, or two when there are errors: not worth grouping.
_ADD_MINUTES = (_ADD_HISTOGRAM.format(source=_STEP, calls="calls", group=""), _ADD_ROLLUP.format(source=_STEP))
_ADD_LATE = (_ADD_HISTOGRAM.format(source=_STEP, **_SUM), _ADD_ROLLUP.format(source=_STEP))
_ADD_FINER = (
    _ADD_HISTOGRAM.format(source=_FINER.format(table="histogram"), **_SUM),
    _ADD_ROLLUP.format(source=_FINER.format(table="rollup")),
)
_ALWAYS = 1 << 62


def waiting_rows(connection: sqlite3.Connection) -> int:
    """Return how many raw rows lie past the watermark."""
    (count,) = connection.execute("SELECT coalesce(max(id), 0) - (SELECT watermark FROM state) FROM raw").fetchone()
    return int(count)


def roll_up(connection: sqlite3.Connection, *, max_rows: int, now: float) -> int:
    """Add the next raw rows to the rollups and move the watermark past them.

    Args:
        connection: Inside a write transaction, and with `STEP_TABLE`.
        max_rows: The most rows to take.
        now: Seconds since the epoch.

    Returns:
        How many ids were passed.
    """
    after, max_names = connection.execute("SELECT watermark, max_names FROM state").fetchone()
    (newest_id,) = connection.execute("SELECT coalesce(max(id), 0) FROM raw").fetchone()
    upto = min(newest_id, after + max_rows)
    if upto <= after:
        return 0
    connection.execute("DELETE FROM temp.step")
    connection.execute(_TAKE, {"after": after, "upto": upto, "max_names": max_names})
    filled = dict(connection.execute("SELECT width, filled_until FROM levels"))
    _add(connection, _ADD_MINUTES, width=MINUTE, before=_ALWAYS)
    for width in (HOUR, DAY):
        _add(connection, _ADD_LATE, width=width, before=filled[width])
    (last_start,) = connection.execute("SELECT max(start) FROM temp.step").fetchone()
    if last_start is not None:
        _fill(connection, HOUR, MINUTE, filled[HOUR], min(last_start, int(now) // MINUTE * MINUTE))
        (hours_until,) = connection.execute("SELECT filled_until FROM levels WHERE width = ?", (HOUR,)).fetchone()
        _fill(connection, DAY, HOUR, filled[DAY], hours_until // HOUR * HOUR)
        connection.execute(_ADD_CHUNK, {"after": after, "upto": upto})
    connection.execute("UPDATE state SET watermark = ?", (upto,))
    return int(upto - after)


def prune(connection: sqlite3.Connection, *, retention: Mapping[int, float | None], now: float) -> None:
    """Delete a little of what is older than its retention.

    Args:
        connection: Inside a write transaction.
        retention: Seconds for each of `WIDTHS`, and for 0: the raw rows; None keeps for ever.
        now: Seconds since the epoch.
    """
    if (kept := retention[0]) is not None:
        _prune_raw(connection, int((now - kept) * SECOND))
    filled = dict(connection.execute("SELECT width, filled_until FROM levels"))
    for width, wider in zip(WIDTHS, (*WIDTHS[1:], None), strict=True):
        if (kept := retention[width]) is not None:
            # What a wider level has yet to get from this one stays.
            limit = int(now - kept) if wider is None else min(int(now - kept), filled[wider])
            unit = wider or width
            _prune_level(connection, width, limit // unit * unit, unit=unit)


def _add(connection: sqlite3.Connection, statements: tuple[str, ...], **bounds: int) -> None:
    for statement in statements:
        connection.execute(statement, bounds)


def _fill(connection: sqlite3.Connection, width: int, finer: int, filled: int, target: int) -> None:
    """Bring a level up to a moment from the finer one, if that is worth it by now."""
    if target - filled >= _FILL_AFTER[width]:
        _add(connection, _ADD_FINER, width=width, finer=finer, after=filled, before=target)
        connection.execute("UPDATE levels SET filled_until = ? WHERE width = ?", (target, width))


def _prune_raw(connection: sqlite3.Connection, cutoff: int) -> None:
    """Delete the expired rows of the oldest ranges of ids that hold any."""
    chunks = connection.execute(
        "SELECT first_id, last_id FROM chunks WHERE oldest < ? ORDER BY last_id LIMIT ?", (cutoff, _PRUNED_CHUNKS)
    ).fetchall()
    for chunk in chunks:
        # The row at the watermark stays: SQLite gives a new row the id after the greatest, and ids must not come back.
        connection.execute(
            "DELETE FROM raw WHERE id BETWEEN ? AND ? AND timestamp < ? AND id < (SELECT watermark FROM state)",
            (*chunk, cutoff),
        )
        (oldest,) = connection.execute("SELECT min(timestamp) FROM raw WHERE id BETWEEN ? AND ?", chunk).fetchone()
        if oldest is None:
            connection.execute("DELETE FROM chunks WHERE last_id = ?", chunk[1:])
        else:
            connection.execute("UPDATE chunks SET oldest = ? WHERE last_id = ?", (oldest, chunk[1]))


def _prune_level(connection: sqlite3.Connection, width: int, cutoff: int, *, unit: int) -> None:
    """Delete the oldest periods of a width, a unit of time at most, which is a period of the wider level."""
    (oldest,) = connection.execute("SELECT min(start) FROM rollup WHERE width = ?", (width,)).fetchone()
    if oldest is None or oldest >= cutoff:
        return
    end = min(cutoff, oldest // unit * unit + unit)
    for table in ("histogram", "rollup"):
        connection.execute(f"DELETE FROM {table} WHERE width = ? AND start < ?", (width, end))  # noqa: S608 - ours
    connection.execute("UPDATE levels SET kept_from = max(kept_from, ?) WHERE width = ?", (end, width))
