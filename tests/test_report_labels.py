"""Series with labels in reports: by their text, by the name they have in common, before and after the roll-up."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.backends.old_sqlite_files import make_old_file
from tests.reported import BASE, FOREVER, metric, moment, write
from time_execution import report
from time_execution.backends.sqlite import SQLiteBackend
from time_execution.backends.sqlite.schema import DAY, HOUR, MINUTE
from time_execution.report import Aggregate, Series, opened
from time_execution.report._view import View
from time_execution.types import Metric

REQUEST = "http.server.request.duration"
LABELS = ("method", "route", "status_code")


def request(value, second=0, *, route="/", status=200, **fields):
    found = metric(REQUEST, value, second, method="GET", route=route, status_code=status, **fields)
    found.labels = LABELS
    return found


def text(route="/", status=200):
    return f"{REQUEST}{{method=GET,route={route},status_code={status}}}"


@pytest.fixture(params=[1 << 30, 1], ids=["not rolled up", "rolled up"])
def path(tmp_path, request):
    """Give a database with requests of two routes and calls of a function, the same before and after the roll-up."""
    metrics = [_request(float(number), number % 60, route=f"/{number % 2}") for number in range(1, 41)]
    metrics += [_request(99.0, 3 * HOUR, status=500, error_type="ValueError"), metric("shop.pay", 7.0)]
    return write(tmp_path / "metrics.db", metrics, rollup_rows=request.param)


_request = request


class TestRead:
    """What each series came to."""

    def test_each_series_has_figures(self, path):
        """Named by its text, from which name and labels can be told."""
        found = {row.name: row for row in report.read(path)}
        assert {name: row.calls for name, row in found.items()} == {
            text("/0"): 20,
            text("/1"): 20,
            text(status=500): 1,
            "shop.pay": 1,
        }
        row = found[text(status=500)]
        assert (row.family, row.labels) == (REQUEST, {"method": "GET", "route": "/", "status_code": "500"})
        assert (row.errors, row.max, row.kind, row.unit) == (1, 99.0, "timing", "ms")
        assert (found["shop.pay"].family, found["shop.pay"].labels) == ("shop.pay", {})

    @pytest.mark.parametrize(
        ("pattern", "count"),
        [(REQUEST, 3), ("http.*", 3), ("*status_code=500}", 1), ("*route=/0,*", 1), ("shop.pay", 1), ("http", 0)],
    )
    def test_a_pattern_is_matched_with_labels_and_without(self, path, pattern, count):
        """So the name alone means all series that have it."""
        assert len(report.read(path, pattern=pattern)) == count
        assert len(report.histograms(path, pattern=pattern)) == count
        found = report.tail(path, pattern=pattern)
        assert len({call.name for call in found}) == count

    def test_resources_are_those_of_each_series(self, tmp_path):
        """Matched likewise."""
        path = write(tmp_path / "metrics.db", [request(1.0, cpu_ms=2.0), request(1.0, route="/b", cpu_ms=4.0)])
        found = report.resources(path, pattern=REQUEST)
        assert {name: taken.mean_cpu for name, taken in found.items()} == {text(): 2.0, text("/b"): 4.0}


class TestSeries:
    """Over time."""

    def test_a_name_stands_for_all_that_have_it(self, path):
        """Or one of them for itself."""
        points = report.series(path, REQUEST, seconds=MINUTE)
        assert Counter(point.stats.name for point in points) == {text("/0"): 1, text("/1"): 1, text(status=500): 1}
        (point,) = report.series(path, text("/1"), seconds=MINUTE)
        assert (point.stats.calls, point.stats.name) == (20, text("/1"))
        assert report.series(path, "nobody") == []
        assert len(report.series(path, seconds=DAY)) == 4

    def test_the_slowest_are_found_among_all_series_of_a_name(self, path):
        """Whichever route it was."""
        assert [call.value for call in report.slowest(path, REQUEST, limit=4)] == [99.0, 40.0, 39.0, 38.0]
        assert [call.value for call in report.slowest(path, text("/1"), limit=2)] == [39.0, 37.0]
        assert report.slowest(path, "nobody") == []

    def test_a_period_is_as_slow_as_its_slowest_series(self, tmp_path):
        """Not as the others that share it: each of these is stored by itself, and found all the same."""
        with SQLiteBackend(tmp_path / "metrics.db", rollup_rows=1, **FOREVER) as backend:
            for minute in range(30):
                values = {"fast": 1.0, "slow": 100.0 + minute * 7 % 30}
                backend.write_many([_request(value, minute * 60, route=route) for route, value in values.items()])
        found = [call.value for call in report.slowest(tmp_path / "metrics.db", REQUEST, limit=3)]
        assert found == [129.0, 128.0, 127.0]

    @given(
        rows=st.lists(st.tuples(st.sampled_from("abcd"), st.floats(0.001, 1e6), st.integers(0, 2 * DAY)), max_size=60),
        limit=st.integers(1, 8),
        rollup_rows=st.sampled_from([1, 1 << 30]),
    )
    def test_the_slowest_are_those_that_a_look_at_all_would_find(self, tmp_path_factory, rows, limit, rollup_rows):
        """However they lie in time and among the series."""
        path = tmp_path_factory.mktemp("slowest") / "metrics.db"
        write(path, [request(value, second, route=route) for route, value, second in rows], rollup_rows=rollup_rows)
        found = [call.value for call in report.slowest(path, REQUEST, limit=limit)]
        assert found == sorted((value for _, value, _ in rows), reverse=True)[:limit]


class TestView:
    """What pages ask of one moment."""

    def test_some_series_are_what_all_have_of_them(self, path):
        """Asked for by their ids, in one view as often as wanted."""
        with View.open(path) as view:
            ids = view.ids_of(REQUEST)
            assert len(ids) == 3
            every = view.aggregates(BASE, BASE + DAY)
            assert view.aggregates(BASE, BASE + DAY, ids=ids) == {key: every[key] for key in ids}
            assert view.aggregates(BASE, BASE + DAY, ids=[]) == {}
            for width in (MINUTE, HOUR):
                all_periods = view.periods(BASE, BASE + DAY, width)
                found = view.periods(BASE, BASE + DAY, width, ids=ids[:2])
                assert found == {key: one for key, one in all_periods.items() if key[1] in ids[:2]}
                assert found == view.periods(BASE, BASE + DAY, width, ids=ids[:2])

    def test_a_name_stands_for_ids(self, path):
        """A series for its own, a family for all that have it."""
        with View.open(path) as view:
            known = view.series()
            assert {known[key].name for key in view.ids_of(REQUEST)} == {text("/0"), text("/1"), text(status=500)}
            assert [known[key].name for key in view.ids_of(text("/1"))] == [text("/1")]
            assert view.ids_of("nobody") == []


def test_series_know_their_family():
    """And their labels, of which each asker has their own."""
    series = Series(text("/1"))
    assert series.family == REQUEST
    series.labels["method"] = "changed"
    assert series.labels == {"method": "GET", "route": "/1", "status_code": "200"}
    assert {series: Aggregate()}[Series(text("/1"))] == Aggregate()
    assert (Series("f").family, Series("f").labels) == ("f", {})


@pytest.mark.parametrize("release", [1, 2])
def test_files_of_earlier_releases_are_read(tmp_path, release):
    """Without a writer that completes them: every name is a family of its own."""
    path = make_old_file(tmp_path / "metrics.db", release=release)
    assert {row.family: row.labels for row in report.read(path)} == {"queue.length": {}, "shop.pay": {}}
    assert [call.family for call in report.tail(path, pattern="shop.*")] == ["shop.pay"]
    assert len(report.slowest(path, "shop.pay")) == len(report.series(path, "shop.pay")) == 1


def test_several_databases_keep_their_series(tmp_path):
    """Copied into one to be reported together, with their labels and documents."""
    first = write(tmp_path / "a.db", [request(1.0), metric("shop.pay", 2.0)])
    second = write(tmp_path / "b.db", [request(3.0), request(5.0, status=500)])
    with opened(first, second) as found:
        rows = {row.name: row.calls for row in report.read(found.database)}
        calls = report.tail(found.database, pattern=text(status=500))
    assert rows == {text(): 2, text(status=500): 1, "shop.pay": 1}
    assert [(call.fields["status_code"], call.fields["route"]) for call in calls] == [(500, "/")]


def test_a_metric_read_back_is_the_one_that_was_written(path):
    """A call has the fields and, as text, the labels."""
    (call,) = report.tail(path, pattern=text(status=500))
    assert call.family == REQUEST
    assert call.fields == {"method": "GET", "route": "/", "status_code": 500, "error_type": "ValueError"}
    assert call.labels == {"method": "GET", "route": "/", "status_code": "500"}
    assert call.is_error
    assert call.timestamp == moment(3 * HOUR).timestamp() * 1e9
    assert Metric({"name": call.family, **call.fields}, labels=tuple(call.labels))["route"] == "/"
