"""Labels in the store: a series for each combination of their values, in new files and in those of earlier releases."""

from __future__ import annotations

import json
import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import strategies
from tests.backends.old_sqlite_files import make_old_file
from tests.backends.sqlite_rows import FOREVER, NOW, core, query, stored
from time_execution import report
from time_execution.backends.sqlite import SQLiteBackend
from time_execution.backends.sqlite.rows import RowMaker
from time_execution.backends.sqlite.schema import OVERFLOW_NAME
from time_execution.formats.series import read_series
from time_execution.testing.hostile import hostile_values
from time_execution.types import Metric

REQUEST = "http.server.request.duration"
LABELS = ("method", "route", "status_code")


def request(route="/users/{id}", status=200, *, labels=LABELS, **fields):
    given = {"method": "GET", "route": route, "status_code": status, **fields}
    metric = core(REQUEST, **given)
    metric.labels = labels
    return metric


def names(path):
    return query(path, "SELECT name, family, labels FROM names WHERE id > 1 ORDER BY id")


class TestSeries:
    """Which series a metric belongs to."""

    def test_each_combination_of_values_is_a_series(self, path, backend):
        """Its text holds name and labels; these also stand apart, and the document is what it was."""
        backend.write_many([request(), request(), request(status=500), request("/")])
        labels = {"method": "GET", "route": "/users/{id}", "status_code": "200"}
        text = f"{REQUEST}{{method=GET,route=/users/{{id}},status_code=200}}"
        assert [name for name, *_ in names(path)] == [
            text,
            text.replace("200", "500"),
            text.replace("/users/{id}", "/"),
        ]
        assert names(path)[0][1] == REQUEST
        assert json.loads(names(path)[0][2]) == labels
        assert query(path, "SELECT count(*) FROM raw GROUP BY name_id") == [(2,), (1,), (1,)]
        first = stored(path)[0]
        assert first[0] == REQUEST
        assert json.loads(first[4]) == {"method": "GET", "route": "/users/{id}", "status_code": 200}

    def test_a_metric_without_labels_is_stored_as_before(self, path, backend):
        """Nothing but its name is kept of its series."""
        backend.write_many([core("shop.pay"), core("GET /users/{id}")])
        assert names(path) == [("shop.pay", None, None), ("GET /users/{id}", None, None)]

    def test_a_name_that_looks_like_a_series_is_none(self, path, backend):
        """It is told apart from the series that it looks like."""
        labelled = core("a", b="c")
        labelled.labels = ("b",)
        for _ in range(2):
            backend.write_many([core("a{b=c}"), labelled])
        assert names(path) == [(r"a\{b=c}", "a{b=c}", None), ("a{b=c}", "a", '{"b":"c"}')]
        assert [row[0] for row in stored(path)] == ["a{b=c}", "a"] * 2

    def test_escaped_or_not_a_name_is_its_own(self, path, backend):
        """One that reads like what another one is written as is another series."""
        names_given = ["a{b=c}", r"a\{b=c}", r"a\\{b=c}"]
        for _ in range(2):
            backend.write_many([core(name) for name in names_given])
        assert [row[0] for row in stored(path)] == names_given * 2
        assert [read_series(name)[0] for name, *_ in names(path)] == names_given

    @pytest.mark.parametrize(
        ("value", "text"),
        [
            (200, "200"),
            (True, "true"),
            (1.5, "1.5"),
            (["a"], '["a"]'),
            ("a,b\\", "a,b\\"),
            ("x" * 300, "x" * 200 + "…[cut, 300 characters]"),
            ("\ud800", "\\ud800"),
            (2**70, str(2**70)),
        ],
    )
    def test_values_are_made_text(self, path, backend, value, text):
        """Whatever a label's value is, on the first way and when it was met before."""
        for _ in range(2):
            backend.write_many([request(status=value)])
        ((name, _, labels),) = names(path)
        assert json.loads(labels)["status_code"] == text
        assert read_series(name)[1]["status_code"] == text

    def test_equal_values_of_other_types_are_other_series(self, path, backend):
        """True is not 1, whichever comes first."""
        for _ in range(2):
            backend.write_many([request(status=1), request(status=True), request(status=1.0), request(status="1")])
        found = query(path, "SELECT count(*) FROM raw GROUP BY name_id ORDER BY name_id")
        assert [read_series(name)[1]["status_code"] for name, *_ in names(path)] == ["1", "true", "1.0"]
        assert found == [(4,), (2,), (2,)]

    def test_what_is_missing_or_of_the_core_is_no_label(self, path, backend):
        """A series has the labels that its metrics have."""
        metric = request(labels=(*LABELS, "hostname", "timestamp", "absent", "method"), method=None)
        backend.write_many([metric, metric])
        assert names(path)[0][0] == f"{REQUEST}{{route=/users/{{id}},status_code=200}}"
        assert len(names(path)) == 1

    @pytest.mark.parametrize("labels", [["method"], "method", 5, (1,), ([],)])
    def test_labels_that_are_none_are_ignored(self, path, backend, labels):
        """Anybody may set the attribute; the metric is stored all the same."""
        for _ in range(2):
            backend.write_many([request(labels=labels)])
        assert names(path) == [(REQUEST, None, None)]
        assert len(stored(path)) == 2

    def test_labels_that_raise_are_ignored(self, path, backend):
        """No code of theirs runs."""
        metric = request()
        metric.labels = hostile_values()["object that raises"]
        for _ in range(2):
            backend.write_many([metric])
        assert names(path) == [(REQUEST, None, None)]

    def test_two_metrics_of_a_series_take_the_short_path(self, path, backend):
        """What was met before costs no snapshot."""
        backend.write_many([request()])
        connection = sqlite3.connect(path)
        maker = RowMaker(connection, value_field="value")
        maker.rows([request()])
        assert maker._plain_row(request(trace_id="t")) is not None
        assert maker._plain_row(request(status=[])) is None
        connection.close()

    def test_rows_of_a_series_have_their_own_fields(self, path, backend):
        """What is written once for all of them is its labels only, wherever in the document these stand."""
        documents = [{"request_id": "a"}, {}, {"user": 7, "note": 'a "b"'}, {"method": "POST"}, {"method": "GET"}]
        metrics = [request(**each) for each in documents]
        metrics.append(Metric({"request_id": "last", **request()}, labels=LABELS))
        for _ in range(2):
            backend.write_many(metrics)
        expected = [{key: each for key, each in metric.items() if key not in core(REQUEST)} for metric in metrics]
        written = [json.loads(row[4], object_pairs_hook=list) for row in stored(path)]
        assert [sorted(pairs) for pairs in written] == [sorted(fields.items()) for fields in expected * 2]

    def test_labels_that_are_long_are_not_kept(self, path):
        """Their text is cut for the series, not in the row; nothing so long stays in memory."""
        connection = sqlite3.connect(path)
        with SQLiteBackend(path, **FOREVER) as backend:
            backend.write_many([])
        maker = RowMaker(connection, value_field="value")
        metrics = [request("/" * 1000), request("/" * 1000, status=500)]
        rows = maker.rows(metrics) + maker.rows(metrics)
        assert [json.loads(row[-1])["route"] for row in rows] == ["/" * 1000] * 4
        assert len({row[0] for row in rows}) == 2
        assert max(len(str(key)) for key in (*maker._names, *maker._shapes)) < 500
        connection.close()

    @given(st.lists(strategies.metrics(), max_size=8))
    def test_the_short_path_finds_what_the_long_one_made(self, tmp_path_factory, metrics):
        """Whatever the metrics are, the second time each belongs to the series of the first."""
        path = tmp_path_factory.mktemp("labels") / "metrics.db"
        metrics = [Metric({**each, "hostname": "h", "value": 1.5}, labels=each.labels) for each in metrics]
        with SQLiteBackend(path, **FOREVER) as backend:
            backend.write_many(metrics)
            backend.write_many(metrics)
        ids = [key for (key,) in query(path, "SELECT name_id FROM raw ORDER BY id")]
        assert ids[: len(metrics)] == ids[len(metrics) :]
        for name, family, labels in names(path):
            if family is not None:
                assert read_series(name) == (family, json.loads(labels or "{}"))


class TestRollups:
    """Rollups are kept for each series."""

    def test_series_are_rolled_up_apart(self, path):
        """Figures of one route say nothing of another."""
        with SQLiteBackend(path, rollup_rows=1, **FOREVER) as backend:
            backend.write_many([request(), request(status=500, error_type="ValueError"), request("/")])
        found = query(path, "SELECT calls, errors FROM rollup WHERE width = 60 ORDER BY name_id")
        assert found == [(1, 0), (1, 1), (1, 0)]

    def test_series_count_against_the_bound(self, path):
        """Beyond it they count together; the rows keep their own."""
        with SQLiteBackend(path, rollup_rows=1, max_names=3, **FOREVER) as backend:
            backend.write_many([request(f"/{number}") for number in range(5)])
        counts = {row.name: row.calls for row in report.read(path)}
        assert counts.pop(OVERFLOW_NAME) == 3
        assert list(counts.values()) == [1, 1]
        assert len(names(path)) == 5


class TestFilesOfEarlierReleases:
    """They are completed by the first writer, and those releases can work on with them."""

    @pytest.mark.parametrize("release", [1, 2])
    def test_a_writer_adds_what_is_missing(self, path, release):
        """Columns, index, table and the view's new form; what is stored stays, and the version."""
        make_old_file(path, release=release)
        before = stored(path)
        with SQLiteBackend(path, **FOREVER) as backend:
            backend.write_many([])
            assert stored(path) == before
            backend.write_many([request()])
            backend.put_state("health", "a", {})
        assert [row[0] for row in stored(path)] == ["queue.length", "shop.pay", REQUEST]
        assert query(path, "SELECT name FROM sqlite_master WHERE type = 'index' AND name = 'raw_errors'")
        assert query(path, "PRAGMA user_version") == [(1,)]

    def test_an_earlier_release_works_on(self, path):
        """It adds names and rows the way it did, and reads all of them."""
        with SQLiteBackend(path, **FOREVER) as backend:
            backend.write_many([request(error_type="ValueError")])
            old = sqlite3.connect(path, isolation_level=None)
            old.execute("INSERT INTO names (name, kind, unit) VALUES ('late', 'gauge', 'B')")
            old.execute(
                "INSERT INTO raw (name_id, host_id, value, timestamp, bucket, error, fields)"
                " VALUES (3, NULL, 1.5, ?, 2000, 1, NULL)",
                (NOW,),
            )
            assert [name for (name,) in old.execute("SELECT name FROM metrics")] == [REQUEST, "late"]
            old.close()
            backend.write_many([request()])
        assert len(stored(path)) == 3

    def test_opening_again_changes_nothing(self, path, backend):
        """The schema is upgraded once."""
        backend.write_many([request()])
        before = query(path, "SELECT * FROM sqlite_master")
        with SQLiteBackend(path, **FOREVER) as other:
            other.write_many([request()])
        assert query(path, "SELECT * FROM sqlite_master") == before


def test_failures_are_indexed_and_nothing_else(path, backend):
    """The index finds the failures of a series; rows of calls that went well are not in it."""
    backend.write_many([request(), request(error_type="ValueError")])
    plan = query(path, "EXPLAIN QUERY PLAN SELECT id FROM raw WHERE name_id = 2 AND error = 1 ORDER BY id DESC LIMIT 5")
    assert "raw_errors" in plan[0][3]
    with pytest.raises(sqlite3.OperationalError, match="no query solution"):
        query(path, "SELECT count(*) FROM raw INDEXED BY raw_errors WHERE name_id = 2")
    assert query(path, "SELECT count(*) FROM raw INDEXED BY raw_errors WHERE error = 1") == [(1,)]
