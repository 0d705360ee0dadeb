"""Metrics written after `close` and while the interpreter ends: case P8."""

from __future__ import annotations

import threading
import time

import pytest

from tests.faults.children import BUSY, Child, run, values
from tests.faults.harness import DEADLINE, FaultBackend, check_conservation, in_threads, quick
from time_execution import settings, time_execution


def test_writes_after_close_are_counted_and_harmless():
    """After `close`, writes and measured calls are rejected and counted; nothing raises (P8)."""
    store = FaultBackend()
    delivery = quick(store)
    measured = time_execution(lambda: 42)
    with settings(backends=[delivery]):
        assert measured() == 42
        delivery.close()
        assert measured() == 42
        delivery.write("a", value=1)
        delivery.start_worker()
    stats = delivery.stats()
    check_conservation(stats, offered=3, pending=0)
    assert stats["delivered"] == 1
    assert stats["rejected"] == {"after_close": 2}
    assert delivery._worker.thread is None


LATE = """
import atexit, builtins, functools, logging, sys, threading

class Late:
    def __init__(self, label):
        self.label = label
    def __del__(self):
        self.measured()
        self.hooked()
        self.write_metric(self.label, value=1)

def keep(late=Late("default")):
    pass

class Holder:
    late = Late("class")

late = Late("module")
cycle = [Late("cycle")]
cycle.append(cycle)
for module in (sys, builtins, functools, logging, threading):  # these outlive all others
    module.late = Late(module.__name__)

from time_execution import time_execution, write_metric

@time_execution(name="measured")
def measured():
    pass

@time_execution(name="hooked", extra_hooks=[lambda **_: {"hook": 1}])
def hooked():
    pass

Late.measured, Late.hooked, Late.write_metric = staticmethod(measured), staticmethod(hooked), staticmethod(write_metric)
"""


@pytest.mark.parametrize("setting", ["unused", "used", "direct", "late", "busy"])
def test_metrics_written_while_the_interpreter_ends_do_no_harm(tmp_path, setting):
    """`atexit` functions, finalizers and threads may measure to the last: no exception, no word on stderr (P8)."""
    (tmp_path / "late.py").write_text(LATE)
    outcome, stored = run(
        tmp_path,
        f"""
        sys.path.insert(0, {str(tmp_path)!r})
        import late, atexit
        setting = {setting!r}
        sink = FileSink(sink)
        queued = ThreadedBackend(sink, bulk_timeout=60.0)
        settings.configure(backends=[sink if setting == "direct" else queued])
        if setting != "unused":
            for value in range(100):
                write_metric("a", value=value)
        mine = late.Late("main")
        if setting == "late":
            atexit.register(late.measured)
            atexit.register(late.hooked)
        if setting == "busy":
            def go_on():
                while True:
                    late.measured()
            for _ in range(3):
                threading.Thread(target=go_on, daemon=True).start()
        """,
    )
    assert (outcome.code, outcome.err) == (0, ""), outcome
    if setting not in {"unused", "busy"}:  # threads that never rest fill the queue, and the oldest give way
        assert values(line for line in stored if line.name == "a") == list(range(100))


@pytest.mark.parametrize("flush", ["backend.flush()", "pass"], ids=["flush", "no flush"])
def test_a_process_whose_first_metric_is_its_last_word_ends_at_once(tmp_path, flush):
    """A metric first written in an `atexit` function is delivered or counted, and holds nothing up (P8)."""
    child = Child(
        tmp_path,
        f"""
        import atexit
        backend = ThreadedBackend(FileSink(sink), bulk_timeout=60.0, shutdown_timeout=5.0)
        def last_word():
            backend.write("a", value=1)
            {flush}
        atexit.register(last_word)
        ack("end")
        """,
    )
    outcome, took = child.end()
    assert outcome.code == 0
    assert "Traceback" not in outcome.err
    assert values(child.stored()) == [1] or outcome.err == "time_execution: 1 metric could not be delivered at exit\n"
    assert took < 1.0 + BUSY


def test_an_end_without_stderr_is_quiet(tmp_path):
    """A daemon that closed its standard streams ends in good order although there is something to say (P8)."""
    for close in ("sys.stderr = None", "sys.stderr.close()", "os.close(2)"):
        outcome, _ = run(
            tmp_path,
            f"""
            backend = ThreadedBackend(HungSink(), shutdown_timeout=0.1)
            backend.write("a", value=1)
            {close}
            """,
        )
        assert outcome.code == 0
        assert "Traceback" not in outcome.err


def test_a_write_that_waits_for_the_lock_as_the_delivery_closes_is_refused(deliver):
    """A caller that had found the delivery open, and gets the lock only after `close` began, came too late (P8)."""
    delivery = deliver(FaultBackend())
    channel, looked = delivery.channel, threading.Event()

    def check_process():  # the last thing before the lock
        looked.set()

    channel.check_process = check_process
    late = threading.Thread(target=delivery.write, args=("a",), kwargs={"value": 1})
    with channel.lock:
        late.start()
        assert looked.wait(DEADLINE)
        channel.close()
    late.join(DEADLINE)
    del channel.check_process
    stats = delivery.stats()
    check_conservation(stats, offered=1, pending=0)
    assert stats["rejected"] == {"after_close": 1}


def test_a_worker_that_is_started_after_close_does_not_come(deliver):
    """The one that closed the backend was the last: another would close it again (P8)."""
    delivery = deliver(FaultBackend())
    delivery.close()
    started: list[int] = []
    delivery._worker.start = lambda: started.append(1)
    delivery.start_worker()
    assert started == []


def test_a_lock_that_is_never_given_back_holds_late_writers_up_once(deliver):
    """At the end of the interpreter a thread may have gone with the lock: it is waited for a moment, and not again."""
    delivery = deliver(FaultBackend())
    delivery.close()

    def refused(_):
        began = time.monotonic()
        for value in range(20):
            delivery.write("late", value=value)
        return time.monotonic() - began

    with delivery.channel.lock:
        assert in_threads(1, refused) < [2.0]  # twenty waits would be four seconds
    assert delivery.stats()["rejected"] == {"after_close": 20}
