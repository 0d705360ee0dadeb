"""The slowest calls of a function are found exactly, and without reading what cannot be among them."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from datetime import datetime, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from time_execution import report, sqlite_file
from time_execution.backends.sqlite import SQLiteBackend, database, rollup
from time_execution.backends.sqlite.schema import DAY, HOUR, MINUTE, SECOND, WIDTHS
from time_execution.report._slowest import Search
from time_execution.types import Metric

FOREVER: dict[str, Any] = {"retention": None, "minute_retention": None, "hour_retention": None}
BASE = 1_700_000_000 // DAY * DAY


@pytest.fixture
def looked(monkeypatch):
    """Give the list of the ranges of ids that are read."""
    ranges: list[tuple[int, int]] = []
    look = Search._look

    def spy(search, first, last):
        ranges.append((first, last))
        look(search, first, last)

    monkeypatch.setattr(Search, "_look", spy)
    return ranges


def metric(name, value, second):
    return Metric({"name": name, "value": value, "hostname": "web-1", "timestamp": (BASE + second) * SECOND})


def write(path, metrics, *, each=None):
    """Store metrics, in batches that are each rolled up at once."""
    with SQLiteBackend(path, rollup_rows=1, **FOREVER) as backend:
        each = each or len(metrics)
        for start in range(0, len(metrics), each):
            backend.write_many(metrics[start : start + each])


def brute_force(path, name, limit, *, since=0, until=1 << 33):
    query = """SELECT value FROM metrics WHERE name = ? AND value IS NOT NULL AND timestamp >= ? AND timestamp < ?
        ORDER BY value DESC LIMIT ?"""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return [value for (value,) in connection.execute(query, (name, since * SECOND, until * SECOND, limit))]


seconds = st.one_of(st.integers(0, 5 * DAY), st.integers(0, 300).map(lambda n: 2 * DAY + n), st.just(90 * 365 * DAY))
values = st.one_of(st.floats(-10.0, 1e4), st.sampled_from([1, 2.5, -7, None]))
row_lists = st.lists(st.tuples(st.sampled_from("abcdef"), values, seconds), min_size=1, max_size=40)
kept = st.sampled_from([0, DAY, 2 * DAY, 4 * DAY, 1 << 40])
retentions = st.tuples(kept, kept, kept).map(lambda three: dict(zip(WIDTHS, sorted(three), strict=True)))
steps = st.tuples(row_lists, st.integers(0, 60), st.integers(1, 50), kept, retentions)


class TestSlowest:
    """What `report.slowest` finds, and what it reads for it."""

    @settings(max_examples=60, deadline=None)
    @given(st.lists(steps, min_size=1, max_size=5), st.tuples(seconds, seconds).map(sorted), st.integers(1, 30))
    def test_the_values_are_those_of_all_rows(self, tmp_path_factory, steps, bounds, limit):
        """However rows, roll-ups and retention interleave, in any range, also for names that rollups do not know."""
        path = tmp_path_factory.mktemp("slowest") / "metrics.db"
        now = float(BASE + 5 * DAY)
        sqlite_file.create(path)
        with contextlib.closing(database.connect(path, busy_timeout=1.0, max_names=4)) as connection:
            for rows, most_rolled_up, most_pruned, raw_kept, levels_kept in steps:
                with SQLiteBackend(path, rollup_rows=1 << 30, retention=None) as backend:
                    backend.write_many([metric(*row) for row in rows])
                with sqlite_file.transaction(connection):
                    rollup.roll_up(connection, max_rows=most_rolled_up, now=now)
                    rollup.prune(connection, retention={0: raw_kept, **levels_kept}, now=now, max_rows=most_pruned)
        since, until = (BASE + second for second in bounds)
        moments = [datetime.fromtimestamp(second, timezone.utc) for second in (since, until)]
        for name in "abcdef":
            found = report.slowest(path, name, limit=limit)
            assert [call.value for call in found] == brute_force(path, name, limit)
            found = report.slowest(path, name, limit=limit, since=moments[0], until=moments[1])
            assert [call.value for call in found] == brute_force(path, name, limit, since=since, until=until)

    def test_few_rows_are_read_of_many(self, path, looked):
        """Only what was stored with one of the slowest calls is looked at."""
        rows = [metric("f", float(n * 7919 % 30_011), n) for n in range(3 * HOUR)]
        write(path, rows, each=60)
        found = [call.value for call in report.slowest(path, "f", limit=5)]
        assert found == sorted((row["value"] for row in rows), reverse=True)[:5]
        assert 2 <= len(looked) <= 1 + 5

    def test_equal_values_everywhere_do_not_cause_all_to_be_read(self, path, looked):
        """A gauge that never changes is not looked for in every period."""
        write(path, [metric("f", 1.0, n * 60) for n in range(300)], each=10)
        assert [call.value for call in report.slowest(path, "f", limit=10)] == [1.0] * 10
        assert len(looked) <= 3

    @pytest.mark.parametrize(("limit", "found"), [(0, 0), (-1, 0), (1, 1), (50, 3)])
    def test_any_limit_is_fine(self, path, limit, found):
        """None are found for a limit below one, and all there are for a large one."""
        write(path, [metric("f", float(n), n) for n in range(3)])
        assert len(report.slowest(path, "f", limit=limit)) == found
        assert report.slowest(path, "unknown", limit=limit) == []

    def test_rows_that_no_rollup_tells_of_any_more_are_found(self, path):
        """Single metrics may be kept longer than all rollups."""
        write(path, [metric("f", float(n), n * HOUR) for n in range(100)])
        connection = sqlite3.connect(path, isolation_level=None)
        for _ in range(10):
            rollup.prune(connection, retention={0: None, MINUTE: 0, HOUR: 0, DAY: 0}, now=time.time())
        assert connection.execute("SELECT min(start) FROM rollup WHERE width = ?", (DAY,)).fetchone() == (None,)
        connection.close()
        assert [call.value for call in report.slowest(path, "f", limit=3)] == [99.0, 98.0, 97.0]
