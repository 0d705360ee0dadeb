"""What a timed call costs the thread that makes it."""

from __future__ import annotations

import threading
import time

import pytest

from tests.patience import least, least_time, on_this_python
from time_execution import flush

BURST = 1000


def add(x, y):
    return x + y


def per_call(function):
    """Return the microseconds that a call takes of its thread in a burst, once what was there is written.

    That is the thread's own CPU time, which other programs hardly change; `make bench` takes wall time as well.
    """
    assert flush(20)
    started = time.thread_time_ns()
    for _ in range(BURST):
        function(5, 10)
    return (time.thread_time_ns() - started) / BURST / 1000


@pytest.mark.serial
def test_timed_call_keeps_its_bound(written):
    """With resources, log and table; `make bench` holds it against 20 µs on 3.11; other Pythons take up to 27."""
    timed = written.timer()(add)
    bound = on_this_python(30.0)
    assert least_time(lambda: per_call(timed), bound) < bound


@pytest.mark.serial
def test_call_under_a_catcher_costs_next_to_nothing(written):
    """A call that raises nothing pays for no record."""
    caught = written.catcher()(add)
    assert least_time(lambda: per_call(caught), 4.0) < 4.0


@pytest.mark.serial
def test_call_with_nowhere_to_write_costs_next_to_nothing(written):
    """Where nobody wants to know, nothing is read."""
    timed = written.timer(log_to_file=False, results_format=None)(add)
    assert least_time(lambda: per_call(timed), 2.0) < 2.0


@pytest.mark.serial
def test_cost_does_not_grow(written):
    """The thousandth timer of a program, and the thousandth function of a timer, cost what the first one does."""
    timer = written.timer(results_format=None)
    first = timer(add)
    functions = [timer(lambda x, y: x + y) for _ in range(2000)]
    timers = [written.timer(results_format=None) for _ in range(500)]
    last = timers[-1](functions[-1].__wrapped__)

    def ratio():
        before = min(per_call(first) for _ in range(3))
        return min(per_call(last) for _ in range(3)) / before

    assert least(ratio, 1.25) <= 1.25


def test_caller_never_waits_for_the_disk(written):
    """While the worker is stuck in writing, calls go on as ever."""
    timer = written.timer(results_format=None)
    timed, (queue,) = timer(add), timer.outputs
    inside, go = threading.Event(), threading.Event()
    write = queue.backend._file.append

    def stuck(data, **options):
        inside.set()
        go.wait(30)
        write(data, **options)

    queue.backend._file.append = stuck
    timed(1, 2)
    assert inside.wait(20)
    started = time.perf_counter()
    for _ in range(2000):
        timed(1, 2)
    took = time.perf_counter() - started
    go.set()
    assert took < 10
    assert len(written.timings()) == 2001
