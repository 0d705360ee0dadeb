"""The schedule by itself, and the thread that runs it: deadlines, failures, starting and stopping."""

from __future__ import annotations

import gc
import logging
import os
import queue
import signal
import threading

import pytest

from tests.forked import ends_well_in_a_child, needs_fork
from tests.monitor.left_open import open_files
from tests.monitor.stepping import Steps
from time_execution.monitor.sampler import THREAD_NAME, Job, Sampler, Schedule
from time_execution.testing.clock import FakeClock

pytestmark = pytest.mark.nooptionals

PATIENCE = 20.0


def ran_at(clock, jobs, moments):
    """Return what a schedule runs, when the clock is looked at in these moments: name and time of each."""
    ran = []
    schedule = Schedule(jobs, clock)
    for moment in moments:
        clock.advance(moment - clock())
        schedule.run(lambda job: (job.call(), ran.append((job.name, clock()))), is_over=lambda: False)
    return ran


def job(name="job", call=lambda: None, *, interval=10.0):
    return Job(name, call, lambda: interval)


def test_jobs_run_at_first_and_then_at_their_intervals():
    """All are due at first, in their order; each then keeps to its own interval."""
    jobs = [job("a", interval=10), job("b", interval=25)]
    assert ran_at(FakeClock(), jobs, [0, 9, 10, 19, 20, 25, 30]) == [
        ("a", 0), ("b", 0), ("a", 10), ("a", 20), ("b", 25), ("a", 30)
    ]  # fmt: skip


def test_deadlines_do_not_drift():
    """A thread that always wakes a little late keeps to the multiples of the interval all the same."""
    late = [number * 10 + 0.7 for number in range(100)]
    ran = ran_at(FakeClock(0.7), [job()], late)
    assert [moment for _, moment in ran] == late
    clock = FakeClock()
    schedule = Schedule([job()], clock)
    for _ in range(100):
        schedule.run(lambda job: clock.advance(3.3), is_over=lambda: False)
        clock.advance(schedule.pause())
    assert clock() == 1000


def test_a_suspended_machine_makes_no_burst():
    """What was missed is not made up for: one run, and the next at the usual time."""
    assert ran_at(FakeClock(), [job()], [0, 10, 10_003, 10_004, 10_009, 10_010]) == [
        ("job", 0), ("job", 10), ("job", 10_003), ("job", 10_010)
    ]  # fmt: skip


def test_a_job_that_outlasts_its_interval_runs_once_for_it():
    """While a job is at work its times pass; it has the next of them, not all."""
    clock = FakeClock()
    ran = ran_at(clock, [job(call=lambda: clock.advance(35))], [0, 35, 39, 40])
    assert [moment for _, moment in ran] == [35, 75]


def test_pause_is_until_the_next_job():
    """The thread sleeps until the first of the deadlines, and an hour at the most."""
    clock = FakeClock()
    schedule = Schedule([job("a", interval=10), job("b", interval=7)], clock)
    assert schedule.pause() == 0
    schedule.run(lambda job: None, is_over=lambda: False)
    clock.advance(4)
    assert schedule.pause() == 3
    clock.advance(100)
    assert schedule.pause() == 0
    assert Schedule([job(interval=None)], clock).pause() == 3600


def test_an_interval_may_change_and_a_job_be_off():
    """Intervals are asked for anew each time: shorter ones count from the last run, None is never due."""
    clock, interval = FakeClock(), [100]
    schedule, ran = Schedule([Job("job", lambda: ran.append(clock()), lambda: interval[0])], clock), []
    for advance, changed in ((0, 100), (50, 40), (1, None), (500, None), (1, 100), (99, 100), (1, 100)):
        clock.advance(advance)
        interval[0] = changed
        schedule.run(lambda job: job.call(), is_over=lambda: False)
    assert ran == [0, 50, 552, 652]


def test_no_further_job_begins_once_it_is_over():
    """A thread that is told to stop amid several due jobs leaves the rest."""
    ran = []
    schedule = Schedule([job("a"), job("b")], FakeClock())
    schedule.run(lambda job: ran.append(job.name), is_over=lambda: bool(ran))
    assert ran == ["a"]


@pytest.fixture
def sampling():
    """Make samplers, which the end of the test stops."""
    made = []

    def make(*calls, clock=None, at_end=lambda: None, interval=10.0):
        jobs = [Job(f"job {number}", call, lambda: interval) for number, call in enumerate(calls)]
        sampler = Sampler(jobs, at_end=at_end, clock=clock or FakeClock())
        made.append(sampler)
        return sampler

    yield make
    for sampler in made:
        assert sampler.stop(PATIENCE)


def threads():
    return [thread for thread in threading.enumerate() if thread.name == THREAD_NAME]


def test_runs_on_one_daemon_thread_of_its_name(sampling):
    """Nothing runs before `start`; then there is one thread, however often it is started."""
    told = queue.Queue()
    sampler = sampling(lambda: told.put(threading.current_thread()))
    assert not sampler.is_running()
    assert threads() == []
    assert [sampler.start() for _ in range(3)] == [True, False, False]
    thread = told.get(timeout=PATIENCE)
    assert (thread.name, thread.daemon) == ("time-execution-monitor", True)
    assert sampler.is_running()
    assert threads() == [thread]


def test_follows_its_clock(sampling, monkeypatch):
    """A clock that is moved by hand makes jobs due, without any waiting."""
    steps, ran = Steps(monkeypatch), []
    sampler = sampling(lambda: ran.append(steps.clock()), clock=steps.clock)
    sampler.start()
    assert steps.settle() == 10
    assert [steps.step(sampler, seconds) for seconds in (9, 1, 10, 3)] == [1, 10, 10, 7]
    assert ran == [0, 10, 20]


def test_a_job_that_raises_is_counted_logged_and_run_again(sampling, monkeypatch, caplog):
    """An exception, even SystemExit, ends neither the thread nor the other jobs."""
    steps, ran = Steps(monkeypatch), []
    kinds = iter([ValueError("no detail"), SystemExit(3), ValueError("again")])

    def broken():
        raise next(kinds)

    sampler = sampling(broken, lambda: ran.append(steps.clock()), clock=steps.clock)
    with caplog.at_level(logging.WARNING, "time_execution"):
        sampler.start()
        for _ in range(2):
            steps.step(sampler, 10)
    assert ran == [0, 10, 20]
    assert sampler.failures == {"job 0": 3}
    assert [record.getMessage() for record in caplog.records] == ["monitor: job 0 raised ValueError; it is tried again"]


def test_stop_ends_the_thread_and_is_idempotent(sampling):
    """After `stop` the thread is gone, its last call made once; stopping again, or before any start, is nothing."""
    ended = []
    sampler = sampling(at_end=lambda: ended.append(threading.current_thread().name))
    assert sampler.stop()
    sampler.start()
    (thread,) = threads()
    assert sampler.stop(PATIENCE)
    assert not thread.is_alive()
    assert ended == [THREAD_NAME]
    assert sampler.stop()
    assert ended == [THREAD_NAME]


def test_stop_waits_no_longer_than_it_is_told(sampling):
    """A job that hangs is left alone: `stop` says that it has not ended, and another start has a thread of its own."""
    begun, release = threading.Event(), threading.Event()

    def hang():
        begun.set()
        release.wait(PATIENCE)

    sampler = sampling(hang)
    sampler.start()
    assert begun.wait(PATIENCE)
    hanging = threads()
    assert sampler.stop(0.01) is False
    assert not sampler.is_running()
    assert sampler.start()
    release.set()
    for thread in hanging:
        thread.join(PATIENCE)
        assert not thread.is_alive()


def test_stop_on_the_thread_itself(sampling):
    """A job may stop its own thread: it does not wait for itself, and ends after the job."""
    told = queue.Queue()

    def stop():
        told.put((sampler.stop(), threading.current_thread()))

    sampler = sampling(stop)
    sampler.start()
    said, thread = told.get(timeout=PATIENCE)
    assert said is False
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert not sampler.is_running()


def test_a_thread_that_was_killed_is_started_again(sampling):
    """What no `except Exception` catches ends the thread; the next start notices."""
    told, kill = queue.Queue(), [True]

    class Killed(BaseException):
        """Like gevent's."""

    def job():
        if kill.pop() if kill else False:
            raise Killed
        told.put(1)

    hook, threading.excepthook = threading.excepthook, lambda args: told.put(args.exc_type)
    try:
        sampler = sampling(job)
        sampler.start()
        assert told.get(timeout=PATIENCE) is Killed
        for thread in threads():
            thread.join(PATIENCE)
        assert not sampler.is_running()
        assert sampler.start()
        assert told.get(timeout=PATIENCE) == 1
    finally:
        threading.excepthook = hook


def test_where_no_thread_can_be_started_nothing_is_raised(sampling, monkeypatch):
    """As the interpreter ends, or without memory for another thread, `start` counts that and returns."""

    def refuse(self):
        raise RuntimeError("can't start new thread")

    sampler = sampling()
    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert sampler.start() is False
    monkeypatch.undo()
    assert sampler.failures == {"start": 1}
    assert sampler.start()


def test_a_thousand_starts_and_stops_leave_nothing(sampling):
    """Neither threads nor file descriptors pile up."""
    sampler = sampling(lambda: None)
    sampler.start()
    sampler.stop(PATIENCE)
    gc.collect()
    before = threading.active_count(), open_files()
    for _ in range(1000):
        assert sampler.start()
        assert sampler.stop(PATIENCE)
    assert (threading.active_count(), open_files()) == before


def test_many_threads_may_start_and_stop_it_at_once(sampling):
    """However starts and stops of several threads mix, there is one thread at the most, and none in the end."""
    sampler = sampling(lambda: None)
    together = threading.Barrier(4)

    def churn():
        together.wait(PATIENCE)
        for _ in range(50):
            sampler.start()
            sampler.stop(PATIENCE)

    churning = [threading.Thread(target=churn) for _ in range(4)]
    for thread in churning:
        thread.start()
    for thread in churning:
        thread.join(PATIENCE)
    assert sampler.stop(PATIENCE)
    for thread in threads():
        thread.join(PATIENCE)
    assert threads() == []


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no such timer")
def test_stop_in_a_signal_handler_waits_for_nothing_in_vain(sampling):
    """A signal amid `start` or `stop` of the same thread may stop it, too: no lock is in its way."""
    sampler = sampling(lambda: None)
    stopped = []
    before = signal.signal(signal.SIGALRM, lambda *_: stopped.append(sampler.stop(PATIENCE)))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0007)
        for _ in range(300):
            sampler.start()
            sampler.stop(PATIENCE)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert stopped
    assert sampler.stop(PATIENCE)


@needs_fork
def test_a_child_starts_its_own(sampling):
    """A child has no thread, whatever lock the parent's held as it forked, and starts one when asked."""
    told = queue.Queue()
    sampler = sampling(lambda: told.put(os.getpid()))
    sampler.start()
    parent = told.get(timeout=PATIENCE)

    def work():
        sampler.after_fork()
        assert not sampler.is_running()
        assert sampler.failures == {}
        assert sampler.start()
        assert told.get(timeout=PATIENCE) == os.getpid() != parent
        assert sampler.stop(PATIENCE)

    held, over = threading.Event(), threading.Event()

    def hold():
        with sampler._lock:
            held.set()
            over.wait(PATIENCE)

    holding = threading.Thread(target=hold)
    holding.start()
    assert held.wait(PATIENCE)
    try:
        assert ends_well_in_a_child(work)
    finally:
        over.set()
        holding.join(PATIENCE)
    assert sampler.is_running()


@needs_fork
def test_a_child_that_python_was_not_told_of_notices(sampling):
    """Without any fork handler, as under servers written in C, the process's id tells that the thread is not here."""
    sampler = sampling(lambda: None)
    sampler.start()

    def work():
        assert not sampler.is_running()
        assert sampler.stop(0)
        assert sampler.start()
        assert sampler.stop(PATIENCE)

    assert ends_well_in_a_child(work)
