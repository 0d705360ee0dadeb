"""`ThreadedBackend` as its users know it: how it is built, when batches leave, what its numbers say."""

from __future__ import annotations

import functools
import math
import threading
import time
from datetime import datetime, timezone
from typing import Any

import pytest

from tests.faults.harness import (
    DEADLINE,
    FakeClock,
    FaultBackend,
    Gate,
    check_conservation,
    in_threads,
    quick,
    wait_for,
)
from time_execution import settings, time_execution, write_metric
from time_execution.backends.base import BaseMetricsBackend
from time_execution.backends.threaded import ThreadedBackend
from time_execution.delivery.retry import Backoff
from time_execution.exceptions import BackendRejected, ConfigurationError
from time_execution.types import Metric

NEVER = 60.0


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


class Recorder(FaultBackend):
    def __init__(self, *args, **kwargs):
        super().__init__()
        self.made_with = args, kwargs


# ---- how it is built -------------------------------------------------------------------------------------------------


def test_a_class_is_built_with_its_arguments():
    """A class gets `backend_args` and `backend_kwargs`."""
    delivery = ThreadedBackend(Recorder, ["host"], {"port": 1})
    assert delivery.backend.made_with == (("host",), {"port": 1})


def test_a_factory_is_called():
    """A callable that is no backend itself makes one."""
    delivery = ThreadedBackend(functools.partial(Recorder, port=0), backend_kwargs={"port": 1})
    assert delivery.backend.made_with == ((), {"port": 1})


def test_an_import_path_is_imported():
    """The path of a class names it."""
    delivery = ThreadedBackend("tests.faults.harness.FileSink", ["/tmp/nowhere"], {"delay": 0.5})
    assert (type(delivery.backend).__name__, delivery.backend.delay) == ("FileSink", 0.5)


def test_an_instance_is_used_as_it_is():
    """An instance is neither copied nor called."""
    store = FaultBackend()
    assert ThreadedBackend(store).backend is store


@pytest.mark.parametrize("path", ["nowhere.at.all", "tests.faults.harness.Nothing", "harness", "", ".", "json."])
def test_a_path_that_leads_nowhere_is_a_configuration_error(path):
    """A wrong import path fails at construction, and the error names the argument."""
    with pytest.raises(ConfigurationError, match="backend"):
        ThreadedBackend(path)


@pytest.mark.parametrize("given", [{"backend_args": ["host"]}, {"backend_kwargs": {"password": "hunter2"}}])
def test_arguments_for_an_instance_are_an_error_that_hides_them(given):
    """Arguments that nobody could use are refused, without showing them."""
    with pytest.raises(ConfigurationError) as raised:
        ThreadedBackend(FaultBackend(), **given)
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("backend", [object(), 5, None, {"name": "sqlite"}], ids=["object", "5", "None", "dict"])
def test_what_is_no_backend_is_refused_at_once(backend):
    """Something without any method to write with fails at construction, not at the first batch."""
    with pytest.raises((ConfigurationError, TypeError)):
        ThreadedBackend(backend)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *[
            (key, value)
            for key in ("queue_maxsize", "bulk_size")
            for value in (0, -1, 1.5, "10", None, True, "hunter2")
        ],
        *[(key, value) for key in ("worker_limit", "max_bytes") for value in (0, -1, 1.5, "10", False)],
        *[
            (key, value)
            for key in ("queue_timeout", "bulk_timeout", "shutdown_timeout", "block_timeout")
            for value in (-1, math.nan, math.inf, "1", None, True)
        ],
        ("overflow", "drop"),
        ("overflow", None),
        ("overflow", ["block"]),
        ("overflow", "spool"),
        ("spool", 5),
        ("spool", ""),
        ("retry", 5),
        ("retry", {"base": 1}),
        ("dead_letters", 5),
        ("clock", 5),
    ],
)
def test_a_wrong_argument_fails_at_once_and_is_named(key, value):
    """Every argument of a wrong type, or one that could not be honoured, is a ConfigurationError naming it (B9)."""
    with pytest.raises(ConfigurationError, match=key) as raised:
        ThreadedBackend(FaultBackend(), **{key: value})
    assert "hunter2" not in str(raised.value)


def test_every_parameter_of_upstream_is_taken_by_position():
    """The seed's eight parameters keep their order."""
    delivery = ThreadedBackend(Recorder, [1], {"a": 2}, 100, 0.25, 1000, 10, 0.5)
    assert delivery.backend.made_with == ((1,), {"a": 2})
    assert (delivery.channel.max_items, delivery.channel.batch_items, delivery.channel.linger) == (100, 10, 0.5)


def test_the_repr_shows_the_backend_and_no_arguments():
    """`repr` names the inner backend; what it was built with stays hidden."""
    shown = repr(ThreadedBackend(Recorder, ["hunter2"], {"password": "hunter2"}))
    assert shown == "ThreadedBackend(backend=Recorder())"


# ---- when batches leave ----------------------------------------------------------------------------------------------


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
    clock.advance(3.0)
    delivery.write("a", value=2)
    clock.advance(1.9)
    assert not wait_for(delivery, lambda: store.stored, timeout=0.05)
    clock.advance(0.2)
    assert wait_for(delivery, lambda: store.stored)
    assert store.attempts == [[1, 2]]


def test_a_bulk_size_beyond_the_queue_is_cut_to_it(deliver):
    """A queue smaller than the batch size makes a batch when it is full, not never."""
    store = FaultBackend()
    delivery = deliver(store, queue_maxsize=5, bulk_size=500, bulk_timeout=NEVER)
    for value in range(5):
        delivery.write("a", value=value)
    assert wait_for(delivery, lambda: len(store.stored) == 5)


def test_start_worker_starts_the_thread_and_only_once(deliver):
    """`start_worker` starts the one daemon thread that bears upstream's name."""
    delivery = deliver(FaultBackend())
    delivery.start_worker()
    thread = delivery._worker.thread
    delivery.start_worker()
    assert delivery._worker.thread is thread
    assert thread.daemon
    assert thread.name == "TimeExecutionThread"
    assert thread.is_alive()


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


# ---- what arrives ----------------------------------------------------------------------------------------------------


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


def test_kinds_and_units_arrive(deliver):
    """What is written by hand is a value, a metric keeps its kind and unit, a measured call is a timing."""
    store = FaultBackend()
    delivery = deliver(store)
    delivery.write("hand")
    delivery.bulk_write([{"name": "batch"}, Metric({"name": "typed"}, kind="gauge", unit="B")])
    with settings(backends=[delivery]):
        time_execution(name="timing")(lambda: None)()
    assert delivery.flush(DEADLINE)
    found = {metric["name"]: (metric.kind, metric.unit) for metric in store.stored}
    assert found == {
        "hand": ("value", None),
        "batch": ("value", None),
        "typed": ("gauge", "B"),
        "timing": ("timing", None),
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


# ---- what its numbers say --------------------------------------------------------------------------------------------

KEYS = {
    "offered",
    "accepted",
    "rejected",
    "delivered",
    "dropped",
    "pending",
    "queued",
    "in_flight",
    "spooled",
    "adopted",
    "retries",
    "retried",
    "duplicates_suppressed",
    "dead_letters",
    "bytes",
    "oldest_age",
    "last_error",
    "worker_restarts",
    "state",
    "failures",
}


def test_stats_has_every_key_from_the_start(deliver):
    """All keys are there before the first metric, and all that count are zero."""
    stats = deliver(FaultBackend()).stats()
    assert set(stats) >= KEYS
    assert {key: value for key, value in stats.items() if value} == {"state": "ok"}


def test_stats_tell_the_age_of_what_waits(deliver):
    """`oldest_age` grows while the oldest metric waits, and is zero when nothing does."""
    gate = Gate()
    delivery = deliver(FaultBackend([gate]))
    delivery.write("a", value=1)
    gate.wait()
    first = delivery.stats()["oldest_age"]
    threading.Event().wait(0.02)
    second = delivery.stats()["oldest_age"]
    assert 0.0 < first < second < DEADLINE
    gate.open.set()
    assert delivery.flush(DEADLINE)
    assert delivery.stats()["oldest_age"] == 0.0


def test_the_state_follows_the_backend(deliver):
    """`state` goes from ok over failing to open, and back with the first success."""
    clock = FakeClock(0.0)
    store = FaultBackend([OSError] * 6)
    delivery = deliver(store, clock=clock, retry=Backoff(base=1.0, cap=1.0, jitter=lambda _, high: high))
    states = [delivery.stats()["state"]]
    delivery.write("a", value=1)
    while delivery.channel.waiting() and clock.now < 100.0:
        clock.advance(0.25)
        wait_for(delivery, lambda: False, timeout=0.001)
        states.append(delivery.stats()["state"])
    order = [state for index, state in enumerate(states) if index == 0 or states[index - 1] != state]
    assert order == ["ok", "failing", "open", "ok"]
    assert delivery.stats()["last_error"] == "OSError"


def test_stats_show_no_text_of_an_error(deliver):
    """The text of an exception, which may hold a secret, is in no number of ours."""
    delivery = deliver(FaultBackend([BackendRejected("hunter2")], then=ConnectionError("hunter2")))
    delivery.write("a", value=1)
    delivery.write("a", value=1)
    assert wait_for(delivery, lambda: delivery.stats()["last_error"])
    assert "hunter2" not in str(delivery.stats())


def test_reasons_without_end_share_a_counter(deliver):
    """A server that invents a new reason for each metric cannot grow the counters."""
    from time_execution.types import Reject

    def invent(metrics):
        return [Reject(f"reason {metric['value']}") for metric in metrics]

    delivery = deliver(FaultBackend(then=invent), queue_maxsize=1000)
    for value in range(1000):
        delivery.write("a", value=value)
    assert delivery.flush(DEADLINE)
    dropped = delivery.stats()["dropped"]
    assert sum(dropped.values()) == 1000
    assert len(dropped) <= 60


def test_what_is_refused_goes_to_the_dead_letters(deliver, tmp_path):
    """Refused metrics are kept in the file, with their reason, and counted as dropped, too."""
    from time_execution.delivery.deadletter import read
    from time_execution.types import STORED, Reject

    def refuse_odd(metrics):
        return [Reject("odd", "not even") if metric["value"] % 2 else STORED for metric in metrics]

    path = tmp_path / "letters.jsonl"
    delivery = deliver(FaultBackend(then=refuse_odd), dead_letters=path)
    for value in range(10):
        delivery.write("a", value=value)
    assert delivery.flush(DEADLINE)
    stats = delivery.stats()
    assert (stats["dead_letters"], stats["dropped"]) == (5, {"odd": 5})
    assert [letter.metric["value"] for letter in read(path)] == [1, 3, 5, 7, 9]


def test_a_delivery_is_a_context_manager(deliver):
    """Leaving the block delivers everything and closes the backend, once."""
    store = FaultBackend()
    with deliver(store, bulk_timeout=NEVER) as delivery:
        delivery.write("a", value=1)
    assert store.values() == [1]
    assert store.closed == 1
    assert delivery.is_closed()


@pytest.mark.parametrize("used", [True, False])
def test_close_closes_the_backend_once(deliver, used):
    """Used or not, the backend is closed with the delivery, and only once."""
    store = FaultBackend()
    delivery = deliver(store)
    if used:
        delivery.write("a", value=1)
    delivery.close()
    delivery.close()
    assert store.closed == 1


def test_a_delivery_with_a_spool_lets_go_of_its_file(tmp_path, deliver):
    """After `close` another delivery of the same process takes over what lies in the spool, and delivers it."""
    first = deliver(FaultBackend(then=OSError), spool=tmp_path / "spool", shutdown_timeout=0.1)
    for value in range(20):
        first.write("a", value=value)
    assert wait_for(first, lambda: first.stats()["failures"])
    first.close()
    check_conservation(first.stats(), offered=20, pending=20)
    store = FaultBackend()
    second = deliver(store, spool=tmp_path / "spool")
    second.start_worker()
    assert wait_for(second, lambda: second.stats()["delivered"] == 20)
    assert sorted(store.values()) == list(range(20))
    check_conservation(second.stats(), offered=20, pending=0)
    assert second.stats()["adopted"] == 20
    check_conservation(first.stats())


def test_a_stray_backend_class_needs_a_method():
    """A subclass of our base without any of the three methods is refused when it is built."""

    class Empty(BaseMetricsBackend):
        pass

    with pytest.raises(TypeError):
        ThreadedBackend(Empty)


def test_what_the_spool_has_to_say_is_logged(tmp_path, caplog):
    """Trouble that the spool met with stands in the log, under the backend's name, once the worker holds no lock."""
    delivery = quick(FaultBackend(), spool=tmp_path / "spool")
    delivery.channel.store.news.append("the disk is full; trying again in 30 s")
    delivery.write("a", value=1)
    assert delivery.flush(DEADLINE)
    delivery.close(DEADLINE)
    assert "FaultBackend: the disk is full; trying again in 30 s" in caplog.messages
    assert not delivery.channel.store.news
