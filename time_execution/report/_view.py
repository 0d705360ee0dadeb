"""One consistent view of a metrics database, and which of its periods answer for a range of time."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections import defaultdict
from collections.abc import Collection, Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from time_execution.backends.sqlite.schema import (
    APPLICATION_ID,
    CELLS,
    DAY,
    HOUR,
    MAX_NAMES,
    MINUTE,
    OVERFLOW_ID,
    SECOND,
    VERSION,
    WIDTHS,
)
from time_execution.exceptions import DatabaseError, DatabaseMissingError, NotADatabaseError
from time_execution.formats.histogram import NO_NUMBER
from time_execution.formats.timestamp import to_nanoseconds
from time_execution.report.statistics import MILLISECONDS, Aggregate, Series, Sums

_BUSY_TIMEOUT = 5.0
# Said where SQLite cannot make the file beside the database that it reads with.
_NO_ROOM_BESIDE = ("attempt to write a readonly database", "unable to open database file")
_MAX_POINTS = 1500
_END = 1 << 33
_IDS = MAX_NAMES + 1

_SERIES = """CREATE TEMP VIEW series AS
SELECT id, name, {kind} AS kind, {unit} AS unit, {family} AS family FROM names"""
_SUMS = "sum(calls), sum(errors), total(total), min(low), max(high), min(first), max(last)"
_OF_RANGE = "FROM {table} WHERE width = :width AND start >= :start AND start < :end"
# Found by their keys in each period in turn: the series in between are not read.
_OF_IDS = """FROM (
        WITH RECURSIVE periods(period) AS (
            SELECT :start UNION ALL SELECT period + :width FROM periods WHERE period + :width < :end
        ) SELECT period FROM periods
    ) CROSS JOIN (SELECT value AS wanted FROM json_each(:ids)) CROSS JOIN {table} AS found
    ON found.width = :width AND found.start = period AND found.name_id = wanted"""
# As rollups count them.
_COUNTED_ID = f"CASE WHEN name_id <= :max_names THEN name_id ELSE {OVERFLOW_ID} END"
_IS_WANTED = f"AND ({_COUNTED_ID}) IN (SELECT value FROM json_each(:ids))"  # noqa: S608 - constants
_WAITING = CELLS.format(rows="id > :watermark AND timestamp >= :since AND timestamp < :until {more}")


class Segment(NamedTuple):
    """Periods of one width, from `start` up to `end`, in seconds since the epoch."""

    width: int
    start: int
    end: int


class Level(NamedTuple):
    """How far the periods of one width reach; see the table ``levels``."""

    filled_until: int
    kept_from: int


class View:
    """One consistent view of a database: what is written meanwhile is not seen."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        _describe_series(connection)
        self.watermark, self.max_names = connection.execute("SELECT watermark, max_names FROM state").fetchone()
        self.levels = {
            width: Level(*level)
            for width, *level in connection.execute("SELECT width, filled_until, kept_from FROM levels")
        }

    @classmethod
    @contextlib.contextmanager
    def open(cls, path: str | os.PathLike[str]) -> Iterator[View]:
        """Open a database for reading only."""
        file = Path(path).absolute()
        if not file.exists():
            raise DatabaseMissingError(f"there is no metrics database at {os.fspath(path)!r}")
        try:
            with contextlib.closing(_connect(file)) as connection:
                connection.execute("BEGIN")
                _check_signature(connection, file)
                yield cls(connection)
        except sqlite3.Error as exc:
            kind = NotADatabaseError if "not a database" in str(exc) else DatabaseError
            raise kind(f"{os.fspath(path)!r} cannot be read: {exc}") from exc

    def series(self) -> dict[int, Series]:
        """Return the series of each id."""
        rows = self.connection.execute("SELECT id, name, kind, unit FROM temp.series")
        return {key: Series(*series) for key, *series in rows}

    def name_id(self, name: str) -> int | None:
        """Return the id of a name; None when no metric had it."""
        row = self.connection.execute("SELECT id FROM names WHERE name = ?", (name,)).fetchone()
        return None if row is None else int(row[0])

    def ids_of(self, name: str) -> list[int]:
        """Return the ids of what a name stands for: one series, or all those of a family."""
        rows = self.connection.execute(
            "SELECT id FROM temp.series WHERE name = :name OR family = :name", {"name": name}
        )
        return [key for (key,) in rows]

    def newest_id(self) -> int:
        """Return the id of the row that was stored last; 0 without one."""
        (newest,) = self.connection.execute("SELECT coalesce(max(id), 0) FROM raw").fetchone()
        return int(newest)

    def align(self, since: datetime | None, until: datetime | None) -> tuple[int, int]:
        """Return a range widened to periods that are there, in seconds."""
        start = nanoseconds(since, 0) // SECOND
        end = -(-nanoseconds(until, _END * SECOND) // SECOND)
        for width, kept_from in ((MINUTE, None), (HOUR, MINUTE), (DAY, HOUR)):
            if kept_from is None or start < self.levels[kept_from].kept_from:
                start = start // width * width
            if kept_from is None or end < self.levels[kept_from].kept_from:
                end = -(-end // width) * width
        return start, end

    def extent(self, start: int, end: int) -> tuple[int, int]:
        """Return a range cut to where there is anything, so that its periods can be walked through."""
        found = [
            self.connection.execute(
                """SELECT min(first), max(last) + :minute FROM rollup WHERE width = :width AND start IN (
                    (SELECT min(start) FROM rollup WHERE width = :width),
                    (SELECT max(start) FROM rollup WHERE width = :width))""",
                {"width": width, "minute": MINUTE},
            ).fetchone()
            for width in WIDTHS
        ]
        waiting = f"SELECT min(timestamp) / {SECOND}, max(timestamp) / {SECOND} + 1 FROM raw WHERE id > ?"  # noqa: S608 - a constant
        found.append(self.connection.execute(waiting, (self.watermark,)).fetchone())
        known = [bounds for bounds in found if bounds[0] is not None]
        if not known:
            return start, start
        return max(start, min(low for low, _ in known)), min(end, max(high for _, high in known))

    def suitable_width(self, start: int, end: int) -> int:
        """Return the shortest period that is kept for all of a range and does not make too many points of it."""
        for width in WIDTHS:
            if start >= self.levels[width].kept_from and (end - start) / width <= _MAX_POINTS:
                return width
        return DAY

    def segments(self, start: int, end: int, *, widest: int = DAY) -> Iterator[Segment]:
        """Divide a range among the levels: the widest periods in its middle, finer ones at its ends."""
        if start >= end:
            return
        if widest == MINUTE:
            yield Segment(MINUTE, start, end)
            return
        finer = WIDTHS[WIDTHS.index(widest) - 1]
        filled_until = self.levels[widest].filled_until
        low = -(-start // widest) * widest
        # The last period of a level holds what came before `filled_until`, and nothing else.
        high = filled_until if end >= filled_until else end // widest * widest
        if low >= high:
            yield from self.segments(start, end, widest=finer)
            return
        yield from self.segments(start, low, widest=finer)
        yield Segment(widest, low, high)
        yield from self.segments(high, end, widest=finer)

    def aggregates(self, start: int, end: int, *, ids: Collection[int] | None = None) -> dict[int, Aggregate]:
        """Return the figures of each series by its id; of those with some ids, or of all."""
        found: defaultdict[int, Aggregate] = defaultdict(Aggregate)
        for segment in self.segments(start, end):
            self._add(found, "name_id", *_of(ids), segment)
        self._add_waiting(found, "name_id", start, end, ids=ids)
        return dict(found)

    def periods(
        self, start: int, end: int, width: int, *, name: str | None = None, ids: Collection[int] | None = None
    ) -> dict[tuple[int, int], Aggregate]:
        """Return the figures of each period of a width, by the period's start and the id.

        Args:
            start: The first second, where a period begins.
            end: The end, where another one does.
            width: Seconds.
            name: Of what a name stands for only; see `ids_of`.
            ids: Of the series with these ids only; quick where they are few.
        """
        found: defaultdict[int, Aggregate] = defaultdict(Aggregate)
        if name is not None:
            ids = self.ids_of(name)
        key = f"start / {width} * {width} * {_IDS} + name_id"
        for segment in self.segments(start, end, widest=width):
            self._add(found, key, *_of(ids), segment)
        self._add_waiting(found, key, start, end, ids=ids)
        return {divmod(packed, _IDS): aggregate for packed, aggregate in found.items()}

    def _add(
        self, found: defaultdict[int, Aggregate], key: str, source: str, ids: str | None, segment: Segment | None
    ) -> None:
        """Add rollups up by an expression."""
        bounds = {"ids": ids, **(segment._asdict() if segment else {})}
        query = f"SELECT {key}, {_SUMS} {source.format(table='rollup')} GROUP BY 1"
        for group, calls, errors, total, low, high, first, last in self.connection.execute(query, bounds):
            found[group].add_sums(Sums(calls, errors, total, low, high, first * SECOND, last * SECOND))
        source = source.format(table="histogram")
        query = f"SELECT {key}, bucket, sum(calls) {source} GROUP BY 1, 2 HAVING bucket <> {NO_NUMBER}"
        for group, bucket, calls in self.connection.execute(query, bounds):
            found[group].buckets[bucket] += calls

    def _add_waiting(
        self, found: defaultdict[int, Aggregate], key: str, start: int, end: int, *, ids: Collection[int] | None
    ) -> None:
        """Add what is not rolled up yet."""
        bounds = {
            "watermark": self.watermark,
            "max_names": self.max_names,
            "ids": None if ids is None else _listed(ids),
        }
        bounds |= {"since": start * SECOND, "until": end * SECOND}
        cells = _WAITING.format(more="" if ids is None else _IS_WANTED)
        self.connection.execute(f"CREATE TEMP TABLE waiting AS {cells}", bounds)
        self._add(found, key, "FROM temp.waiting", None, None)
        self.connection.execute("DROP TABLE temp.waiting")


def _of(ids: Collection[int] | None) -> tuple[str, str | None]:
    """Return where rollups come from: of all series, or of some."""
    return (_OF_RANGE, None) if ids is None else (_OF_IDS, _listed(ids))


def _listed(ids: Collection[int]) -> str:
    return json.dumps(list(ids))


def nanoseconds(moment: datetime | None, default: int) -> int:
    """Return a moment in nanoseconds since the epoch."""
    return default if moment is None else to_nanoseconds(moment)


def _connect(file: Path) -> sqlite3.Connection:
    """Open a database for reading only, also where nothing can be written to its folder."""
    try:
        return _open(file, "mode=ro")
    except sqlite3.OperationalError as exc:
        if not str(exc).startswith(_NO_ROOM_BESIDE):
            raise
        log = file.with_name(f"{file.name}-wal")
        if log.exists() and log.stat().st_size:
            raise sqlite3.OperationalError(
                f"what was stored last is in {log.name!r}, which can be read only where that folder can be written to"
            ) from exc
    # Without a log nobody is writing, so SQLite may do without the file in which readers and writers meet.
    return _open(file, "immutable=1")


def _open(file: Path, option: str) -> sqlite3.Connection:
    connection = sqlite3.connect(f"{file.as_uri()}?{option}", uri=True, timeout=_BUSY_TIMEOUT, isolation_level=None)
    try:
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.execute("PRAGMA schema_version")  # the first to look into the file
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _check_signature(connection: sqlite3.Connection, file: Path) -> None:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application == 0 and connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is None:
        raise DatabaseMissingError(f"there is no metric in {str(file)!r} yet: the file is empty")
    if application != APPLICATION_ID:
        raise NotADatabaseError(f"{str(file)!r} is no metrics database")
    if version > VERSION:
        raise NotADatabaseError(f"{str(file)!r} was written by a later release; upgrade to read it")


def _describe_series(connection: sqlite3.Connection) -> None:
    """Let queries say ``temp.series`` for the names with their kinds and units."""
    columns = {column for _, column, *_ in connection.execute("PRAGMA table_info(names)")}
    # A file of an earlier release has neither kinds nor labels before it is written to again.
    kind, unit = ("coalesce(kind, 'timing')", "unit") if "kind" in columns else ("'timing'", "NULL")
    family = "coalesce(family, name)" if "family" in columns else "name"
    unit = f"CASE {kind} WHEN 'timing' THEN '{MILLISECONDS}' ELSE {unit} END"
    connection.execute(_SERIES.format(kind=kind, unit=unit, family=family))
