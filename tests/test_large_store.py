"""The large database that readers are measured on: what is in it, and that the same seed makes the same."""

from __future__ import annotations

import time

import pytest

from tests.bench.large_store import REQUEST, build
from time_execution import report
from time_execution.report import live

MINUTE = 60_000_000_000
END = time.time_ns() // MINUTE * MINUTE


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """Give a small one."""
    path = tmp_path_factory.mktemp("large") / "metrics.db"
    build(path, 3_000, functions=20, routes=3, days=2, end=END)
    return path


def test_everything_that_pages_show_is_there(path):
    """Functions, requests by label, errors with their events, checks, gauges, and words of processes."""
    found = live.families(path)
    assert len(found[REQUEST]) <= 3 * 3
    assert {series.labels["status_code"] for series in found[REQUEST]} >= {"200", "404"}
    assert sum(name.startswith("shop.") for name in found) == 20
    assert {"health.check", "system.cpu_percent"} <= found.keys()
    assert len(live.states(path, "delivery")) == len(live.states(path, "health")) == 3
    rows = report.read(path)
    assert sum(row.calls for row in rows if row.is_timing) == 3_000
    assert min(row.first_seen for row in rows).timestamp() >= END / 1e9 - 2 * 86_400


def test_the_same_seed_makes_the_same(path, tmp_path):
    """So that two measurements can be compared."""
    build(tmp_path / "again.db", 3_000, functions=20, routes=3, days=2, end=END)
    assert report.read(tmp_path / "again.db") == report.read(path)
