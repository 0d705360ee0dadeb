"""What the True of `flush` means, and its False."""

from __future__ import annotations

import threading
import time

from tests.faults.harness import DEADLINE, FaultBackend, Gate, check_conservation, wait_for
from time_execution.exceptions import (
    BackendRejected,
    BackendUnavailable,
)
from time_execution.types import STORED, Retry


class Flushing:
    """A `flush` that waits in a thread of its own."""

    def __init__(self, delivery):
        self._results: list[bool] = []
        self._thread = threading.Thread(target=lambda: self._results.append(delivery.flush(DEADLINE)), daemon=True)
        self._thread.start()
        assert wait_for(delivery, lambda: delivery.channel.flush_target)

    def goes_on(self):
        """Return whether it has not come back, though it had the time to."""
        self._thread.join(0.1)
        return self._thread.is_alive()

    def result(self):
        """Wait for its end, and return what it returned."""
        self._thread.join(DEADLINE * 2)
        return self._results[0]


def test_flush_does_not_count_what_came_later_in_place_of_what_is_stuck(deliver):
    """A metric that is refused again and again keeps `flush` waiting, however many newer ones are delivered."""
    store = FaultBackend()
    stuck = {0}

    def all_but_what_is_stuck(metrics):
        store.keep([metric for metric in metrics if metric["value"] not in stuck])
        return [Retry("busy") if metric["value"] in stuck else STORED for metric in metrics]

    store._then = all_but_what_is_stuck
    delivery = deliver(store, bulk_size=10)
    delivery.write("a", value=0)
    assert wait_for(delivery, lambda: len(store.attempts) > 1)
    flushing = Flushing(delivery)
    for value in range(1, 101):
        delivery.write("a", value=value)
    assert wait_for(delivery, lambda: len(store.stored) == 100)
    assert flushing.goes_on()
    stuck.clear()
    assert flushing.result() is True
    assert store.values() == [*range(1, 101), 0]


def test_flush_does_not_count_what_was_dropped_in_place_of_what_is_stuck(deliver):
    """With the first batch stuck in the backend, `flush` waits for it, however many newer metrics give way."""
    gate = Gate()
    delivery = deliver(FaultBackend([gate]), queue_maxsize=10, bulk_size=2, bulk_timeout=60.0)
    delivery.write("a", value=0)
    delivery.write("a", value=1)
    gate.wait()
    flushing = Flushing(delivery)
    for value in range(100):
        delivery.write("a", value=value)
    assert delivery.stats()["dropped"]["queue_full"] > 90
    assert delivery.stats()["in_flight"] == 2
    assert flushing.goes_on()
    gate.open.set()
    assert flushing.result() is True


def test_flush_is_true_at_once_when_there_is_nothing(deliver):
    """A delivery that was offered nothing has nothing to wait for, and starts no thread."""
    delivery = deliver(FaultBackend())
    assert delivery.flush(0.0) is True
    assert delivery._worker.thread is None


def test_flush_does_not_wait_for_the_batch_to_fill(deliver):
    """A worker that lingers, and would sleep on for a minute, is woken (P9)."""
    store = FaultBackend()
    delivery = deliver(store, bulk_timeout=60.0, queue_timeout=60.0)
    delivery.write("a", value=1)
    assert wait_for(delivery, lambda: delivery.channel.changed._waiters)  # the worker lingers
    assert delivery.flush(DEADLINE)
    assert store.values() == [1]


def test_flush_gives_up_at_its_time_out(deliver):
    """With a backend that hangs, `flush` returns False when its time is up, and True once all is settled."""
    gate = Gate()
    delivery = deliver(FaultBackend([gate]))
    delivery.write("a", value=1)
    began = time.monotonic()
    assert delivery.flush(0.05) is False
    assert time.monotonic() - began < DEADLINE / 2
    gate.open.set()
    assert delivery.flush(DEADLINE) is True
    check_conservation(delivery.stats(), offered=1, pending=0)


def test_flush_counts_what_was_given_up_as_settled(deliver):
    """What the backend refuses for good does not keep `flush` waiting."""
    delivery = deliver(FaultBackend(then=BackendRejected("no")))
    for value in range(100):
        delivery.write("a", value=value)
    assert delivery.flush(DEADLINE) is True
    assert delivery.stats()["dropped"] == {"BackendRejected": 100}


def test_flush_while_others_write_comes_to_an_end(deliver):
    """`flush` waits for what was offered before it, not for producers that never stop."""
    store = FaultBackend()
    delivery = deliver(store, queue_maxsize=1000)
    stop = threading.Event()

    def produce():
        while not stop.is_set():
            delivery.write("a", value=1)

    threads = [threading.Thread(target=produce) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        assert all(delivery.flush(DEADLINE) for _ in range(20))
    finally:
        stop.set()
        for thread in threads:
            thread.join(DEADLINE)


def test_nobody_waits_for_a_backend_that_is_down_when_all_lies_in_the_spool(deliver, tmp_path):
    """`flush` and `close` come back with the first failure, however much of their time is left (P9)."""
    delivery = deliver(FaultBackend(then=BackendUnavailable), spool=tmp_path / "spool")
    delivery.write("a", value=1)
    began = time.monotonic()
    assert delivery.flush(6 * DEADLINE) is False
    delivery.close(6 * DEADLINE)
    assert time.monotonic() - began < DEADLINE
    check_conservation(delivery.stats(), offered=1, pending=1)


def test_settling_where_its_thread_has_the_lock_gives_it_to_nobody(deliver):
    """As in a signal handler that came in amid a write: it returns at once, and what it interrupted stays alone."""
    delivery = deliver(FaultBackend())
    others = []

    def other():
        others.append(delivery.channel.lock.acquire(timeout=0.2))

    with delivery.channel.lock:
        delivery.write("a", value=1)
        thread = threading.Thread(target=other)
        thread.start()
        began = time.monotonic()
        assert not delivery.settle(DEADLINE)
        assert time.monotonic() - began < DEADLINE / 2
        thread.join(DEADLINE)
    assert others == [False]
    assert delivery.settle(DEADLINE)
