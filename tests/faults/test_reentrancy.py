"""Finalizers, hooks, backends and log handlers that measure while they are being measured: case P10."""

from __future__ import annotations

import sys

from tests.faults.children import run
from tests.faults.harness import DEADLINE, FaultBackend, Gate, check_conservation, quick
from time_execution import settings, time_execution, write_metric


def test_finalizers_that_write_while_the_lock_is_held_do_no_harm(tmp_path):
    """A collection that runs in the midst of the delivery, on any thread, may write: nothing is lost (P10)."""
    outcome, _ = run(
        tmp_path,
        """
        import gc
        backend = quick(FaultBackend(), queue_maxsize=100, bulk_size=10)
        settings.configure(backends=[backend])
        written = [0, 0]
        lock = threading.Lock()
        class Late:
            def __init__(self):
                self.me = self
            def __del__(self):
                written[1] += 1
                write_metric("late", value=1)
        @time_execution
        def measured():
            Late()
        gc.set_threshold(7, 2, 2)
        for value in range(3000):
            measured()
            write_metric("a", value=value)
            if value % 10 == 0:
                check_conservation(backend.stats())
        gc.set_threshold(100_000)
        gc.collect()
        backend.flush(10.0)
        stats = backend.stats()
        check_conservation(stats, offered=6000 + written[1], pending=0)
        assert written[1] == 3000, written
        backend.close()
        """,
    )
    assert (outcome.code, outcome.err) == (0, ""), outcome


def test_a_finalizer_in_the_midst_of_stats_does_not_spoil_them():
    """What a finalizer drops while `stats` reads is in the numbers or it is not, never half (P10, I1)."""
    gate = Gate()
    delivery = quick(FaultBackend([gate]), queue_maxsize=3, bulk_size=1)
    delivery.write("a", value=0)
    gate.wait()
    for value in range(1, 3):
        delivery.write("a", value=value)
    ledger = delivery.channel.ledger

    def trace(frame, event, argument):
        if event == "return" and frame.f_code.co_name in {"_spool_losses", "spool_losses", "_oldest_age", "bytes"}:
            sys.setprofile(None)
            delivery.write("late", value=9)

    sys.setprofile(trace)
    try:
        stats = delivery.stats()
    finally:
        sys.setprofile(None)
    assert ledger.dropped
    check_conservation(stats)
    gate.open.set()
    delivery.close(0.0)


def test_backends_and_hooks_may_call_what_is_measured(tmp_path):
    """A backend, queued or direct, and a hook that call measured functions come to an end (P10)."""

    @time_execution(name="inner")
    def inner():
        return 1

    def hook(**_):
        inner()
        return {"hook": True}

    class Measuring(FaultBackend):
        def write_many(self, metrics):
            inner()
            return super().write_many(metrics)

    @time_execution(name="outer", extra_hooks=[hook])
    def outer():
        return 42

    queued, direct = Measuring(), Measuring()
    delivery = quick(queued)
    with settings(backends=[delivery, direct]):
        assert [outer() for _ in range(50)] == [42] * 50
        assert delivery.flush(DEADLINE)
    stats = delivery.stats()
    check_conservation(stats, pending=0)
    assert sum(metric["name"] == "outer" for metric in queued.stored) == 50
    assert sum(metric["name"] == "outer" for metric in direct.stored) == 50
    assert len(queued.stored) <= 200
    delivery.close()


def test_a_backend_that_writes_to_its_own_delivery_does_not_feed_itself():
    """What the worker's own thread writes is refused and counted, however it is written (P10)."""

    class Talking(FaultBackend):
        def write_many(self, metrics):
            delivery.write("inner", value=-1)
            delivery.bulk_write([{"name": "inner", "value": -1}])
            return super().write_many(metrics)

    store = Talking()
    delivery = quick(store, bulk_size=10)
    for value in range(100):
        delivery.write("outer", value=value)
    assert delivery.flush(DEADLINE)
    stats = delivery.stats()
    check_conservation(stats, pending=0)
    assert store.values() == list(range(100))
    assert stats["rejected"] == {"reentrant": 2 * len(store.attempts)}
    delivery.close()


def test_a_log_handler_that_is_itself_measured_comes_to_an_end():
    """A handler that measures and writes as it logs our trouble neither recurses nor hangs (P10)."""
    import logging

    emitted = []

    class Handler(logging.Handler):
        @time_execution(name="emit")
        def emit(self, record):
            emitted.append(record.getMessage())
            write_metric("logged", value=1)

    delivery = quick(FaultBackend([OSError] * 5))
    settings.configure(backends=[delivery])
    handler = Handler()
    logger = logging.getLogger("time_execution")
    logger.addHandler(handler)
    try:
        for value in range(10):
            write_metric("a", value=value)
        assert delivery.flush(DEADLINE)
    finally:
        logger.removeHandler(handler)
    stats = delivery.stats()
    check_conservation(stats, pending=0)
    assert len(emitted) == 1
    assert stats["rejected"] == {"reentrant": 2}
