"""`HealthChecks`: what is run, how often, at the same time, and what the report says of it."""

from __future__ import annotations

import asyncio
import threading
import time
import timeit

import pytest

from tests.monitor.checked import DEADLINE, Background, ClockedChecks, Gate, is_idle, refreshed, unlogged  # noqa: F401 - a fixture
from tests.patience import least, least_time, on_this_python
from time_execution.exceptions import ConfigurationError
from time_execution.monitor.health import HealthChecks

pytestmark = [pytest.mark.nooptionals, pytest.mark.usefixtures("unlogged")]


@pytest.fixture
def checks():
    return ClockedChecks(threshold=3)


def fail():
    raise ConnectionError("nobody there")


def test_a_check_that_returns_is_healthy(checks):
    """A check that returns nothing is healthy, and the report has every key that is promised."""
    checks.register("db", lambda: None)
    report = checks.run()
    assert report["status"] == "healthy"
    assert report["time"] == "2023-11-14T22:13:20.000000Z"
    assert report["checks"] == {
        "db": {
            "status": "healthy",
            "since": "2023-11-14T22:13:20.000000Z",
            "time": "2023-11-14T22:13:20.000000Z",
            "duration_ms": 0.0,
            "failures": 0,
            "output": "",
            "critical": True,
            "type": "callable",
        }
    }
    assert checks.report() == report
    assert checks.report() is not checks.report()


def test_a_check_that_has_not_run_is_degraded(checks):
    """Before its first run nobody knows whether a service works, and the report says so."""
    checks.register("db", lambda: None)
    report = checks.report()
    assert report["status"] == "degraded"
    assert report["checks"]["db"]["output"] == "it has not run yet"
    assert report["checks"]["db"]["time"] is None


def test_no_checks_are_healthy(checks):
    """Without any check there is nothing to complain of."""
    assert checks.run() == checks.report() == {"status": "healthy", "time": checks.report()["time"], "checks": {}}


def test_failures_degrade_and_then_make_unhealthy(checks):
    """The status changes at the threshold, `since` with it, and one success makes it healthy again."""
    answers = [ValueError("1"), ValueError("2"), ValueError("3"), None]

    def check():
        answer = answers.pop(0)
        if answer is not None:
            raise answer

    checks.register("db", check)
    found = []
    for _ in range(4):
        shown = checks.run()["checks"]["db"]
        found.append((shown["status"], shown["failures"], shown["output"], shown["since"][-10:-7]))
        checks.clock.advance(1.0)
    assert found == [
        ("degraded", 1, "ValueError: 1", "20."),
        ("degraded", 2, "ValueError: 2", "20."),
        ("unhealthy", 3, "ValueError: 3", "22."),
        ("healthy", 0, "", "23."),
    ]


def test_a_threshold_of_one_knows_no_patience():
    """With a threshold of one, the first failure is unhealthy."""
    checks = HealthChecks(threshold=1)
    checks.register("db", fail)
    assert checks.run()["status"] == "unhealthy"


def test_configure_holds_from_the_next_run_on(checks):
    """A threshold that is changed later counts the failures that were before."""
    checks.register("db", fail)
    checks.run()
    checks.configure(threshold=2, interval=5.0)
    assert checks.run()["checks"]["db"]["status"] == "unhealthy"
    assert checks.next_due() == 5.0


@pytest.mark.parametrize(("critical", "status"), [(True, "unhealthy"), (False, "degraded")])
def test_what_is_not_critical_degrades_the_whole(critical, status):
    """An unhealthy check makes the whole unhealthy if it is critical, and degraded otherwise."""
    checks = HealthChecks(threshold=1)
    checks.register("mail", fail, critical=critical)
    checks.register("db", lambda: True)
    report = checks.run()
    assert (report["status"], report["checks"]["mail"]["status"]) == (status, "unhealthy")


def test_only_some_are_run(checks):
    """Named checks run and the others do not; a name that there is not is refused with those that there are."""
    ran = []
    for name in ("a", "b", "c"):
        checks.register(name, lambda name=name: ran.append(name))
    checks.run(["c", "a", "c"])
    assert sorted(ran) == ["a", "c"]
    checks.run("b")
    assert ran[-1] == "b"
    with pytest.raises(ConfigurationError, match="no health check 'd'; there are: a, b, c"):
        checks.run(["d"])


def test_a_name_that_is_registered_again_begins_anew(checks):
    """A second check of a name replaces the first, whose results are forgotten; unregistering forgets both."""
    checks.register("db", fail)
    checks.run()
    checks.register("db", lambda: True)
    assert checks.report()["checks"]["db"]["failures"] == 0
    assert checks.unregister("db") is True
    assert checks.unregister("db") is False
    assert checks.report()["checks"] == {}


def test_checks_run_at_the_same_time(checks):
    """Fifty checks that wait for each other all end, which no number of them one after another could."""
    together = threading.Barrier(50, timeout=DEADLINE)
    for number in range(50):
        checks.register(f"check {number}", lambda: together.wait() >= 0)
    assert checks.run()["status"] == "healthy"
    assert is_idle()


@pytest.mark.serial
def test_fifty_slow_checks_take_as_long_as_one():
    """Fifty checks of 0.2 s each take less than 0.4 s together."""
    checks = HealthChecks()
    for number in range(50):
        checks.register(f"check {number}", lambda: time.sleep(0.2))

    def seconds():
        began = time.perf_counter()
        checks.run()
        return time.perf_counter() - began

    assert least(seconds, 0.4) < 0.4


def test_two_who_ask_get_one_run(checks):
    """Whoever asks while a check runs waits for that run, and starts no other."""
    gate = Gate()
    checks.register("db", gate)
    first, second = Background(checks.run), Background(checks.run)
    checks.someone_waits()
    checks.someone_waits()
    gate.opened.set()
    assert first.result()["status"] == second.result()["status"] == "healthy"
    assert gate.runs == 1


def test_fresh_results_are_not_asked_for_again(checks):
    """With `max_age`, a check runs again only when its last run is at least so long ago."""
    ran = []
    checks.register("db", lambda: ran.append(1))
    checks.run(max_age=10.0)
    checks.clock.advance(9.9)
    checks.run(max_age=10.0)
    assert len(ran) == 1
    checks.clock.advance(0.1)
    checks.run(max_age=10.0)
    assert len(ran) == 2


def test_what_is_about_to_be_renewed_is_not_fresh(checks):
    """Whoever wants fresh results gets some, though the background has promised to see to it."""
    gate = Gate()
    checks.register("db", gate)
    gate.opened.set()
    checks._run, run = lambda *_: None, checks._run  # a background that never comes to it
    assert checks.refresh() is True
    checks._run = run
    assert checks.run(max_age=10.0)["status"] == "healthy"


def test_a_report_can_have_old_results_renewed(checks):
    """`report(max_age=…)` answers at once with what is known, and runs in the background what is too old."""
    gate = Gate()
    checks.register("db", gate)
    run, begun, let_go = checks._run, [], threading.Event()

    def later(*arguments):
        begun.append(arguments)
        let_go.wait(DEADLINE)
        run(*arguments)

    checks._run = later
    for _ in range(1000):
        assert checks.report(max_age=10.0)["checks"]["db"]["time"] is None
    let_go.set()
    gate.wait()
    for _ in range(1000):
        assert checks.report(max_age=10.0)["checks"]["db"]["time"] is None
    gate.opened.set()
    refreshed()
    assert checks.report(max_age=10.0)["status"] == "healthy"
    assert (len(begun), gate.runs) == (1, 1)


def test_what_is_due_is_refreshed(checks):
    """A check is due at first, then after its own interval or the common one; what is not due is not run."""
    ran = []
    checks.register("a", lambda: ran.append("a"), interval=10.0)
    checks.register("b", lambda: ran.append("b"))
    assert checks.next_due() == 0.0
    for step in (0.0, 9.0, 1.0, 49.0, 1.0):
        checks.clock.advance(step)
        if checks.refresh():
            refreshed()
        ran.append(step)
    assert [sorted(map(str, ran[:2])), *ran[2:]] == [["a", "b"], 0.0, 9.0, "a", 1.0, "a", 49.0, "b", 1.0]
    assert checks.next_due() == 9.0


def test_a_check_that_takes_long_holds_no_other_up(checks):
    """While one check takes its time in the background, those that are due run, each on its own."""
    gate, ran = Gate(), threading.Semaphore(0)
    checks.register("slow", gate, timeout=1000.0)
    checks.register("quick", ran.release, interval=10.0)
    assert checks.refresh() is True
    gate.wait()
    assert ran.acquire(timeout=DEADLINE)
    checks.clock.advance(10.0)
    assert checks.refresh() is True
    assert ran.acquire(timeout=DEADLINE)
    assert checks.refresh() is False
    gate.opened.set()
    refreshed()
    assert gate.runs == 1


def test_without_an_interval_nothing_is_due():
    """Where nobody runs checks regularly none is due, and no result is ever too old."""
    checks = ClockedChecks(interval=None)
    checks.register("db", lambda: None)
    assert checks.next_due() is None
    assert checks.refresh() is False
    checks.run()
    checks.clock.advance(1e6)
    assert checks.report()["status"] == "healthy"


def test_old_results_are_said_to_be_old(checks):
    """A healthy result is degraded when nothing was run for more than three intervals, and says how old it is."""
    checks.register("db", lambda: {"status": "ok", "output": "17 rows"})
    checks.run()
    checks.clock.advance(3 * 60.0 + 5.0)
    assert checks.report()["status"] == "healthy"
    checks.clock.advance(1.0)
    shown = checks.report()["checks"]["db"]
    assert (shown["status"], shown["output"]) == ("degraded", "last run 186 s ago: 17 rows")
    assert checks.run()["status"] == "healthy"


def test_reports_never_wait_for_a_check(checks):
    """While a check hangs, the last results are there at once, a thousand times."""
    gate = Gate()
    checks.register("db", gate)
    running = Background(checks.run)
    gate.wait()
    began = time.perf_counter()
    for _ in range(1000):
        assert checks.report()["checks"]["db"]["time"] is None
    assert time.perf_counter() - began < DEADLINE
    assert running.is_running()
    gate.opened.set()
    running.result()


@pytest.mark.serial
def test_a_report_of_twenty_checks_costs_little():
    """A report of twenty checks takes less than 0.1 ms, so that a thousand probes a second are nothing."""
    checks = HealthChecks()
    for number in range(20):
        checks.register(f"check {number}", lambda: None)
    checks.run()

    def milliseconds():
        began = time.perf_counter()
        for _ in range(200):
            checks.report(max_age=60.0)
        return (time.perf_counter() - began) * 5

    bound = on_this_python(0.1)
    assert least_time(milliseconds, bound) < bound


@pytest.mark.serial
def test_a_run_costs_little_more_than_its_threads():
    """A run of twenty checks costs less than four times what starting twenty threads does."""
    checks = HealthChecks()
    for number in range(20):
        checks.register(f"check {number}", lambda: None)

    def bare():
        threads = [threading.Thread(target=lambda: None, daemon=True) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def ratio():
        return min(timeit.repeat(checks.run, number=5)) / min(timeit.repeat(bare, number=5))

    assert least(ratio, 4.0) < 4.0


async def answers():
    await asyncio.sleep(0)
    return "ok"


def begun():
    return answers()


class Answers:
    async def __call__(self):
        return await answers()


@pytest.mark.parametrize("check", [answers, Answers(), begun], ids=["function", "object", "coroutine"])
def test_asynchronous_checks_are_awaited(checks, check):
    """Whatever returns an awaitable is run in an event loop, also while another loop runs on the caller's thread."""
    checks.register("db", check)

    async def ask():
        return checks.run()

    assert asyncio.run(ask())["status"] == "healthy"
    assert is_idle()


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        (("", lambda: None), {}, "name must be"),
        ((" ", lambda: None), {}, "name must be"),
        ((3, lambda: None), {}, "name must be"),
        (("a\nb", lambda: None), {}, "name must be"),
        (("a" * 201, lambda: None), {}, "name must be"),
        (("a", 3), {}, "a callable or a URL, not int"),
        (("a", Gate), {}, "not the class Gate: make one of it"),
        (("a", "hello"), {}, "begins with a scheme"),
        (("a", lambda: None), {"timeout": 0}, "timeout must be"),
        (("a", lambda: None), {"timeout": "5"}, "timeout must be"),
        (("a", lambda: None), {"critical": 1}, "critical must be"),
        (("a", lambda: None), {"interval": -1}, "interval must be"),
    ],
)
def test_wrong_arguments_are_refused(checks, arguments, options, words):
    """What cannot be registered is refused at once, and nothing is registered."""
    with pytest.raises(ConfigurationError, match=words):
        checks.register(*arguments, **options)
    assert checks.report()["checks"] == {}


@pytest.mark.parametrize("options", [{"threshold": 0}, {"threshold": True}, {"interval": 0}, {"interval": "60"}])
def test_wrong_options_are_refused(options):
    """A threshold and an interval are numbers of use, and the error names them."""
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        HealthChecks(**options)
