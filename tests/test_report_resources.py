"""CPU time and memory in reports: from whichever source recorded them."""

from __future__ import annotations

import json
import sqlite3
from datetime import timedelta

import pytest

from tests.report_files import NOON, lines, timing
from time_execution import report
from time_execution.backends.sqlite import SQLiteBackend
from time_execution.types import Metric


def metric(name, second=0, **fields):
    moment = NOON + timedelta(seconds=second)
    return Metric({"name": name, "value": 1.0, "hostname": "h", "timestamp": moment, **fields})


@pytest.fixture
def path(tmp_path):
    """Store what the timer and the hook send down the pipeline, and metrics without any of it."""
    path = tmp_path / "metrics.db"
    with SQLiteBackend(path, retention=None, minute_retention=None, hour_retention=None) as backend:
        backend.write_many(
            [
                metric("timed", 0, cpu_ms=1.0, memory_change_bytes=4096, rss_bytes=100),
                metric("timed", 1, cpu_ms=2.0, memory_change_bytes=-8192, rss_bytes=300),
                metric("timed", 2, cpu_ms=None, memory_change_bytes=None, rss_bytes=None),
                metric("hooked", 3, cpu_ms=5.0, max_rss_bytes=900),
                metric("hooked", 4, cpu_ms=7.0, rss_change_bytes=10, rss_bytes=50),
                metric("plain", 5, note="cpu_ms"),
                metric("bare", 6),
            ]
        )
    return path


def test_figures_are_of_what_was_recorded(path):
    """Of each function by itself; what nobody recorded is None, and who recorded nothing is not there."""
    assert report.resources(path) == {
        "timed": report.Resources(3, 1.5, -4096.0, -2048.0, -8192, 4096, 300),
        "hooked": report.Resources(2, 6.0, 10.0, 10.0, 10, 10, 50),
    }


def test_ranges_and_patterns_count(path):
    """Moments to the second, names as `fnmatch` takes them, and the latest metrics only where that is asked for."""
    since, until = NOON + timedelta(seconds=1), NOON + timedelta(seconds=4)
    found = report.resources(path, since=since, until=until)
    assert {name: each.mean_cpu for name, each in found.items()} == {"timed": 2.0, "hooked": 5.0}
    assert set(report.resources(path, pattern="h*")) == {"hooked"}
    assert set(report.resources(path, most=3)) == {"hooked"}
    assert report.resources(path, most=3)["hooked"].mean_cpu == 7.0
    assert report.resources(path, most=None) == report.resources(path)


def test_files_are_looked_at_as_databases_are(tmp_path):
    """Each record of them."""
    path = lines(tmp_path / "log", *(timing(n, 2.0) for n in range(100)))
    with report.opened(path) as found:
        figures = report.resources(found.database, most=None)["shop.save"]
    assert figures == report.Resources(100, 1.0, 409_600.0, 4096.0, 4096, 4096, 50_000_099)


@pytest.mark.parametrize(
    "odd", ["x", [1], {"a": 1}, True, 10**30, -(10**30), "1e400", '"'], ids=lambda value: type(value).__name__
)
def test_what_is_no_number_does_no_harm(tmp_path, odd):
    """Whatever a hook of somebody's called ``cpu_ms``: what comes out can be shown."""
    path = tmp_path / "metrics.db"
    with SQLiteBackend(path) as backend:
        backend.write_many([metric("f", cpu_ms=odd, memory_change_bytes=odd, rss_bytes=odd)])
    for each in report.resources(path).values():
        assert all(figure is None or isinstance(figure, int | float) for figure in (each.mean_cpu, each.max_rss))
        json.dumps([each.mean_cpu, each.max_rss, each.memory_change], allow_nan=False)


def test_fields_that_are_no_json_are_no_end_of_the_report(path):
    """Somebody may have put them there."""
    with sqlite3.connect(path) as connection:
        connection.execute("""UPDATE raw SET fields = '{"cpu_ms":' WHERE id = 1""")
    connection.close()
    assert report.resources(path)["timed"].mean_cpu == 2.0
