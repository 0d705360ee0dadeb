"""When a `ThreadedBackend` sends a batch, and what arrives with it."""

from __future__ import annotations

import math
import threading
import time
from datetime import datetime, timezone
from typing import Any

import pytest

from tests.faults.harness import DEADLINE, FakeClock, FaultBackend, Gate, in_threads, tick, wait_for
from time_execution import settings, time_execution, write_metric
from time_execution.types import Metric

NEVER = 60.0


def test_a_full_batch_leaves_at_once(deliver):
    """bulk_size metrics leave without waiting for bulk_timeout; the rest lingers."""
    store = FaultBackend()
    delivery = deliver(store, bulk_size=10, bulk_timeout=NEVER)
    for value in range(25):
        delivery.write("a", value=value)
    assert wait_for(delivery, lambda: len(store.stored) == 20)
    assert not wait_for(delivery, lambda: len(store.stored) > 20, timeout=0.1)
    assert store.attempts == [list(range(10)), list(range(10, 20))]
    assert delivery.stats()["queued"] == 5


def test_a_full_batch_of_measured_calls_leaves_at_once(deliver):
    """What the fast way of a measured call appends wakes the worker when the batch is full."""
    store = FaultBackend()
    delivery = deliver(store, bulk_size=10, bulk_timeout=NEVER, queue_timeout=NEVER)
    measured = time_execution(lambda: None)
    settings.configure(backends=[delivery])
    for _ in range(30):
        measured()
        time.sleep(0)
    assert wait_for(delivery, lambda: len(store.stored) == 30)


def test_a_batch_that_is_not_full_leaves_when_its_time_is_up(deliver):
    """The first metric of a batch waits bulk_timeout and takes those along that came meanwhile."""
    clock = FakeClock(0.0)
    store = FaultBackend()
    delivery = deliver(store, clock=clock, bulk_timeout=5.0)
    delivery.write("a", value=1)
    tick(delivery, clock, 3.0)
    delivery.write("a", value=2)
    tick(delivery, clock, 1.9)
    assert store.attempts == []
    tick(delivery, clock, 0.2)
    assert wait_for(delivery, lambda: store.stored)
    assert store.attempts == [[1, 2]]


def test_a_bulk_size_beyond_the_queue_is_cut_to_it(deliver):
    """A queue smaller than the batch size makes a batch when it is full, not never."""
    store = FaultBackend()
    delivery = deliver(store, queue_maxsize=5, bulk_size=500, bulk_timeout=NEVER)
    for value in range(5):
        delivery.write("a", value=value)
    assert wait_for(delivery, lambda: len(store.stored) == 5)


def test_only_the_worker_ever_calls_the_backend(deliver):
    """Batches, from however many callers, come from one thread, and the same one closes."""
    store = FaultBackend()
    closers = []
    store.close = lambda timeout=None: closers.append(threading.get_ident())  # type: ignore[method-assign]
    delivery = deliver(store, bulk_size=7)
    in_threads(8, lambda _: [delivery.write("a", value=1) for _ in range(100)])
    assert delivery.flush(DEADLINE)
    delivery.close()
    assert len(store.stored) == 800
    assert store.threads == set(closers)
    assert len(closers) == 1


def test_a_metric_arrives_as_it_was_when_it_was_written(deliver):
    """What the caller does to its dict and lists after `write` does not show (B8)."""
    store = FaultBackend()
    gate = Gate(store.keep)
    store._script.append(gate)
    delivery = deliver(store)
    delivery.write("first", value=0)
    gate.wait()
    fields: dict[str, Any] = {"tags": ["a"], "deep": {"x": [1]}}
    delivery.write("a", **fields)
    batch: list[dict[str, Any]] = [{"name": "b", "tags": fields["tags"]}]
    delivery.bulk_write(batch)
    fields["tags"].append("late")
    fields["deep"]["x"].append(2)
    batch[0]["late"] = True
    gate.open.set()
    assert delivery.flush(DEADLINE)
    assert store.stored[1]["tags"] == store.stored[2]["tags"] == ["a"]
    assert store.stored[1]["deep"] == {"x": [1]}
    assert "late" not in store.stored[2]


def test_what_is_written_is_not_changed(deliver):
    """Neither `write`, `bulk_write` nor delivery touch the caller's dicts."""
    delivery = deliver(FaultBackend())
    metric = {"name": "a", "value": 1}
    typed = Metric({"name": "b"}, kind="counter", unit="B")
    delivery.bulk_write([metric, typed])
    assert delivery.flush(DEADLINE)
    assert metric == {"name": "a", "value": 1}
    assert typed == {"name": "b"}
    assert typed.id is None


def test_kinds_units_and_labels_arrive(deliver):
    """What is written by hand is a value, a metric keeps its kind, unit and labels, a measured call is a timing."""
    store = FaultBackend()
    delivery = deliver(store)
    delivery.write("hand")
    delivery.bulk_write([{"name": "batch"}, Metric({"name": "typed"}, kind="gauge", unit="B", labels=("x",))])
    with settings(backends=[delivery]):
        time_execution(name="timing")(lambda: None)()
    assert delivery.flush(DEADLINE)
    found = {metric["name"]: (metric.kind, metric.unit, metric.labels) for metric in store.stored}
    assert found == {
        "hand": ("value", None, ()),
        "batch": ("value", None, ()),
        "typed": ("gauge", "B", ("x",)),
        "timing": ("timing", None, ()),
    }


def test_a_timestamp_is_the_moment_of_the_write(deliver):
    """An absent timestamp is filled in with the moment of the call, however long it waited; a given one stays."""
    store = FaultBackend()
    gate = Gate(store.keep)
    store._script.append(gate)
    delivery = deliver(store)
    given = datetime(2020, 1, 1, tzinfo=timezone.utc)
    delivery.write("first")
    gate.wait()
    before = datetime.now(timezone.utc)
    delivery.write("absent")
    delivery.write("given", timestamp=given)
    after = datetime.now(timezone.utc)
    threading.Event().wait(0.05)
    gate.open.set()
    assert delivery.flush(DEADLINE)
    stored = {metric["name"]: metric["timestamp"] for metric in store.stored}
    assert stored["given"] == given
    assert (before - stored["absent"]).total_seconds() < 0.002
    assert (stored["absent"] - after).total_seconds() < 0.002


def test_a_worker_that_is_held_up_between_two_clocks_looks_again(deliver, monkeypatch):
    """Timestamps are right where another thread took its turn just then."""
    store = FaultBackend()
    delivery = deliver(store, bulk_timeout=0.0)
    real, looks = time.time_ns, []

    def held_up():
        looks.append(1)
        if len(looks) < 3:
            time.sleep(0.2)
        return real()

    monkeypatch.setattr("time_execution.delivery.entry.time.time_ns", held_up)
    before = datetime.now(timezone.utc)
    delivery.write("a", value=1)
    after = datetime.now(timezone.utc)
    assert delivery.flush(DEADLINE)
    assert len(looks) >= 3
    written = store.stored[0]["timestamp"]
    assert (before - written).total_seconds() < 0.1
    assert (written - after).total_seconds() < 0.1


def test_a_backend_may_ask_for_nanoseconds(deliver):
    """A backend with `wants_nanoseconds` gets integers, whatever was written."""

    class Nano(FaultBackend):
        wants_nanoseconds = True

    store = Nano()
    delivery = deliver(store)
    delivery.write("a")
    delivery.write("b", timestamp=datetime(1970, 1, 2, tzinfo=timezone.utc))
    assert delivery.flush(DEADLINE)
    first, second = (metric["timestamp"] for metric in store.stored)
    assert type(first) is int
    assert abs(first - time.time_ns()) < 60 * 10**9
    assert second == 86400 * 10**9


def test_ids_are_unique_and_in_order(deliver):
    """Each metric has an id of its own: the process's nonce and a number that grows."""
    store = FaultBackend()
    deliveries = [deliver(store), deliver(store)]
    for delivery in deliveries:
        for value in range(50):
            delivery.write("a", value=value)
        assert delivery.flush(DEADLINE)
    parts = [str(metric.id).split("-") for metric in store.stored]
    assert len({metric.id for metric in store.stored}) == 100
    assert {len(nonce) for nonce, _ in parts} == {16}
    assert [int(number) for _, number in parts[:50]] == list(range(1, 51))


@pytest.mark.parametrize(
    "fields",
    [
        {"lock": threading.Lock()},
        {"function": lambda: 1},
        {"self": 1, "metrics": 2, "name_": 3},
        {"deep": [[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]},
        {"nan": math.nan, "inf": math.inf, "huge": 10**400},
        {"text": "\ud800"},
        {"bytes": b"\xff" * 100},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_what_no_store_can_keep_does_not_hurt_its_neighbours(deliver, fields):
    """A strange value is kept in a safe form, or its metric given up; the other metrics of the batch arrive (B3)."""
    store = FaultBackend()
    delivery = deliver(store)
    with settings(backends=[delivery]):
        write_metric("before", value=1)
        write_metric("odd", **fields)
        write_metric("after", value=1)
    assert delivery.flush(DEADLINE)
    assert [metric["name"] for metric in store.stored] == ["before", "odd", "after"]


def test_plain_backends_of_users_work_under_it(deliver):
    """A backend that has only `write(name, **data)`, without our base class, is enough."""

    class Plain:
        def __init__(self):
            self.written = []

        def write(self, name, **data):
            self.written.append((name, data))

    backend = Plain()
    delivery = deliver(backend)
    delivery.write("a", value=1)
    assert delivery.flush(DEADLINE)
    name, data = backend.written[0]
    assert (name, data.pop("value"), sorted(data)) == ("a", 1, ["timestamp"])
    delivery.close()
