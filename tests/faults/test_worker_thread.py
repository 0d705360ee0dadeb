"""Workers that die, and threads that end before what they made: cases P6 and P7."""

from __future__ import annotations

import threading

import pytest

from tests.faults.harness import (
    DEADLINE,
    FakeClock,
    FaultBackend,
    check_conservation,
    in_threads,
    longest,
    quick,
    tick,
    wait_for,
)
from time_execution.delivery.retry import Backoff
from time_execution.types import STORED


def test_a_delivery_outlives_the_thread_that_made_it():
    """A delivery built, and first used, in a thread that ends at once works for all others (P6)."""
    store = FaultBackend()
    made = in_threads(1, lambda _: quick(store))[0]
    in_threads(1, lambda _: made.write("a", value=0))
    for value in range(1, 3000):
        made.write("a", value=value)
    assert made.flush(DEADLINE)
    assert store.values() == list(range(3000))
    made.close()


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_a_worker_that_is_killed_is_replaced(error):
    """What no backend may raise ends the thread; its batch is kept, a new thread sends it, the books are right (P7)."""
    store = FaultBackend([error])
    delivery = quick(store, bulk_size=5, bulk_timeout=60.0)  # so that only a full batch leaves
    for value in range(5):
        delivery.write("a", value=value)
    assert wait_for(delivery, lambda: store.attempts)
    for value in range(5, 10):
        delivery.write("a", value=value)
    assert delivery.flush(DEADLINE)
    stats = delivery.stats()
    check_conservation(stats, offered=10, pending=0)
    assert stats["worker_restarts"] == 1
    assert stats["retried"] == 5
    assert store.values() == list(range(10))
    assert len(store.threads) <= 2
    delivery.close()


@pytest.mark.parametrize("wait", ["flush", "close"])
def test_who_waits_for_a_worker_that_dies_gets_a_new_one(wait):
    """`flush` and `close` come to their end although the worker is killed and nobody writes any more (P7)."""
    store = FaultBackend([SystemExit, SystemExit])
    delivery = quick(store, bulk_timeout=60.0, shutdown_timeout=DEADLINE)
    for value in range(5):
        delivery.write("a", value=value)
    if wait == "flush":
        assert delivery.flush(DEADLINE)
    delivery.close()
    stats = delivery.stats()
    check_conservation(stats, offered=5, pending=0)
    assert (stats["delivered"], stats["worker_restarts"]) == (5, 2)


def test_a_worker_that_is_killed_each_time_is_not_replaced_at_once():
    """A backend that kills every worker is asked again with growing pauses, not with each metric (P7, D10)."""
    store, clock = FaultBackend(then=SystemExit), FakeClock()
    retry = Backoff(base=60.0, cap=60.0, jitter=longest)
    delivery = quick(store, clock=clock, retry=retry, shutdown_timeout=0.1, bulk_timeout=0.0)
    delivery.write("a", value=0)
    assert wait_for(delivery, lambda: store.attempts)
    for value in range(1, 200):
        delivery.write("a", value=value)
        tick(delivery, clock)
    assert len(store.attempts) <= 2
    check_conservation(delivery.stats(), offered=200, pending=200)
    delivery.close()


def test_pauses_after_deaths_grow_and_end_with_the_first_success():
    """Each worker that dies in a row doubles the bound of the pause before the next attempt (P7, D10)."""
    bounds: list[float] = []

    def draw(_low, high):
        bounds.append(high)
        return 0.0

    delivery = quick(FaultBackend([SystemExit] * 4), retry=Backoff(base=1.0, cap=60.0, jitter=draw))
    delivery.write("a", value=0)
    assert delivery.flush(DEADLINE)
    assert bounds == [1.0, 2.0, 4.0, 8.0]
    assert (delivery.stats()["failures"], delivery.stats()["state"]) == (0, "ok")
    delivery.close()


def test_a_worker_gives_way_to_a_fresh_one_after_so_many_metrics():
    """With worker_limit, new threads take over, one at a time, and nothing is lost or counted as a death."""
    active, most = [], []

    def send(metrics):
        active.append(1)
        most.append(len(active))
        store.keep(metrics)
        active.pop()

    store = FaultBackend(then=send)
    delivery = quick(store, bulk_size=10, worker_limit=20)
    names = set()
    for value in range(500):
        delivery.write("a", value=value)
        names |= {thread.name for thread in threading.enumerate()}
    assert delivery.flush(DEADLINE)
    assert store.values() == list(range(500))
    assert max(most) == 1
    assert delivery.stats()["worker_restarts"] == 0
    assert "TimeExecutionThread" in names
    delivery.close()
    assert store.closed == 1


def test_a_worker_that_was_killed_is_counted_once_however_many_take_over():
    """Those that give way at their limit later are no deaths (P7)."""
    delivery = quick(FaultBackend([SystemExit]), bulk_size=5, worker_limit=5)
    for value in range(50):
        delivery.write("a", value=value)
    assert delivery.flush(DEADLINE)
    assert delivery.stats()["worker_restarts"] == 1
    delivery.close()


def test_a_metric_written_while_the_worker_starts_starts_no_second_one(monkeypatch):
    """A signal handler or finalizer may run amid `Thread.start`; two workers would share one queue."""
    store = FaultBackend()
    delivery = quick(store)
    start, started = threading.Thread.start, []

    def interrupted(thread):
        started.append(thread)
        if len(started) < 5:
            delivery.write("handler", value=len(started))
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    delivery.write("call", value=0)
    assert delivery.flush(DEADLINE)
    assert len(started) == 1
    assert delivery.channel.owner == started[0].ident
    assert sorted(store.values()) == [0, 1]
    delivery.close()


def test_a_backend_that_answers_without_end_is_heard_for_its_batch_only():
    """One answer for each metric is all that is asked of it."""
    delivery = quick(FaultBackend(then=lambda metrics: iter(lambda: STORED, None)))
    for value in range(10):
        delivery.write("a", value=value)
    assert delivery.flush(DEADLINE)
    check_conservation(delivery.stats(), offered=10, pending=0)
    delivery.close()
