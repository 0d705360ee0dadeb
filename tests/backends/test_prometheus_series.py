"""How many series there may be, what becomes of metrics beyond, and when a series goes: in both stores."""

from __future__ import annotations

import resource
import sqlite3
import time

import pytest

pytest.importorskip("prometheus_client")

from prometheus_client import CollectorRegistry

from tests.backends.prometheus_totals import CALLS, DURATION, families, samples, shown, shown_calls, timing
from time_execution.backends.prometheus import PrometheusBackend, store
from time_execution.types import Metric

OVERFLOW = "timeexecution_series_overflow_total"


@pytest.fixture(params=["memory", "shared"], name="make")
def make_fixture(request, tmp_path):
    """Make backends with either store; those of the shared one have the same file."""
    made = []

    def make(**options):
        path = {"path": tmp_path / "metrics.db"} if request.param == "shared" else {}
        made.append(PrometheusBackend(**path, **options))
        return made[-1]

    yield make
    for backend in made:
        backend.close()


@pytest.mark.slow
def test_a_hundred_thousand_names_are_ten_thousand_series_and_one_more(make):
    """What has no series of its own is added up in one, and counted; memory stays within bounds (B6)."""
    backend = make()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for start in range(0, 100_000, 500):
        backend.write_many([timing(f"f{number}", 1.0) for number in range(start, start + 500)])
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 150 * 1024
    calls = shown_calls(backend)
    assert len(calls) == 10_001
    assert (calls["f9999"], calls["__overflow__"]) == (1, 90_000)
    assert shown(backend, OVERFLOW) == 90_000
    assert backend.stats()["overflowed"] == 90_000
    backend.write_many([timing("f5"), timing("new")])
    assert (shown_calls(backend)["f5"], shown(backend, OVERFLOW)) == (2, 90_001)


def test_labels_give_way_before_names_do(make):
    """A label with too many values leaves the total of each function right."""
    backend = make(labels=["user"], max_series=4)
    for user in range(10):
        backend.write_many([timing("a", user=f"u{user}"), timing("b", user=f"u{user}")])
    backend.write_many([timing("c", user="u1")])
    overflow = {"outcome": "ok", "user": "__overflow__"}
    assert shown(backend, CALLS, function="a", **overflow) == 8
    assert shown(backend, CALLS, function="b", **overflow) == 8
    calls = shown_calls(backend)
    assert (calls["a"], calls["b"], calls["__overflow__"]) == (10, 10, 1)
    assert shown(backend, OVERFLOW) == 17


def test_numbers_beyond_the_limit_share_a_series_of_their_kind(make):
    """Counters and gauges cannot be one family, so each kind has its own."""
    backend = make(max_series=1)
    backend.write_many([Metric({"name": "first", "value": 1}, kind="value")])
    for kind in ("value", "gauge", "counter"):
        backend.write_many([Metric({"name": f"{kind}{n}", "value": n}, kind=kind) for n in range(5)])
    names = {"overflow_value": 4, "overflow_level": 4, "overflow_total": 10}
    assert {name: shown(backend, f"timeexecution_{name}", name="__overflow__") for name in names} == names
    assert (shown(backend, "first"), shown(backend, OVERFLOW)) == (1, 15)


def test_what_is_told_of_delivery_has_room_in_any_case(make):
    """Metrics that are dropped because there are too many of them must still be seen to be."""
    counted = {"offered": 7, "delivered": 2, "dropped": {"queue_full": 5}}
    backend = make(max_series=10, self_metrics=lambda: {"backends": {"shop": counted}})
    backend.write_many([timing(f"f{number}") for number in range(20)])
    assert shown(backend, "timeexecution_records_total", backend="shop") == 7
    assert shown(backend, "timeexecution_dropped_total", backend="shop", reason="queue_full") == 5
    assert shown(backend, OVERFLOW) == 10


def test_an_application_that_writes_overflow_itself_has_no_more_room(make):
    """The room kept for overflow is bounded, too."""
    backend = make(labels=["user"], max_series=5)
    for number in range(50):
        backend.write_many([timing(f"f{number}", user="__overflow__")])
    assert len(samples(backend)) < 50 * 19
    assert backend.stats()["series"] <= 12


@pytest.mark.parametrize("kind", ["gauge", "value"])
def test_the_later_level_counts_whatever_the_order(make, kind):
    """Within a batch as from one batch to the next: one that is sent again late does not return."""
    backend = make()
    backend.write_many([level(7, 300, kind), level(3, 200, kind)])
    assert shown(backend, "load") == 7
    backend.write_many([level(5, 250, kind)])
    assert shown(backend, "load") == 7
    backend.write_many([level(6, 300, kind)])
    assert shown(backend, "load") == 6


def level(value, moment, kind="value"):
    return Metric({"name": "load", "value": value, "timestamp": moment}, kind=kind)


@pytest.fixture(name="clock")
def clock_fixture(monkeypatch):
    """Set the time of day: the first item, in nanoseconds."""
    clock = [time.time_ns()]
    monkeypatch.setattr(time, "time_ns", lambda: clock[0])
    return clock


@pytest.mark.parametrize("kind", ["gauge", "value"])
def test_a_clock_that_is_set_back_stops_no_level(make, clock, kind):
    """What was written before is not the latest until the clock has caught up."""
    backend = make()
    backend.write_many([level(10, clock[0], kind)])
    clock[0] -= 600 * 10**9
    for value in (3, 4):
        backend.write_many([level(value, clock[0], kind)])
        assert shown(backend, "load") == value
        clock[0] += 1
    backend.write_many([level(1, clock[0] - 10**9, kind)])  # which one is late shows again
    assert shown(backend, "load") == 4


def test_a_moment_that_is_still_to_come_stops_no_level(make, clock):
    """It counts as now: another machine's clock may be ahead."""
    backend = make()
    ahead = 3600 * 10**9
    for batch, value in (([(9, ahead)], 9), ([(4, 0)], 4), ([(5, ahead)], 5), ([(6, ahead), (7, 0)], 7)):
        backend.write_many([level(given, clock[0] + nanoseconds) for given, nanoseconds in batch])
        assert shown(backend, "load") == value
        clock[0] += 10**9


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_of_several_stores_none_shows_a_moment_that_is_still_to_come(clock, order):
    """Of two numbers the one counts that was written after the clock was set back."""
    registry = CollectorRegistry()
    backends = [PrometheusBackend(registry=registry) for _ in range(2)]
    backends[order[0]].write_many([level(10, clock[0])])
    clock[0] -= 600 * 10**9
    backends[order[1]].write_many([level(3, clock[0])])
    assert shown(backends[0], "load") == 3


def test_the_latest_exemplar_of_a_bucket_stays(make):
    """A later call replaces it, and one without a trace does not."""
    backend = make()
    for fields in ({"trace_id": "a"}, {"trace_id": "b"}, {}):
        backend.write_many([timing(**fields)])
    found = [sample.exemplar.labels for sample in families(backend)[DURATION].samples if sample.exemplar]
    assert found == [{"trace_id": "b"}]


def test_the_order_of_labels_makes_no_series_of_its_own(make):
    """Processes may be given another order, or a set, whose order is another one in each of them."""
    registry = CollectorRegistry()
    backends = [make(labels=labels, registry=registry) for labels in (["b", "a"], ["a", "b"], {"a", "b"}, "b,a")]
    for backend in backends:
        counter = Metric({"name": "n", "value": 1, "b": "2", "a": "1"}, kind="counter")
        backend.write_many([timing(a="1", b="2"), counter])
    # `shown` fails where a series is there twice.
    assert shown(backends[0], CALLS, function="f", outcome="ok", a="1", b="2") == 4
    assert shown(backends[0], "n_total", a="1", b="2") == 4


def test_series_that_an_earlier_release_entered_in_another_order_go_on(tmp_path):
    """What is in a file already is added up under one name, and new metrics to it."""
    path = tmp_path / "metrics.db"
    metrics = [timing(a="1", b="2"), Metric({"name": "busy", "value": 5, "a": "1", "b": "2"}, kind="gauge")]
    with PrometheusBackend(path=path, labels=["a", "b"]) as backend:
        backend.write_many(metrics)
    with sqlite3.connect(path) as connection:
        connection.execute("""UPDATE series SET labels = '[["b", "2"], ["a", "1"]]'""")
        connection.execute("""INSERT INTO series
            SELECT id + 2, kind, name, '[["a", "1"], ["b", "2"]]', 0 FROM series""")
        connection.execute("""INSERT INTO cells
            SELECT series + 2, 0, failed, bound, count, value, moment, exemplar FROM cells WHERE owner = 0""")
    connection.close()
    with PrometheusBackend(path=path, labels=["a", "b"]) as backend:
        for calls in (3, 4):
            backend.write_many(metrics)
            assert shown(backend, CALLS, function="f", outcome="ok", a="1", b="2") == calls
            assert shown(backend, "busy", a="1", b="2") == 5


def test_the_limit_holds_for_all_processes_together(tmp_path):
    """Each store learns of the series that the others have added."""
    backends = [PrometheusBackend(path=tmp_path / "metrics.db", max_series=10) for _ in range(4)]
    for number in range(40):
        backends[number % 4].write_many([timing(f"f{number}")])
    for backend in backends:
        calls = shown_calls(backend)
        assert (len(calls), calls["__overflow__"], sum(calls.values())) == (11, 30, 40)
        backend.close()


def test_without_a_ttl_a_series_stays(make):
    """A counter that vanished between two scrapes would lose its rise."""
    backend = make()
    backend.write_many([timing()])
    assert backend._store._ttl is None
    assert shown_calls(backend) == {"f": 1}


def test_a_series_goes_after_its_ttl(make, monkeypatch):
    """What was not added to for so long is shown no more, makes room, and begins anew when it returns (12)."""
    backend = make(ttl=60.0, max_series=2)
    now, wall = time.monotonic(), time.time()
    backend.write_many([timing("old"), timing("kept")])
    backend.write_many([timing("beyond")])

    def advance(seconds):
        monkeypatch.setattr(store.time, "monotonic", lambda: now + seconds)
        monkeypatch.setattr(store.time, "time", lambda: wall + seconds)

    advance(50.0)
    backend.write_many([timing("kept")])
    assert shown_calls(backend) == {"old": 1, "kept": 2, "__overflow__": 1}
    advance(100.0)
    assert shown_calls(backend) == {"kept": 2}
    backend.write_many([timing("kept")])
    backend.write_many([timing("new")])
    assert shown_calls(backend) == {"kept": 3, "new": 1}
    backend.write_many([timing("old")])
    assert shown_calls(backend)["__overflow__"] == 1


def test_a_series_that_one_process_lets_go_is_found_again_by_another(tmp_path, monkeypatch):
    """Numbers of series are not used after they were deleted, so nothing is added to a stranger."""
    path = tmp_path / "metrics.db"
    one, other = (PrometheusBackend(path=path, ttl=60.0) for _ in range(2))
    now, wall = time.monotonic(), time.time()
    one.write_many([timing("a"), timing("b")])
    other.write_many([timing("a"), timing("b")])
    monkeypatch.setattr(store.time, "monotonic", lambda: now + 100.0)
    monkeypatch.setattr(store.time, "time", lambda: wall + 100.0)
    one.write_many([timing("c")])  # deletes a and b, whose numbers are free now
    one.write_many([timing("d")])
    other.write_many([timing("b"), timing("a")])
    for backend in (one, other):
        assert shown_calls(backend) == {"a": 1, "b": 1, "c": 1, "d": 1}
        backend.close()


def test_a_clock_that_is_set_forward_ends_no_series(make, monkeypatch):
    """A day's jump, as a machine makes that first hears of the time, is no day in which nothing was added."""
    backend = make(ttl=3600.0)
    backend.write_many([timing()] * 5)
    wall, now = time.time(), time.monotonic()
    monkeypatch.setattr(store.time, "time", lambda: wall + 86_400.0)
    monkeypatch.setattr(store.time, "monotonic", lambda: now + 60.0)  # time to sweep
    assert shown_calls(backend) == {"f": 5}
    backend.write_many([timing("g")])
    assert shown_calls(backend) == {"f": 5, "g": 1}


def test_a_series_of_before_the_machine_was_started_goes_after_its_ttl(tmp_path, monkeypatch):
    """Its time says nothing of the present one, which begins at 0 again, so that it gets another ttl."""
    path = tmp_path / "metrics.db"
    now = time.monotonic()
    with PrometheusBackend(path=path, ttl=60.0) as backend:
        backend.write_many([timing("old")])
        with sqlite3.connect(path) as connection:
            connection.execute("UPDATE series SET seen = ?", (now + 1e9,))
        connection.close()
        for seconds, found in ((50.0, {"old", "kept"}), (100.0, {"old", "kept"}), (150.0, {"kept"})):
            monkeypatch.setattr(store.time, "monotonic", lambda moment=now + seconds: moment)
            backend.write_many([timing("kept")])
            assert set(shown_calls(backend)) == found
