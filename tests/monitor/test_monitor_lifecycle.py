"""A monitor's beginning and end: forks, the end of the process, signals, and what is left behind."""

from __future__ import annotations

import atexit
import gc
import json
import queue
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import weakref

import pytest

from tests.forked import ends_well_in_a_child, needs_fork
from tests.monitor.left_open import open_files
from tests.monitor.waiting import PATIENCE, wait_for
from time_execution import settings
from time_execution.backends.memory import MemoryBackend
from time_execution.monitor import Monitor, alert
from time_execution.monitor.sampler import THREAD_NAME

pytest.importorskip("psutil")

PROGRAM = """
import sys, time
from time_execution import settings, write_metric
from time_execution.backends.sqlite import SQLiteBackend
from time_execution.backends.threaded import ThreadedBackend
from time_execution.monitor import monitor

settings.configure(backends=[ThreadedBackend(SQLiteBackend("metrics.db"), bulk_timeout=60.0)], hostname="web-1")
monitor.start()
while not monitor.samples():
    time.sleep(0.01)
write_metric("last.words", value=1)
"""


@pytest.fixture(autouse=True)
def _quiet(monkeypatch, tmp_path):
    monkeypatch.setenv("LOG_FILES", "0")
    monkeypatch.setenv("LOG_CONSOLE", "0")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def running():
    """A monitor that runs; it has taken its first sample."""
    made = Monitor()
    made.start()
    wait_for(made.samples)
    yield made
    assert made.stop(PATIENCE)
    made.reset()


def run(program, tmp_path):
    """Return what a program prints as errors, and the seconds that it takes to end once it has come to its end."""
    code = f"{program}\nprint(time.time(), flush=True)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stderr, time.time() - float(done.stdout)


def state_in(path, topic):
    """Return what the one process that wrote there said last on a topic."""
    connection = sqlite3.connect(path)
    try:
        ((body,),) = connection.execute("SELECT body FROM states WHERE topic = ?", (topic,)).fetchall()
    finally:
        connection.close()
    return json.loads(body)


def test_the_last_states_are_written_as_the_process_ends(tmp_path):
    """Nobody stopped the monitor: its state tells of the metric that was delivered at the very end."""
    errors, _ = run(PROGRAM, tmp_path)
    assert errors == ""
    body = state_in(tmp_path / "metrics.db", "delivery")
    counted = body["backends"][0]
    assert (counted["pending"], counted["delivered"]) == (0, 9)
    assert state_in(tmp_path / "metrics.db", "process")["monitor"]["samples"] == 1


def test_a_stopped_monitor_leaves_the_end_of_the_process_alone(tmp_path):
    """After `stop` nothing of the monitor is called when the process ends."""
    errors, _ = run(f"{PROGRAM}\nassert monitor.stop(10)\nmonitor._write_states = None", tmp_path)
    assert errors == ""
    assert state_in(tmp_path / "metrics.db", "delivery")["pid"]


def test_a_locked_store_does_not_hold_up_the_end_of_the_process(tmp_path):
    """The process waits a fraction of a second for its last states, while the store would wait for five."""
    program = f"""{PROGRAM}
import sqlite3
from time_execution import flush
assert flush(10)
other = sqlite3.connect("metrics.db", isolation_level=None)
other.execute("BEGIN IMMEDIATE")
"""
    _, seconds = run(program, tmp_path)
    assert seconds < 4.0


def test_a_check_that_hangs_does_not_hold_up_the_end_of_the_process(tmp_path):
    """Threads that wait for somebody else are daemons, and are left behind."""
    program = f"""{PROGRAM}
import threading
begun = threading.Event()
monitor.register_health_check("slow", lambda: (begun.set(), time.sleep(60)), timeout=50)
monitor.register_notifier(lambda alert: time.sleep(60))
monitor.register_threshold("jobs", 1)
monitor.observe("jobs", 2)
monitor.wake()
assert begun.wait(20)
"""
    _, seconds = run(program, tmp_path)
    assert seconds < 4.0


def test_stop_in_a_notifier_and_in_a_check(running):
    """Whoever is called by the monitor may stop it; he is told that something, himself, is still at work."""
    stopped = queue.Queue()

    def stop(*_):
        stopped.put(running.stop(PATIENCE))

    running.register_notifier(stop)
    running.register_threshold("jobs", 1)
    running.observe("jobs", 2)
    assert stopped.get(timeout=PATIENCE) is False
    assert not running.is_running()
    running.unregister_notifier(stop)
    running.register_health_check("stops", stop)
    running.start()
    assert stopped.get(timeout=PATIENCE) is True
    assert not running.is_running()


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no such timer")
def test_stop_in_a_signal_handler(running):
    """A handler that stops the monitor, whatever the main thread is doing with it, comes to an end."""
    stopped = []
    running.register_threshold("jobs", 1)
    running.register_notifier(lambda alert: None)
    before = signal.signal(signal.SIGALRM, lambda *_: stopped.append(running.stop(0.05)))
    try:
        for number in range(200):
            signal.setitimer(signal.ITIMER_REAL, 0.00001 * (1 + number % 100))
            running.start()
            running.observe("jobs", 5 * (number % 2))
            running.samples()
            running.stop(0.05)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert stopped
    running.start()
    assert running.is_running()


def test_a_thousand_starts_and_stops_leave_nothing():
    """Neither threads, nor file descriptors, nor what is called at the end of the process pile up."""
    made = Monitor(sleep=lambda seconds: None)
    made.start()
    assert made.stop(PATIENCE)
    gc.collect()
    before = threading.active_count(), open_files(), atexit._ncallbacks()
    for _ in range(1000):
        made.start()
        assert made.stop(PATIENCE)
    assert (threading.active_count(), open_files(), atexit._ncallbacks()) == before


def test_a_thousand_monitors_leave_nothing():
    """One that nobody refers to any more is gone, once it was stopped."""
    made = [Monitor(sleep=lambda seconds: None) for _ in range(20)]
    known = [weakref.ref(monitor) for monitor in made]
    for monitor in made:
        monitor.start()
        assert monitor.stop(PATIENCE)
    del made, monitor
    gc.collect()
    assert [reference() for reference in known] == [None] * 20


@needs_fork
def test_a_child_inherits_what_is_set_and_nothing_else(running):
    """Options, thresholds, notifiers and checks are there; thread, samples, and alerts that fire are not."""
    told = []
    running.configure(max_samples=7)
    running.register_notifier(told.append)
    running.register_threshold("jobs", 1)
    running.register_health_check("always", lambda: True)
    running.observe("jobs", 2)
    assert running.flush(PATIENCE)

    def work():
        assert not running.is_running()
        assert running.samples() == []
        assert running.thresholds()[0]["level"] is None
        assert running.options.max_samples == 7
        assert list(running.health()["checks"]) == ["always"]
        running.start()
        wait_for(running.samples)
        assert [thread.name for thread in threading.enumerate()].count(THREAD_NAME) == 1
        running.observe("jobs", 2)
        assert running.flush(PATIENCE)
        assert [alert.state for alert in told] == ["firing", "firing"]
        assert running.stop(PATIENCE)

    assert ends_well_in_a_child(work)
    assert running.is_running()
    assert len(running.samples()) == 1
    assert running.thresholds()[0]["level"] == "warning"


@needs_fork
def test_forks_amid_everything_end_well(running, monkeypatch):
    """Whatever the parent's threads hold as it forks, the child samples, observes and stops."""
    # What pytest captures the log with has locks that a child cannot get.
    monkeypatch.setattr(alert, "_log", lambda alert: None)
    running.configure(sample_interval=0.1)
    running.register_threshold("jobs", 1)
    over = threading.Event()

    def work_on():
        number = 0
        while not over.is_set():
            number += 1
            running.observe("jobs", 5 * (number % 2))
            running.samples()

    def work():
        running.start()
        wait_for(running.samples)
        running.observe("jobs", 5)
        assert running.stop(PATIENCE)

    busy = [threading.Thread(target=work_on) for _ in range(2)]
    for thread in busy:
        thread.start()
    try:
        assert all(ends_well_in_a_child(work) for _ in range(10))
    finally:
        over.set()
        for thread in busy:
            thread.join(PATIENCE)


@needs_fork
def test_a_child_whose_fork_python_did_not_see(running, monkeypatch):
    """Under servers that fork without Python's knowing, the first use in the child notices."""
    monkeypatch.setattr(running, "after_fork", lambda after_fork=running.after_fork: None)

    def work():
        monkeypatch.undo()
        assert not running.is_running()
        running.start()
        wait_for(lambda: running.samples()[-1:] and running.samples()[-1]["timestamp"] > began)
        assert len(running.samples()) == 1
        assert running.stop(PATIENCE)

    began = time.time()
    assert ends_well_in_a_child(work)


def test_gauges_come_from_the_monitor_s_thread():
    """Once started, an application has its machine's figures without asking for them."""
    settings.configure(backends=[store := MemoryBackend()])
    made = Monitor()
    made.start()
    try:
        names = {"system.cpu_percent", "system.memory_percent", "system.disk_percent", "system.open_files"}
        wait_for(lambda: names <= {record["name"] for record in store.metrics})
    finally:
        assert made.stop(PATIENCE)
