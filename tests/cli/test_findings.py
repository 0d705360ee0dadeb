"""What a page tells of single functions: of the range and the names that were asked for, each call once."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from time_execution.backends.sqlite import SQLiteBackend
from time_execution.cli import findings
from time_execution.cli.findings import details, histogram_columns, timeline
from time_execution.formats.histogram import HIGHEST, ZERO, bounds, bucket_of
from time_execution.report import read
from time_execution.types import Metric

NOON = datetime(2024, 5, 1, 12, 0, tzinfo=timezone.utc)
MINUTE = timedelta(minutes=1)


def metric(name, value, when, **fields):
    return Metric({"name": name, "value": value, "timestamp": when, **fields})


@pytest.fixture
def path(tmp_path):
    """Store ten calls of ``f``, a minute apart, of which every other failed, and some of ``g``."""
    calls = [metric("f", n + 1.0, NOON + n * MINUTE, error="x" if n % 2 else "") for n in range(10)]
    calls += [metric("g", 500.0, NOON + n * MINUTE) for n in range(0, 10, 3)]
    path = str(tmp_path / "metrics.db")
    with SQLiteBackend(path, rollup_rows=1, retention=None, minute_retention=None, hour_retention=None) as backend:
        backend.write_many(calls)
    return path


def asked(path, *, pattern=None, since=None, until=None):
    stats = read(path, since=since, until=until, pattern=pattern)
    found = timeline(path, stats, stats, since=since, until=until)
    assert found is not None
    return found


def test_calls_are_counted_where_they_happened(path):
    """In round slots from the first call to the last, failures among them."""
    found = asked(path, pattern="f")
    assert (found.start, found.slots, found.is_whole) == (NOON, 55, True)
    assert found.counts(["f"]) == [1 if slot % 6 == 0 else 0 for slot in range(55)]
    assert [slot for slot, failed in enumerate(found.failures(["f"])) if failed] == [6, 18, 30, 42, 54]
    assert NOON + 9 * MINUTE <= found.end <= NOON + 9.2 * MINUTE


@pytest.mark.parametrize("few", [findings._FEW_CALLS, 0], ids=["single calls", "rollups"])
def test_only_what_was_asked_for_is_counted(path, monkeypatch, few):
    """By name and by time; the end does not belong to it."""
    monkeypatch.setattr(findings, "_FEW_CALLS", few)
    found = asked(path, pattern="f", since=NOON + 3 * MINUTE, until=NOON + 6 * MINUTE)
    assert (found.start, set(found.calls)) == (NOON + 3 * MINUTE, {"f"})
    assert (sum(found.counts(["f"])), sum(found.failures(["f"]))) == (3, 2)
    both = asked(path, since=NOON + 3 * MINUTE, until=NOON + 6 * MINUTE)
    assert {name: sum(both.counts([name])) for name in "fg"} == {"f": 3, "g": 1}
    assert sum(both.counts(["f", "g", "unknown"])) == 4


def test_a_few_calls_among_many_are_found_without_reading_all(path, monkeypatch):
    """Those of other functions are not made into anything."""

    def refuse(text):
        raise AssertionError(f"read as JSON: {text}")

    monkeypatch.setattr("time_execution.report.database.json.loads", refuse)
    assert sum(asked(path, pattern="g").counts(["g"])) == 4


def test_functions_that_are_asked_for_one_by_one_share_their_periods(tmp_path, monkeypatch):
    """One that was called twice within minutes is counted by the hour beside one that was called for weeks."""
    monkeypatch.setattr(findings, "_FEW_CALLS", 0)
    monkeypatch.setattr(findings, "_FEW_SERIES", 0)
    monkeypatch.setattr(findings, "_MOST_SLOTS", 2000)
    path = str(tmp_path / "metrics.db")
    with SQLiteBackend(path, rollup_rows=1, retention=None, minute_retention=None, hour_retention=None) as backend:
        long = [metric("long", 1.0, NOON + timedelta(hours=1 + 6 * n)) for n in range(160)]
        backend.write_many([metric("brief", 1.0, NOON + 7 * MINUTE), metric("brief", 1.0, NOON + 69 * MINUTE), *long])
    found = asked(path)
    assert (found.start, found.width) == (NOON, timedelta(hours=1))
    assert found.counts(["brief"])[:3] == [1, 1, 0]
    assert found.counts(["long"])[:8] == [0, 1, 0, 0, 0, 0, 0, 1]


def test_details_are_of_the_range(path):
    """The five slowest calls, greatest first, and the histogram of those that count."""
    stats = read(path, pattern="f")
    (whole,) = details(path, stats, since=None, until=None)
    assert [call.value for call in whole.slowest] == [10.0, 9.0, 8.0, 7.0, 6.0]
    assert sum(column.calls for column in whole.histogram) == 10
    (part,) = details(path, stats, since=NOON + 3 * MINUTE, until=NOON + 6 * MINUTE)
    assert [call.value for call in part.slowest] == [6.0, 5.0, 4.0]
    assert sum(column.calls for column in part.histogram) == 3


@given(st.dictionaries(st.integers(1, HIGHEST), st.integers(1, 100), min_size=1, max_size=60))
def test_columns_hold_each_value_once(counts):
    """However the buckets lie: none is lost at a seam, there are few columns, and each knows its bounds."""
    found = histogram_columns(counts)
    assert sum(column.calls for column in found) == sum(counts.values())
    assert len(found) <= 41
    for bucket in counts:
        low, high = bounds(bucket)
        assert any(column.low <= low and high <= column.high for column in found)
    assert all(before.high <= after.low for before, after in pairwise(found))


def test_columns_of_durations_leave_no_gap():
    """A single bucket has room on both sides; where there is zero or less, no scale runs through."""
    found = histogram_columns({bucket_of(5.0): 3})
    assert [column.calls for column in found] == [0] * 12 + [3] + [0] * 12
    assert all(before.high == after.low for before, after in pairwise(found))
    wide = histogram_columns({bucket_of(0.001): 1, bucket_of(1000.0): 1})
    assert 35 <= len(wide) <= 41
    assert all(before.high == after.low for before, after in pairwise(wide))
    assert histogram_columns({ZERO: 7})[0].calls == 7
    assert [column.calls for column in histogram_columns({ZERO - 3: 1, ZERO: 2, ZERO + 700: 4})] == [3, 4]
    near_zero = histogram_columns({ZERO + 2: 1})
    assert [column.calls for column in near_zero] == [1]
    assert histogram_columns({}) == []
