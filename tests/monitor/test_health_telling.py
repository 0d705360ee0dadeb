"""What the pipeline and the log hear of checks."""

from __future__ import annotations

import logging

import pytest

from tests.child import printed_by
from tests.monitor.checked import Background, ClockedChecks, Gate, ended
from time_execution import logs, settings
from time_execution.testing import MemoryBackend

pytestmark = pytest.mark.nooptionals


@pytest.fixture
def lines(monkeypatch):
    """What was logged: level, text, and the fields besides."""
    found = []

    class Kept(logging.Handler):
        def emit(self, record):
            found.append((record.levelname, record.getMessage(), record.service, record.status, record.failures))

    logger = logging.Logger("application")  # noqa: LOG001 - known to nobody, it reaches no other handler
    logger.addHandler(Kept())
    monkeypatch.setattr(logs, "get_logger", lambda name=None: logger)
    return found


@pytest.fixture
def checks():
    return ClockedChecks(threshold=2)


@pytest.fixture
def backend():
    backend = MemoryBackend()
    with settings(backends=[backend], hostname="web-1", origin="shop"):
        yield backend


def test_each_run_is_a_gauge(checks, backend, lines):
    """Every run of every check is a gauge in ms with the service as its label, and nothing else is."""
    checks.register("db", lambda: {"status": "ok", "output": "fine"})
    checks.run()
    checks.clock.advance(1.0)
    checks.run()
    first, second = backend.metrics
    moment = first.pop("timestamp")
    assert first == {
        "name": "health.check",
        "value": 0.0,
        "hostname": "web-1",
        "origin": "shop",
        "service": "db",
        "status": "healthy",
        "output": "fine",
    }
    assert (first.kind, first.unit, first.labels) == ("gauge", "ms", ("service",))
    assert moment.isoformat() == "2023-11-14T22:13:20+00:00"
    assert (second["timestamp"] - moment).total_seconds() == 1.0
    assert lines == []


def test_a_failure_names_its_error(checks, backend, lines):
    """A failed run has the type of its error, whatever the status is by then; a degraded one has none."""

    def fail():
        raise LookupError("password=hunter2")

    checks.register("raises", fail)
    checks.register("false", lambda: False)
    checks.register("degraded", lambda: "degraded")
    checks.run()
    found = {metric["service"]: (metric["status"], metric.get("error_type")) for metric in backend.metrics}
    assert found == {
        "raises": ("degraded", "LookupError"),
        "false": ("degraded", "CheckFailed"),
        "degraded": ("degraded", None),
    }
    assert "hunter2" not in f"{backend.metrics} {lines}"


def test_a_hung_check_is_told_of_each_time_it_counts(checks, backend, lines):
    """A run that is overdue is a gauge with the time that it takes by then; asking again at once is none."""
    gate = Gate()
    checks.register("db", gate)
    running = Background(lambda: in_settings(backend, checks.run))
    gate.wait()
    checks.someone_waits()
    checks.clock.advance(5.0)
    running.result()
    checks.run()
    checks.clock.advance(60.0)
    checks.run()
    assert [(metric["value"], metric["error_type"]) for metric in backend.metrics] == [
        (5000.0, "TimeoutError"),
        (65000.0, "TimeoutError"),
    ]
    gate.opened.set()
    ended(checks, "db")


def in_settings(backend, call):
    with settings(backends=[backend]):
        return call()


def test_changes_are_logged_and_repetitions_are_not(checks, lines):
    """A line is written when the status changes, a warning unless it is healthy again, and for nothing else."""
    answers = [True, True, False, False, False, "degraded", True, True]
    checks.register("db", lambda: answers.pop(0))
    for _ in range(8):
        checks.run()
    assert lines == [
        ("WARNING", "Health check db is degraded, it was healthy: it said that it failed", "db", "degraded", 1),
        ("WARNING", "Health check db is unhealthy, it was degraded: it said that it failed", "db", "unhealthy", 2),
        ("WARNING", "Health check db is degraded, it was unhealthy", "db", "degraded", 0),
        ("INFO", "Health check db is healthy, it was degraded", "db", "healthy", 0),
    ]


def test_changes_are_in_the_applications_log(tmp_path):
    """What the log writes of a change has the service, its status and its failures as fields."""
    code = (
        "import json, pathlib\n"
        "from time_execution import flush, logs\n"
        "from time_execution.monitor.health import HealthChecks\n"
        f"logs.configure(log_dir={str(tmp_path)!r}, log_console=False)\n"
        "checks, answers = HealthChecks(threshold=1), [False, False, True]\n"
        "checks.register('db', lambda: answers.pop(0))\n"
        "for _ in range(3):\n"
        "    checks.run()\n"
        "flush(10.0)\n"
        f"for line in pathlib.Path({str(tmp_path)!r}, 'proletto_structured.json').read_text().splitlines():\n"
        "    line = json.loads(line)\n"
        "    print(line['level'], line['service'], line['status'], line['failures'])\n"
    )
    assert " ".join(printed_by(code)) == "WARNING db unhealthy 1 INFO db healthy 0"


def test_a_check_that_fails_at_first_is_logged(checks, lines):
    """The first run is worth a line when it fails."""
    checks.register("db", lambda: False)
    checks.run()
    assert lines == [
        ("WARNING", "Health check db is degraded, it was not run before: it said that it failed", "db", "degraded", 1)
    ]


def test_a_log_and_a_backend_that_fail_change_nothing(checks, monkeypatch):
    """What handlers and backends raise stops here, and the report is what it would be."""

    class Broken:
        def write(self, name, **data):
            raise RuntimeError("backend")

    def broken(name=None):
        raise RuntimeError("log")

    monkeypatch.setattr(logs, "get_logger", broken)
    checks.register("db", lambda: False)
    checks.register("ok", lambda: True)
    with settings(backends=[Broken()]):
        report = checks.run()
    assert {name: check["status"] for name, check in report["checks"].items()} == {"db": "degraded", "ok": "healthy"}


def test_what_is_no_more_registered_is_not_told_of(checks, backend, lines):
    """The end of a check that was unregistered meanwhile is neither a gauge nor a line."""
    gate = Gate(result=False)
    checks.register("db", gate)
    running = Background(lambda: in_settings(backend, checks.run))
    gate.wait()
    checks.unregister("db")
    gate.opened.set()
    running.result()
    assert (list(backend.metrics), lines) == ([], [])


def test_nothing_is_told_while_measuring_is_off(checks, lines):
    """With `enabled=False` checks run and are reported, and the pipeline hears nothing."""
    backend = MemoryBackend()
    checks.register("db", lambda: True)
    with settings(backends=[backend], enabled=False):
        assert checks.run()["status"] == "healthy"
    assert list(backend.metrics) == []
