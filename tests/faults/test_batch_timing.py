"""When a batch leaves, whatever the clock on the wall does and however the worker sleeps: case D17."""

from __future__ import annotations

import threading
import time

import pytest

from tests.faults.harness import DEADLINE, FaultBackend, wait_for
from tests.faults.stand_ins import Draft
from tests.patience import least
from time_execution import settings, time_execution


@pytest.mark.parametrize("jump", [-3600.0, 86400.0, 3600.0], ids=["hour back", "day ahead", "daylight saving"])
def test_a_batch_leaves_in_time_whatever_the_wall_clock_does(deliver, monkeypatch, jump):
    """A wall clock that jumps while a batch fills neither holds it up nor sends it early (D17)."""
    store = FaultBackend()
    delivery = deliver(store, bulk_timeout=0.3, queue_timeout=0.5)
    real, real_ns = time.time, time.time_ns
    began = time.monotonic()
    delivery.write("a", value=1)
    monkeypatch.setattr(time, "time", lambda: real() + jump)
    monkeypatch.setattr(time, "time_ns", lambda: real_ns() + int(jump * 1e9))
    delivery.write("a", value=2)
    assert wait_for(delivery, lambda: store.stored)
    waited = time.monotonic() - began
    assert store.values() == [1, 2]
    assert 0.29 < waited < 0.3 + 1.0  # 0.1 s on a quiet machine: see below


@pytest.mark.serial
def test_a_batch_leaves_a_tenth_of_a_second_after_its_time_at_the_latest(deliver, monkeypatch):
    """With the wall clock set back by an hour, bulk_timeout is kept to 100 ms (D17)."""
    store = FaultBackend()
    delivery = deliver(store, bulk_timeout=0.2, queue_timeout=10.0)
    delivery.write("warm.up", value=0)
    assert delivery.flush(DEADLINE)
    real_ns = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: real_ns() - 3600 * 10**9)

    def longest():
        times = []
        for _ in range(3):
            before = len(store.stored)
            began = time.monotonic()
            delivery.write("a", value=1)
            assert wait_for(delivery, lambda: len(store.stored) > before)  # noqa: B023 - done before the next round
            times.append(time.monotonic() - began)
        return max(times)

    assert least(longest, 0.3) <= 0.3


def test_a_metric_that_slips_in_as_the_worker_falls_asleep_wakes_it(deliver):
    """What is appended between the worker's last look and its sleep does not wait for queue_timeout."""
    store = FaultBackend()
    delivery = deliver(store, queue_timeout=60.0, bulk_timeout=0.01)
    settings.configure(backends=[delivery])
    measured = time_execution(lambda: None)
    channel = delivery.channel
    original = channel.set_attention
    slipped: list[int] = []

    def set_attention(*, sleeping, lingering):
        if sleeping and delivery._worker.thread is threading.current_thread() and not slipped:
            slipped.append(1)
            # What a caller does that read `attention` a moment ago.
            plan = measured.__closure__ and next(
                cell.cell_contents.plan for cell in measured.__closure__ if hasattr(cell.cell_contents, "plan")
            )
            now = time.perf_counter_ns()
            channel.append((plan, now, now))
        original(sleeping=sleeping, lingering=lingering)

    channel.set_attention = set_attention
    measured()
    assert wait_for(delivery, lambda: len(store.stored) == 2, timeout=5.0), "it lies there until queue_timeout"


def test_a_metric_that_nobody_told_of_is_found_within_queue_timeout(deliver):
    """A caller that was held up after its look at `attention` appends, unseen, to the queue of a worker that sleeps."""
    store = FaultBackend()
    delivery = deliver(store, queue_timeout=0.05, bulk_timeout=0.0)
    delivery.write("a", value=1)
    assert delivery.flush(DEADLINE)
    assert wait_for(delivery, lambda: delivery._worker._sleeping and delivery.channel.attention == 0)
    delivery.channel.append((Draft(), 2, 2))
    assert wait_for(delivery, lambda: store.values() == [1, 2])


@pytest.mark.serial
def test_a_queue_timeout_of_zero_does_not_keep_a_processor_busy(deliver):
    """An idle worker sleeps, whatever queue_timeout says."""
    delivery = deliver(FaultBackend(), queue_timeout=0.0)
    delivery.start_worker()

    def used():
        before = time.process_time()
        threading.Event().wait(0.3)
        return time.process_time() - before

    assert least(used, 0.1) <= 0.1
