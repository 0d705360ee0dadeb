"""Forks inside profiled calls and while profilers are changed."""

from __future__ import annotations

import contextlib
import os
import threading

from tests.forked import ends_well_in_a_child, exit_code, needs_fork, start_in_a_child
from time_execution.profiler import metrics

pytestmark = needs_fork
HERE = "test_profiler_forks"


def test_a_child_leaves_to_its_parent_what_was_recorded_before(own, collector):
    """Both end the call that they are in; each record is handed over once, by the process that it belongs to."""
    count = metrics.Counter("count", "tests", "n")
    own.add_metric(count)

    @own.profile
    def leaf(number):
        count.inc(number)

    @own.profile
    def root():
        leaf(1)
        child = os.fork()
        leaf(2 if child else 3)
        return child

    child = root()
    counted = [record["value"][1] for name, records in collector.handed if name == "count" for record in records]
    times = [record["method"] for name, records in collector.handed if name == "time_profiler" for record in records]
    if child == 0:
        expected = counted == [3] and times == [f"{HERE}:root.leaf", f"{HERE}:root"]
        os._exit(0 if expected else 1)
    assert exit_code(child) == 0
    assert counted == [1, 2]
    assert times == [f"{HERE}:root.leaf", f"{HERE}:root.leaf", f"{HERE}:root"]


def test_a_child_begins_its_counts_at_zero(own):
    """What went wrong in the parent is the parent's."""
    metric = metrics.Counter("count", "tests", "n")
    own.add_metric(metric)
    metric.inc("wrong")

    def work():
        assert own.stats()["instrument"] == {}
        metric.inc("wrong")
        assert own.stats()["instrument"] == {"count.inc: wrong value": 1}

    assert ends_well_in_a_child(work)
    assert own.stats()["instrument"] == {"count.inc: wrong value": 1}


def test_forks_while_others_change_and_count_do_not_hang(own, collector):
    """No child waits for a lock that another thread of its parent held."""
    gauge, stop = metrics.Gauge("level", "tests", "n"), threading.Event()

    def change():
        while not stop.is_set():
            own.add_metric(gauge)
            own.error_raised_label = not own.error_raised_label
            gauge.inc(1)
            gauge.inc("wrong")

    def work():
        own.add_handler(collector)
        own.add_metric(gauge)
        gauge.inc("wrong")
        gauge.inc(1)
        assert own.profile(lambda: 5)() == 5

    threads = [threading.Thread(target=change) for _ in range(4)]
    for thread in threads:
        thread.start()
    with contextlib.ExitStack() as ending:
        ending.callback(lambda: [thread.join(30) for thread in threads])
        ending.callback(stop.set)
        children = [start_in_a_child(work, longest=20) for _ in range(40)]
        assert [exit_code(child) for child in children] == [0] * 40
