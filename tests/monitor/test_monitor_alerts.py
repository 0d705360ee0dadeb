"""From a figure to the alert: what is registered, what is observed, and what everybody is told."""

from __future__ import annotations

import functools
import logging
import queue
import sys
import threading
import timeit
from decimal import Decimal

import pytest

from tests.patience import least_time
from time_execution import settings
from time_execution.backends.memory import MemoryBackend
from time_execution.exceptions import ConfigurationError
from time_execution.monitor import Monitor
from time_execution.monitor._watch import Watch
from time_execution.monitor.threshold import Threshold
from time_execution.testing.clock import FakeClock

pytestmark = pytest.mark.nooptionals

PATIENCE = 20.0


class Told(list):
    """A notifier that keeps what it is told."""

    def __call__(self, alert):
        self.append(alert)

    def shown(self):
        return [(alert.metric, alert.level, alert.state, alert.observed) for alert in self]


@pytest.fixture(autouse=True)
def _quiet(monkeypatch, tmp_path):
    monkeypatch.setenv("MONITOR_SYSTEM_METRICS", "0")
    monkeypatch.setenv("LOG_FILES", "0")
    monkeypatch.setenv("LOG_CONSOLE", "0")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def watching(clock):
    """A monitor on a clock that stands still, which is never started."""
    made = Monitor(clock=clock, wall=clock.time)
    yield made
    assert made.flush(PATIENCE)
    made.reset()


@pytest.fixture
def told(watching):
    """What a notifier of it was told."""
    watching.register_notifier(notifier := Told())
    return notifier


def test_an_observed_figure_alerts_escalates_and_recovers(watching, clock, told):
    """Each turn is one alert, with the time for which it went on, and since when."""
    began = clock.time()
    watching.register_threshold(metric="jobs", warning_threshold=10, critical_threshold=20, duration=60)
    for step, value in ((0, 15), (60, 15), (60, 25), (60, 25), (60, 9.6), (60, 9.5)):
        clock.advance(step)
        watching.observe("jobs", value)
    assert watching.flush(PATIENCE)
    assert told.shown() == [
        ("jobs", "warning", "firing", 15),
        ("jobs", "critical", "firing", 25),
        ("jobs", "critical", "resolved", 9.5),
    ]
    assert [alert.duration for alert in told] == [60, 60, 300]
    assert [alert.since - began for alert in told] == [0, 120, 0]
    assert [alert.threshold for alert in told] == [10, 20, 20]
    assert told[0].message == "warning: jobs is 15, above 10 for 1 min"


def test_an_alert_is_an_event_of_the_pipeline(watching):
    """What a threshold fires goes to the backends of the settings, from whichever thread."""
    settings.configure(backends=[store := MemoryBackend()])
    watching.register_threshold("jobs", critical_threshold=10)
    watching.observe("jobs", 11)
    watching.observe("jobs", 1)
    assert watching.flush(PATIENCE)
    events = [record for record in store.metrics if record["name"] == "alert"]
    assert [(event["metric"], event["level"], event["state"]) for event in events] == [
        ("jobs", "critical", "firing"),
        ("jobs", "critical", "resolved"),
    ]


def test_an_observed_figure_stands_for_five_minutes(watching, clock, told):
    """What is observed once goes on as long as nothing else is observed, and then is no reading any more."""
    watching.register_threshold("jobs", 10, duration=200)
    watching.register_threshold("rooms", 10, duration=400)
    for metric in ("jobs", "rooms"):
        watching.observe(metric, 50)
    for _ in range(100):
        clock.advance(10)
        watching._watch.judge_others(None)
    assert watching.flush(PATIENCE)
    assert told.shown() == [("jobs", "warning", "firing", 50)]
    assert told[0].duration == 200


def test_a_thing_that_is_no_number_is_a_missing_reading(watching, clock, told):
    """Whatever is observed, nothing is raised; a number of another kind counts."""

    class Hostile:
        def __float__(self):
            raise RuntimeError

        __eq__ = __hash__ = __repr__ = __float__

    watching.register_threshold("jobs", 10)
    for value in (None, "50", float("nan"), float("inf"), object(), [50], Hostile()):
        watching.observe("jobs", value)
    for metric in (None, 5, [], Hostile()):
        watching.observe(metric, 50)
    watching.observe("others", 50)
    assert watching.flush(PATIENCE)
    assert told == []
    watching.observe("jobs", Decimal(50))
    assert watching.flush(PATIENCE)
    assert told.shown() == [("jobs", "warning", "firing", 50)]


def test_there_is_one_threshold_for_each_figure_and_direction(watching, told):
    """Registering again replaces, for a figure that must not rise and one that must not fall apart."""
    watching.register_threshold("jobs", 10)
    watching.register_threshold("jobs", 100, 200, 5, recovery=50)
    watching.register_threshold("jobs", 1, below=True)
    assert watching.thresholds() == [
        {
            "metric": "jobs",
            "level": None,
            "observed": None,
            "thresholds": {"warning": 100.0, "critical": 200.0},
            "duration": 5.0,
            "recovery": 50.0,
            "below": False,
        },
        {
            "metric": "jobs",
            "level": None,
            "observed": None,
            "thresholds": {"warning": 1.0},
            "duration": 0.0,
            "recovery": 1.05,
            "below": True,
        },
    ]
    watching.observe("jobs", 0.5)
    assert watching.flush(PATIENCE)
    assert told.shown() == [("jobs", "warning", "firing", 0.5)]
    assert [threshold["level"] for threshold in watching.thresholds()] == [None, "warning"]
    assert [threshold["observed"] for threshold in watching.thresholds()] == [0.5, 0.5]


def test_registering_again_while_it_fires_alerts_no_second_time(watching, told):
    """An application that registers its thresholds twice is told once, and of the recovery once."""
    for value in (50, 51, 1):
        watching.register_threshold("jobs", 10)
        watching.observe("jobs", value)
    assert watching.flush(PATIENCE)
    assert told.shown() == [("jobs", "warning", "firing", 50), ("jobs", "warning", "resolved", 1)]


def test_an_unregistered_threshold_says_nothing(watching, told):
    """It is forgotten with what it fired; unregistering says whether it was there."""
    watching.register_threshold("jobs", 10)
    watching.register_threshold("jobs", 1, below=True)
    assert watching.unregister_threshold("jobs")
    assert not watching.unregister_threshold("jobs")
    watching.observe("jobs", 50)
    assert watching.unregister_threshold("jobs", below=True)
    watching.observe("jobs", 0)
    assert watching.flush(PATIENCE)
    assert told == []
    assert watching.thresholds() == []


@pytest.mark.parametrize(
    ("args", "options", "named"),
    [
        (("timestamp", 5), {}, "metric"),
        (("",), {"warning_threshold": 5}, "metric"),
        (("cpu_percent",), {}, "must be given"),
        (("cpu_percent", 95, 80), {}, "critical_threshold"),
        (("cpu_percent", 80), {"duration": -5}, "duration"),
        (("cpu_percent", 80), {"recovery": 90}, "recovery"),
    ],
)
def test_wrong_thresholds_are_refused_as_they_are_registered(watching, args, options, named):
    """Nothing of a threshold that is wrong is kept."""
    with pytest.raises(ConfigurationError, match=named):
        watching.register_threshold(*args, **options)
    assert watching.thresholds() == []


def test_readings_of_samples_may_be_missing_for_two_intervals(watching):
    """How long a time of exceeding survives without a reading follows the interval, also when that changes."""
    watching.configure(sample_interval=100)
    for metric in ("cpu_percent", "request_p95", "jobs"):
        watching.register_threshold(metric, 80)
    patience = {name: found[False].patience for name, found in watching._watch._thresholds.items()}
    assert patience == {"cpu_percent": 300, "request_p95": 30, "jobs": 300}
    watching.configure(sample_interval=1)
    assert watching._watch._thresholds["cpu_percent"][False].patience == 30


@pytest.mark.parametrize("read", [Watch.judge, Watch.observe])
def test_alerts_of_one_figure_keep_their_order_among_threads(read):
    """However many threads have readings of a figure, what is told alternates: fired, recovered, fired."""
    before = sys.getswitchinterval()
    told, together = [], threading.Barrier(4)
    watch = Watch(lambda alert: told.append(alert.state), clock=FakeClock(), wall=FakeClock().time)
    watch.register(Threshold("jobs", warning_threshold=10), sample_interval=60)

    def work():
        together.wait(PATIENCE)
        for number in range(500):
            read(watch, "jobs", 50 * (number % 2))

    working = [threading.Thread(target=work) for _ in range(4)]
    sys.setswitchinterval(1e-6)
    try:
        for thread in working:
            thread.start()
        for thread in working:
            thread.join(PATIENCE)
    finally:
        sys.setswitchinterval(before)
    assert told
    assert told == (["firing", "resolved"] * len(told))[: len(told)]


def test_a_notifier_that_hangs_holds_up_no_observation(watching, clock):
    """Observing returns at once, whoever is told; others hear of it meanwhile."""
    begun, release, told = threading.Event(), threading.Event(), queue.Queue()

    def hang(alert):
        begun.set()
        release.wait(PATIENCE)

    watching.register_notifier(hang)
    watching.register_notifier(told.put)
    watching.register_threshold("jobs", 10)
    watching.observe("jobs", 50)
    assert begun.wait(PATIENCE)
    watching.observe("jobs", 0)
    assert [told.get(timeout=PATIENCE).state for _ in range(2)] == ["firing", "resolved"]
    assert watching.flush(0.01) is False
    release.set()


def test_observing_costs_little(watching):
    """A figure that nobody watches costs next to nothing, and one that is watched a few microseconds."""
    watching.register_threshold("jobs", 10)
    for metric, bound in (("others", 2e-6), ("jobs", 20e-6)):
        observe = functools.partial(watching.observe, metric, 5.0)
        cost = least_time(functools.partial(timeit.timeit, observe, number=1000), 1000 * bound)
        assert cost <= 1000 * bound


def test_a_misspelt_figure_is_told(watching, caplog):
    """A name that is almost that of a figure may be meant so, and says so; one of the application's own does not."""
    with caplog.at_level(logging.WARNING, "time_execution"):
        for metric in ("cpu_percnt", "queue_length", "request_p99", "cpu_percent"):
            watching.register_threshold(metric, 80)
    assert [record.getMessage() for record in caplog.records] == [
        "monitor: 'cpu_percnt' is read only when the application observes it; did you mean 'cpu_percent'?",
        "monitor: 'request_p99' is read only when the application observes it; did you mean 'request_p95'?",
    ]


def test_notifiers_can_be_taken_back(watching, told):
    """One that is unregistered is told nothing more."""
    watching.register_threshold("jobs", 10)
    assert watching.unregister_notifier(told)
    assert not watching.unregister_notifier(told)
    watching.observe("jobs", 50)
    assert watching.flush(PATIENCE)
    assert told == []
