"""Instruments on their way to the backends: names, kinds and units, and the levels of gauges."""

from __future__ import annotations

import time
from collections import Counter as Tally
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from time_execution import settings
from time_execution.backends.memory import MemoryBackend
from time_execution.profiler import metrics


def test_metrics_go_down_the_pipeline(own):
    """Each under its own name, with its kind, its unit, and where it was used; labels are fields."""
    settings.configure(backends=[memory := MemoryBackend()], origin="shop", hostname="h")
    counter = metrics.Counter("orders", "job", "n", labels=["kind", "name"])
    own.add_metric(counter)
    own.profile(lambda: counter.inc(2, {"kind": "book", "name": "x"}))()
    (metric,) = [metric for metric in memory.metrics if metric["name"] == "orders"]
    moment = metric.pop("timestamp")
    assert moment.utcoffset().total_seconds() == 0
    assert metric == {
        "name": "orders",
        "value": 2,
        "hostname": "h",
        "origin": "shop",
        "method": "test_profiler_levels:<lambda>",
        "item": "test_profiler_levels",
        "job": "job",
        "kind": "book",
        "name_": "x",
    }
    assert (metric.kind, metric.unit) == ("counter", "n")


def test_kinds_in_the_pipeline_follow_the_types(own):
    """Gauges give their level, states and texts are events, and all else is a value."""
    settings.configure(backends=[memory := MemoryBackend()])
    gauge = metrics.Gauge("level", "j", "u", labels=["tank"])
    for value, operation in ((5, "set"), (2, "inc"), (4, "dec")):
        getattr(gauge, operation)(value, {"tank": "a"})
    gauge.inc(1, {"tank": "b"})
    metrics.Info("about", "j").info({"version": "1"})
    metrics.Enum("mode", "j", ["up"]).state("up")
    metrics.Histogram("size", "j", "B").observe(3)
    assert [(metric["name"], metric.kind, metric.get("value")) for metric in memory.metrics] == [
        ("level", "gauge", 5),
        ("level", "gauge", 7),
        ("level", "gauge", 3),
        ("level", "gauge", 1),
        ("about", "event", None),
        ("mode", "event", None),
        ("size", "value", 3),
    ]
    assert memory.metrics[4]["info"] == {"version": "1"}
    assert memory.metrics[5]["state"] == "up"


class Slow(dict[Any, float]):
    """A dict in whose look-ups other threads come between."""

    def get(self, key, default=None):
        """Look up, and let others run before telling."""
        found = super().get(key, default)
        time.sleep(0.0001)
        return found


def test_a_gauge_s_level_is_exact_under_threads():
    """No step of many threads is lost."""
    settings.configure(backends=[memory := MemoryBackend()])
    gauge = metrics.Gauge("level", "j", "u")
    vars(gauge)["_levels"] = Slow()

    def step(_):
        for _ in range(25):
            gauge.inc(2)
            gauge.dec(1)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(step, range(8)))
    gauge.inc(0)
    assert memory.metrics[-1]["value"] == 200


def test_a_gauge_beyond_all_numbers_is_not_guessed():
    """What no number can hold does not reach the pipeline."""
    settings.configure(backends=[memory := MemoryBackend()])
    gauge = metrics.Gauge("level", "j", "u")
    for value in (1e308, 1e308, -1):
        gauge.set(value) if value < 0 else gauge.inc(value)
    assert [metric["value"] for metric in memory.metrics] == [1e308, -1]


def test_a_gauge_with_too_many_labels_is_not_guessed(own, collector, monkeypatch):
    """Beyond the bound its records are handled still, and the pipeline gets nothing rather than a wrong level."""
    monkeypatch.setattr(metrics, "_MAX_LEVELS", 2)
    settings.configure(backends=[memory := MemoryBackend()])
    gauge = metrics.Gauge("level", "j", "u", labels=["tank"])
    own.add_metric(gauge)
    for tank in "abca":
        gauge.inc(1, {"tank": tank})
    assert Tally(metric["tank"] for metric in memory.metrics) == {"a": 2, "b": 1}
    assert len(collector.records) == 4
