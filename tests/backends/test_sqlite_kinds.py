"""The store knows what kind of metric a name stands for and its unit, also in files of releases that did not."""

from __future__ import annotations

import sqlite3
import threading

import pytest

from tests.backends.old_sqlite_files import NOW, make_old_file
from time_execution import report
from time_execution.backends.sqlite import SQLiteBackend, rows
from time_execution.backends.sqlite.schema import VERSION
from time_execution.types import Metric


@pytest.fixture
def old_path(path):
    """Give a file as the first release made it, with two metrics."""
    return make_old_file(path, release=1)


def metric(name, **attributes):
    return Metric({"name": name, "value": 1.5, "hostname": "web-1", "timestamp": NOW}, **attributes)


def query(path, text, *values):
    connection = sqlite3.connect(path)
    try:
        return connection.execute(text, values).fetchall()
    finally:
        connection.close()


def kinds(path):
    return {name: labels for name, *labels in query(path, "SELECT name, kind, unit FROM names WHERE id > 1")}


class TestKinds:
    """Kind and unit are those of a name's first metric."""

    def test_kind_and_unit_are_kept_with_the_name(self, path):
        """Each name has the kind and unit that its metric had; a timing has no unit of its own."""
        with SQLiteBackend(path) as backend:
            backend.write_many(
                [metric("f"), metric("queue.length", kind="gauge", unit="jobs"), metric("size", kind="value")]
            )
        assert kinds(path) == {"f": ["timing", None], "queue.length": ["gauge", "jobs"], "size": ["value", None]}

    def test_a_number_written_by_hand_is_a_value(self, path):
        """What goes to the backend without a `Metric` is no timing."""
        with SQLiteBackend(path) as backend:
            backend.write("basket", value=3)
        assert kinds(path) == {"basket": ["value", None]}

    def test_the_first_metric_decides(self, path):
        """A later one of another kind, by the same process or by another, changes nothing."""
        for kind, unit in (("gauge", "B"), ("timing", None)):
            with SQLiteBackend(path) as backend:
                backend.write_many([metric("size", kind=kind, unit=unit), metric("size", kind="counter")])
        assert kinds(path) == {"size": ["gauge", "B"]}

    def test_of_two_writers_at_once_the_first_decides(self, path):
        """One that has not seen the other's name yet, and adds it as well, changes nothing."""
        with SQLiteBackend(path) as backend:
            backend.write_many([metric("size", kind="gauge", unit="B")])
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute(rows._ADD_NAME, ("size", "timing", None, None, None))
        connection.close()
        assert kinds(path) == {"size": ["gauge", "B"]}

    @pytest.mark.parametrize(
        ("kind", "unit", "stored"),
        [
            (7, object(), ["timing", None]),
            (None, 8.0, ["timing", None]),
            ("", "", ["timing", ""]),
            ("gau\udce9ge", "\udce9", ["gau\\udce9ge", "\\udce9"]),
            ("k" * 1000, "u" * 1000, ["k" * 64, "u" * 64]),
        ],
    )
    def test_odd_kinds_do_not_cost_the_batch(self, path, kind, unit, stored):
        """Attributes that are no short texts are replaced, and the metrics are stored."""
        with SQLiteBackend(path) as backend:
            backend.write_many([metric("odd", kind=kind, unit=unit), metric("f")])
        assert kinds(path) == {"odd": stored, "f": ["timing", None]}


class TestFilesOfEarlierReleases:
    """They are read as they are, and completed by the first writer."""

    def test_a_file_without_kinds_can_be_read(self, old_path):
        """A reader does not need what only a writer can add."""
        assert [(row.name, row.calls) for row in report.read(old_path)] == [("queue.length", 1), ("shop.pay", 1)]
        assert [column[1] for column in query(old_path, "PRAGMA table_info(names)")] == ["id", "name"]

    def test_a_writer_adds_what_is_missing(self, old_path):
        """Names have no kind until a metric comes that tells, and nothing that was stored changes."""
        before = query(old_path, "SELECT * FROM metrics ORDER BY name")
        with SQLiteBackend(old_path, retention=None) as backend:
            backend.write_many([])
            assert kinds(old_path) == {"queue.length": [None, None], "shop.pay": [None, None]}
            assert query(old_path, "SELECT * FROM metrics ORDER BY name") == before
            backend.write_many([metric("queue.length", kind="gauge", unit="jobs")])
        assert kinds(old_path) == {"queue.length": ["gauge", "jobs"], "shop.pay": [None, None]}
        assert query(old_path, "SELECT count(*) FROM metrics WHERE name = 'queue.length'") == [(2,)]

    def test_an_earlier_release_works_on(self, old_path):
        """Its connection stays open and adds names the way it did; a metric of this release completes them."""
        old = sqlite3.connect(old_path, isolation_level=None)
        assert old.execute("SELECT count(*) FROM names").fetchone() == (3,)
        with SQLiteBackend(old_path, retention=None) as backend:
            backend.write_many([metric("f")])
            old.execute("INSERT INTO names (name) VALUES (?) ON CONFLICT DO NOTHING", ("late",))
            assert kinds(old_path)["late"] == [None, None]
            backend.write_many([metric("late", kind="counter")])
        assert kinds(old_path)["late"] == ["counter", None]
        assert old.execute("PRAGMA user_version").fetchone() == (VERSION,) == (1,)
        old.close()

    def test_several_writers_may_be_the_first(self, old_path):
        """Of several that open such a file at once, one completes it, and all store."""
        start = threading.Barrier(8)
        failures: list[BaseException] = []

        def store(number):
            with SQLiteBackend(old_path, retention=None) as backend:
                start.wait(10.0)
                try:
                    backend.write_many([metric(f"f{number}"), metric("shared", kind="gauge")])
                except Exception as exc:
                    failures.append(exc)

        threads = [threading.Thread(target=store, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30.0)
        assert failures == []
        assert len(kinds(old_path)) == 2 + 8 + 1
        assert kinds(old_path)["shared"] == ["gauge", None]
        assert query(old_path, "SELECT count(*) FROM raw") == [(18,)]
