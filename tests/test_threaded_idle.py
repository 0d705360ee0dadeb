"""What a `ThreadedBackend` lets its backend do while there is nothing to send."""

from __future__ import annotations

import threading

import pytest

from tests.faults.harness import DEADLINE, FakeClock, FaultBackend, tick, wait_for
from time_execution.delivery.retry import Backoff
from time_execution.guard import faults


class Idler(FaultBackend):
    """Counts how often it may idle, in which thread, and with how much stored by then."""

    def __init__(self, *args, error=None, **options):
        super().__init__(*args, **options)
        self.idled: list[tuple[int, int]] = []
        self.error = error

    def idle(self):
        self.idled.append((threading.get_ident(), len(self.stored)))
        if self.error is not None:
            raise self.error


def test_a_backend_idles_in_the_worker_when_all_is_sent(deliver):
    """The thread that sends is the one that calls `idle`, once nothing waits any more."""
    store = Idler()
    delivery = deliver(store)
    delivery.write("a", value=1)
    assert wait_for(delivery, lambda: store.idled)
    assert store.idled[0] == (*store.threads, 1)


def test_idling_comes_once_in_queue_timeout(deliver):
    """With a clock that stands still there is one call, and another each time it has moved on far enough."""
    clock = FakeClock(0.0)
    store = Idler()
    delivery = deliver(store, clock=clock, queue_timeout=10.0)
    delivery.write("a", value=1)
    tick(delivery, clock, 1.0)
    assert wait_for(delivery, lambda: len(store.idled) == 1)
    tick(delivery, clock, 9.0)
    assert len(store.idled) == 1
    tick(delivery, clock, 1.5)
    assert wait_for(delivery, lambda: len(store.idled) == 2)
    tick(delivery, clock, 0.0)
    assert len(store.idled) == 2


def test_a_backend_idles_in_the_pause_after_a_failure(deliver):
    """A connection whose heartbeats nobody answers would be gone by the next attempt."""
    clock = FakeClock(0.0)
    store = Idler([OSError])
    pause = Backoff(base=60.0, cap=60.0, jitter=lambda _, high: high)
    delivery = deliver(store, clock=clock, bulk_timeout=0.0, queue_timeout=10.0, retry=pause)
    delivery.write("a", value=1)
    assert wait_for(delivery, lambda: store.attempts)
    tick(delivery, clock, 15.0)
    assert wait_for(delivery, lambda: store.idled)
    assert (len(store.attempts), store.stored) == (1, [])
    tick(delivery, clock, 60.0)
    assert wait_for(delivery, lambda: store.stored)


@pytest.mark.parametrize("error", [ValueError("x"), OSError("y")])
def test_what_idling_raises_is_counted_and_does_no_harm(deliver, error):
    """The worker lives on, and metrics are delivered as before."""
    store = Idler(error=error)
    delivery = deliver(store)
    delivery.write("a", value=1)
    assert wait_for(delivery, lambda: len(store.idled) >= 2)
    delivery.write("a", value=2)
    assert delivery.flush(DEADLINE)
    assert store.values() == [1, 2]
    assert delivery.stats()["worker_restarts"] == 0
    assert faults.as_dict()["backend"][f"Idler: {type(error).__name__}"] >= 2


def test_a_flush_is_not_held_up_by_idling(deliver):
    """A metric that comes while the backend idles is sent as soon as it is done."""
    entered, leave = threading.Event(), threading.Event()

    class Slow(Idler):
        def idle(self):
            super().idle()
            if len(self.idled) == 1:
                entered.set()
                leave.wait(DEADLINE)

    store = Slow()
    delivery = deliver(store)
    delivery.write("a", value=1)
    assert entered.wait(DEADLINE)
    delivery.write("a", value=2)
    leave.set()
    assert delivery.flush(DEADLINE)
    assert store.values() == [1, 2]


def test_a_strangers_method_of_that_name_is_not_called(deliver):
    """A backend that does not extend ours may call anything `idle`."""

    class Stranger:
        def __init__(self):
            self.written = []

        def write(self, name, **data):
            self.written.append(name)

        def idle(self, minutes):
            raise AssertionError(minutes)

    store = Stranger()
    delivery = deliver(store)
    delivery.write("a", value=1)
    assert delivery.flush(DEADLINE)
    delivery.write("b", value=1)
    assert delivery.flush(DEADLINE)
    assert store.written == ["a", "b"]
    assert faults.as_dict()["backend"] == {}
