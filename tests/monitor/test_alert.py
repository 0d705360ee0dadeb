"""Alerts and who is told them: order, levels, those who hang or raise, bounds, threads and forks."""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from datetime import datetime

import pytest

from tests.forked import ends_well_in_a_child, needs_fork
from time_execution import settings, stats
from time_execution.backends.memory import MemoryBackend
from time_execution.exceptions import ConfigurationError
from time_execution.monitor import alert as alerting
from time_execution.monitor.alert import LABELS, THREAD_NAME, Alert, Alerts

pytestmark = pytest.mark.nooptionals

PATIENCE = 20.0


def alert(level="warning", state="firing", *, metric="cpu_percent", observed=97.0):
    return Alert(metric, level, state, observed, 95.0, 300.0, 1_700_000_000.25, f"{level}: {metric} {state}")


@pytest.fixture
def alerts(monkeypatch):
    """Alerts that only notifiers are told."""
    monkeypatch.setattr(alerting, "_announce", lambda alert: None)
    made = Alerts()
    yield made
    assert made.flush(PATIENCE)
    for thread in threading.enumerate():
        if thread.name == THREAD_NAME:
            thread.join(PATIENCE)


def test_a_notifier_is_told_in_order_on_a_thread_of_its_own(alerts):
    """Each alert comes once, in the order in which they were raised, and never on the thread that raised it."""
    told = []
    alerts.register(lambda alert: told.append((alert.observed, threading.current_thread())))
    for number in range(50):
        alerts.tell(alert(observed=number))
    assert alerts.flush(PATIENCE)
    assert [observed for observed, _ in told] == list(range(50))
    assert {(thread.name, thread.daemon) for _, thread in told} == {("time-execution-monitor-alert", True)}


def test_levels(alerts):
    """A notifier for critical alerts gets these and their recovery; one for warnings gets all."""
    critical, everything = [], []
    alerts.register(critical.append, level="critical")
    alerts.register(everything.append)
    raised = [alert(level, state) for level in ("warning", "critical") for state in ("firing", "resolved")]
    for one in raised:
        alerts.tell(one)
    assert alerts.flush(PATIENCE)
    assert everything == raised
    assert critical == raised[2:]


def test_one_who_raises_keeps_nobody_else_from_being_told(alerts, caplog):
    """What a notifier raises is counted and logged once in a while; it is told the next alert all the same."""
    told, tried = [], []

    def broken(alert):
        tried.append(alert)
        raise RuntimeError("with a detail that is nobody's business")

    alerts.register(broken)
    alerts.register(told.append)
    with caplog.at_level(logging.WARNING, "time_execution"):
        for _ in range(3):
            alerts.tell(alert())
        assert alerts.flush(PATIENCE)
    assert len(told) == len(tried) == 3
    label = test_one_who_raises_keeps_nobody_else_from_being_told.__qualname__ + ".<locals>.broken"
    assert alerts.stats()[label] == {"told": 0, "failed": 3, "dropped": 0, "waiting": 0}
    assert stats()["errors"]["hook"] == {f"{label}: RuntimeError": 3}
    assert [record.getMessage() for record in caplog.records] == [
        f"notifier {label} raised RuntimeError; it is skipped"
    ]


def test_one_who_hangs_keeps_nobody_else_from_being_told(alerts):
    """Others are told meanwhile; what waits for the one that hangs is bounded, and the rest is counted as dropped."""
    begun, release, told = threading.Event(), threading.Event(), queue.Queue()

    def hang(alert):
        begun.set()
        release.wait(PATIENCE)

    alerts.register(hang)
    alerts.register(told.put)
    alerts.tell(alert(observed=0))
    assert begun.wait(PATIENCE)
    for first in (1, 51, 101):
        for number in range(first, first + 50):
            alerts.tell(alert(observed=number))
        assert [told.get(timeout=PATIENCE).observed for _ in range(50)][-1] == first + 48
    assert told.get(timeout=PATIENCE).observed == 150
    hanging = next(counts for label, counts in alerts.stats().items() if label.endswith("hang"))
    assert hanging == {"told": 0, "failed": 0, "dropped": 50, "waiting": 100}
    assert alerts.flush(0.01) is False
    release.set()
    assert alerts.flush(PATIENCE)
    hanging = next(counts for label, counts in alerts.stats().items() if label.endswith("hang"))
    assert hanging == {"told": 101, "failed": 0, "dropped": 50, "waiting": 0}


@pytest.mark.parametrize("kind", [SystemExit, GeneratorExit])
def test_one_who_ends_his_thread_is_told_the_next_alert(alerts, monkeypatch, kind):
    """What is no Exception counts as a failure, whether it ends the thread or not, and the next alert is told."""
    monkeypatch.setattr(threading, "excepthook", lambda args: None)
    told = []

    def leave(alert):
        told.append(alert)
        raise kind

    alerts.register(leave)
    for count in (1, 2):
        alerts.tell(alert())
        assert alerts.flush(PATIENCE)
        assert len(told) == count
    assert next(counts for label, counts in alerts.stats().items() if label.endswith("leave"))["failed"] == 2


def test_one_who_calls_for_an_exit_is_told_what_waits_all_the_same(alerts):
    """SystemExit on a thread of ours ends nothing: the next of the alerts that wait is told."""
    begun, release, told = threading.Event(), threading.Event(), []

    def leave(alert):
        told.append(alert.observed)
        begun.set()
        assert release.wait(PATIENCE)
        raise SystemExit

    alerts.register(leave)
    for number in (1, 2, 3):
        alerts.tell(alert(observed=number))
    assert begun.wait(PATIENCE)
    release.set()
    assert alerts.flush(PATIENCE)
    assert told == [1, 2, 3]


def test_a_coroutine_function_is_awaited(alerts):
    """A notifier written with ``async def`` runs to its end, in an event loop of its own."""
    told = []

    async def notify(alert):
        await asyncio.sleep(0)
        told.append(alert.metric)

    alerts.register(notify)
    alerts.tell(alert())
    assert alerts.flush(PATIENCE)
    assert told == ["cpu_percent"]


def test_registering_again_changes_the_level_only(alerts):
    """A notifier is told once, however often it was registered, and no more once it is unregistered."""
    told = []
    notify = told.append
    for level in ("warning", "warning", "critical"):
        alerts.register(notify, level=level)
    alerts.tell(alert("warning"))
    alerts.tell(alert("critical"))
    assert alerts.flush(PATIENCE)
    assert [one.level for one in told] == ["critical"]
    assert [alerts.unregister(notify), alerts.unregister(notify)] == [True, False]
    alerts.tell(alert("critical"))
    assert alerts.flush(PATIENCE)
    assert len(told) == 1


@pytest.mark.parametrize(
    ("notifier", "level", "named"),
    [
        ("print", "warning", "notifier"),
        (None, "warning", "notifier"),
        (lambda: None, "warning", "notifier cannot be called"),
        (lambda one, two: None, "warning", "notifier cannot be called"),
        (print, "error", "level"),
        (print, None, "level"),
    ],
)
def test_wrong_notifiers_are_refused(alerts, notifier, level, named):
    """What cannot be called with an alert is refused as it is registered, and so is a level that is none."""
    with pytest.raises(ConfigurationError, match=named):
        alerts.register(notifier, level=level)


def test_threads_are_there_only_while_somebody_is_told(alerts):
    """A hundred alerts, one after the other, leave no thread behind."""
    alerts.register(lambda alert: None)
    for _ in range(100):
        alerts.tell(alert())
        assert alerts.flush(PATIENCE)
    for thread in threading.enumerate():
        if thread.name == THREAD_NAME:
            thread.join(PATIENCE)
    assert THREAD_NAME not in {thread.name for thread in threading.enumerate()}


def test_where_no_thread_can_be_started_nothing_is_raised(alerts, monkeypatch):
    """As the interpreter ends, an alert waits for the next one, whose thread tells both."""
    told = []
    alerts.register(lambda alert: told.append(alert.observed))

    def refuse(self):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        alerts.tell(alert(observed=1))
        assert alerts.flush(0.0)
    assert told == []
    alerts.tell(alert(observed=2))
    assert alerts.flush(PATIENCE)
    assert told == [1, 2]


def test_a_notifier_may_raise_alerts_itself(alerts):
    """An alert that is raised as another is told waits its turn; nobody waits for himself."""
    told = []

    def notify(one):
        told.append(one.metric)
        if one.metric == "first":
            alerts.tell(alert(metric="second"))
            assert alerts.flush(10 * PATIENCE) is False

    alerts.register(notify)
    alerts.tell(alert(metric="first"))
    assert alerts.flush(PATIENCE)
    assert told == ["first", "second"]


@needs_fork
def test_a_child_tells_none_of_its_parent_s(alerts):
    """What waits in the parent is the parent's; the child tells its own, though its parent's notifier hangs."""
    begun, release, told = threading.Event(), threading.Event(), []

    def notify(alert):
        told.append(alert.observed)
        begun.set()
        assert release.wait(PATIENCE)

    alerts.register(notify)
    alerts.tell(alert(observed=1))
    alerts.tell(alert(observed=2))
    assert begun.wait(PATIENCE)

    def work():
        alerts.after_fork()
        assert alerts.flush(0.0)
        release.set()
        alerts.tell(alert(observed=3))
        assert alerts.flush(PATIENCE)
        assert told == [1, 3]

    assert ends_well_in_a_child(work)
    release.set()
    assert alerts.flush(PATIENCE)
    assert told == [1, 2]


# ---- the event and the words ---------------------------------------------------------------------------------------


def test_the_event_has_the_fields_and_labels_of_an_alert():
    """Each alert is an event ``alert``, told apart by figure, level and state."""
    kept = []

    class Keeping:
        def write_many(self, metrics):
            kept.extend(metrics)

    with settings(backends=[Keeping()], hostname="web-1"):
        alerting._write(alert("critical"))
    (event,) = kept
    assert isinstance(event.pop("timestamp"), datetime)
    assert event == {
        "name": "alert",
        "metric": "cpu_percent",
        "level": "critical",
        "state": "firing",
        "observed": 97.0,
        "threshold": 95.0,
        "duration": 300.0,
        "since": "2023-11-14T22:13:20.250000Z",
        "message": "critical: cpu_percent firing",
        "hostname": "web-1",
    }
    assert (event.kind, event.labels) == ("event", LABELS)


def test_one_way_of_telling_that_fails_leaves_the_others(monkeypatch):
    """A log that cannot be written to keeps neither the event nor the notices from being made."""
    noticed = []

    def broken(alert):
        raise OSError("disk full")

    monkeypatch.setattr(alerting, "_log", broken)
    monkeypatch.setattr(alerting, "_notice", noticed.append)
    with settings(backends=[store := MemoryBackend()]):
        alerting._announce(alert())
    assert [record["name"] for record in store.metrics] == ["alert"]
    assert noticed == [alert()]
    assert stats()["errors"]["hook"] == {"alert log: OSError": 1}


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({}, "critical: cpu_percent is 97.25 %, above 95 % for 5 min"),
        ({"lasted": 0}, "critical: cpu_percent is 97.25 %, above 95 %"),
        ({"level": "warning", "lasted": 3700}, "warning: cpu_percent is 97.25 %, above 95 % for 1 h 1 min"),
        ({"observed": 1.004, "bound": 5}, "critical: cpu_percent is 1 %, below 5 % for 5 min"),
        ({"state": "resolved"}, "resolved: cpu_percent is 97.25 %, after 5 min of being critical at 95 %"),
        (
            {"state": "resolved", "level": "warning", "lasted": 90_000},
            "resolved: cpu_percent is 97.25 %, after 1 d 1 h of a warning at 95 %",
        ),
        ({"metric": "queue", "unit": "", "observed": 1e6, "bound": 0.5, "lasted": 61.4},
         "critical: queue is 1000000, above 0.5 for 1 min 1 s"),
    ],
)  # fmt: skip
def test_the_line_says_what_is_the_matter(given, line):
    """Figure, reading, threshold and time are in one line of plain English."""
    usual = {"metric": "cpu_percent", "level": "critical", "state": "firing", "observed": 97.25, "bound": 95.0}
    assert alerting.worded(**{**usual, "lasted": 300.0, "unit": "%", **given}) == line
