"""From a metric to the backends: write_metric, emit, and what a backend of each shape is handed."""

from __future__ import annotations

import datetime as dt
import gc
import logging
from typing import Any

import pytest

from tests.kept import Kept, kept_fixture  # noqa: F401 - a fixture is asked for by name
from time_execution import flush, settings, stats, time_execution, write_metric
from time_execution.backends.base import BaseMetricsBackend
from time_execution.backends.threaded import ThreadedBackend
from time_execution.exceptions import BackendRejected
from time_execution.pipeline import emit
from time_execution.types import Metric, Reject, Retry


class Batches(BaseMetricsBackend):
    """Takes batches, as our own stores do."""

    def __init__(self) -> None:
        self.batches: list[list[Metric]] = []

    def write_many(self, metrics):
        self.batches.append(list(metrics))


class Bulk:
    """Upstream's shape: it has bulk_write beside write, and no base class."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def write(self, name, **data):
        self.calls.append((name, data))

    def bulk_write(self, metrics):
        self.calls.append([dict(metric) for metric in metrics])


class Refusing(BaseMetricsBackend):
    """Says of each metric what it is told to say."""

    def __init__(self, result: Reject | Retry) -> None:
        self.result = result

    def write_many(self, metrics):
        return [self.result for _ in metrics]


class Raising:
    """Cannot store anything."""

    def __init__(self, error: BaseException) -> None:
        self.error = error
        self.offered = 0

    def write(self, name, **data):
        self.offered += 1
        raise self.error


# ---- write_metric --------------------------------------------------------------------------------------------------


def test_metric_written_by_hand_has_its_own_fields_only():
    """Neither defaults nor hooks touch it: a direct backend sees exactly what was written."""
    backend = Kept()
    settings.configure(backends=[backend], hooks=[lambda **_: {"hooked": True}], origin="shop")
    write_metric("cpu.load.1m", value=0.25)
    write_metric(name="cpu.load.5m", value=0.5, host="a")
    write_metric("nothing")
    assert backend.metrics == [
        {"name": "cpu.load.1m", "value": 0.25},
        {"name": "cpu.load.5m", "value": 0.5, "host": "a"},
        {"name": "nothing"},
    ]


@pytest.mark.parametrize("field", ["self", "cls", "metrics", "metric", "fields", "kind", "timestamp", "hostname", "id"])
def test_any_field_can_be_written(field):
    """No parameter of ours collides with a field; what a backend's signature cannot take gets an underscore."""
    plain, batches, upstream, queued = Kept(), Batches(), Bulk(), Kept()
    threaded = ThreadedBackend(queued, bulk_timeout=0.01)
    settings.configure(backends=[plain, batches, upstream, threaded])
    write_metric("a.b", **{field: "given"})
    assert flush(10)
    there = f"{field}_" if field == "self" else field
    assert plain.metrics == [{"name": "a.b", there: "given"}]
    assert dict(batches.batches[0][0]) == {"name": "a.b", field: "given"}
    assert upstream.calls == [[{"name": "a.b", field: "given"}]]
    assert queued.metrics[0][there] == "given"
    assert stats()["errors"] == {"hook": {}, "backend": {}}


def test_field_that_steps_aside_does_so_for_one_backend_only():
    """Each backend gets a field under its own name unless its own signature is in the way."""

    class Other:
        def __init__(self) -> None:
            self.got: list[dict[str, Any]] = []

        def write(this, name, **data):
            this.got.append(data)

    kept, other = Kept(), Other()
    settings.configure(backends=[kept, other])
    write_metric("a.b", self=1, this=2)
    assert kept.metrics == [{"name": "a.b", "self_": 1, "this": 2}]
    assert other.got == [{"self": 1, "this_": 2}]


def test_timestamp_is_stamped_by_a_queue_when_absent_and_kept_when_given():
    """A queue adds the moment of writing, as an aware datetime; it does not overwrite one."""
    store = Kept()
    settings.configure(backends=[ThreadedBackend(store, bulk_timeout=0.01)])
    before = dt.datetime.now(dt.timezone.utc)
    write_metric("without", value=1)
    after = dt.datetime.now(dt.timezone.utc)
    given = dt.datetime(2020, 2, 3, 4, 5, 6, 789, tzinfo=dt.timezone.utc)
    write_metric("with", value=1, timestamp=given)
    assert flush(10)
    slack = dt.timedelta(milliseconds=5)
    assert before - slack <= store.metrics[0]["timestamp"] <= after + slack
    assert store.metrics[1]["timestamp"] == given


def test_nothing_is_written_when_switched_off(kept: Kept):
    """`enabled=False` silences metrics written by hand, too."""
    settings.configure(enabled=False)
    write_metric("a.b", value=1)
    assert kept.metrics == []


def test_what_the_caller_changes_after_writing_does_not_show():
    """A queued metric is what it was when written (B8)."""
    store = Kept()
    threaded = ThreadedBackend(store, bulk_timeout=60)
    settings.configure(backends=[threaded])
    tags = ["a"]
    deep = {"k": [1]}
    write_metric("a.b", tags=tags, deep=deep)
    tags.append("b")
    deep["k"].append(2)
    assert flush(10)
    assert (store.metrics[0]["tags"], store.metrics[0]["deep"]) == (["a"], {"k": [1]})


# ---- emit ----------------------------------------------------------------------------------------------------------


def test_emit_keeps_kind_and_unit_and_changes_nothing():
    """A source's metric reaches a batch backend with its attributes, and stays the source's own."""
    batches, plain = Batches(), Kept()
    settings.configure(backends=[plain, batches])
    metric = Metric({"name": "queue.length", "value": 3, "self": 1}, kind="gauge", unit="items")
    emit(metric)
    assert metric == {"name": "queue.length", "value": 3, "self": 1}
    ((got,),) = batches.batches
    assert got == metric
    assert got is not metric
    assert (got.kind, got.unit) == ("gauge", "items")
    assert plain.metrics == [{"name": "queue.length", "value": 3, "self_": 1}]


def test_batch_backends_do_not_share_one_metric():
    """What one backend does to its metric, another does not see."""

    class Spoiler(BaseMetricsBackend):
        def write_many(self, metrics):
            for metric in metrics:
                metric.clear()

    batches, plain = Batches(), Kept()
    settings.configure(backends=[Spoiler(), batches, Spoiler(), plain])
    write_metric("a.b", value=1)
    assert batches.batches == [[{"name": "a.b", "value": 1}]]
    assert plain.metrics == [{"name": "a.b", "value": 1}]


def test_plain_call_is_a_timing_and_a_written_metric_a_value():
    """Backends that tell kinds apart can."""
    batches = Batches()
    settings.configure(backends=[batches])
    time_execution(name="timed")(lambda: 1)()
    write_metric("written", value=1)
    assert [(batch[0]["name"], batch[0].kind) for batch in batches.batches] == [
        ("timed", "timing"),
        ("written", "value"),
    ]


# ---- what backends raise -------------------------------------------------------------------------------------------


def test_backend_that_raises_keeps_nothing_from_the_others():
    """Each backend stands alone, and the trouble is counted by backend and kind."""
    first, last = Kept(), Kept()
    bad = Raising(OSError("down"))
    settings.configure(backends=[first, bad, last])
    work = time_execution(name="a.b")(lambda: 7)
    assert [work(), work()] == [7, 7]
    write_metric("c", value=1)
    assert first.names == last.names == ["a.b", "a.b", "c"]
    assert stats()["errors"]["backend"] == {"Raising: OSError": 3}


@pytest.mark.parametrize(
    ("result", "error"), [(Reject("too_old", "at 1970"), "BackendRejected"), (Retry("busy"), "BackendUnavailable")]
)
def test_refusal_of_a_direct_backend_is_counted(result, error):
    """A direct backend that says no loses the metric, and that is counted."""
    settings.configure(backends=[Refusing(result)])
    write_metric("a.b", value=1)
    assert stats()["errors"]["backend"] == {f"Refusing: {error}": 1}


def test_trouble_is_logged_once_a_window(caplog):
    """A backend that is down for a thousand calls fills no log, and no text of its error is in it."""

    class FirstSeenHere(OSError):
        pass

    settings.configure(backends=[Raising(FirstSeenHere("host db.example:5432 refused"))])
    with caplog.at_level(logging.DEBUG, "time_execution"):
        for _ in range(1000):
            write_metric("a.b", value=1)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "FirstSeenHere" in caplog.text
    assert "db.example" not in caplog.text
    assert stats()["errors"]["backend"] == {"Raising: FirstSeenHere": 1000}


def test_raise_errors_lets_a_backends_exception_through():
    """In tests one wants to see it."""
    error = BackendRejected("no")
    settings.configure(backends=[Raising(error)], raise_errors=True)
    with pytest.raises(BackendRejected) as caught:
        write_metric("a.b", value=1)
    assert caught.value is error
    with pytest.raises(BackendRejected):
        time_execution(name="a.b")(lambda: 7)()


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_is_no_exception_passes_and_leaves_nothing_behind(error):
    """Ctrl-C inside a backend is Ctrl-C, and the next call is measured as ever."""
    backend = Raising(error())
    settings.configure(backends=[backend])
    work = time_execution(name="a.b")(lambda: 7)
    with pytest.raises(error):
        work()
    with pytest.raises(error):
        write_metric("a.b", value=1)
    after = Kept()
    settings.configure(backends=[after])
    assert work() == 7
    assert after.names == ["a.b"]
    assert stats()["errors"] == {"hook": {}, "backend": {}}


# ---- backends and hooks that measure themselves --------------------------------------------------------------------


class Measured:
    """A backend whose own method is measured, and that writes a metric while it writes one."""

    def __init__(self) -> None:
        self.names: list[str] = []

    @time_execution(name="backend.write")
    def write(self, name, **data):
        self.names.append(name)
        write_metric("from.the.backend", value=1)


def test_direct_backend_that_measures_itself_does_not_go_on_for_ever():
    """What a direct backend measures or writes about its own work is counted, and not written again (P10)."""
    backend = Measured()
    settings.configure(backends=[backend])
    work = time_execution(name="a.b")(lambda: 7)
    assert [work(), work()] == [7, 7]
    write_metric("c", value=1)
    assert backend.names == ["a.b", "a.b", "c"]
    errors = stats()["errors"]
    assert sum(errors["hook"].values()) == 3
    assert sum(errors["backend"].values()) == 3


def test_queued_backend_that_measures_itself_is_counted_as_reentrant():
    """What the worker itself measures is rejected and counted, so that the queue comes to rest (P10)."""
    backend = Measured()
    threaded = ThreadedBackend(backend, bulk_timeout=0.01)
    settings.configure(backends=[threaded])
    time_execution(name="a.b")(lambda: 7)()
    assert flush(10)
    counted = threaded.stats()
    assert backend.names == ["a.b"]
    assert counted["rejected"] == {"reentrant": 2}
    assert counted["offered"] == 3


def test_hook_may_write_metrics_and_call_measured_functions():
    """A hook's own metric is written once; a measured function that it calls runs, and is counted instead."""
    backend = Kept()
    helper = time_execution(name="helper")(lambda: 1)

    def hook(**_):
        write_metric("from.the.hook", value=helper())

    settings.configure(backends=[backend], hooks=[hook])
    assert time_execution(name="a.b")(lambda: 7)() == 7
    assert backend.names == ["from.the.hook", "a.b"]
    assert stats()["errors"]["hook"] == {"helper: reentrant": 1}


def test_log_handler_that_measures_itself_is_harmless():
    """A measured handler that our own warning reaches neither recurses nor raises (P10)."""
    records = []

    class OnlyHere(OSError):
        pass

    class Handler(logging.Handler):
        @time_execution(name="handler.emit")
        def emit(self, record):
            records.append(record.getMessage())
            write_metric("logged", value=1)

    handler = Handler()
    logging.getLogger("time_execution").addHandler(handler)
    try:
        settings.configure(backends=[Raising(OnlyHere("down"))])
        assert time_execution(name="a.b")(lambda: 7)() == 7
    finally:
        logging.getLogger("time_execution").removeHandler(handler)
    assert len(records) == 1


def test_finaliser_that_writes_a_metric_in_the_middle_of_a_write_is_harmless():
    """The garbage collector may run anywhere, and what it ends may write (P10)."""
    backend = Kept()

    class Dying:
        def __init__(self) -> None:
            self.me = self

        def __del__(self) -> None:
            write_metric("dying", value=1)

    def hook(**_):
        Dying()
        gc.collect()

    settings.configure(backends=[backend], hooks=[hook])
    assert time_execution(name="a.b")(lambda: 7)() == 7
    assert sorted(backend.names) == ["a.b", "dying"]
