"""Sums over time: delta and cumulative, what a window speaks of, and what is sent again counts."""

from __future__ import annotations

import os
import time

import pytest

pytest.importorskip("opentelemetry.proto.metrics", reason="the extra otlp is not installed")
pytest.importorskip("urllib3", reason="the extra otlp is not installed")

from tests.backends.otlp_points import CUMULATIVE, DELTA, decoded, latest, number_of, points_of
from tests.fault_server import DROP, Answer, FaultServer
from tests.faults.harness import DEADLINE, check_conservation
from tests.forked import ends_well_in_a_child, needs_fork
from time_execution.backends.otlp import OTLPBackend
from time_execution.exceptions import BackendUnavailable
from time_execution.types import STORED, Metric

MOMENT = 1_700_000_000_000_000_000
SECOND = 1_000_000_000


@pytest.fixture
def server():
    with FaultServer() as server:
        yield server


def sent(server):
    """Return all points that came to a server, in order."""
    return [point for request in server.requests for point in points_of(decoded(request.body))]


def at(seconds, name="a", value=1.0, **options):
    """Return a metric of a moment so many seconds after another."""
    return Metric({"name": name, "value": value, "timestamp": MOMENT + int(seconds * SECOND)}, **options)


def test_cumulative_sums_go_on_from_batch_to_batch(server):
    """Each point holds all since the start, which stays the same; bounds and buckets, too."""
    backend = OTLPBackend(server.url)
    backend.write_many([at(1, value=2.0), at(1, "n", 3, kind="counter")])
    backend.write_many([at(2, value=800.0), at(2, "n", 4, kind="counter")])
    first, count, second, total = sent(server)
    assert {entry["temporality"] for entry in sent(server)} == {CUMULATIVE}
    assert (second["point"].count, second["point"].min, second["point"].max) == (2, 0.002, 0.8)
    assert (sum(second["point"].bucket_counts), second["point"].sum) == (2, 0.802)
    assert (number_of(count["point"]), number_of(total["point"])) == (3, 7)
    assert first["start"] == second["start"] < first["time"] < second["time"] == MOMENT + 2 * SECOND


def test_delta_sums_are_those_of_a_batch(server):
    """Windows follow upon each other without gap and overlap, and end with the latest metric."""
    backend = OTLPBackend(server.url, temporality="delta")
    for seconds in (1, 2, 3):
        backend.write_many([at(seconds), at(seconds - 0.5)])
    found = sent(server)
    assert [entry["point"].count for entry in found] == [2, 2, 2]
    assert {entry["temporality"] for entry in found} == {DELTA}
    assert [entry["time"] for entry in found] == [MOMENT + seconds * SECOND for seconds in (1, 2, 3)]
    assert found[0]["start"] < MOMENT + SECOND // 2
    assert [entry["start"] for entry in found[1:]] == [entry["time"] for entry in found[:-1]]


@pytest.mark.parametrize("temporality", ["delta", "cumulative"])
def test_late_metrics_never_go_back_in_time(server, temporality):
    """Consumers drop a point from before the last one; what a spool sends later counts in the time after."""
    backend = OTLPBackend(server.url, temporality=temporality)
    backend.write_many([at(3600)])
    backend.write_many([at(0)])
    first, second = sent(server)
    assert second["time"] > first["time"]
    assert second["start"] >= (first["time"] if temporality == "delta" else first["start"])


def test_no_window_ends_in_the_future(server):
    """A metric from a clock that is ahead does not push those of all others away."""
    backend = OTLPBackend(server.url, temporality="delta")
    backend.write_many([Metric({"name": "a", "value": 1.0, "timestamp": time.time_ns() + 3600 * SECOND})])
    assert sent(server)[0]["time"] <= time.time_ns()


def test_sums_begin_anew_when_the_clock_was_set_back(server, monkeypatch):
    """As after a restart: a start of their own, and only what came since."""
    backend = OTLPBackend(server.url)
    backend.write_many([at(3600)])
    monkeypatch.setattr(time, "time_ns", lambda: MOMENT)
    backend.write_many([at(-1)])
    first, second = sent(server)
    assert second["point"].count == 1
    assert second["start"] < second["time"] == MOMENT - SECOND < first["start"]


@pytest.mark.parametrize("trouble", [503, DROP])
@pytest.mark.parametrize("temporality", ["delta", "cumulative"])
def test_what_failed_is_in_no_sum_until_it_is_sent_again(server, temporality, trouble):
    """Sums are those that the server confirmed, so a batch that comes again counts once; its point is the same."""
    backend = OTLPBackend(server.url, temporality=temporality)
    backend.write_many([at(1)])
    server.answer(trouble, 200)
    with pytest.raises(BackendUnavailable):
        backend.write_many([at(2)])
    backend.write_many([at(2)])
    _, failed, again = sent(server)
    assert again["point"] == failed["point"]
    assert again["point"].count == (1 if temporality == "delta" else 2)


def test_lost_answers_count_nothing_twice(server, deliver):
    """Case D5, cumulative: of some batches the answer is lost, and the totals are those of the calls."""
    answers = iter(range(10**6))
    server.answer(lambda _: DROP if next(answers) % 3 == 0 else 200)
    backend = OTLPBackend(server.url)
    delivery = deliver(backend, bulk_size=50, queue_maxsize=5000)
    for number in range(2000):
        delivery.write("calls", value=number)  # a gauge, sent again as it was
        delivery.enqueue(at(number, "a" if number % 2 else "b"))
    assert delivery.flush(DEADLINE)
    check_conservation(delivery.stats(), offered=4000, pending=0)
    totals = {entry["attributes"].get("code.function.name"): entry for entry in latest(sent(server))}
    assert {name: totals[name]["point"].count for name in "ab"} == {"a": 1000, "b": 1000}
    assert delivery.stats()["retried"] > 0


def test_values_need_no_window(server):
    """A batch without sums leaves the next sum's start alone."""
    backend = OTLPBackend(server.url, temporality="delta")
    backend.write_many([at(5, kind="gauge")])
    backend.write_many([at(1)])
    level, summed = sent(server)
    assert (level["time"], summed["time"]) == (MOMENT + 5 * SECOND, MOMENT + SECOND)


def test_points_that_a_server_refuses_leave_the_sums_alone(server):
    """Where none of the points was taken, the next totals are as if the batch had never been."""
    refusal = Answer(200, '{"partialSuccess":{"rejectedDataPoints":"1"}}', {"Content-Type": "application/json"})
    server.answer(refusal, 200)
    backend = OTLPBackend(server.url)
    backend.write_many([at(1)])
    backend.write_many([at(2)])
    assert [entry["point"].count for entry in sent(server)] == [1, 1]


def test_what_the_next_totals_hold_is_not_rejected(server, caplog, wake_loggers):
    """Of totals, some of which were refused, the next request brings all again: nothing is dropped, and it is told."""
    wake_loggers("time_execution")
    words = '{"partialSuccess":{"rejectedDataPoints":"2","errorMessage":"no label\\nc"}}'
    server.answer(Answer(200, words, {"Content-Type": "application/json"}), 200)
    backend = OTLPBackend(server.url)
    batch = [at(1, "a"), at(1, "b"), at(1, "c"), at(1, "level", kind="gauge")]
    results = backend.write_many(batch)
    assert results[:3] == [STORED] * 3
    assert [result.reason for result in results[3:]] == ["partial_success"]  # no later request has that
    assert backend.stats()["refused_points"] == 1
    assert "the OTLP server refused 2 of 4 points" in caplog.text
    assert "no label" not in caplog.text  # which may quote a metric
    backend.write_many([at(2, "b")])
    assert sent(server)[-1]["point"].count == 2


@needs_fork
def test_a_child_counts_for_itself(server):
    """Without a word from anybody: totals begin at zero, for another instance, so nothing counts twice."""
    backend = OTLPBackend(server.url)
    backend.write_many([at(1)])
    with backend._lock:  # as if another thread of the parent were sending
        assert ends_well_in_a_child(lambda: backend.write_many([at(2)]))
    backend.write_many([at(3)])
    first, second, third = sent(server)
    assert [entry["point"].count for entry in (first, second, third)] == [1, 1, 2]
    instances = [entry["resource"]["service.instance.id"] for entry in (first, second, third)]
    assert instances[0] == instances[2] != instances[1]
    assert first["resource"]["process.pid"] == os.getpid() != second["resource"]["process.pid"]
    assert server.connections == 2
