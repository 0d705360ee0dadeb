"""Reading metrics back: figures of functions, series, the slowest calls, the newest; and the arithmetic behind them."""

from __future__ import annotations

import math
import os
import sqlite3
import subprocess
import sys
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.patience import least
from tests.reported import BASE, FOREVER, kept, metric, moment, write
from time_execution import exceptions, report
from time_execution.backends.sqlite import SQLiteBackend
from time_execution.backends.sqlite.schema import DAY, HOUR, MINUTE, SECOND
from time_execution.exceptions import TimeExecutionError
from time_execution.formats.histogram import RELATIVE_ERROR, bounds, bucket_of
from time_execution.report import Call

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(params=[1 << 30, 1], ids=["not rolled up", "rolled up"])
def rollup_rows(request):
    """Every report must be the same before and after the roll-up."""
    return request.param


@pytest.fixture
def path(tmp_path):
    return tmp_path / "metrics.db"


class TestRead:
    """What each function cost, over all time or a range."""

    def test_figures_of_each_function(self, path, rollup_rows):
        """Counts, sum, mean and extremes are exact, percentiles near, and so are moments."""
        values = [float(value) for value in range(1, 101)]
        write(path, [metric("a.b", value, second) for second, value in enumerate(values)], rollup_rows=rollup_rows)
        (row,) = report.read(path)
        assert (row.name, row.calls, row.errors, row.total, row.mean) == ("a.b", 100, 0, 5050.0, 50.5)
        assert (row.min, row.max, row.first_seen, row.last_seen) == (1.0, 100.0, moment(0), moment(99))
        for found, exact in ((row.p50, 50), (row.p95, 95), (row.p99, 99)):
            assert found == pytest.approx(exact, rel=RELATIVE_ERROR)

    def test_the_greatest_total_comes_first(self, path, rollup_rows):
        """Functions are in the order in which their time hurts."""
        write(path, [metric("few", 5.0), metric("many", 2.0), metric("many", 4.0)], rollup_rows=rollup_rows)
        assert [row.name for row in report.read(path)] == ["many", "few"]

    def test_a_pattern_selects_names(self, path, rollup_rows):
        """The pattern is that of fnmatch, on the whole name, with capitals as they are."""
        names = ("shop.pay", "shop.cart", "Shop.pay", "admin.pay")
        write(path, [metric(name, 1.0) for name in names], rollup_rows=rollup_rows)
        assert {row.name for row in report.read(path, pattern="shop.*")} == {"shop.pay", "shop.cart"}
        assert {row.name for row in report.read(path, pattern="*.pay")} == {"shop.pay", "Shop.pay", "admin.pay"}
        assert report.read(path, pattern="shop") == []

    def test_a_range_is_widened_to_whole_minutes(self, path, rollup_rows):
        """The minute of `since` and that of `until` count whole; what touches neither does not."""
        write(path, [metric("f", 1.0, second) for second in (59, 60, 119, 120, 179, 180)], rollup_rows=rollup_rows)

        def calls(since, until):
            return sum(row.calls for row in report.read(path, since=moment(since), until=moment(until)))

        assert calls(61, 119) == 2
        assert calls(60, 120) == 2
        assert calls(60, 120.5) == 4
        assert calls(119, 121) == 4
        assert sum(row.calls for row in report.read(path, since=moment(120))) == 3
        assert sum(row.calls for row in report.read(path, until=moment(60))) == 1

    def test_a_moment_without_zone_is_utc(self, path):
        """A naive datetime means the same as that of UTC."""
        write(path, [metric("f", 1.0, second) for second in (0, 60)])
        assert report.read(path, since=moment(60).replace(tzinfo=None)) == report.read(path, since=moment(60))

    def test_metrics_without_a_number_count_as_calls_only(self, path, rollup_rows):
        """Events have no mean and no percentiles, and do not change those of the others."""
        write(path, [metric("event", None), metric("mixed", None), metric("mixed", 4.0)], rollup_rows=rollup_rows)
        mixed, event = report.read(path)
        assert (event.calls, event.total, event.mean, event.p50, event.min) == (1, None, None, None, None)
        assert (mixed.calls, mixed.total, mixed.mean, mixed.p99, mixed.max) == (2, 4.0, 4.0, 4.0, 4.0)

    def test_an_empty_database_has_no_functions(self, path):
        """Before the first metric, every reader returns nothing."""
        write(path, [])
        assert report.read(path) == []
        assert report.series(path, "f") == []
        assert report.slowest(path, "f") == []
        assert report.tail(path) == []

    def test_kinds_and_units_are_told(self, path, rollup_rows):
        """Timings are in ms, all else in what it was written with; timings come first, the others by name."""
        rows = [metric("timing", 5.0), kept("value", "zebra", 1e9), kept("gauge", "depth", 3, unit="jobs")]
        rows += [kept("counter", "bytes", 7, unit="B"), kept("event", "deploy", None), metric("slower", 50.0)]
        write(path, rows, rollup_rows=rollup_rows)
        assert [(row.name, row.kind, row.unit, row.is_timing) for row in report.read(path)] == [
            ("slower", "timing", "ms", True),
            ("timing", "timing", "ms", True),
            ("bytes", "counter", "B", False),
            ("deploy", "event", None, False),
            ("depth", "gauge", "jobs", False),
            ("zebra", "value", None, False),
        ]
        assert [(call.kind, call.unit) for call in report.tail(path)][2:4] == [("gauge", "jobs"), ("counter", "B")]
        assert report.slowest(path, "depth")[0].unit == "jobs"
        assert report.series(path, "bytes")[0].stats.unit == "B"

    def test_a_file_of_an_earlier_release_holds_timings(self, path):
        """Before there were kinds, all was reported as timings, and is still where nobody wrote since."""
        write(path, [metric("f", 5.0)])
        connection = sqlite3.connect(path)
        for column in ("kind", "unit"):
            connection.execute(f"ALTER TABLE names DROP COLUMN {column}")
        connection.close()
        (row,) = report.read(path)
        assert (row.kind, row.unit, row.total) == ("timing", "ms", 5.0)
        assert report.tail(path)[0].unit == "ms"

    @settings(max_examples=40, deadline=None)
    @given(
        st.lists(st.floats(1e-6, 1e9) | st.floats(-1e9, -1e-6) | st.just(0.0), min_size=1, max_size=60), st.booleans()
    )
    def test_percentiles_are_within_the_stated_error(self, tmp_path_factory, values, rolled_up):
        """Whatever was measured, percentiles from the file are within the relative error of the exact ones."""
        path = tmp_path_factory.mktemp("percentiles") / "metrics.db"
        seconds = range(0, 7200 * len(values), 7200)
        rows = [metric("f", value, second) for value, second in zip(values, seconds, strict=True)]
        write(path, rows, rollup_rows=1 if rolled_up else 1 << 30)
        (row,) = report.read(path)
        for found, percent in ((row.p50, 50), (row.p95, 95), (row.p99, 99)):
            exact = sorted(values)[-(-percent * len(values) // 100) - 1]
            assert abs(found - exact) <= abs(exact) * (RELATIVE_ERROR + 1e-9)


class TestSeries:
    """One function over time."""

    def test_one_point_for_each_period_with_calls(self, path, rollup_rows):
        """Points are in order, empty periods left out, and each has its own percentiles."""
        seconds = [0, 10, 65, 600, 610, 620]
        rows = [metric("f", float(second + 1), second) for second in seconds] + [metric("g", 1.0, 120)]
        write(path, rows, rollup_rows=rollup_rows)
        points = report.series(path, "f")
        assert [(point.start, point.seconds, point.stats.calls) for point in points] == [
            (moment(0), 60, 2),
            (moment(60), 60, 1),
            (moment(600), 60, 3),
        ]
        assert points[1].stats.p50 == 66.0
        assert (points[2].stats.min, points[2].stats.max) == (601.0, 621.0)

    @pytest.mark.parametrize("width", [MINUTE, HOUR, DAY])
    def test_points_add_up_to_the_report(self, path, rollup_rows, width):
        """At any width, rolled up or not, each period has exactly its calls."""
        seconds = range(0, 3 * DAY, 1111)
        write(path, [metric("f", 1.0, second) for second in seconds], rollup_rows=rollup_rows)
        exact: dict[datetime, int] = {}
        for second in seconds:
            start = moment(second // width * width)
            exact[start] = exact.get(start, 0) + 1
        assert {point.start: point.stats.calls for point in report.series(path, "f", seconds=width)} == exact

    def test_the_width_fits_the_range(self, path, rollup_rows):
        """Without a width, a short range is shown by the minute, a longer one by the hour, then by the day."""
        write(path, [metric("f", 1.0, second) for second in range(0, 90 * DAY, 9000)], rollup_rows=rollup_rows)

        def width(days):
            return report.series(path, "f", until=moment(days * DAY))[0].seconds

        assert [width(1), width(30), width(90)] == [MINUTE, HOUR, DAY]

    def test_bounds_are_kept(self, path, rollup_rows):
        """Only periods within the range are returned; other names and none at all are empty."""
        write(path, [metric("f", 1.0, second) for second in range(0, 600, 60)], rollup_rows=rollup_rows)
        points = report.series(path, "f", since=moment(130), until=moment(250))
        assert [point.start for point in points] == [moment(120), moment(180), moment(240)]
        assert report.series(path, "unknown") == []

    @pytest.mark.parametrize("width", [MINUTE, HOUR, DAY])
    def test_all_functions_at_once_are_those_one_by_one(self, path, rollup_rows, width):
        """Without a name there is a point for each period and function, the same as when asked for singly."""
        rows = [metric(f"f{second % 3}", float(second), second) for second in range(0, 2 * DAY, 1711)]
        write(path, rows, rollup_rows=rollup_rows)
        write(path, [metric("f0", 1.0, -60)], rollup_rows=1 << 30)
        singly = [point for number in range(3) for point in report.series(path, f"f{number}", seconds=width)]
        every = report.series(path, seconds=width)
        assert [point.start for point in every] == sorted(point.start for point in every)
        assert sorted(every, key=lambda point: (point.stats.name, point.start)) == singly

    def test_names_beyond_the_most_are_one_series(self, path, rollup_rows):
        """What rollups do not tell apart is reported under one name, whether it is rolled up yet or not."""
        write(path, [metric(f"f{number}", 1.0) for number in range(9)], rollup_rows=rollup_rows, max_names=4)
        points = {point.stats.name: point.stats.calls for point in report.series(path)}
        assert points == {row.name: row.calls for row in report.read(path)}
        (overflow,) = report.series(path, "__overflow__")
        assert overflow.stats.calls == points["__overflow__"] == 6
        assert report.series(path, "f8") == []

    def test_a_width_that_is_not_kept_is_refused(self, path):
        """Only the widths of the rollups can be asked for."""
        write(path, [])
        with pytest.raises(ValueError, match="seconds must be one of"):
            report.series(path, "f", seconds=61)


class TestHistograms:
    """How values lie."""

    def test_buckets_hold_the_values(self, path, rollup_rows):
        """Each value is counted in the bucket around it, buckets ascend, and metrics without a number are in none."""
        values = [0.5, 0.5, 120.0, 0.0, None, -3.0]
        rows = [metric("f", value) for value in values] + [metric("event", None)]
        write(path, rows[:-2] + rows[-1:], rollup_rows=rollup_rows)
        write(path, rows[-2:-1], rollup_rows=1 << 30)
        found = report.histograms(path)
        assert found["event"] == {}
        assert list(found["f"]) == sorted(found["f"])
        for value in (0.5, 120.0):
            (calls,) = (calls for bucket, calls in found["f"].items() if bounds(bucket)[0] < value <= bounds(bucket)[1])
            assert calls == values.count(value)
        assert sum(found["f"].values()) == 5

    def test_range_and_pattern_select(self, path, rollup_rows):
        """The range and the names are chosen as they are for figures."""
        rows = [metric("a.f", 1.0, second) for second in (0, 60, 120)] + [metric("b.f", 1.0)]
        write(path, rows, rollup_rows=rollup_rows)
        found = report.histograms(path, since=moment(60), until=moment(120), pattern="a.*")
        assert found == {"a.f": {bucket_of(1.0): 1}}


class TestCalls:
    """Single calls: the slowest, and the latest."""

    def test_the_slowest_come_with_their_fields(self, path, rollup_rows):
        """The greatest values come first, whole and exact, ties in the order of storing."""
        rows = [metric("f", float(value), value, user=value) for value in range(20)] + [metric("g", 99.0)]
        rows += [metric("f", None), metric("f", 19.0, 60, user="second", error="x")]
        write(path, rows, rollup_rows=rollup_rows)
        found = report.slowest(path, "f", limit=3)
        assert found == [
            Call(20, "f", 19.0, "h", (BASE + 19) * SECOND, is_error=False, fields={"user": 19}),
            Call(23, "f", 19.0, "h", (BASE + 60) * SECOND, is_error=True, fields={"user": "second", "error": "x"}),
            Call(19, "f", 18.0, "h", (BASE + 18) * SECOND, is_error=False, fields={"user": 18}),
        ]
        assert report.slowest(path, "unknown") == []

    def test_the_slowest_of_an_exact_range(self, path):
        """Single calls are told apart to the nanosecond, in whichever chunk they lie."""
        for hour in range(4):
            write(path, [metric("f", float(second), hour * HOUR + second) for second in range(100)], rollup_rows=1)
        found = report.slowest(path, "f", since=moment(HOUR + 10), until=moment(HOUR + 50))
        assert [call.value for call in found] == [float(second) for second in range(49, 39, -1)]

    def test_tail_goes_on_where_it_left_off(self, path):
        """Each call returns what came after the last id, in order, up to the limit."""
        write(path, [metric(f"f{number}", 1.0) for number in range(10)])
        first = report.tail(path, limit=3)
        assert [call.name for call in first] == ["f7", "f8", "f9"]
        assert report.tail(path, after=first[-1].id) == []
        write(path, [metric(f"g{number}", 1.0) for number in range(5)])
        assert [call.name for call in report.tail(path, after=first[-1].id, limit=2)] == ["g0", "g1"]
        assert [call.name for call in report.tail(path, after=0, pattern="g[34]")] == ["g3", "g4"]


class TestOpening:
    """Files that are missing, foreign, or not made yet."""

    def test_a_missing_file_says_so(self, path):
        """There is an error of its own for a file that is not there, and none is created."""
        with pytest.raises(report.DatabaseMissingError, match=r"metrics\.db") as caught:
            report.read(path)
        assert isinstance(caught.value, FileNotFoundError)
        assert isinstance(caught.value, TimeExecutionError)
        assert not path.exists()

    def test_a_file_that_nothing_was_put_into_yet_is_as_good_as_missing(self, path):
        """Between a writer's creating the file and its making the tables, there is no database as yet."""
        path.touch()
        with pytest.raises(report.DatabaseMissingError, match="empty"):
            report.read(path)
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA journal_mode = WAL")
        with pytest.raises(report.DatabaseMissingError, match="empty"):
            report.read(path)
        connection.execute("CREATE TABLE foreign_one (x)")
        connection.close()
        with pytest.raises(report.NotADatabaseError):
            report.read(path)

    def test_errors_stand_in_the_tree_of_all_errors(self):
        """One family, found in the module of exceptions and told there."""
        for name in ("DatabaseError", "DatabaseMissingError", "NotADatabaseError"):
            kind = getattr(exceptions, name)
            assert getattr(report, name) is kind
            assert issubclass(kind, exceptions.DatabaseError)
            assert f" {name} " in (exceptions.__doc__ or "")

    @pytest.mark.parametrize("content", [b"plain text\n" * 200, b"SQLite format 3\0" + b"\xff" * 5000])
    def test_another_file_says_so(self, path, content):
        """What is no metrics database is told apart from one that cannot be read."""
        path.write_bytes(content)
        with pytest.raises(report.NotADatabaseError):
            report.read(path)
        assert path.read_bytes() == content

    def test_a_broken_database_is_an_error_of_ours(self, path):
        """Damage further inside surfaces as an error of this package, never as SQLite's."""
        write(path, [metric(f"name{number}", 1.0) for number in range(2000)], rollup_rows=1)
        content = bytearray(path.read_bytes())
        content[8192:] = b"\xff" * (len(content) - 8192)
        path.write_bytes(content)
        with pytest.raises(report.DatabaseError):
            report.read(path)

    def test_reading_takes_no_part_in_writing(self, path):
        """A reader that is at work does not hold up a writer, and leaves the file as it is."""
        with SQLiteBackend(path, busy_timeout=0, **FOREVER) as backend:
            backend.write_many([metric("f", 1.0)])
            from time_execution.report._view import View

            with View.open(path) as snapshot:
                backend.write_many([metric("f", 1.0)])
                assert snapshot.connection.execute("SELECT count(*) FROM raw").fetchone() == (1,)
            assert report.read(path)[0].calls == 2


@pytest.mark.serial
def test_the_time_of_a_report_does_not_grow_with_the_calls(path):
    """Four times as many calls of the same functions in the same minutes take no four times as long to report."""

    def seconds_taken():
        best = math.inf
        for _ in range(5):
            start = time.process_time()
            report.read(path)
            best = min(best, time.process_time() - start)
        return best

    batch = [metric(f"f{number % 20}", number % 97 + 1.0, number % 600) for number in range(20_000)]
    write(path, batch, rollup_rows=1)
    few = seconds_taken()
    for _ in range(3):
        write(path, batch, rollup_rows=1)
    assert sum(row.calls for row in report.read(path)) == 80_000
    assert least(lambda: seconds_taken() / few, 2.5) <= 2.5


def test_reading_needs_neither_settings_nor_threads(path):
    """A process that only reads imports no more than it needs, and starts nothing."""
    write(path, [metric("f", 1.0)])
    script = """
import sys, threading
from time_execution import report
assert report.read(sys.argv[1])[0].calls == 1
assert threading.active_count() == 1
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", script, str(path)], check=True, timeout=30, env=environment)


def test_future_ranges_are_empty(path):
    """A range after the last call, or before the first, holds nothing."""
    write(path, [metric("f", 1.0)])
    assert report.read(path, since=datetime.now(timezone.utc) + timedelta(days=1)) == []
    assert report.read(path, until=moment(-60)) == []
    assert report.series(path, "f", since=datetime.now(timezone.utc)) == []
