"""What many metrics are summed up to: series, fields, bounds, and what is refused."""

from __future__ import annotations

import math
import random
from datetime import datetime, timezone

import pytest

from tests.backends.summaries import Clock, aggregates, call, nanoseconds
from tests.faults.harness import DEADLINE
from time_execution.backends.aggregate import AggregateBackend
from time_execution.backends.base import BaseMetricsBackend
from time_execution.backends.memory import MemoryBackend
from time_execution.exceptions import ConfigurationError
from time_execution.testing import BackendContract
from time_execution.types import Metric


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def store():
    return MemoryBackend()


@pytest.fixture
def aggregate(store, clock):
    """Make an aggregate in front of the store, on the clock that the test moves."""
    with aggregates(store, clock) as make:
        yield make


class TestAggregate(BackendContract):
    """The contract, each metric an equal share of its summary."""

    keeps_fields = False
    survives_fork = False  # the child's summaries are in its own memory

    @pytest.fixture
    def backend(self, store):
        with AggregateBackend(store) as backend:
            yield backend

    def read_back(self, backend):
        backend.flush(DEADLINE)
        return [
            {"name": found["name"], "value": found.get("value"), "timestamp": found["timestamp"]}
            for found in backend.backend.backend.metrics
            for _ in range(found["count"])
        ]

    def test_timestamps_of_both_shapes_are_kept(self, backend):
        """What is kept of a moment is its interval, whichever shape it came in."""
        moment = datetime(2024, 2, 29, 12, 0, 0, 123456, tzinfo=timezone.utc)
        self.send(backend, [call(timestamp=at) for at in (moment, nanoseconds(moment))])
        first, second = self.read_back(backend)
        assert first == second
        assert (first["timestamp"].second, first["timestamp"].microsecond // 1000) == (9, 999)


# ---- summaries -------------------------------------------------------------------------------------------------------


def test_a_summary_has_all_that_is_promised(aggregate, store):
    """Count, sum, bounds, percentiles and errors, under the names of the documentation, in milliseconds still."""
    backend = aggregate()
    numbers = [float(number) for number in range(1, 101)]
    random.Random(7).shuffle(numbers)
    backend.write_many(
        [
            call("pay", number, hostname="web-1", origin="shop", **({"error_type": "E"} if number <= 3 else {}))
            for number in numbers
        ]
    )
    assert backend.flush(DEADLINE)
    (found,) = store.metrics
    assert {key: found[key] for key in ("name", "value", "count", "sum", "min", "max", "errors")} == {
        "name": "pay", "value": 50.5, "count": 100, "sum": 5050.0, "min": 1.0, "max": 100.0, "errors": 3
    }  # fmt: skip
    assert [found[f"p{number}"] for number in (50, 95, 99)] == pytest.approx([50, 95, 99], rel=0.02)
    assert (found["hostname"], found["origin"], found.kind) == ("web-1", "shop", "timing")
    assert set(found) == {
        *("name", "value", "count", "sum", "min", "max", "errors", "p50", "p95", "p99"),
        *("hostname", "origin", "timestamp"),
    }


@pytest.mark.parametrize(("kind", "value"), [("timing", 4.0), ("value", 4.0), ("counter", 12.0), ("gauge", 2.0)])
def test_the_value_is_what_the_kind_asks_for(aggregate, store, kind, value):
    """The mean of durations and values, the sum of a counter, the last of a gauge; kind and unit are kept."""
    backend = aggregate()
    backend.write_many([call(value=number, kind=kind, unit="By") for number in (3.0, 7.0, 2.0)])
    backend.flush(DEADLINE)
    (found,) = store.metrics
    assert (found["value"], found["sum"], found.kind, found.unit) == (value, 12.0, kind, "By")


def test_events_are_counted(aggregate, store):
    """They have no number, and neither has their summary."""
    backend = aggregate()
    backend.write_many([Metric({"name": "deployed"}, kind="event")] * 3)
    backend.flush(DEADLINE)
    (found,) = store.metrics
    assert found["count"] == 3
    assert not found.keys() & {"value", "sum", "min", "max", "p50"}


@pytest.mark.parametrize("odd", [None, "12", math.nan, math.inf, 10**400, [1]])
def test_what_is_no_number_counts_and_spoils_nothing(aggregate, store, odd):
    """It is one of the metrics, and has no part in sums."""
    backend = aggregate()
    backend.write_many([call(value=2.0), call(value=odd), call(value=4)])
    backend.flush(DEADLINE)
    (found,) = store.metrics
    assert (found["count"], found["sum"], found["value"], found["max"]) == (3, 6.0, 3.0, 4)


def test_percentiles_are_chosen(aggregate, store):
    """By their numbers, a point as an underscore; a single number is its own percentile."""
    backend = aggregate(percentiles=(99.9, 50))
    backend.write_many([call(value=0.123)])
    backend.flush(DEADLINE)
    (found,) = store.metrics
    assert [key for key in found if key.startswith("p")] == ["p50", "p99_9"]
    assert (found["p50"], found["p99_9"]) == (0.123, 0.123)
    close = aggregate(percentiles=(100, 99.99999, 99.99999999999999, 50.0))
    close.write_many([call()])
    close.flush(DEADLINE)
    names = [key for key in store.metrics[-1] if key.startswith("p")]
    assert names == ["p50", "p99_99999", "p99_99999999999999", "p100"]
    without = aggregate(percentiles=())
    without.write_many([call()])
    without.flush(DEADLINE)
    assert not [key for key in store.metrics[-1] if key.startswith("p")]


def test_the_number_may_have_another_name(aggregate, store):
    """The field that the settings name is read and written."""
    backend = aggregate(value_field="duration")
    backend.write_many([Metric({"name": "a", "duration": 2.0}), Metric({"name": "a", "duration": 4.0})])
    backend.flush(DEADLINE)
    assert store.metrics[0]["duration"] == 3.0
    assert "value" not in store.metrics[0]


@pytest.mark.parametrize("kind", ["value", "gauge", "counter"])
def test_a_number_written_by_hand_keeps_its_name(aggregate, store, kind):
    """However durations are called, ``write_metric`` puts its number under ``value``; so does its summary."""
    backend = aggregate(value_field="duration")
    backend.write_many([Metric({"name": "a", "value": 3.0, "duration": 99.0}, kind=kind)])
    backend.flush(DEADLINE)
    (found,) = store.metrics
    assert (found["value"], found["sum"], found.get("duration")) == (3.0, 3.0, None)


# ---- series ----------------------------------------------------------------------------------------------------------


def test_series_differ_by_name_kind_unit_and_labels(aggregate, store):
    """What must not be added up is not; a label that is absent is left out."""
    backend = aggregate(by=["status"])
    backend.write_many([
        call(status="ok"), call(status="ok"), call(status="no"), call(), call("b", status="ok"),
        call(kind="value", status="ok"), call(kind="value", unit="By", status="ok"), call(status=None),
    ])  # fmt: skip
    backend.flush(DEADLINE)
    counted = {(found["name"], found.kind, found.unit, found.get("status")): found["count"] for found in store.metrics}
    assert counted == {
        ("a", "timing", None, "ok"): 2, ("a", "timing", None, "no"): 1, ("a", "timing", None, None): 2,
        ("b", "timing", None, "ok"): 1, ("a", "value", None, "ok"): 1, ("a", "value", "By", "ok"): 1,
    }  # fmt: skip
    assert all(found.get("status", "") is not None for found in store.metrics)


def test_equal_values_of_other_types_are_other_labels(aggregate, store):
    """1, 1.0, True and "1" are told apart, and come out as they came in."""
    backend = aggregate(by="status")
    backend.write_many([call(status=status) for status in (1, 1.0, True, "1", 1, True)])
    backend.flush(DEADLINE)
    found = [(metric["status"], type(metric["status"]), metric["count"]) for metric in store.metrics]
    assert found == [(1, int, 2), (1.0, float, 1), (True, bool, 2), ("1", str, 1)]


@pytest.mark.parametrize("odd", [math.nan, [1, 2], {"a": 1}, "x" * 5000, object()])
def test_any_value_may_be_a_label(aggregate, store, odd):
    """It becomes a text of bounded length, the same for the same value."""
    backend = aggregate(by="label")
    backend.write_many([call(label=odd), call(label=odd)])
    backend.flush(DEADLINE)
    (found,) = store.metrics
    assert found["count"] == 2
    assert isinstance(found["label"], str)
    assert len(found["label"]) <= 257


def test_hosts_that_differ_are_left_out(aggregate, store):
    """A summary of several hosts has none, nor has one where some are not known."""
    backend = aggregate()
    backend.write_many([call("a", hostname="x", origin="o"), call("a", hostname="y", origin="o")])
    backend.write_many([call("b", hostname="x"), call("b"), call("b", hostname="x")])
    backend.flush(DEADLINE)
    first, second = store.metrics
    assert "hostname" not in first
    assert first["origin"] == "o"
    assert "hostname" not in second


def test_series_are_bounded(aggregate, store):
    """Case B6: 100 000 names make so many series and one more, in which all others count."""
    backend = aggregate(max_series=100, percentiles=())
    backend.write_many([call(f"n{number}", 1.0, hostname="h") for number in range(100_000)])
    backend.write_many([call("n5", 1.0)])
    stats = backend.stats()
    assert (stats["series"], stats["overflowed"], stats["waiting"]) == (101, 99_900, 100_001)
    assert backend.flush(DEADLINE)
    counts = {found["name"]: found["count"] for found in store.metrics}
    assert len(counts) == 101
    assert (counts["__overflow__"], counts["n5"], sum(counts.values())) == (99_900, 2, 100_001)
    assert backend.stats()["series"] == 0


# ---- what is refused -------------------------------------------------------------------------------------------------


class NoBackend(BaseMetricsBackend):
    """Made only to fail."""

    def __init__(self) -> None:
        raise ValueError("password=hunter2")

    def write(self, name, **data):
        pass


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"interval": 0}, "^interval must be a number of seconds, from 10 ms to a day$"),
        ({"interval": True}, "^interval must be"),
        ({"interval": "10s"}, "^interval must be"),
        ({"interval": math.nan}, "^interval must be"),
        ({"by": 5}, "^by must be a list of names of fields$"),
        ({"by": [5]}, "^by must be a list"),
        ({"by": ["value"]}, "^by must not name count, errors, max"),
        ({"by": ["value"], "value_field": "duration"}, "^by must not name"),
        ({"by": ["p95"]}, "^by must not name"),
        ({"percentiles": [0]}, "^percentiles must be a list of numbers above 0 and up to 100$"),
        ({"percentiles": [101]}, "^percentiles must be"),
        ({"percentiles": 50}, "^percentiles must be"),
        ({"max_series": 0}, "^max_series must be a whole number of at least 1, got 0$"),
        ({"value_field": "count"}, "^value_field must be the name of a field other than count, errors"),
        ({"value_field": 5}, "^value_field must be"),
        ({"backend": 5}, "^AggregateBackend: backend: got an int, which has no write"),
        ({"backend": NoBackend}, "^AggregateBackend: backend: making NoBackend without arguments failed"),
    ],
)
def test_wrong_arguments_are_refused_at_once(options, message):
    """Case B9: the key is named, and no value is shown."""
    with pytest.raises(ConfigurationError, match=message) as caught:
        AggregateBackend(**{"backend": MemoryBackend, **options})
    assert "hunter2" not in str(caught.value)
