"""When summaries are made, of which moment they are, and how they get to the inner backend: none lost, none twice."""

from __future__ import annotations

import os
import threading

import pytest

from tests.backends.summaries import MILLISECOND, NOON, SECOND, Clock, Exact, aggregates, call, nanoseconds
from tests.faults.harness import DEADLINE, OUTAGE, FaultBackend, check_conservation, quick, wait_for
from time_execution.backends.aggregate import AggregateBackend
from time_execution.backends.memory import MemoryBackend
from time_execution.backends.threaded import ThreadedBackend
from time_execution.exceptions import BackendRejected
from time_execution.types import Reject


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def store():
    return MemoryBackend()


@pytest.fixture
def aggregate(store, clock):
    """Make an aggregate in front of the store, on the clock that the test moves."""
    with aggregates(store, clock) as make:
        yield make


# ---- intervals -------------------------------------------------------------------------------------------------------


def test_an_interval_is_handed_on_two_seconds_after_its_end(aggregate, store, clock):
    """What a queue still held of it counts in it; the next batch hands it on, or idling does."""
    backend = aggregate()
    backend.write_many([call()])
    clock.advance(11.9)
    backend.write_many([call(timestamp=NOON + 9 * SECOND)])
    assert backend.stats()["waiting"] == 2
    clock.advance(0.1)
    backend.idle()
    assert backend.backend.flush(DEADLINE)
    assert [found["count"] for found in store.metrics] == [2]
    assert backend.stats()["waiting"] == 0


def test_the_next_batch_ends_an_interval(aggregate, store, clock):
    """Without anybody idling, under a steady flow."""
    backend = aggregate(interval=1.0)
    for _ in range(10):
        backend.write_many([call()])
        clock.advance(1.0)
    assert backend.backend.flush(DEADLINE)
    assert [found["count"] for found in store.metrics] == [1] * 7


def test_a_summary_is_of_the_end_of_its_interval(aggregate, store, clock):
    """Less than a millisecond before, so that it counts in its own interval wherever it is grouped again."""
    backend = aggregate()
    backend.write_many([call(timestamp=NOON + number * SECOND) for number in (-15, -5, 0)])
    clock.advance(30)
    backend.idle()
    assert backend.backend.flush(DEADLINE)
    ends = [nanoseconds(found["timestamp"]) for found in store.metrics]
    for end, expected in zip(ends, (-10, 0, 10), strict=True):
        assert 0 < NOON + expected * SECOND - end <= MILLISECOND


def test_late_metrics_make_a_second_summary(aggregate, clock):
    """They count where they belong in time; both summaries add up, and no store takes one for the other."""
    inner = Exact()
    backend = aggregate(quick(inner))
    late = call(timestamp=NOON - 5 * SECOND)
    backend.write_many([late, call()])
    backend.flush(DEADLINE)
    clock.advance(3)
    backend.write_many([late, late])
    assert backend.backend.flush(DEADLINE)
    assert [metric["count"] for metric in inner.stored] == [1, 1, 2]
    moments = [metric["timestamp"] for metric in inner.stored]
    assert len(set(moments)) == 3
    assert all(0 < NOON - moment <= MILLISECOND for moment in moments)


def test_none_counts_in_the_future(aggregate, store, clock):
    """A clock that is ahead, or a wrong timestamp, holds no metric back for ever."""
    backend = aggregate()
    backend.write_many([call(timestamp=NOON + 10**6 * SECOND), call(timestamp="soon")])
    clock.advance(12)
    backend.idle()
    assert backend.backend.flush(DEADLINE)
    assert [found["count"] for found in store.metrics] == [2]


def test_a_clock_that_was_set_back_holds_nothing_back(aggregate, store, clock):
    """What was counted ahead of it is handed on at once: nothing is added to that, and the clock is an hour away."""
    backend = aggregate()
    backend.write_many([call()])
    clock.advance(-3600)
    backend.write_many([call()])
    assert backend.stats()["waiting"] == 1
    assert backend.backend.flush(DEADLINE)
    assert [found["count"] for found in store.metrics] == [1]
    backend.flush(DEADLINE)
    assert [found["count"] for found in store.metrics] == [1, 1]


def test_processes_give_their_summaries_moments_of_their_own(aggregate, store, clock, monkeypatch):
    """Several workers sum up the same series to the same end: a store that knows no more would keep only one."""
    moments = set()
    for process in range(1000, 1064):
        monkeypatch.setattr(os, "getpid", lambda process=process: process)
        backend = AggregateBackend(store, clock=clock)
        backend.write_many([call(timestamp=NOON - 5 * SECOND)])
        moments |= {found[1] for found in _summaries(backend)}
    monkeypatch.undo()
    assert len(moments) == 64


def _summaries(backend):
    """Return the summaries that a backend would hand on, without any queue."""
    handed = []
    backend.backend.close(0.0)
    backend.backend = type(
        "Sink", (), {"enqueue": lambda _, metric: handed.append((metric["name"], metric["timestamp"]))}
    )()
    backend._hand_on_all()
    return handed


# ---- the inner backend -----------------------------------------------------------------------------------------------


def test_summaries_survive_an_outage(aggregate):
    """The inner backend fails, and is sent the same summaries again until it takes them."""
    inner = FaultBackend([OUTAGE, OUTAGE])
    backend = aggregate(quick(inner))
    backend.write_many([call(), call()])
    assert backend.flush(DEADLINE)
    assert [metric["count"] for metric in inner.stored] == [2]
    assert backend.stats()["backend"]["retries"] == 2


def test_a_backend_without_a_queue_gets_one(aggregate, store):
    """So nobody who writes waits for it; one that has a queue keeps it, with its accounting."""
    assert isinstance(aggregate().backend, ThreadedBackend)
    queue = quick(MemoryBackend())
    assert aggregate(queue).backend is queue


def test_the_queue_in_between_takes_two_intervals_at_once(aggregate, clock):
    """As many summaries as series there may be, twice, and their bytes: nothing is dropped while a store is away."""
    count, release = 6000, threading.Event()
    inner = FaultBackend()
    inner.keep = lambda metrics: (release.wait(DEADLINE), FaultBackend.keep(inner, metrics))
    backend = aggregate(inner, max_series=count, by=["a", "b", "c"])
    text = "\U0001f600" * 250
    for _ in range(2):
        backend.write_many([call(f"n{number}", a=text, b=text, c=text) for number in range(count)])
        clock.advance(12)
        backend.idle()
    stats = backend.stats()["backend"]
    release.set()
    assert (stats["offered"], stats["dropped"]) == (2 * count, {})
    assert backend.flush(DEADLINE)


def test_the_first_batch_starts_what_delivers_summaries(aggregate, monkeypatch):
    """Also with no queue in front, which would do so: at its end, Python 3.12 starts no thread any more."""
    started = []
    backend = aggregate()
    monkeypatch.setattr(backend.backend, "start_worker", lambda: started.append("worker"))
    backend.write_many([])
    assert started == []
    backend.write_many([call()])
    assert started == ["worker"]


def test_the_inner_backend_may_be_a_class_or_a_path(aggregate):
    """It is made, and belongs to the aggregate."""
    for spec in (MemoryBackend, "time_execution.backends.memory.MemoryBackend"):
        backend = aggregate(spec)
        backend.write("a", value=1)
        backend.flush(DEADLINE)
        assert backend.backend.backend.names == ["a"]


def test_closing_sends_the_rest(store):
    """The interval at hand is handed on, the inner backend closed after it; what comes later is refused, and told."""
    inner = FaultBackend()
    backend = AggregateBackend(inner)
    backend.write("a", value=1)
    backend.close(DEADLINE)
    backend.close(DEADLINE)
    assert [metric["count"] for metric in inner.stored] == [1]
    assert (inner.closed, backend.is_closed(), backend.undelivered()) == (1, True, 0)
    (result,) = backend.write_many([call()])
    assert isinstance(result, Reject)
    with pytest.raises(BackendRejected, match="after_close"):
        backend.write("a", value=1)


def test_what_could_not_be_delivered_is_known(store):
    """A close in vain says how many summaries it cost."""
    backend = AggregateBackend(quick(FaultBackend(then=OUTAGE)))
    for name in "abc":
        backend.write(name, value=1)
    backend.close(0.05)
    assert backend.undelivered() == 3


@pytest.mark.parametrize("threads", [1, 4])
def test_the_books_balance_at_any_moment(aggregate, clock, threads):
    """Invariant I1: what came is waiting or in summaries, and these are delivered, dropped or pending."""
    inner = FaultBackend()
    backend = aggregate(quick(inner), interval=1.0)

    def write(label):
        for number in range(500):
            backend.write_many([call(f"{label}{number % 5}"), call("shared")])
            clock.now += 7 * MILLISECOND

    workers = [threading.Thread(target=write, args=(label,)) for label in range(threads)]
    for worker in workers:
        worker.start()
    while any(worker.is_alive() for worker in workers):
        check_conservation(backend.stats()["backend"])
    for worker in workers:
        worker.join()
    stats = backend.stats()
    assert stats["waiting"] + stats["aggregated"] == threads * 1000
    assert backend.flush(DEADLINE)
    stats = backend.stats()
    assert (stats["waiting"], stats["aggregated"]) == (0, threads * 1000)
    assert sum(metric["count"] for metric in inner.stored) == threads * 1000
    assert stats["summaries"] == len(inner.stored) == stats["backend"]["delivered"]


def test_a_metric_is_never_handed_on_by_halves(aggregate, store, monkeypatch):
    """A flush from another thread waits until the metric at hand is counted in everything."""
    entered, go = threading.Event(), threading.Event()

    def slow(value):
        entered.set()
        assert go.wait(DEADLINE)
        return value

    monkeypatch.setattr("time_execution.backends.aggregate.finite_number", slow)
    backend = aggregate()
    threads = [threading.Thread(target=backend.write_many, args=([call()],))]
    threads[0].start()
    assert entered.wait(DEADLINE)
    threads.append(threading.Thread(target=backend.flush, args=(DEADLINE,)))
    threads[1].start()
    threads[1].join(0.1)  # time enough to do it wrong
    go.set()
    for thread in threads:
        thread.join(DEADLINE)
    assert [(found["count"], found.get("value")) for found in store.metrics] == [(1, 1.0)]


def test_behind_a_queue_nothing_is_lost(aggregate, clock, deliver):
    """The worker's idling ends the intervals, and every metric is in a summary."""
    inner, arrived = FaultBackend(), threading.Event()
    queue = quick(inner)
    backend = aggregate(queue, interval=1.0)
    delivery = deliver(backend, queue_timeout=0.05)
    for number in range(1000):
        delivery.write(f"n{number % 3}", value=number)
    assert wait_for(delivery, lambda: not delivery.channel.waiting())
    inner.keep = lambda metrics: (FaultBackend.keep(inner, metrics), arrived.set())
    clock.advance(3.0)
    assert arrived.wait(DEADLINE), "nobody idled"
    assert queue.flush(DEADLINE)
    assert sum(metric["count"] for metric in inner.stored) == 1000
    assert delivery.stats()["backend"]["backend"]["delivered"] == len(inner.stored)


def test_closing_a_queue_in_front_sends_the_rest():
    """Closed from the outside in: queue, interval, inner queue, inner backend."""
    inner = FaultBackend()
    delivery = quick(AggregateBackend(quick(inner)))
    for number in range(100):
        delivery.write("a", value=number)
    delivery.close(DEADLINE)
    assert [metric["count"] for metric in inner.stored] == [100]
    assert inner.closed == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform cannot fork")
def test_a_child_starts_empty(tmp_path):
    """The parent's interval stays the parent's: nothing is summed up twice, nothing is lost."""
    from tests.backends.line_files import names_in
    from time_execution.backends.files import JSONLinesBackend

    path = tmp_path / "summaries.jsonl"
    backend = AggregateBackend(JSONLinesBackend(path))
    backend.write("parent", value=1)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            assert backend.stats()["waiting"] == 0
            backend.write("child", value=1)
            backend.close(DEADLINE)
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    backend.close(DEADLINE)
    assert sorted(names_in(path)) == ["child", "parent"]
