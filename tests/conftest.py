"""What every test gets, settings as if nothing was ever configured, and what many ask for: deliveries."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time

import hypothesis
import pytest

from tests.faults.harness import check_conservation, quick
from tests.traces import restore_loggers, start_windows_anew, states_of_loggers
from time_execution import settings, source_backends
from time_execution.delivery import lifecycle
from time_execution.delivery.worker import THREAD_NAME
from time_execution.guard import faults

# A shell ignores SIGINT for what it runs in the background, as nohup does SIGHUP, and children inherit that: tests of
# how programs end need both back.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

# What tests start is not traced: it would take half as long again, and coverage.py holds a lock of its own for each new
# line, in which a signal handler or a forked child hangs.
if "PYTEST_XDIST_WORKER" in os.environ:
    for _variable in [name for name in os.environ if name.startswith("COVERAGE_")]:
        del os.environ[_variable]

for _name, _examples in {"dev": 50, "ci": 500}.items():  # the same examples each time: a test must not need luck
    hypothesis.settings.register_profile(_name, max_examples=_examples, derandomize=True, deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))


@pytest.fixture(autouse=True, scope="module")
def _clean_loggers():
    """Take back what the fixtures of a module did to loggers."""
    loggers = states_of_loggers()
    yield
    restore_loggers(loggers)


@pytest.fixture(autouse=True)
def _clean_slate():
    """Reset settings and counters after each test, close what it left open, and name the workers that will not end."""
    before = set(threading.enumerate())
    logging.root.setLevel(logging.WARNING)  # a worker of Celery's, which a module shares, sets it for the whole process
    loggers = states_of_loggers()
    yield
    settings.reset()
    shared = sys.modules.get("time_execution.monitor.monitor")
    if shared is not None:
        shared.monitor.reset()
    faults.clear()
    for delivery in lifecycle.tracked():
        if not delivery.is_closed():
            delivery.close(0.1)
    source_backends._living.clear()  # those of timers of earlier tests, which still have their counts
    log = sys.modules.get("time_execution.logs.setup")
    if log is not None:
        log.reset()  # after all that might write a line, as the first one sets it up
    restore_loggers(loggers)  # Flask sets the level of an application's
    start_windows_anew()
    deadline = time.monotonic() + 2.0
    left = [thread for thread in threading.enumerate() if thread not in before and thread.name == THREAD_NAME]
    for thread in left:
        thread.join(max(0.0, deadline - time.monotonic()))
    left = [thread for thread in left if thread.is_alive()]
    assert not left, f"workers left running: {left}"


@pytest.fixture
def deliver():
    """Make deliveries that the end of the test closes at once, with the books checked."""
    made = []

    def make(*args, **options):
        made.append(quick(*args, **options))
        return made[-1]

    yield make
    for delivery in made:
        delivery.close(0.0)
        check_conservation(delivery.stats())


def pytest_make_parametrize_id(config, val, argname):
    """Name a parameter after its kind when its repr holds an address, so that every process names it alike."""
    try:
        return argname if " at 0x" in repr(val) else None
    except Exception:  # some parameters are hostile on purpose
        return argname


@pytest.fixture
def far_from_utc(monkeypatch):
    """Set the clock of the machine to a zone five hours and a half away."""
    if not hasattr(time, "tzset"):
        pytest.skip("time zones")
    with monkeypatch.context() as patched:
        patched.setenv("TZ", "XXX-5:30")
        time.tzset()
        yield
    time.tzset()
