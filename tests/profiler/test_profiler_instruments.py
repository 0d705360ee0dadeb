"""The instruments: what each operation records, what is refused without a word to the caller, and custom ones."""

from __future__ import annotations

import enum
import logging
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import time_execution
from time_execution.exceptions import ConfigurationError
from time_execution.profiler import Profiler, metrics
from time_execution.testing.hostile import hostile_values


class Level(enum.IntEnum):
    """A number by a name."""

    HIGH = 3


OPERATIONS = [
    (metrics.Histogram("m", "j", "u"), "observe", 1.5, "histogram", ("observe", 1.5)),
    (metrics.Histogram("m", "j", "u"), "observe", -2, "histogram", ("observe", -2)),
    (metrics.Summary("m", "j", "u"), "observe", 0, "summary", ("observe", 0)),
    (metrics.Counter("m", "j", "u"), "inc", 2, "counter", ("inc", 2)),
    (metrics.Counter("m", "j", "u"), "inc", Level.HIGH, "counter", ("inc", 3)),
    (metrics.Gauge("m", "j", "u"), "inc", 2.5, "gauge", ("inc", 2.5)),
    (metrics.Gauge("m", "j", "u"), "dec", 1, "gauge", ("dec", 1)),
    (metrics.Gauge("m", "j", "u"), "set", -7, "gauge", ("set", -7)),
    (metrics.Info("m", "j"), "info", {"version": "1"}, "info", ("info", {"version": "1"})),
    (metrics.Info("m", "j"), "info_", {"version": "2"}, "info", ("info", {"version": "2"})),
    (metrics.Enum("m", "j", {"up", "down"}), "state", "up", "enum", ("state", "up")),
    (metrics.Enum("m", "j", states=["up"], units="u"), "state", "up", "enum", ("state", "up")),
]


@pytest.mark.parametrize(("metric", "operation", "value", "kind", "stored"), OPERATIONS)
def test_each_operation_is_recorded(own, collector, metric, operation, value, kind, stored):  # noqa: PLR0917
    """With the type of the metric, inside the call that it is used in; integers are as good as floats."""
    own.add_metric(metric)
    own.profile(lambda: getattr(metric, operation)(value))()
    name, (record,) = collector.handed[-1]
    assert (name, record["metric"], record["job"], record["value"]) == ("m", kind, "j", stored)
    assert record["units"] == {"info": "info", "enum": "enum"}.get(kind, "u") or metric.units == "u"
    assert record["method"].startswith("test_profiler_instruments:<lambda>")
    assert own.stats()["instrument"] == {}


def test_a_gauge_can_be_set_to_the_time(own, collector):
    """In seconds since the epoch."""
    gauge = metrics.Gauge("seen", "j", "s")
    own.add_metric(gauge)
    before = time.time()
    gauge.set_to_current_time()
    operation, value = collector.records[0]["value"]
    assert operation == "set"
    assert before <= value <= time.time()


WRONG = [
    ("Histogram", "observe", ["1", None, True, float("nan"), float("inf"), 10**400, Decimal(1), [1], object()]),
    ("Summary", "observe", ["1", None]),
    ("Counter", "inc", [-1, -0.1, "1", None]),
    ("Gauge", "inc", [-1, "x"]),
    ("Gauge", "dec", [-1, None]),
    ("Gauge", "set", ["1", float("-inf")]),
    ("Info", "info", ["text", None, [("a", 1)]]),
    ("Enum", "state", ["sideways", None, ["up"]]),
]


@pytest.mark.parametrize(("kind", "operation", "values"), WRONG)
def test_wrong_values_are_logged_and_counted_and_never_raised(  # noqa: PLR0917
    own, collector, caplog, kind, operation, values
):
    """One line for all of a kind within a window; each is counted; none is recorded."""
    third: Any = {"up", "down"} if kind == "Enum" else "u"
    metric = getattr(metrics, kind)("m", "j", third)
    own.add_metric(metric)

    @own.profile
    def call():
        for value in values:
            getattr(metric, operation)(value)
        return "done"

    assert call() == "done"
    assert own.stats()["instrument"] == {f"m.{operation}: wrong value": len(values)}
    assert time_execution.stats()["errors"]["instrument"] == own.stats()["instrument"]
    assert [name for name, _ in collector.handed] == ["time_profiler"]
    (line,) = [record.message for record in caplog.records]
    assert line.startswith(f"metric 'm': {operation}() takes ")


def test_lines_tell_types_and_no_texts(own, caplog):
    """What was given may be a secret in the wrong place."""
    metric = metrics.Counter("m", "j", "u")
    own.add_metric(metric)
    metric.inc("hunter2")
    assert [record.message for record in caplog.records] == [
        "metric 'm': inc() takes a finite number of at least 0, not a str; it is not recorded"
    ]


LABELS = [
    None,
    {},
    {"a": "1"},
    {"a": "1", "b": "2", "c": "3"},
    {"a": "1", "b": "2", "error_raised": True},
    "ab",
    {"a": "1", "b": []},
]


@pytest.mark.parametrize("given_labels", LABELS)
def test_wrong_labels_are_counted_and_never_raised(own, collector, caplog, given_labels):
    """Each operation has to give a value for each label, and for no other."""
    metric = metrics.Gauge("m", "j", "u", labels=["a", "b"])
    own.add_metric(metric)
    metric.set(1, given_labels)
    assert own.stats()["instrument"] == {"m.set: wrong labels": 1}
    assert collector.handed == []
    assert len(caplog.records) == 1


def test_right_labels_are_recorded(own, collector):
    """In a copy, so that what the caller does to them later does not show; by either name."""
    metric = metrics.Counter("m", "j", "u", labels={"a", "b"})
    own.add_metric(metric)
    labels = {"a": "1", "b": True}

    @own.profile
    def call():
        metric.inc(1, labels)
        metric.inc(1, label_values={"a": "x", "b": 2})
        labels["a"] = "changed"

    call()
    assert [record["labels"] for record in collector.handed[-1][1]] == [{"a": "1", "b": True}, {"a": "x", "b": 2}]


@pytest.mark.parametrize("is_added", [True, False])
def test_the_error_label_is_added_to_every_metric(own, collector, is_added):
    """Nobody gives it, and nobody has to name it; also to one that is but used inside of a call."""
    metric = metrics.Counter("m", "j", "u", labels=["a"])
    if is_added:
        own.add_metric(metric)
    own.error_raised_label = True
    own.after_func = lambda fn_result, args, kwargs: metric.inc(1, {"a": "after"})

    @own.profile
    def fails():
        metric.inc(1, {"a": "inside"})
        raise LookupError

    with pytest.raises(LookupError):
        fails()
    assert [record["labels"] for record in collector.handed[-1][1]] == [
        {"a": "inside", "error_raised": False},
        {"a": "after", "error_raised": True},
    ]


def test_a_dict_of_info_is_copied(own, collector):
    """What is in it is made plain, and later changes do not show."""
    metric = metrics.Info("m", "j")
    own.add_metric(metric)
    value = {"list": [1], "odd": object()}

    @own.profile
    def call():
        metric.info(value)
        value["list"].append(2)

    call()
    assert collector.handed[-1][1][0]["value"] == ("info", {"list": [1], "odd": "<builtins.object>"})


@given(st.sampled_from(sorted(hostile_values())), st.sampled_from(["observe", "inc", "dec", "set", "info", "state"]))
def test_no_value_whatever_reaches_the_caller_as_an_exception(name, operation):
    """It is recorded or counted, one of the two."""
    profiler, handed = Profiler(), []
    handler = type("Handler", (), {"handler_name": "h", "handle": lambda _, records, name: handed.extend(records)})()
    profiler.config(job="j", time_profile=False)
    profiler.add_handler(handler)
    kinds = {"observe": "Histogram", "info": "Info", "state": "Enum"}
    kind = getattr(metrics, kinds.get(operation, "Gauge"))
    metric = kind("m", "j", ["up"]) if kind is metrics.Enum else kind("m", "j", "u")
    profiler.add_metric(metric)
    getattr(metric, operation)(hostile_values()[name])
    assert len(handed) + sum(profiler.stats()["instrument"].values()) == 1


WRONG_TYPE: Any = [1]
UNHASHABLE: Any = [["a"]]
CONSTRUCTIONS: list[tuple[Callable[[], object], str]] = [
    (lambda: metrics.Enum("m", "j"), "states must name at least one"),
    (lambda: metrics.Enum("m", "j", []), "states must name at least one"),
    (lambda: metrics.Enum("m", "j", "up"), "states must be a list of names"),
    (lambda: metrics.Enum("m", "j", WRONG_TYPE), "states must be texts"),
    (lambda: metrics.Counter("", "j", "u"), "name must be a text"),
    (lambda: metrics.Counter(None, "j", "u"), "name must be a text, not None"),
    (lambda: metrics.Counter("m", 5, "u"), "job must be a text"),
    (lambda: metrics.Counter("m", "j", None), "units must be a text"),
    (lambda: metrics.Gauge("m", "j", "u", "label"), "labels must be a list of names, not a str"),
    (lambda: metrics.Gauge("m", "j", "u", WRONG_TYPE), "labels must be texts"),
    (lambda: metrics.Gauge("m", "j", "u", UNHASHABLE), "labels must be texts, not a list"),
    (lambda: metrics.Counter("m", "j", "u", logger=5), "logger must be a logger or its name, not int"),
    (lambda: metrics.Counter("m", "j", "u", logger=Mute()), "logger must be a logger or its name, not Mute"),
    (lambda: Profiler().add_metric("m"), "takes a metric, not a str"),
]


class Mute:
    """Has what logs at a level, and nothing to warn by."""

    def log(self, level, message, *arguments):
        """Say nothing."""

    def isEnabledFor(self, level):
        """Take any."""
        return True


@pytest.mark.parametrize(("construct", "message"), CONSTRUCTIONS)
def test_mistakes_in_making_a_metric_are_loud(construct, message):
    """They are raised where they are made."""
    with pytest.raises(ConfigurationError, match=message):
        construct()


def test_a_metric_outside_of_any_call_is_handled_at_once(own, collector):
    """With an empty method, by the profiler that it was added to."""
    metric = metrics.Counter("m", "j", "u")
    own.add_metric(metric)
    metric.inc()
    assert [(record["method"], record["item"]) for record in collector.records] == [("", "")]


def test_a_metric_that_nobody_added_is_recorded_inside_calls(own, collector):
    """And outside of any there is nobody to hand it to."""
    metric = metrics.Counter("m", "j", "u")
    metric.inc()
    assert collector.handed == []
    own.profile(metric.inc)()
    assert [name for name, _ in collector.handed] == ["time_profiler", "m"]


def test_a_deleted_metric_records_nothing(own, collector):
    """Neither through its profiler nor through whatever call is under way; nor is one that another has replaced."""
    metric, other = metrics.Counter("m", "j", "u"), metrics.Counter("m", "j", "u")
    own.add_metric(metric)
    own.add_metric(other)
    work = own.profile(lambda: (metric.inc(), other.inc(2)))
    work()
    assert [record["value"] for record in collector.handed[-1][1]] == [("inc", 2)]
    own.delete_metric("m")
    work()
    assert collector.handed[-1][0] == "time_profiler"


def test_what_is_switched_off_is_not_even_refused(own):
    """With `handle_records=False` nothing is looked at."""
    metric = metrics.Counter("m", "j", "u")
    own.add_metric(metric)
    own.handle_records = False
    metric.inc("wrong")
    assert own.stats()["instrument"] == {}


def test_a_logger_of_the_metric_s_own_is_told(own, caplog):
    """Its own goes before the profiler's, and that before the package's; each once within the window."""
    loggers = [logging.getLogger(name) for name in ("of.metric", "of.profiler")]
    own.config(loggers[1], job="j")
    for logger in (loggers[0], None):
        metric = metrics.Counter(f"m{logger}", "j", "u", logger=logger)
        own.add_metric(metric)
        metric.inc(None)
        metric.inc(None)
    assert [record.name for record in caplog.records] == ["of.metric", "of.profiler"]


class Shipments(metrics.Counter):
    """Adds up until it is handled."""

    def __init__(self, name, job, units, labels):
        super().__init__(name, job, units, labels)
        self.count = 0
        self.cleanups = 0

    def ship(self, value, labels):
        """Record the sum so far."""
        self.count += value
        self.inc(self.count, labels)

    def cleanup(self):
        """Begin at 0 again."""
        super().cleanup()
        self.count = 0
        self.cleanups += 1


@pytest.mark.parametrize("is_added", [True, False])
def test_a_custom_metric_is_cleaned_up_after_it_was_handled(own, collector, is_added):
    """Whether it was added or not, so it begins anew with the next root."""
    metric = Shipments("m", "j", "u", labels=["to"])
    if is_added:
        own.add_metric(metric)

    @own.profile
    def root():
        metric.ship(2, {"to": "a"})
        metric.ship(3, {"to": "b"})

    root()
    root()
    shipped = [record["value"][1] for name, records in collector.handed if name == "m" for record in records]
    assert shipped == [2, 5, 2, 5]
    assert metric.cleanups == 2


def test_a_cleanup_that_raises_is_counted(own, collector):
    """And stops there."""

    class Broken(metrics.Counter):
        def cleanup(self):
            raise ValueError("cleanup")

    own.add_metric(Broken("m", "j", "u"))
    assert own.profile(lambda: 1)() == 1
    assert own.stats()["callback"] == {"m.cleanup: ValueError": 1}


def test_a_class_without_a_name_is_told_of(own):
    """A wrong value whose class has an empty name is refused as any other, and not raised."""
    counter = metrics.Counter("c", "tests", "u")
    own.add_metric(counter)
    counter.inc(type("", (), {})())
    assert own.stats()["instrument"] == {"c.inc: wrong value": 1}
