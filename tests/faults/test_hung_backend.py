"""A backend that never answers costs its callers nothing: case D5."""

from __future__ import annotations

import time

import pytest

from tests.faults.harness import DEADLINE, FaultBackend, Gate, check_conservation
from tests.patience import least_time
from time_execution import settings, time_execution
from time_execution.types import STORED, Reject, Retry


@pytest.mark.serial
@pytest.mark.parametrize("way", ["write", "measured call"])
def test_a_backend_that_hangs_does_not_slow_its_callers(deliver, way):
    """While the worker hangs in the backend, 99 % of the callers need less than 1 ms, half of them a few µs (D5)."""
    gate = Gate()
    delivery = deliver(FaultBackend([gate]), queue_maxsize=1000)
    settings.configure(backends=[delivery])

    @time_execution
    def measured():
        return None

    call = measured if way == "measured call" else lambda: delivery.write("a", value=1)
    call()
    gate.wait()
    rounds = 0

    def times_the_bounds():
        nonlocal rounds
        rounds += 1
        times = []
        for _ in range(5000):  # five times what there is room for
            began = time.perf_counter()
            call()
            times.append(time.perf_counter() - began)
        times.sort()
        # A finished metric is looked through and copied in the calling thread; a measured call only appends.
        return max(times[4950] / 1e-3, times[2500] / (25e-6 if way == "measured call" else 100e-6))

    assert least_time(times_the_bounds, 1.0) <= 1.0
    check_conservation(delivery.stats(), offered=1 + 5000 * rounds)
    gate.open.set()


@pytest.mark.parametrize("answer", [None, [STORED, Reject("mapping"), Retry("busy")]], ids=["stored", "mixed"])
def test_a_worker_that_hung_through_close_cannot_count_anything_twice(deliver, answer):
    """What was given up at close stays given up, whatever the backend says of it later (D5, I1)."""
    store = FaultBackend()
    gate = Gate(lambda _: answer)
    store._script.append(gate)
    delivery = deliver(store)
    for value in range(3):
        delivery.write("a", value=value)
    gate.wait()
    thread = delivery._worker.thread
    delivery.close(0.05)
    before = delivery.stats()
    check_conservation(before, offered=3, pending=0)
    assert before["dropped"] == {"shutdown": 3}
    gate.open.set()
    thread.join(DEADLINE)
    assert not thread.is_alive()
    after = delivery.stats()
    check_conservation(after, offered=3, pending=0)
    assert after["dropped"] == before["dropped"]
    assert store.closed == 1
