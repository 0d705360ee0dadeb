"""`flush` and `close` from everywhere, at once and again: case P9."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from tests.faults.harness import (
    DEADLINE,
    OUTAGE,
    FaultBackend,
    Gate,
    check_conservation,
    in_threads,
    longest,
    quick,
    wait_for,
)
from time_execution.delivery.retry import Backoff


@pytest.mark.parametrize("iteration", range(20))
def test_sixteen_threads_flush_and_close_at_once(iteration):
    """`flush` and `close` from 16 threads together return soon, and the backend is closed once (P9)."""
    store = FaultBackend()
    deliveries = [quick(store) for _ in range(10)]
    for delivery in deliveries:
        for value in range(50):
            delivery.write("a", value=value)

    def wait(thread):
        for delivery in deliveries:
            if (thread + iteration) % 2:
                assert isinstance(delivery.flush(5.0), bool)
            else:
                delivery.close(5.0)
                delivery.close(5.0)

    in_threads(16, wait, timeout=5.0)
    for delivery in deliveries:
        check_conservation(delivery.stats(), offered=50, pending=0)
        assert delivery.stats()["delivered"] == 50
    assert store.closed == 10


@pytest.mark.parametrize("hung", [False, True], ids=["idle", "hung"])
def test_a_second_close_returns_at_once(hung):
    """However the first `close` ended, the second takes less than 10 ms (P9)."""
    gate = Gate()
    delivery = quick(FaultBackend([gate] if hung else []), shutdown_timeout=0.2)
    delivery.write("a", value=1)
    if hung:
        gate.wait()
    delivery.close()
    times = []
    for _ in range(5):
        began = time.monotonic()
        delivery.close()
        times.append(time.monotonic() - began)
    assert sorted(times)[2] < 0.010
    gate.open.set()
    if delivery._worker.thread:
        delivery._worker.thread.join(DEADLINE)


def test_flush_and_close_from_the_worker_return_at_once():
    """A backend that flushes and closes its own delivery gets False and goes on (P9)."""
    results: list[Any] = []

    def reenter(metrics):
        store.keep(metrics)
        began = time.monotonic()
        results.append(delivery.flush(5.0))
        delivery.close(5.0)
        results.append(time.monotonic() - began)

    store = FaultBackend(then=reenter)
    delivery = quick(store)
    delivery.write("a", value=1)
    assert wait_for(delivery, lambda: len(results) == 2)
    assert results[0] is False
    assert results[1] < 1.0
    assert wait_for(delivery, lambda: delivery._worker.finished)
    check_conservation(delivery.stats(), offered=1, pending=0)
    assert store.closed == 1


@pytest.mark.parametrize("with_spool", [False, True], ids=["memory", "spool"])
def test_flush_after_close_returns_at_once(tmp_path, with_spool):
    """After a `close` that could not deliver all, `flush` without a time-out comes back (P9)."""
    gate = Gate()
    options = {"spool": tmp_path / "spool"} if with_spool else {}
    delivery = quick(FaultBackend([gate]), shutdown_timeout=0.1, **options)
    delivery.write("a", value=1)
    gate.wait()
    delivery.close()
    assert in_threads(1, lambda _: delivery.flush(), timeout=3.0) == [not with_spool]
    check_conservation(delivery.stats(), offered=1, pending=int(with_spool))
    gate.open.set()
    thread = delivery._worker.thread
    if thread is not None:
        thread.join(DEADLINE)


def test_close_while_another_flushes_without_a_time_out_ends_both(tmp_path):
    """A `flush` that would wait for ever ends when another thread closes the delivery into its spool (P9)."""
    gate = Gate()
    delivery = quick(FaultBackend([gate]), shutdown_timeout=0.1, spool=tmp_path / "spool")
    delivery.write("a", value=1)
    gate.wait()
    results = []
    flusher = threading.Thread(target=lambda: results.append(delivery.flush()), daemon=True)
    flusher.start()
    assert wait_for(delivery, lambda: delivery.channel.flush_target)
    delivery.close()
    flusher.join(3.0)
    gate.open.set()
    assert results == [False]


class SlowExit:
    """A lock whose holder, once armed, is held up as it leaves until the worker has ended."""

    def __init__(self, lock):
        self._lock = lock
        self.thread = None

    def __enter__(self):
        return self._lock.__enter__()

    def __exit__(self, *exc):
        self._lock.__exit__(*exc)
        if self.thread is not None and self.thread is not threading.current_thread():
            self.thread.join(DEADLINE)


def test_the_backend_is_closed_once_when_the_worker_is_quicker_than_close():
    """A worker that ends between two steps of `close` has closed the backend: it is not closed again (P9)."""
    store = FaultBackend()
    delivery: Any = quick(store)
    delivery.write("a", value=1)
    assert delivery.flush(DEADLINE)
    lock = delivery.channel.lock = SlowExit(delivery.channel.lock)
    stop = delivery._worker.stop

    def arm():
        lock.thread = delivery._worker.thread
        stop()

    delivery._worker.stop = arm
    delivery.close()
    assert store.closed == 1


def test_a_worker_that_hands_over_does_not_close_under_its_successor():
    """A worker that leaves at its limit while `close` begins leaves the backend to the one that took over (P9)."""
    store = FaultBackend()
    delivery: Any = quick(store, worker_limit=1, bulk_size=1)
    channel, worker = delivery.channel, delivery._worker
    leave_lock = channel.lock
    closers = []
    delivery._worker._close_backend = lambda: closers.append(threading.current_thread())
    gate = Gate(store.keep)
    store._script += [store.keep, gate]

    class CloseAtExit:
        """Stops the worker at the very moment at which the old thread has started a new one."""

        def __enter__(self):
            return leave_lock.__enter__()

        def __exit__(self, *exc):
            handed_over = worker.thread is not None and worker.thread is not threading.current_thread()
            leave_lock.__exit__(*exc)
            if handed_over and threading.current_thread().name == "TimeExecutionThread" and not old:
                old.append(threading.current_thread())
                gate.wait()
                with leave_lock:
                    channel.close()
                    worker.stop()

    old: list[threading.Thread] = []
    with channel.lock:
        delivery.write("a", value=0)
        delivery.write("a", value=1)
        channel.lock = CloseAtExit()
    gate.wait()
    old[0].join(DEADLINE) if old else None
    assert closers == []
    new = worker.thread
    gate.open.set()
    new.join(DEADLINE)
    assert closers == [new]
    channel.lock = leave_lock
    delivery.close(0.0)


def test_close_tries_once_more_in_the_midst_of_a_pause():
    """What failed a moment ago may be taken now, and there will be no later time (P9)."""
    store = FaultBackend([OUTAGE])
    delivery = quick(store, retry=Backoff(base=60.0, cap=60.0, jitter=longest))
    delivery.write("a", value=1)
    assert wait_for(delivery, lambda: delivery.stats()["failures"])
    delivery.close(DEADLINE)
    assert store.values() == [1]
    assert delivery.stats()["dropped"] == {}


def test_close_waits_no_longer_than_it_is_told():
    """The time-out of a call goes before that of the delivery (P9)."""
    gate = Gate()
    delivery = quick(FaultBackend([gate]), shutdown_timeout=3 * DEADLINE)
    delivery.write("a", value=1)
    gate.wait()
    thread, began = delivery._worker.thread, time.monotonic()
    delivery.close(0.05)
    assert time.monotonic() - began < DEADLINE
    gate.open.set()
    assert thread is not None
    thread.join(DEADLINE)
