"""Checks that hang, raise what no check should, cannot be started, or are asked for by other checks."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from pathlib import Path

import pytest

from tests.child import printed_by
from tests.forked import ends_well_in_a_child, needs_fork
from tests.monitor.checked import DEADLINE, Background, ClockedChecks, Gate, ended, is_idle, refreshed, unlogged  # noqa: F401 - a fixture
from tests.patience import least
from time_execution.monitor.checks import Check
from time_execution.monitor.health import HealthChecks
from time_execution.monitor.health_outcome import Outcome

pytestmark = [pytest.mark.nooptionals, pytest.mark.usefixtures("unlogged")]

OPEN_FILES = Path("/proc/self/fd")


@pytest.fixture
def checks():
    return ClockedChecks(threshold=3)


def overdue(checks, gate, seconds=5.0):
    """Run the checks until the one behind the gate is overdue, and return the report."""
    running = Background(checks.run)
    gate.wait()
    checks.someone_waits()
    checks.clock.advance(seconds)
    return running.result()


def test_a_hung_check_fails_at_its_time_out(checks):
    """A check that does not end fails when its time is over, says so, and the others have their results."""
    gate = Gate()
    checks.register("db", gate)
    checks.register("ok", lambda: True)
    report = overdue(checks, gate)
    assert report["checks"]["ok"]["status"] == "healthy"
    shown = report["checks"]["db"]
    assert (shown["status"], shown["failures"], shown["duration_ms"]) == ("degraded", 1, 5000.0)
    assert shown["output"] == "no answer within 5 s"
    gate.opened.set()
    ended(checks, "db")


def test_nothing_fails_before_its_time_is_over(checks):
    """A check that ends just before its time-out is healthy."""
    gate = Gate()
    checks.register("db", gate)
    running = Background(checks.run)
    gate.wait()
    checks.someone_waits()
    checks.clock.advance(4.999)
    gate.opened.set()
    shown = running.result()["checks"]["db"]
    assert (shown["status"], shown["duration_ms"]) == ("healthy", 4999.0)


def test_a_check_that_ends_late_has_failed(checks):
    """A check whose end comes after its time-out but before anybody looked has failed all the same."""
    gate = Gate()
    checks.register("db", gate)
    record = checks._records["db"]
    attempt = checks._begin(record, 0.0)
    gate.wait()
    checks.clock.advance(5.1)
    gate.opened.set()
    ended(checks, "db")
    checks._settle(record, attempt)
    shown = checks.report()["checks"]["db"]
    assert (shown["status"], shown["output"]) == ("degraded", "it took 5.1 s, longer than 5 s")


def test_a_hung_check_is_not_started_again(checks):
    """While a check hangs no second thread starts, each further time-out counts as a failure, and it is said."""
    gate = Gate()
    checks.register("db", gate)
    overdue(checks, gate)
    for _ in range(10):
        checks.run()  # at the same moment: the time-out was counted
    assert checks.report()["checks"]["db"]["failures"] == 1
    found = []
    for _ in range(3):
        checks.clock.advance(60.0)
        shown = checks.run()["checks"]["db"]
        found.append((shown["failures"], shown["status"], shown["output"]))
    words = "no answer within 5 s, and runs for {} s now: not started again until it ends"
    assert found == [
        (2, "degraded", words.format(65)),
        (3, "unhealthy", words.format(125)),
        (4, "unhealthy", words.format(185)),
    ]
    assert gate.runs == 1
    gate.opened.set()
    ended(checks, "db")
    assert checks.run()["checks"]["db"]["status"] == "healthy"
    assert gate.runs == 2


def test_a_hung_check_does_not_keep_the_background_busy(checks):
    """A check that hangs is looked at when it is due, not again and again."""
    gate = Gate()
    checks.register("db", gate, timeout=5.0)
    overdue(checks, gate)
    assert checks.next_due() == 55.0
    assert checks.refresh() is False
    checks.clock.advance(55.0)
    assert checks.refresh() is True
    refreshed()
    assert checks.next_due() == 60.0
    assert checks.report()["checks"]["db"]["failures"] == 2
    gate.opened.set()
    ended(checks, "db")


@pytest.mark.serial
def test_hung_checks_hold_a_run_up_for_the_longest_time_out_only():
    """Twenty checks that hang take one time-out together, not twenty."""
    checks = HealthChecks()
    gates = [Gate() for _ in range(20)]
    for number, gate in enumerate(gates):
        checks.register(f"check {number}", gate, timeout=0.2)

    def seconds():
        began = time.perf_counter()
        checks.run()
        return time.perf_counter() - began

    first = seconds()  # the others begin nothing anew, and wait for nothing
    assert first < 1.0
    assert least(seconds, 0.05) < 0.05
    assert sum(gate.runs for gate in gates) == 20
    for gate in gates:
        gate.opened.set()


def test_results_are_there_as_soon_as_they_are_known(checks):
    """What one check found shows in the report while another still hangs."""
    gate, told = Gate(), threading.Event()
    checks.register("slow", gate)
    checks.register("quick", lambda: True)
    settle = checks._settle

    def settling(record, attempt):
        settle(record, attempt)
        told.set()

    checks._settle = settling
    running = Background(checks.run)
    gate.wait()
    assert told.wait(DEADLINE)
    assert checks.report()["checks"]["quick"]["status"] == "healthy"
    assert running.is_running()
    gate.opened.set()
    running.result()


def test_asynchronous_checks_are_cancelled_at_their_time_out():
    """An asynchronous check is cancelled, so that its thread ends, and it says that it had no answer."""
    checks, cancelled = HealthChecks(), threading.Event()

    async def hang():
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    checks.register("db", hang, timeout=0.1)
    shown = checks.run()["checks"]["db"]
    assert (shown["status"], shown["output"]) == ("degraded", "no answer within 0.1 s")
    assert cancelled.wait(DEADLINE)
    ended(checks, "db")
    assert is_idle()


def test_a_check_of_ours_is_told_to_give_up(checks):
    """A check that can be abandoned is, once for each run that is overdue, and its thread ends."""

    class Abandoned(Check):
        def __init__(self):
            self.gate, self.abandoned = Gate(Outcome("healthy")), 0

        def probe(self, timeout):
            assert timeout == 5.0
            return self.gate()

        def abandon(self):
            self.abandoned += 1
            self.gate.opened.set()
            raise OSError("cannot give up")

    check = Abandoned()
    checks.register("db", check)
    assert overdue(checks, check.gate)["checks"]["db"]["failures"] == 1
    ended(checks, "db")
    assert check.abandoned == 1


def test_a_hung_check_does_not_keep_a_program_from_its_end():
    """A program whose checks hang, in the fore- and the background, ends when it has nothing else to do."""
    code = (
        "import threading\n"
        "from time_execution import logs\n"
        "from time_execution.monitor.health import HealthChecks\n"
        "logs.configure(log_files=False, log_console=False)\n"
        "checks = HealthChecks()\n"
        "checks.register('a', threading.Event().wait, timeout=0.05)\n"
        "print(checks.run()['status'])\n"
        "checks.register('b', threading.Event().wait, timeout=1000.0)\n"
        "print(checks.refresh())\n"
    )
    assert printed_by(code) == ["degraded", "True"]


class Hostile(BaseException):
    def __str__(self):
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    ("error", "output"),
    [
        (SystemExit(3), "SystemExit: 3"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (GeneratorExit(), "GeneratorExit"),
        (asyncio.CancelledError(), "CancelledError"),
        (Hostile(), "Hostile"),
        (MemoryError(), "MemoryError"),
        (RecursionError("deep"), "RecursionError: deep"),
    ],
)
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_nothing_that_a_check_raises_reaches_anybody(checks, error, output, is_async):
    """Whatever a check raises is a failure of that check, and the next run works as if it had never been."""
    failing = [error]

    def check():
        if failing:
            raise failing.pop()

    async def later():
        check()

    checks.register("db", later if is_async else check)
    checks.register("ok", lambda: True)
    report = checks.run()
    assert report["checks"]["db"]["output"] == output
    assert report["checks"]["ok"]["status"] == "healthy"
    assert checks.run()["status"] == "healthy"


def test_a_check_that_runs_all_checks_ends(checks):
    """A check that asks for all checks waits for itself no longer than its time-out, and nobody hangs."""
    gate = Gate()

    def check():
        gate.entered.set()
        return checks.run()["status"] == "healthy"

    checks.register("self", check)
    running = Background(checks.run)
    gate.wait()
    checks.someone_waits()
    checks.someone_waits()
    checks.clock.advance(5.0)
    assert running.result()["checks"]["self"]["failures"] == 1
    ended(checks, "self")


def test_no_thread_to_be_had_is_a_failure(checks, monkeypatch):
    """When the system starts no more threads the check fails, says so, and works when there are some again."""

    def refuse(self):
        raise RuntimeError("can't start new thread")

    checks.register("db", lambda: True)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        assert checks.run()["checks"]["db"]["output"] == "RuntimeError: can't start new thread"
        assert checks.refresh(max_age=0.0) is False
        checks.clock.advance(1000.0)
        assert checks.refresh() is False
        assert checks.report()["checks"]["db"]["output"].startswith("last run 1000 s ago: RuntimeError")
    assert checks.run()["status"] == "healthy"
    assert checks.refresh(max_age=0.0) is True


def test_a_check_that_is_unregistered_while_it_runs_leaves_nothing(checks):
    """Its end neither brings it back nor disturbs a new one of its name."""
    gate = Gate(result=False)
    checks.register("db", gate)
    running = Background(checks.run)
    gate.wait()
    checks.register("db", lambda: True)
    checks.run()
    gate.opened.set()
    assert running.result()["checks"]["db"]["status"] == "healthy"


@pytest.mark.skipif(not OPEN_FILES.is_dir(), reason="needs /proc")
def test_threads_and_files_are_back_where_they_were():
    """Fifty checks of every kind, run ten times, leave neither a thread nor an open file."""
    checks = HealthChecks()

    async def later():
        await asyncio.sleep(0)

    def fail():
        raise OSError("away")

    kinds = [lambda: True, later, fail, lambda: {"status": "degraded"}, "tcp://127.0.0.1:1"]
    for number in range(50):
        checks.register(f"check {number}", kinds[number % 5])
    checks.run()
    assert is_idle()
    gc.collect()
    before = set(OPEN_FILES.iterdir())
    for _ in range(10):
        checks.run()
    assert is_idle()
    gc.collect()
    assert len(set(OPEN_FILES.iterdir())) == len(before)


@needs_fork
def test_a_forked_child_runs_its_own_checks(checks):
    """A child forked while a check hangs and a lock is held keeps the results, and runs checks of its own."""
    gate = Gate()
    checks.register("db", gate)
    checks.register("ok", lambda: True)
    overdue(checks, gate)
    checks.clock.advance(1.0)

    def work():
        assert checks.report()["checks"]["db"]["failures"] == 1
        gate.opened.set()
        report = checks.run()
        assert report["status"] == "healthy"
        assert gate.runs == 2
        assert checks.refresh(max_age=0.0)

    holding, done = threading.Event(), threading.Event()

    def hold():
        with checks._changed:
            holding.set()
            done.wait(DEADLINE)

    holder = Background(hold)
    assert holding.wait(DEADLINE)
    assert ends_well_in_a_child(work)
    done.set()
    holder.result()
    assert checks.report()["checks"]["db"]["failures"] == 1
    gate.opened.set()
    ended(checks, "db")


@needs_fork
def test_a_child_forked_while_the_background_works_has_a_background(checks):
    """A refresh that was under way in the parent does not keep the child from one of its own."""
    gate = Gate()
    checks.register("db", gate)
    assert checks.refresh()
    gate.wait()

    def work():
        gate.opened.set()
        assert checks.refresh(max_age=0.0)
        refreshed()
        assert checks.report()["status"] == "healthy"

    assert ends_well_in_a_child(work)
    gate.opened.set()
    refreshed()


def test_checks_that_nobody_holds_are_forgotten():
    """Health checks are collected like anything else; only forks know of them while they live."""
    from time_execution.monitor import health

    checks = HealthChecks()
    key = id(checks)
    assert key in health._living
    del checks
    gc.collect()
    assert key not in health._living
