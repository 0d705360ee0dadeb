"""The store that processes share: one SQLite file to which all of them add, so what a dead worker counted stays.

A batch is one transaction of ``value = value + ?``: it counts once it is committed, whatever happens to the process
then, and nothing is ever collected from files of dead processes. Levels are kept by process, and go with it.
"""

from __future__ import annotations

import json
import math
import sqlite3
import time
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import TypeVar

from time_execution.backends.prometheus import owner
from time_execution.backends.prometheus.store import Store
from time_execution.backends.prometheus.tally import LATEST, LEVELS, Cell, Exemplar, Labels, Placed, Series, Tally
from time_execution.exceptions import BackendDenied, BackendUnavailable
from time_execution.sqlite_file import (
    Identity,
    backend_error,
    create,
    identity,
    is_damage,
    nobody_moves,
    set_aside,
    transaction,
)

_APPLICATION_ID = 0x54455072
_VERSION = 1
_SCHEMA = (
    "CREATE TABLE state (generation INTEGER NOT NULL)",
    "INSERT INTO state VALUES (0)",
    """CREATE TABLE series (
        id INTEGER PRIMARY KEY, kind TEXT NOT NULL, name TEXT NOT NULL, labels TEXT NOT NULL, seen INTEGER NOT NULL,
        UNIQUE (kind, name, labels)
    )""",
    """CREATE TABLE cells (
        series INTEGER NOT NULL, owner INTEGER NOT NULL, failed INTEGER NOT NULL, bound REAL NOT NULL,
        count INTEGER NOT NULL, value REAL NOT NULL, moment INTEGER NOT NULL, exemplar TEXT,
        PRIMARY KEY (series, owner, failed, bound)
    ) WITHOUT ROWID""",
    f"PRAGMA application_id = {_APPLICATION_ID}",
    f"PRAGMA user_version = {_VERSION}",
)
_INSERT = "INSERT INTO cells VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET count = count + excluded.count, "
_ADD = _INSERT + "value = value + excluded.value, exemplar = coalesce(excluded.exemplar, exemplar)"
_RENEW = (
    _INSERT
    + """value = CASE WHEN excluded.moment >= moment OR moment > now_ns() THEN excluded.value ELSE value END,
    moment = CASE WHEN excluded.moment >= moment OR moment > now_ns() THEN excluded.moment ELSE moment END"""
)
_TOTALS = """SELECT id, kind, name, labels, owner, failed, bound, count, value, moment, exemplar
FROM series JOIN cells ON series = id WHERE seen >= ?"""
_EMPTY_LEVELS = """SELECT id FROM series
WHERE kind IN ('gauge', 'value') AND id NOT IN (SELECT series FROM cells)"""
_EVERYBODY = 0
_ATTEMPTS = 5
_SWEEP_INTERVAL = 10.0
_RETRY_PAUSE = 0.01
# Connections of a parent process, kept from being collected: closing one in the child could harm the parent.
_inherited: list[sqlite3.Connection | None] = []

_T = TypeVar("_T")


class SharedStore(Store):
    """Keeps totals in a file, for all processes that name the same one; blocks while another process writes.

    Args:
        path: Absolute; created with mode 0600.
        max_series: As `Store` has it, for all processes together.
        ttl: A series goes when no process added to it for so many seconds; None for never.
        timeout: The longest wait for other processes, in seconds.
    """

    def __init__(self, path: Path, max_series: int, *, ttl: float | None, timeout: float) -> None:
        super().__init__(max_series)
        self._path = path
        self._ttl = ttl
        self._timeout = timeout
        self._connection: sqlite3.Connection | None = None
        self._file: Identity | None = None
        self._is_closed = False
        self._forget()

    @property
    def key(self) -> Hashable:
        """The file."""
        return self._path

    def _forget(self) -> None:
        if self._connection is not None:
            _inherited.append(self._connection)
        self._connection = None
        self._generation = -1
        self._last_id = 0
        self._next_sweep = time.monotonic() + _SWEEP_INTERVAL

    def _close(self) -> None:
        self._is_closed = True
        self._release()

    def _release(self) -> None:
        connection, self._connection = self._connection, None
        self._generation = -1  # what the catalogue knows may have been rolled back
        if connection is not None:
            connection.close()

    def _add(self, tally: Tally) -> Placed:
        self._is_closed = False
        return self._attempt(lambda connection: self._store(connection, tally))

    def _read(self) -> Tally:
        if identity(self._path) is None:
            return Tally()
        try:
            return self._attempt(self._totals)
        finally:
            if self._is_closed:
                self._release()

    def _attempt(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """Work on the file; again, on a fresh one, when it is broken or no longer at its path."""
        try:
            for _ in range(_ATTEMPTS):
                try:
                    connection = self._connection or self._open()
                    done = work(connection) if self._is_at_path() else None
                except sqlite3.DatabaseError as exc:
                    if is_damage(exc):
                        self._replace(exc)
                        continue
                    if self._is_at_path():
                        raise
                else:
                    # Otherwise it went to a file that was moved aside or removed at that very moment.
                    if done is not None and self._is_at_path():
                        return done
                self._release()
        except BaseException as exc:
            self._release()
            if isinstance(exc, sqlite3.Error | OSError):
                raise backend_error(exc) from exc
            raise
        raise BackendUnavailable(f"{self._path.name} is replaced again and again while it is used")

    def _is_at_path(self) -> bool:
        return identity(self._path) == self._file

    def _replace(self, exc: sqlite3.Error) -> None:
        """Move the broken file aside, unless another process has done so."""
        self._release()
        moved = None if self._file is None else set_aside(self._path, self._file)
        if moved is not None:
            self._fail(f"{self._path.name} is broken ({exc}); it is now {moved.name}, and counting begins anew")

    def _open(self) -> sqlite3.Connection:
        self._file = create(self._path)
        with nobody_moves(self._path):
            connection = sqlite3.connect(
                f"{self._path.as_uri()}?mode=rw",
                uri=True,
                timeout=self._timeout,
                isolation_level=None,
                check_same_thread=False,
            )
            try:
                connection.create_function("now_ns", 0, time.time_ns)
                _set_up(connection, self._path.name, deadline=time.monotonic() + self._timeout)
            except BaseException:
                connection.close()
                raise
        self._connection = connection
        return connection

    def _store(self, connection: sqlite3.Connection, tally: Tally) -> Placed:
        with transaction(connection):
            self._learn(connection, tally)
            placed = self._catalogue.place(tally)
            now = _now()
            self._enter(connection, placed.tally, now)
            us = owner.claim(self._path) if any(series[0] in LEVELS for series in placed.tally) else _EVERYBODY
            for statement, rows in self._rows(placed.tally, us).items():
                connection.executemany(statement, rows)
            if self._ttl is not None:
                ids = [(now, self._catalogue.id_of(series)) for series in placed.tally]
                connection.executemany("UPDATE series SET seen = ? WHERE id = ?", ids)
            if time.monotonic() >= self._next_sweep:
                self._sweep(connection, now)
        return placed

    def _learn(self, connection: sqlite3.Connection, tally: Tally) -> None:
        """Get to know the series that other processes have added, and anew all of them when some have gone."""
        (generation,) = connection.execute("SELECT generation FROM state").fetchone()
        if generation != self._generation:
            self._catalogue.clear()
            self._last_id = 0
        elif all(series in self._catalogue for series in tally):
            return
        found = connection.execute(
            "SELECT id, kind, name, labels FROM series WHERE id > ? ORDER BY id", (self._last_id,)
        )
        for id_, kind, name, labels in found:
            series = (kind, name, _labels(labels))
            if series not in self._catalogue:  # an earlier release entered it once for each order of its labels
                self._catalogue.enter(series, id_)
            self._last_id = id_
        self._generation = generation

    def _enter(self, connection: sqlite3.Connection, tally: Tally, now: int) -> None:
        for series in tally:
            if not self._catalogue.id_of(series):
                kind, name, labels = series
                cursor = connection.execute(
                    "INSERT INTO series (kind, name, labels, seen) VALUES (?, ?, ?, ?)",
                    (kind, name, json.dumps(labels), now),
                )
                self._last_id = cursor.lastrowid or 0
                self._catalogue.enter(series, self._last_id)

    def _rows(self, tally: Tally, us: int) -> dict[str, list[tuple[object, ...]]]:
        """Return the rows of a tally by the statement that adds them."""
        found: dict[str, list[tuple[object, ...]]] = {_ADD: [], _RENEW: []}
        for series, parts in tally.items():
            is_level = series[0] in LEVELS
            rows, who = found[_RENEW if is_level else _ADD], us if is_level else _EVERYBODY
            id_ = self._catalogue.id_of(series)
            for (failed, bound), cell in parts.items():
                exemplar = None if cell.exemplar is None else json.dumps(cell.exemplar)
                rows.append((id_, who, failed, bound, cell.count, cell.value, cell.moment, exemplar))
        return found

    def _sweep(self, connection: sqlite3.Connection, now: int) -> None:
        """Delete what dead processes showed, and the series to which nothing was added for too long."""
        self._next_sweep = time.monotonic() + _SWEEP_INTERVAL
        owners = connection.execute("SELECT DISTINCT owner FROM cells WHERE owner != ?", (_EVERYBODY,))
        gone = owner.dead(self._path, [number for (number,) in owners])
        connection.executemany("DELETE FROM cells WHERE owner = ?", [(number,) for number in gone])
        ids = connection.execute(_EMPTY_LEVELS).fetchall() if gone else []
        if self._ttl is not None:
            # From before the machine was started, or of a release that took the time of day.
            connection.execute("UPDATE series SET seen = ? WHERE seen > ?", (now, now))
            ids += connection.execute("SELECT id FROM series WHERE seen < ?", (now - self._ttl,)).fetchall()
        if ids:
            connection.executemany("DELETE FROM cells WHERE series = ?", ids)
            connection.executemany("DELETE FROM series WHERE id = ?", ids)
            connection.execute("UPDATE state SET generation = generation + 1")

    def _totals(self, connection: sqlite3.Connection) -> Tally:
        """Return the totals of all processes, and the levels of those that live."""
        oldest = -math.inf if self._ttl is None else _now() - self._ttl
        with transaction(connection, writes=False):
            rows = connection.execute(_TOTALS, (oldest,)).fetchall()
        gone = owner.dead(self._path, {row[4] for row in rows} - {_EVERYBODY})
        total = Tally()
        known: dict[int, Series] = {}
        for id_, kind, name, labels, who, failed, bound, *rest in rows:
            if who in gone:
                continue
            series = known.get(id_)
            if series is None:
                series = known[id_] = (kind, name, _labels(labels))
            total.cell(series, (bool(failed), bound)).absorb(_cell(*rest), is_latest=kind in LATEST)
        return total


def _set_up(connection: sqlite3.Connection, name: str, *, deadline: float) -> None:
    """Prepare a connection, and a new file; waits until the deadline for a process that does the same."""
    while True:
        try:
            with transaction(connection, writes=False):
                _is_new(connection, name)  # another program's database is not even put into the WAL mode
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            with transaction(connection):
                if _is_new(connection, name):
                    for statement in _SCHEMA:
                        connection.execute(statement)
        except sqlite3.OperationalError as exc:
            # SQLite does not wait for the lock that a change of the journal mode takes.
            if "locked" not in str(exc) or time.monotonic() >= deadline:
                raise
            time.sleep(_RETRY_PAUSE)
        else:
            return


def _is_new(connection: sqlite3.Connection, name: str) -> bool:
    """Say whether a database is empty as yet.

    Raises:
        BackendDenied: When it is neither that nor one of ours.
    """
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if (application, version) == (_APPLICATION_ID, _VERSION):
        return False
    if application == _APPLICATION_ID:
        raise BackendDenied(f"{name} has version {version}, and this release knows {_VERSION}: name another file")
    if application or version or connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone():
        raise BackendDenied(f"{name} is another program's database: name another file")
    return True


def _now() -> int:
    """Return the seconds since the machine was started, the same in all processes, whoever sets its clock."""
    return int(time.monotonic())


def _labels(text: str) -> Labels:
    return tuple(sorted((name, value) for name, value in json.loads(text)))


def _cell(count: int, value: float, moment: int, exemplar: str | None) -> Cell:
    if exemplar is None:
        return Cell(count, value, moment)
    labels, seconds, at = json.loads(exemplar)
    return Cell(count, value, moment, Exemplar(tuple((name, text) for name, text in labels), seconds, at))
