"""`Monitor` and its health checks: when they run, what is known of them, and who is told."""

from __future__ import annotations

import threading

import pytest

from tests.monitor.checked import Gate, refreshed
from tests.monitor.waiting import PATIENCE, wait_for
from time_execution import settings
from time_execution.backends.memory import MemoryBackend

pytest.importorskip("psutil")

pytestmark = pytest.mark.usefixtures("clean_environment")


def test_health_checks_run_by_themselves(watched):
    """A check runs as the monitor starts, and every interval after that; `health` tells the last result."""
    asked = []
    watched.configure(health_check_interval=30)
    watched.register_health_check("queue", lambda: asked.append(watched.time()))
    assert shown(watched)["time"] is None
    watched.start()
    for moment in (0, 30, 60):
        wait_for(lambda moment=moment: asked[-1:] == [moment] and shown(watched)["status"] == "healthy")
        before = shown(watched)["time"]
        watched.step(15)
        watched.health()  # which begins nothing
        refreshed()
        assert asked[-1] == moment
        watched.step(15)
        wait_for(lambda before=before: shown(watched)["time"] != before)
    assert asked == [0, 30, 60, 90]
    assert watched.unregister_health_check("queue")
    assert not watched.unregister_health_check("queue")
    assert watched.health()["checks"] == {}


def shown(watched):
    return watched.health()["checks"]["queue"]


def test_a_health_check_that_hangs_holds_nothing_up(watched):
    """While one waits for its time-out, samples are taken and states written."""
    begun, release = threading.Event(), threading.Event()

    def hang():
        begun.set()
        release.wait(PATIENCE)

    watched.register_health_check("slow", hang, timeout=5)
    watched.start()
    assert begun.wait(PATIENCE)
    for _ in range(3):
        watched.step(10)
    assert watched.written == [0, 10, 20, 30]
    release.set()


def test_results_of_checks_are_a_state(watched):
    """A store has the report as `check_health` returns it, once there is a check."""
    stored = []

    class Keeping(MemoryBackend):
        def put_state(self, topic, owner, body):
            stored.append((topic, body))

    settings.configure(backends=[Keeping()])
    watched.configure(scheduled_checks=False)
    watched.start()
    watched.steps.settle()
    assert [topic for topic, _ in stored] == ["delivery", "process"]
    watched.register_health_check("queue", lambda: True)
    report = watched.check_health()
    stored.clear()
    watched.step(10)
    assert [topic for topic, _ in stored] == ["delivery", "process", "health"]
    assert dict(stored)["health"]["checks"] == report["checks"]


def test_scheduled_checks_may_be_off(watched):
    """Without them a check runs when it is asked for, and only then."""
    asked = []
    watched.configure(scheduled_checks=False)
    watched.register_health_check("queue", lambda: asked.append(1))
    watched.start()
    watched.step(1000)
    assert asked == []
    assert watched.check_health()["checks"]["queue"]["status"] == "healthy"
    assert asked == [1]


def test_checks_that_are_not_scheduled_run_when_their_results_are_wanted(watched):
    """Who asks for results has older ones renewed in the background, not more than once in five seconds."""
    gate = Gate(result=True)
    watched.configure(scheduled_checks=False, unhealthy_threshold=1)
    watched.register_health_check("queue", gate)
    watched.start()
    assert watched.health_checks() == ["queue"]  # which is no result
    refreshed()
    assert gate.runs == 0
    assert shown(watched)["time"] is None
    gate.wait()
    assert shown(watched)["time"] is None  # nobody waits for it
    gate.opened.set()
    refreshed()
    assert shown(watched)["status"] == "healthy"
    gate.result = False
    gate.opened.clear()
    gate.entered.clear()
    watched.step(4)
    assert shown(watched)["status"] == "healthy"
    refreshed()
    assert gate.runs == 1
    watched.step(1)
    assert shown(watched)["status"] == "healthy"  # as far as is known
    gate.wait()
    gate.opened.set()
    refreshed()
    assert watched.health()["status"] == "unhealthy"
    assert gate.runs == 2


def test_the_unhealthy_threshold_counts(watched):
    """So many failures in a row as configured make a service unhealthy; a later change holds for it, too."""
    watched.configure(unhealthy_threshold=2)
    watched.register_health_check("never", lambda: False)
    assert [watched.check_health()["status"] for _ in range(2)] == ["degraded", "unhealthy"]
    watched.configure(unhealthy_threshold=9)
    assert watched.check_health()["checks"]["never"]["status"] == "degraded"
