"""Turning what files hold into a metrics database, row by row, in constant memory."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from time_execution.backends.sqlite import database, rollup
from time_execution.backends.sqlite.rows import Row, RowMaker, insert
from time_execution.backends.sqlite.schema import MAX_NAMES
from time_execution.formats.histogram import bucket_of
from time_execution.formats.json import decode, encode
from time_execution.report._record import CALL_ID, ERROR_TYPE
from time_execution.sqlite_file import create, transaction
from time_execution.types import NAME, TIMESTAMP, VALUE, Metric

if TYPE_CHECKING:
    from time_execution.report._timing import Timing

_BATCH = 5_000
_STEP = 65_536
_MAX_CACHED = 100_000
_BUSY_TIMEOUT = 5.0
_MESSAGE = "message"
# Nobody else sees the file, and after a crash nobody wants it.
_PRAGMAS = ("journal_mode = OFF", "synchronous = OFF", "cache_size = -16000")
_CAUGHT = "CREATE TABLE caught (id INTEGER PRIMARY KEY, call_id TEXT NOT NULL UNIQUE, metric TEXT NOT NULL)"
_KEEP = "INSERT INTO caught (call_id, metric) VALUES (?, ?) ON CONFLICT DO NOTHING"
_KEPT = "SELECT id, metric FROM caught WHERE id > ? ORDER BY id LIMIT ?"
_FIND = "SELECT id, metric FROM caught WHERE call_id = ?"


class Store:
    """A metrics database in the making; belongs to one thread.

    Args:
        path: The file to make.
        value_field: The field whose number is the value, if `settings.duration_field` renames it.
    """

    def __init__(self, path: Path, *, value_field: str) -> None:
        create(path)
        self._connection = database.connect(path, busy_timeout=_BUSY_TIMEOUT, max_names=MAX_NAMES)
        for pragma in _PRAGMAS:
            self._connection.execute(f"PRAGMA {pragma}")
        self._connection.execute(_CAUGHT)
        self._maker = RowMaker(self._connection, value_field=value_field)
        self._names: dict[str, int] = {}
        self._has_caught = False

    def add(self, found: Iterable[Metric | Timing]) -> Iterator[int]:
        """Store metrics a batch at a time; gives how many there were, batch by batch.

        What was caught of a failed call is kept back until it is known whether the call was timed as well, so it has
        to come before the timings.
        """
        remaining = iter(found)
        while batch := list(islice(remaining, _BATCH)):
            metrics = [each for each in batch if type(each) is Metric]
            caught = [metric for metric in metrics if _is_caught(metric)]
            if caught:
                self._keep(caught)
                metrics = [metric for metric in metrics if not _is_caught(metric)]
            if self._has_caught:
                self._join(metrics)
            timings = [each for each in batch if type(each) is tuple]
            self._insert([*self._maker.rows(metrics), *self._rows(timings)])
            yield len(batch)

    def finish(self) -> None:
        """Store the failed calls that nobody timed, and add everything up."""
        last = 0
        while kept := self._connection.execute(_KEPT, (last, _BATCH)).fetchall():
            self._insert(self._maker.rows([Metric(decode(text)) for _, text in kept]))
            last = kept[-1][0]
        self._connection.execute("DROP TABLE caught")
        passed = 1
        while passed:
            with transaction(self._connection):
                passed = rollup.roll_up(self._connection, max_rows=_STEP, now=time.time())

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _rows(self, timings: Iterable[Timing]) -> list[Row]:
        known, find = self._names, self._name_id
        return [
            (known.get(name) or find(name), None, value, moment, bucket_of(value), 0, fields)
            for name, value, moment, fields in timings
        ]

    def _name_id(self, name: str) -> int:
        """Return the id of a name that is new here."""
        if len(self._names) >= _MAX_CACHED:
            self._names.clear()
        ((self._names[name], *_),) = self._maker.rows([Metric({NAME: name, TIMESTAMP: 0})])
        return self._names[name]

    def _insert(self, rows: Sequence[Row]) -> None:
        with transaction(self._connection):
            insert(self._connection, rows)

    def _keep(self, metrics: Sequence[Metric]) -> None:
        """Keep failed calls back under their ids, the first of several that have the same."""
        self._has_caught = True
        with transaction(self._connection):
            self._connection.executemany(_KEEP, [(str(metric[CALL_ID]), encode(metric)) for metric in metrics])

    def _join(self, metrics: Sequence[Metric]) -> None:
        """Give each timed call that failed the message that was caught, which does not count by itself then."""
        with transaction(self._connection):
            for metric in metrics:
                if ERROR_TYPE not in metric or VALUE not in metric:
                    continue
                found = self._connection.execute(_FIND, (str(metric.get(CALL_ID)),)).fetchone()
                if found is not None:
                    self._connection.execute("DELETE FROM caught WHERE id = ?", (found[0],))
                    metric.setdefault(_MESSAGE, decode(found[1]).get(_MESSAGE))


def _is_caught(metric: Metric) -> bool:
    return VALUE not in metric and ERROR_TYPE in metric and CALL_ID in metric
