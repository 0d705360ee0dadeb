"""The tables of a metrics database: what its writer and its readers have in common.

``metrics(name, value, hostname, timestamp, fields)`` is a view: names and hosts are stored once, and each row of
``raw`` refers to them. A name in ``names`` is that of a series, with its labels if it has any. ``rollup`` and
``histogram`` hold, for each of them, minute, hour and day, what the raw rows up to ``state.watermark`` (an id, so that
a row is never too late to be counted) add up to.
"""

from __future__ import annotations

APPLICATION_ID = 0x74657865
VERSION = 1

MINUTE = 60
HOUR = 3600
DAY = 86_400
WIDTHS = (MINUTE, HOUR, DAY)
"""The lengths of the periods that rollups are kept for, in seconds, finest first; each divides the next."""

SECOND = 1_000_000_000
OVERFLOW_ID = 1
OVERFLOW_NAME = "__overflow__"
"""Where rollups count the names beyond ``state.max_names``; the raw rows keep their own."""

# What files of earlier releases have in another form, or lack.
_VIEW = """CREATE VIEW metrics AS
    SELECT coalesce(names.family, names.name) AS name, raw.value, hosts.hostname, raw.timestamp, raw.fields
    FROM raw LEFT JOIN names ON names.id = raw.name_id LEFT JOIN hosts ON hosts.id = raw.host_id"""
_ERRORS = "CREATE INDEX IF NOT EXISTS raw_errors ON raw (name_id, id) WHERE error = 1"
_STATES = """CREATE TABLE IF NOT EXISTS states ( -- the latest word of each process on a topic
    topic TEXT, owner TEXT,
    timestamp INTEGER NOT NULL, -- nanoseconds since the epoch
    body TEXT NOT NULL, -- a JSON object
    PRIMARY KEY (topic, owner)
) WITHOUT ROWID"""

STATEMENTS = (
    """CREATE TABLE names (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,
    kind TEXT, unit TEXT, -- of the first metric of that name; kind is NULL until one comes
    family TEXT, labels TEXT -- the name alone, and a JSON object of texts, where labels are part of the name
)""",
    "CREATE TABLE hosts (id INTEGER PRIMARY KEY, hostname TEXT NOT NULL UNIQUE)",
    """CREATE TABLE raw (
    id INTEGER PRIMARY KEY,
    name_id INTEGER NOT NULL,
    host_id INTEGER,
    value, -- a number, or NULL
    timestamp INTEGER NOT NULL, -- nanoseconds since the epoch
    bucket INTEGER NOT NULL, -- of the value in a logarithmic histogram; 0 without one
    error INTEGER NOT NULL, -- 1 when the call failed
    fields TEXT -- a JSON object of everything else, or NULL
)""",
    _VIEW,
    """CREATE TABLE chunks ( -- between which timestamps a range of ids in raw lies
    last_id INTEGER PRIMARY KEY, first_id INTEGER NOT NULL, oldest INTEGER NOT NULL, newest INTEGER NOT NULL
)""",
    """CREATE TABLE rollup (
    width INTEGER, start INTEGER, -- the period, in seconds
    name_id INTEGER,
    calls INTEGER NOT NULL, errors INTEGER NOT NULL,
    total, low, high, -- of the values
    first INTEGER NOT NULL, last INTEGER NOT NULL, -- the minutes, in seconds, of the first and the last row
    PRIMARY KEY (width, start, name_id)
) WITHOUT ROWID""",
    """CREATE TABLE histogram (
    width INTEGER, start INTEGER, name_id INTEGER, bucket INTEGER, calls INTEGER NOT NULL,
    PRIMARY KEY (width, start, name_id, bucket)
) WITHOUT ROWID""",
    """CREATE TABLE levels (
    width INTEGER PRIMARY KEY,
    filled_until INTEGER NOT NULL, -- wider levels hold every rolled-up row before this second, and none after it
    kept_from INTEGER NOT NULL -- what began before this second was deleted
)""",
    "CREATE TABLE state (watermark INTEGER NOT NULL, max_names INTEGER NOT NULL)",
    f"INSERT INTO names (id, name) VALUES ({OVERFLOW_ID}, '{OVERFLOW_NAME}')",  # noqa: S608 - constants
    f"INSERT INTO levels VALUES ({MINUTE}, 0, 0), ({HOUR}, 0, 0), ({DAY}, 0, 0)",  # noqa: S608 - constants
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {VERSION}",
)

ADDED_COLUMNS = {
    "kind": ("ALTER TABLE names ADD COLUMN kind TEXT",),
    "unit": ("ALTER TABLE names ADD COLUMN unit TEXT",),
    "family": ("ALTER TABLE names ADD COLUMN family TEXT",),
    "labels": ("ALTER TABLE names ADD COLUMN labels TEXT", "DROP VIEW IF EXISTS metrics", _VIEW),
}
"""Columns of ``names`` that files of earlier releases lack, and what adds each of them with all that goes with it.

Those releases can work on with them, so the version stays.
"""

ADDED = (_ERRORS, _STATES)
"""What those files lack besides; does nothing where it is there."""

# One integer to group by costs half of what columns do: 27 bits of minutes (up to the year 2225), 23 of the name, one
# that says whether the call failed, 12 of the bucket.
_NAME_SHIFT = 13
_START_SHIFT = 36
MAX_NAMES = (1 << _START_SHIFT - _NAME_SHIFT) - 1
LATEST = (1 << 63 - _START_SHIFT) * MINUTE * SECOND - 1
"""The last moment that a row may have, in nanoseconds since the epoch."""

# SQLite gives shifts and bitwise operators the same precedence.
CELL = f"""(timestamp / {MINUTE * SECOND} << {_START_SHIFT})
    | (CASE WHEN name_id <= :max_names THEN name_id ELSE {OVERFLOW_ID} END << {_NAME_SHIFT})
    | (error << {_NAME_SHIFT - 1}) | bucket"""
"""What a raw row is added up by: minute, name, bucket and whether the call failed; takes ``:max_names``."""

_START = f"(cell >> {_START_SHIFT}) * {MINUTE}"
OF_CELL = f"""{_START} AS start, cell >> {_NAME_SHIFT} & {MAX_NAMES} AS name_id,
    cell & {(1 << _NAME_SHIFT - 1) - 1} AS bucket, calls, calls * (cell >> {_NAME_SHIFT - 1} & 1) AS errors,
    total, low, high, {_START} AS first, {_START} AS last"""
"""The columns that a cell with its sums stands for."""

CELLS = f"""SELECT {OF_CELL} FROM (
    SELECT {CELL} AS cell, count(*) AS calls, total(value) AS total, min(value) AS low, max(value) AS high
    FROM raw WHERE {{rows}} GROUP BY cell
)"""  # noqa: S608 - constants
"""Adds raw rows up by cell."""
