"""From when to when a series was seen: to the moment where its metrics are kept singly, else to the minute."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.report_files import NOON, lines, table, timing
from tests.reported import FOREVER, metric, moment, write
from time_execution import report
from time_execution.backends.sqlite import SQLiteBackend


def seen(path, **options):
    return {row.name: (row.first_seen, row.last_seen) for row in report.read(path, **options)}


@pytest.mark.parametrize("rollup_rows", [1, 1000])
def test_moments_are_those_of_the_first_and_the_last_metric(tmp_path, rollup_rows):
    """Of each series for itself, in whatever order they were stored, rolled up or not yet; those of a range as well."""
    rows = [metric("a", 1.0, second) for second in (75.5, 10.5, 3599.5, 40)] + [metric("b", 1.0, 75)]
    path = write(tmp_path / "m.db", rows, rollup_rows=rollup_rows)
    assert seen(path) == {"a": (moment(10.5), moment(3599.5)), "b": (moment(75), moment(75))}
    assert seen(path, since=moment(60), until=moment(120)) == {
        "a": (moment(75.5), moment(75.5)),
        "b": (moment(75), moment(75)),
    }


def test_metrics_that_come_in_several_batches_are_all_looked_at(tmp_path):
    """The last may come first: no batch but those of the minutes in question is read."""
    with SQLiteBackend(tmp_path / "m.db", rollup_rows=2, **FOREVER) as backend:
        for second in (500.5, 3.5, 90, 7000.5, 1.5, 7000):
            backend.write_many([metric("a", 1.0, second)])
    assert seen(tmp_path / "m.db") == {"a": (moment(1.5), moment(7000.5))}


def test_sums_alone_know_minutes(tmp_path):
    """Where single metrics were deleted."""
    with SQLiteBackend(tmp_path / "m.db", **{**FOREVER, "retention": 0}, rollup_rows=1) as backend:
        for _ in range(3):
            backend.write_many([metric("a", 1.0, second) for second in (75.5, 10.5)])
    first, last = seen(tmp_path / "m.db")["a"]
    assert first in {moment(0), moment(10.5)}
    assert last in {moment(60), moment(75.5)}


def test_too_many_metrics_are_not_looked_at(tmp_path):
    """A report of a large database takes no longer for it."""
    path = write(tmp_path / "m.db", [metric("a", 1.0, second) for second in (10.5, 20, 75.5)], rollup_rows=1)
    assert seen(path, most=2) == {"a": (moment(0), moment(60))}
    assert seen(path, most=3) == {"a": (moment(10.5), moment(75.5))}


@pytest.mark.parametrize("make", [lines, table])
def test_less_than_no_time_is_passed_over(tmp_path, make):
    """A clock that was set back measures nothing; no time at all is a duration."""
    path = make(tmp_path / "file", timing(0, 2.0), timing(1, 2.0, wall_ms=-5.0), timing(2, 2.0, wall_ms=0.0))
    with report.opened(path) as found:
        assert found.skipped == {str(path): 1}
        (row,) = report.read(found.database)
    assert (row.calls, row.min, row.total) == (2, 0.0, 2.0)
    assert row.last_seen == NOON + timedelta(seconds=2)
