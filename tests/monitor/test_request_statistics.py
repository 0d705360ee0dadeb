"""The figures of all requests of a process, and of its last minute."""

from __future__ import annotations

import pytest

from tests.forked import ends_well_in_a_child, needs_fork
from time_execution.exceptions import ConfigurationError
from time_execution.formats.histogram import RELATIVE_ERROR
from time_execution.monitor.requests import RequestStatistics, RequestTracker
from time_execution.testing import FakeClock

MILLISECOND = 1_000_000


@pytest.fixture
def clock():
    return FakeClock(start=1000.0)


@pytest.fixture
def statistics(clock):
    return RequestStatistics(clock=clock.perf_counter_ns)


def add(statistics, clock, *milliseconds, route="/x", status=200, method="GET"):
    """Add requests that end now."""
    tracker = RequestTracker(statistics=statistics)
    for took in milliseconds:
        scope = tracker.begin(method)
        scope.route, scope.status = route, status
        scope.ended = clock.perf_counter_ns()
        scope.started = scope.ended - round(took * MILLISECOND)
        scope.finish()


def test_figures_of_a_route(statistics, clock):
    """Counts are exact, and so are the least, the mean and the most; percentiles are as near as the histogram is."""
    add(statistics, clock, *range(1, 101))
    add(statistics, clock, 200, status=500)
    (row,) = statistics.routes()
    assert row["method"] == "GET"
    assert row["route"] == "/x"
    assert (row["count"], row["errors"], row["statuses"]) == (101, 1, {200: 100, 500: 1})
    assert row["error_rate"] == pytest.approx(100 / 101)
    assert (row["min"], row["max"], row["total"]) == (1.0, 200.0, 5250.0)
    assert row["mean"] == pytest.approx(5250 / 101)
    for name, exact in {"p50": 51, "p95": 96, "p99": 100}.items():
        assert row[name] == pytest.approx(exact, rel=RELATIVE_ERROR)


def test_percentiles_lie_within_what_there_was(statistics, clock):
    """With one request, they are that request."""
    add(statistics, clock, 7)
    (row,) = statistics.routes()
    assert row["p50"] == row["p99"] == row["min"] == row["max"] == 7.0


def test_methods_and_routes_are_told_apart(statistics, clock):
    """Those that took longest in all come first."""
    add(statistics, clock, 1, 2, route="/a")
    add(statistics, clock, 10, route="/a", method="POST")
    add(statistics, clock, 5, route="/b")
    assert [(row["method"], row["route"], row["count"]) for row in statistics.routes()] == [
        *(("POST", "/a", 1), ("GET", "/b", 1), ("GET", "/a", 2)),
    ]


def test_rows_are_the_callers_own(statistics, clock):
    """Changing what was returned changes no figure."""
    add(statistics, clock, 1)
    statistics.routes()[0]["statuses"].clear()
    assert statistics.routes()[0]["statuses"] == {200: 1}


def test_routes_are_bounded(clock):
    """Those beyond the bound are counted together, in the figures and in the metrics."""
    statistics = RequestStatistics(max_routes=3, clock=clock.perf_counter_ns)
    for number in range(50):
        add(statistics, clock, 1, route=f"/{number}")
    add(statistics, clock, 1, route="/1")
    counts = {row["route"]: row["count"] for row in statistics.routes()}
    assert counts == {"/0": 1, "/1": 2, "/2": 1, "(other)": 47}


def test_last_minute(statistics, clock):
    """Only what ended within it counts."""
    assert (statistics.rate(), statistics.error_rate(), statistics.p95()) == (0.0, None, None)
    add(statistics, clock, *[100] * 30)
    clock.advance(20)
    add(statistics, clock, *[10] * 90, status=500)
    assert statistics.error_rate() == 75.0
    assert statistics.p95() == pytest.approx(100, rel=RELATIVE_ERROR)
    clock.advance(40)
    assert statistics.error_rate() == 100.0
    assert statistics.p95() == pytest.approx(10, rel=RELATIVE_ERROR)
    clock.advance(60)
    assert (statistics.rate(), statistics.error_rate(), statistics.p95()) == (0.0, None, None)
    assert statistics.routes()[0]["count"] == 120


def test_rate_of_a_young_process(statistics, clock):
    """It is over the time that there was, and a minute at the most."""
    clock.advance(10)
    add(statistics, clock, *[1] * 50)
    assert statistics.rate() == pytest.approx(5.0)
    clock.advance(20)
    add(statistics, clock, *[1] * 10)
    assert statistics.rate() == pytest.approx(2.0)


def test_little_is_kept_however_many_there_are(statistics, clock):
    """A day of requests leaves rows, not requests."""
    for _ in range(200):
        add(statistics, clock, *[1] * 10)
        clock.advance(5)
    assert len(statistics.waiting) < 300
    assert len(statistics._slots) <= 13 + len(statistics.waiting)
    assert statistics.routes()[0]["count"] == 2000
    assert len(statistics._slots) <= 12


def test_handler_of_a_signal_may_read_amid_adding(statistics, clock, monkeypatch):
    """It gets the figures so far, and nothing is counted twice."""
    add(statistics, clock, 1, 2, 3)
    count, seen = statistics._count, []

    def counting(*item):
        if not seen:
            seen.append(statistics.routes())
        count(*item)

    monkeypatch.setattr(statistics, "_count", counting)
    assert (statistics.routes()[0]["count"], seen) == (3, [[]])


@needs_fork
def test_forked_child_begins_at_zero(statistics, clock):
    """What the parent counted, or had still to count, is the parent's; a lock that was held is no matter."""
    add(statistics, clock, 1, 2)

    def child():
        assert statistics.routes() == []
        add(statistics, clock, 5)
        assert statistics.routes()[0]["count"] == 1

    with statistics._lock:
        assert ends_well_in_a_child(child)
    assert statistics.routes()[0]["count"] == 2


@needs_fork
def test_forked_children_make_ids_of_their_own():
    """Two workers of one parent never give the same id."""
    import os

    tracker = RequestTracker()
    tracker.begin("GET")
    read, write = os.pipe()

    def child():
        os.write(write, tracker.begin("GET").request_id.encode())

    assert ends_well_in_a_child(child)
    assert ends_well_in_a_child(child)
    text = os.read(read, 1000).decode()
    os.close(read)
    os.close(write)
    assert len({text[:32], text[32:], tracker.begin("GET").request_id}) == 3


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, "many"])
def test_wrong_bound_is_refused(wrong):
    """The message names the argument."""
    with pytest.raises(ConfigurationError, match="max_routes"):
        RequestStatistics(max_routes=wrong)
