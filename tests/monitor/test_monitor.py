"""`Monitor` as users have it: options, samples, its thread, thresholds, and what it counts."""

from __future__ import annotations

import queue
import sys
import threading

import pytest

from tests.child import printed_by
from tests.monitor.waiting import PATIENCE, wait_for
from time_execution import monitor as package
from time_execution import settings
from time_execution.backends.memory import MemoryBackend
from time_execution.exceptions import ConfigurationError, MissingExtraError
from time_execution.monitor import Monitor, monitor
from time_execution.monitor.sampler import THREAD_NAME
from time_execution.monitor.system import FIGURES

pytest.importorskip("psutil")

pytestmark = pytest.mark.usefixtures("clean_environment")


# ---- options -------------------------------------------------------------------------------------------------------


def test_options_are_merged_and_take_effect_at_once(watched, monkeypatch):
    """What is given replaces, other options stay; samples beyond a smaller number go with the next one."""
    monkeypatch.setenv("MONITOR_UNHEALTHY_THRESHOLD", "5")
    watched.configure(max_samples=4)
    for _ in range(6):
        watched.time.advance(1)
        watched.sample()
    assert len(watched.samples()) == 4
    watched.configure(sample_interval=30)
    assert (watched.options.max_samples, watched.options.sample_interval) == (4, 30.0)
    assert watched.options.unhealthy_threshold == 5
    watched.configure(max_samples=2)
    last = watched.sample()
    assert len(watched.samples()) == 2
    assert watched.samples()[-1] == last


def test_a_wrong_option_changes_nothing(watched, monkeypatch):
    """Neither a wrong argument nor a wrong variable leaves half of a change behind."""
    watched.configure(max_samples=5)
    with pytest.raises(ConfigurationError, match="sample_interval"):
        watched.configure(max_samples=6, sample_interval=0)
    monkeypatch.setenv("MONITOR_MAX_SAMPLES", "none")
    with pytest.raises(ConfigurationError, match="MONITOR_MAX_SAMPLES"):
        watched.configure(sample_interval=5)
    assert (watched.options.max_samples, watched.options.sample_interval) == (5, 60.0)


@pytest.mark.parametrize("use", [Monitor.start, Monitor.sample, Monitor.configure])
def test_a_wrong_variable_is_told_at_first_use(watched, monkeypatch, use):
    """Starting, sampling and configuring all raise it, and no thread is started."""
    monkeypatch.setenv("MONITOR_SAMPLE_INTERVAL", "often")
    with pytest.raises(ConfigurationError, match="MONITOR_SAMPLE_INTERVAL"):
        use(watched)
    assert not watched.is_running()


@pytest.mark.parametrize("use", [Monitor.start, Monitor.sample, Monitor.configure])
def test_without_psutil_it_says_so_at_once(watched, monkeypatch, use):
    """What samples the machine names the extra to install, before a thread is started."""
    monkeypatch.setitem(sys.modules, "psutil", None)
    with pytest.raises(MissingExtraError, match=r"timeexecution\[monitor\]"):
        use(watched)
    assert not watched.is_running()


def test_without_psutil_all_else_works(watched, monkeypatch):
    """With the machine's figures turned off, the thread runs and thresholds are watched."""
    monkeypatch.setitem(sys.modules, "psutil", None)
    monkeypatch.setenv("MONITOR_SYSTEM_METRICS", "0")
    told = queue.Queue()
    watched.configure()
    watched.register_threshold("jobs", 5)
    watched.register_notifier(told.put)
    watched.start()
    watched.observe("jobs", 6)
    assert told.get(timeout=PATIENCE).metric == "jobs"
    watched.step(10)
    assert watched.written == [0, 10]
    assert watched.samples() == []


# ---- samples -------------------------------------------------------------------------------------------------------


def test_a_sample_has_its_keys_and_is_the_caller_s(watched):
    """The dict has every figure and the moment; changing it changes nothing that is kept."""
    taken = watched.sample()
    assert list(taken) == [*FIGURES, "timestamp"]
    assert taken["timestamp"] == watched.time.time()
    taken.clear()
    watched.samples()[0].clear()
    assert list(watched.samples()[0]) == [*FIGURES, "timestamp"]


def test_a_sample_goes_down_the_pipeline():
    """Each figure is a gauge of its own."""
    with settings(backends=[store := MemoryBackend()]):
        taken = Monitor().sample()
    found = {record["name"]: record["value"] for record in store.metrics}
    assert found == {figure.metric: taken[key] for key, figure in FIGURES.items()}


def test_at_most_a_hundred_samples_are_kept(watched):
    """By default the oldest of more than a hundred goes."""
    for _ in range(103):
        watched.time.advance(1)
        watched.sample()
    moments = [taken["timestamp"] for taken in watched.samples()]
    assert len(moments) == 100
    assert moments == sorted(moments)
    assert moments[-1] == watched.time.time()


# ---- the thread ----------------------------------------------------------------------------------------------------


def test_it_samples_at_its_interval_on_its_thread(watched):
    """Once at the start, then every interval; states are written each ten seconds, and once as it stops."""
    watched.configure(sample_interval=20)
    watched.start()
    watched.start()
    for _ in range(9):
        watched.step(5)
    assert [thread.name for thread in threading.enumerate()].count(THREAD_NAME) == 1
    assert watched.sampled == [0, 20, 40]
    assert watched.written == [0, 10, 20, 30, 40]
    assert watched.stop(PATIENCE)
    assert watched.sampled == [0, 20, 40]
    assert watched.written == [0, 10, 20, 30, 40, 45]


def test_an_interval_that_changes_holds_for_a_monitor_that_runs(watched):
    """A shorter interval makes the next sample due without a restart; with the figures off there is none."""
    watched.configure(sample_interval=1000)
    watched.start()
    watched.step(100)
    assert watched.sampled == [0]
    watched.configure(sample_interval=60)
    watched.steps.settle()
    assert watched.sampled == [0, 100]
    watched.step(20)
    assert watched.sampled == [0, 100, 120]
    watched.configure(system_metrics=False)
    watched.step(1000)
    assert watched.sampled == [0, 100, 120]
    assert watched.written[-1] == 1120


def test_configuring_wakes_the_thread(watched, monkeypatch):
    """It would otherwise sleep until what was due before."""
    woken = []
    monkeypatch.setattr(watched._sampler, "wake", lambda: woken.append(watched.options.sample_interval))
    watched.configure(sample_interval=5)
    assert woken == [5.0]


def test_stop_and_start_again(watched):
    """Stopping twice is as good as once; what is configured and sampled stays over a restart."""
    watched.configure(max_samples=7)
    for count in (1, 2):
        watched.start()
        wait_for(lambda count=count: len(watched.samples()) == count)
        assert watched.is_running()
        assert watched.stop(PATIENCE)
        assert watched.stop(PATIENCE)
        assert not watched.is_running()
    assert watched.options.max_samples == 7
    assert len(watched.samples()) == 2


def test_monitors_are_independent():
    """Each has its own thread, samples, thresholds and notifiers."""
    one, other = Monitor(), Monitor()
    try:
        one.register_threshold("cpu_percent", 80)
        one.start()
        wait_for(one.samples)
        assert not other.is_running()
        assert other.samples() == other.thresholds() == []
    finally:
        assert one.stop(PATIENCE)


def test_reset_forgets_everything(watched):
    """After a reset it is as new: stopped, with the defaults, nothing registered, nothing sampled."""
    watched.configure(max_samples=7)
    watched.register_threshold("x", 1)
    watched.register_notifier(print)
    watched.register_health_check("always", lambda: True)
    watched.sample()
    watched.start()
    watched.reset()
    assert not watched.is_running()
    assert watched.options.max_samples == 100
    assert watched.samples() == watched.thresholds() == []
    assert watched.health()["checks"] == {}
    assert list(watched.stats()["alerts"]) == ["alert"]


def test_there_is_one_that_programs_share():
    """`monitor` is one of them; importing the module of its name first does not take its place."""
    assert isinstance(monitor, Monitor)
    code = (
        "import time_execution.monitor.monitor, time_execution.monitor.requests\n"
        "from time_execution.monitor import Monitor, monitor\n"
        "print(isinstance(monitor, Monitor))"
    )
    assert printed_by(code) == ["True"]


def test_public_names_are_loaded_when_they_are_asked_for():
    """All that is public is there, listed, and nothing else is."""
    assert set(dir(package)) == set(package.__all__)
    for name in package.__all__:
        assert getattr(package, name) is not None
    assert package.TCPCheck.__name__ == "TCPCheck"
    with pytest.raises(AttributeError, match="monitr"):
        package.monitr  # noqa: B018 - asking is the point


def test_importing_starts_nothing():
    """No thread, no file, no look at the environment: not even a wrong variable is noticed."""
    code = (
        "import os, threading; os.environ['MONITOR_MAX_SAMPLES'] = 'wrong'\n"
        "from time_execution.monitor import monitor\n"
        "print(threading.active_count(), monitor.is_running())"
    )
    assert printed_by(code) == ["1", "False"]


# ---- requests ------------------------------------------------------------------------------------------------------


def test_figures_of_requests_are_watched(watched, monkeypatch):
    """Thresholds on them see the last minute every ten seconds; without a request there is no reading."""
    told = queue.Queue()
    watched.register_notifier(told.put)
    watched.register_threshold("request_error_rate", critical_threshold=50)
    watched.register_threshold("request_p95", warning_threshold=100)
    watched.register_threshold("request_rate", warning_threshold=3, below=True)
    watched.start()
    watched.steps.settle()
    for name, value in (("error_rate", 75.0), ("p95", 250.0), ("rate", 2.0)):
        monkeypatch.setattr(watched.requests, name, lambda value=value: value)
    watched.step(10)
    lines = sorted(told.get(timeout=PATIENCE).message for _ in range(3))
    assert lines == [
        "critical: request_error_rate is 75 %, above 50 %",
        "warning: request_p95 is 250 ms, above 100 ms",
        "warning: request_rate is 2 /s, below 3 /s",
    ]


def test_requests_are_counted_in_one_place(watched):
    """The statistics are made once, when first asked for, and are the monitor's own."""
    assert watched.requests is watched.requests
    assert watched.requests.error_rate() is None
    assert watched.requests is not monitor.requests
