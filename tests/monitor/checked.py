"""Health checks on a clock that a test moves, and checks that wait until a test lets them go."""

from __future__ import annotations

import logging
import threading

import pytest

from time_execution import logs
from time_execution.monitor.health import HealthChecks
from time_execution.testing import FakeClock

DEADLINE = 10.0
"""The longest that a test waits for what should come at once, in seconds."""


@pytest.fixture
def unlogged(monkeypatch):
    """Let nobody hear of changes, and no log be set up for it."""
    logger = logging.Logger("unheard")  # noqa: LOG001 - known to nobody, it reaches no other handler
    logger.addHandler(logging.NullHandler())
    monkeypatch.setattr(logs, "get_logger", lambda name=None: logger)


class ClockedChecks(HealthChecks):
    """Health checks whose time a test moves; whoever waits in `run` notices."""

    def __init__(self, **options):
        self.clock = FakeClock()
        self._waits = threading.Semaphore(0)
        super().__init__(clock=self.clock, wall=self.clock.time, **options)
        self.clock.on_advance(self._wake)

    def someone_waits(self):
        """Wait until another thread waits for checks in `run`."""
        assert self._waits.acquire(timeout=DEADLINE), "nobody waits"

    def _wait(self, attempts):
        self._waits.release()
        return super()._wait(attempts)

    def _wake(self):
        with self._changed:
            self._changed.notify_all()


class Gate:
    """A check that waits until it is opened.

    Attributes:
        entered: Set as soon as the check runs.
        runs: How often it was started.
        result: What it returns, or raises.
    """

    def __init__(self, result=None):
        self.entered = threading.Event()
        self.opened = threading.Event()
        self.left = threading.Event()
        self.runs = 0
        self.result = result

    def __call__(self):
        self.runs += 1
        self.entered.set()
        assert self.opened.wait(DEADLINE), "nobody opened the gate"
        self.left.set()
        return self.result

    def wait(self):
        """Wait until the check runs."""
        assert self.entered.wait(DEADLINE), "the check was not started"


class Background:
    """A call that runs on a thread of its own; `result` waits for it."""

    def __init__(self, call):
        self._found = []
        self._thread = threading.Thread(target=lambda: self._found.append(call()), daemon=True)
        self._thread.start()

    def is_running(self):
        return self._thread.is_alive()

    def result(self):
        self._thread.join(DEADLINE)
        assert not self._thread.is_alive(), "the call did not return"
        return self._found[0]


def ended(checks, name):
    """Wait until the check of a name has no thread any more."""
    for thread in threading.enumerate():
        if thread.name == f"time-execution-health-{name}":
            thread.join(DEADLINE)
            assert not thread.is_alive()


def refreshed():
    """Wait until nothing runs in the background."""
    for thread in threading.enumerate():
        if thread.name == "time-execution-health":
            thread.join(DEADLINE)
            assert not thread.is_alive()


def is_idle():
    """Whether no thread of health checks is left."""
    return not [thread for thread in threading.enumerate() if thread.name.startswith("time-execution-health")]
