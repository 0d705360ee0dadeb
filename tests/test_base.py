"""The base of all backends: three methods of which each gives the others, and backends that do not extend it."""

from __future__ import annotations

import copy
import datetime as dt
import time
from typing import Any

import pytest

from time_execution import flush, settings, time_execution, write_metric
from time_execution.backends.base import (
    BaseMetricsBackend,
    batch_sender,
    plain_writer,
    raise_unless_stored,
    single_sender,
)
from time_execution.backends.threaded import ThreadedBackend
from time_execution.exceptions import BackendError, BackendRejected, BackendUnavailable
from time_execution.types import STORED, Metric, Reject, Retry, Stored

MOMENT = dt.datetime(2024, 1, 2, 3, 4, 5, 678_901, tzinfo=dt.timezone.utc)
NANOSECONDS = 1_704_164_645_678_901_000


class ByWrite(BaseMetricsBackend):
    """Overrides `write`."""

    def __init__(self, *errors: BaseException | None) -> None:
        self.seen: list[dict[str, Any]] = []
        self.errors = list(errors)

    def write(self, name, **data):
        error = self.errors.pop(0) if self.errors else None
        if error is not None:
            raise error
        self.seen.append({"name": name, **data})


class ByBulkWrite(BaseMetricsBackend):
    """Overrides `bulk_write`, as backends of the older library do."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []

    def bulk_write(self, metrics):
        assert type(metrics) is list
        self.seen += [dict(metric) for metric in metrics]


class ByWriteMany(BaseMetricsBackend):
    """Overrides `write_many`."""

    def __init__(self, *results: Any) -> None:
        self.seen: list[dict[str, Any]] = []
        self.results = results

    def write_many(self, metrics):
        self.seen += [dict(metric) for metric in metrics]
        return self.results or None


class InNanoseconds(ByWriteMany):
    """Wants integers."""

    wants_nanoseconds = True


@pytest.mark.parametrize("make", [ByWrite, ByBulkWrite, ByWriteMany])
def test_each_method_gives_the_other_two(make):
    """Whichever is overridden, metrics arrive through all three."""
    backend = make()
    backend.write("a", value=1)
    backend.bulk_write([{"name": "b", "value": 2}, {"name": "c"}])
    assert backend.write_many([Metric({"name": "d", "self": 3})]) in (None, [STORED])
    field = "self_" if make is ByWrite else "self"
    assert backend.seen == [
        {"name": "a", "value": 1},
        {"name": "b", "value": 2},
        {"name": "c"},
        {"name": "d", field: 3},
    ]


def test_subclass_that_can_store_nothing_is_refused_when_constructed():
    """The mistake shows before the first metric, in words that say what to do."""

    class Nothing(BaseMetricsBackend):
        def close(self, timeout=None):
            """Not enough."""

    with pytest.raises(TypeError, match="Nothing overrides none of write"):
        Nothing()
    with pytest.raises(TypeError):
        BaseMetricsBackend()


def test_subclass_of_a_backend_inherits_its_way_to_store():
    """What a parent overrides counts for its children."""

    class Child(ByWrite):
        pass

    child = Child()
    child.bulk_write([{"name": "a"}])
    assert child.seen == [{"name": "a"}]


def test_own_write_beside_a_batch_method_is_kept():
    """A backend that overrides two methods gets each called for what it is for."""

    class Two(ByBulkWrite):
        def write(self, name, **data):
            self.seen.append({"alone": name})

    two = Two()
    two.write("a")
    two.bulk_write([{"name": "b"}])
    assert two.seen == [{"alone": "a"}, {"name": "b"}]


def test_rejected_metric_keeps_no_other_from_the_store():
    """One by one, a rejection speaks for one metric; the rest is tried, and the first is raised at the end."""
    backend = ByWrite(None, BackendRejected("no"), None)
    with pytest.raises(BackendRejected, match="no"):
        backend.bulk_write([{"name": "a"}, {"name": "b"}, {"name": "c"}])
    assert [metric["name"] for metric in backend.seen] == ["a", "c"]
    backend = ByWrite(None, BackendRejected("no"), None)
    results = backend.write_many([Metric({"name": name}) for name in "abc"])
    assert results is not None
    assert list(results) == [STORED, Reject("BackendRejected", "no"), STORED]


def test_other_exceptions_end_a_batch_with_what_was_stored():
    """Anything else that `write` raises leaves those before it stored, and says nothing of those after."""
    backend = ByWrite(None, OSError("down"))
    results = iter(batch_sender(backend)([Metric({"name": name}) for name in "abc"]) or ())
    assert next(results) == STORED
    with pytest.raises(OSError, match="down"):
        next(results)
    assert [metric["name"] for metric in backend.seen] == ["a"]


@pytest.mark.parametrize(
    ("results", "error", "text"),
    [
        ([STORED, Reject("too_old", "1970")], BackendRejected, "too_old: 1970"),
        ([Reject("bad")], BackendRejected, "^bad$"),
        ([Stored(duplicate=True), Retry("busy"), Reject("late")], BackendUnavailable, "busy"),
    ],
)
def test_first_result_that_is_not_stored_is_raised(results, error, text):
    """Who writes directly learns of a refusal by an exception."""
    with pytest.raises(error, match=text) as caught:
        raise_unless_stored(results)
    assert isinstance(caught.value, BackendError)
    with pytest.raises(error):
        ByWriteMany(*results).bulk_write([{"name": "a"}] * len(results))
    with pytest.raises(error):
        ByWriteMany(*results).write("a")


@pytest.mark.parametrize("results", [None, [], [STORED], (Stored(duplicate=True),)])
def test_stored_is_no_error(results):
    """None, nothing and stored are all well."""
    assert raise_unless_stored(results) is None


# ---- timestamps ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [MOMENT, NANOSECONDS], ids=["datetime", "nanoseconds"])
def test_timestamp_has_the_shape_that_the_backend_wants(given):
    """Integer nanoseconds for a backend that asks, an aware datetime for all others."""
    for make, wanted in ((ByWrite, MOMENT), (ByBulkWrite, MOMENT), (InNanoseconds, NANOSECONDS)):
        backend = make()
        batch_sender(backend)([Metric({"name": "a", "timestamp": given})])  # ByWrite is lazy: consumed below
        if make is ByWrite:
            list(batch_sender(backend)([Metric({"name": "a", "timestamp": given})]) or ())
        assert backend.seen[-1]["timestamp"] == wanted
        assert type(backend.seen[-1]["timestamp"]) is type(wanted)


def test_text_and_missing_timestamps_are_left_alone():
    """What is neither a datetime nor an integer is the backend's to judge."""
    backend = InNanoseconds()
    batch_sender(backend)([Metric({"name": "a", "timestamp": "now"}), Metric({"name": "b"})])
    assert backend.seen == [{"name": "a", "timestamp": "now"}, {"name": "b"}]


@pytest.mark.parametrize("make", [ByWrite, ByBulkWrite, InNanoseconds])
def test_metrics_of_the_caller_are_not_changed(make):
    """bulk_write leaves the dicts, and the metrics, that it was handed as they were."""
    timestamp = MOMENT if make is InNanoseconds else NANOSECONDS
    given: list[dict[str, Any]] = [
        {"name": "a", "self": 1, "timestamp": timestamp},
        Metric({"name": "b", "self": 1, "timestamp": timestamp}, kind="gauge"),
    ]
    before = copy.deepcopy(given)
    make().bulk_write(given)
    assert given == before
    assert [type(metric["timestamp"]) for metric in given] == [type(timestamp)] * 2


# ---- backends of any class -----------------------------------------------------------------------------------------


class Foreign:
    """No relation of ours, with an unusual signature."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def write(self, name, /, **data):
        self.seen.append((name, data))


class Static:
    """Its write is bound to nothing."""

    seen: list[Any] = []  # noqa: RUF012 - shared on purpose

    @staticmethod
    def write(name, **data):
        Static.seen.append((name, data))


def test_backend_need_not_extend_the_base():
    """A class with `write` is enough, also for batches."""
    backend = Foreign()
    results = batch_sender(backend)([Metric({"name": "a", "self": 1})])
    assert list(results or ()) == [STORED]
    list(batch_sender(Static())([Metric({"name": "b", "self": 2})]) or ())
    assert backend.seen[0][0] == "a"
    assert 1 in backend.seen[0][1].values()
    assert Static.seen == [("b", {"self": 2})]


def test_backend_with_nothing_to_write_with_is_refused():
    """Whoever asks for a sender of something that is no backend is told so."""
    for ask in (batch_sender, single_sender):
        with pytest.raises(TypeError, match="object is no backend"):
            ask(object())


def test_metric_without_a_name_is_written_without_one():
    """A hook may have taken the name away; the rest is kept."""
    backend = Foreign()
    list(batch_sender(backend)([Metric({"value": 1})]) or ())
    assert backend.seen == [("", {"value": 1})]


def test_only_a_plain_write_is_called_with_fields():
    """A backend that takes batches is handed batches, whatever else it has."""
    assert plain_writer(ByWriteMany()) is None
    assert plain_writer(ByBulkWrite()) is None
    found = plain_writer(ByWrite())
    assert found is not None
    assert found[1] == "self"
    found = plain_writer(Foreign())
    assert found is not None
    assert found[1] is None


# ---- the rest of the interface -------------------------------------------------------------------------------------


def test_with_closes_and_the_rest_has_defaults():
    """flush, close, after_fork and the context manager are there without being written."""

    class Closing(ByWrite):
        closed = 0

        def close(self, timeout=None):
            self.closed += 1

    backend = Closing()
    with pytest.raises(ZeroDivisionError), backend as entered:
        assert entered is backend
        raise ZeroDivisionError
    assert backend.closed == 1
    plain = ByWrite()
    assert plain.flush() is True
    assert plain.flush(0.0) is True
    plain.after_fork()
    plain.close()
    plain.close(timeout=0.0)


def test_representation_shows_only_what_is_named():
    """No attribute is shown that was not declared fit to be."""

    class Secretive(ByWrite):
        repr_fields = ("host", "missing")

        def __init__(self) -> None:
            super().__init__()
            self.host = "db"
            self.password = "hunter2"

    assert repr(Secretive()) == "Secretive(host='db', missing=None)"
    assert repr(ByWrite()) == "ByWrite()"


@pytest.mark.parametrize("is_queued", [False, True], ids=["direct", "queued"])
def test_backend_that_only_writes_may_ask_for_nanoseconds(is_queued):
    """What `wants_nanoseconds` asks for is given to a plain ``write`` as well, whichever way the metric takes."""

    class Nano(ByWrite):
        wants_nanoseconds = True

    store = Nano()
    settings.configure(backends=[ThreadedBackend(store) if is_queued else store])
    time_execution(name="call")(lambda: None)()
    write_metric("by hand", timestamp=MOMENT)
    assert flush(5.0)
    measured, written = (metric["timestamp"] for metric in store.seen)
    assert abs(measured - time.time_ns()) < 60 * 10**9
    assert written == NANOSECONDS
