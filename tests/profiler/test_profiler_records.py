"""What a profiled call leaves behind: records, their contexts, and how they are gathered."""

from __future__ import annotations

import functools
import inspect
import pickle
import sys

import pytest

from time_execution.profiler import profile
from time_execution.profiler.metrics import Counter, Histogram
from time_execution.profiler.publisher import RESPONSE_SIZE, TIME_PROFILER

cloudpickle = pytest.importorskip("cloudpickle")


def test_a_record_has_the_fields_of_the_format(own, collector):
    """A root of its own leaves one record, laid out and ordered as consumers expect."""

    @own.profile
    def work():
        return "done"

    assert work() == "done"
    ((name, (record,)),) = collector.handed
    assert name == TIME_PROFILER
    assert list(record) == ["item", "metric", "units", "job", "method", "labels", "value"]
    assert (record["item"], record["method"]) == ("test_profiler_records", "test_profiler_records:work")
    assert (record["metric"], record["units"], record["job"], record["labels"]) == ("histogram", "mS", "tests", {})
    operation, value = record["value"]
    assert operation == "observe"
    assert type(value) is float
    assert round(value, 2) == value >= 0


def test_time_is_in_milliseconds(own, collector, monkeypatch):
    """The value is what passed on the clock, in hundredths of a millisecond."""
    readings = iter([1_000_000, 13_345_000])
    monkeypatch.setattr("time_execution.wrapper.perf_counter_ns", lambda: next(readings))
    own.profile(lambda: None)()
    assert collector.records[0]["value"] == ("observe", 12.35)


class Shop:
    """Calls of every kind, in a tree."""

    def __init__(self, own):
        self.own = own

    def tree(self):
        own = self.own

        class Basket:
            @own.profile
            def buy(self):
                self.pay()
                Basket.total()
                self.count()
                return helper()

            @own.profile
            def pay(self):
                return Basket.tax(2)

            @own.profile
            @classmethod
            def total(cls):
                return cls

            @staticmethod
            @own.profile
            def tax(amount):
                return amount

            @own.profile
            @staticmethod
            def count():
                return 0

        class Sub(Basket):
            pass

        @own.profile
        def helper():
            return "bought"

        return Sub()


def test_contexts_name_the_defining_class_and_the_way_down(own, collector):
    """`Owner:root.child.grandchild`, the owner being the class that defines the root; below and above descriptors."""
    assert Shop(own).tree().buy() == "bought"
    ways = ["Basket:buy.pay.tax", "Basket:buy.pay", "Basket:buy.total", "Basket:buy.count", "Basket:buy.helper"]
    assert collector.methods == [*ways, "Basket:buy"]
    assert {record["item"] for record in collector.records} == {"Basket"}
    assert len(collector.handed) == 1


def test_what_follows_a_tree_begins_another(own, collector):
    """Siblings and later roots do not hang on what has ended."""
    shop = Shop(own).tree()
    shop.count()
    shop.tax(1)
    assert collector.methods == ["Basket:count", "Basket:tax"]


def test_an_undecorated_function_is_no_part_of_the_context(own, collector):
    """What is not profiled leaves no name behind."""

    @own.profile
    def inner():
        pass

    def between():
        inner()

    @own.profile
    def outer():
        between()

    outer()
    assert collector.methods == ["test_profiler_records:outer.inner", "test_profiler_records:outer"]


def test_the_response_s_size_is_recorded_for_roots(own, collector):
    """In bytes, as `sys.getsizeof` has it; for the root only, and not when it raised."""
    own.config(job="tests", response_size_profile=True)

    @own.profile
    def child():
        return "x" * 100

    @own.profile
    def root(*, fail=False):
        child()
        if fail:
            raise LookupError
        return "y" * 1000

    root()
    name, (record,) = collector.handed[-1]
    assert name == RESPONSE_SIZE
    assert record["value"] == ("observe", float(sys.getsizeof("y" * 1000)))
    assert (record["units"], record["method"]) == ("B", "test_profiler_records:root")
    with pytest.raises(LookupError):
        root(fail=True)
    assert [name for name, _ in collector.handed] == [TIME_PROFILER, RESPONSE_SIZE, TIME_PROFILER]


def test_a_response_without_a_size_is_counted(own, collector):
    """A `__sizeof__` that raises costs its own record only."""

    class Strange:
        def __sizeof__(self):
            raise ValueError("no")

    own.config(job="tests", response_size_profile=True)
    strange = Strange()
    assert own.profile(lambda: strange)() is strange
    assert [name for name, _ in collector.handed] == [TIME_PROFILER]
    assert own.stats()["instrument"] == {"response_size.observe: wrong value": 1}


def test_error_raised_is_a_label_when_it_is_asked_for(own, collector):
    """Each record says whether its own call raised; without the setting there is no such label."""
    own.error_raised_label = True

    @own.profile
    def fails():
        raise KeyError(1)

    @own.profile
    def catches():
        with pytest.raises(KeyError):
            fails()

    try:
        raise OSError  # noqa: TRY301
    except OSError:  # which is none of theirs
        catches()
    assert [record["labels"] for record in collector.records] == [{"error_raised": True}, {"error_raised": False}]
    own.error_raised_label = False
    catches()
    assert collector.records[-1]["labels"] == {}


def test_a_hundred_records_are_handled_before_the_root_ends(own, collector):
    """A root that goes on for long does not hold more than that back, and loses none."""
    sizes = []

    @own.profile
    def child():
        pass

    @own.profile
    def root():
        for _ in range(250):
            child()
            sizes.append(len(collector.records))

    root()
    assert sizes[98:100] == [0, 100]
    assert len(collector.records) == 251
    assert [len(records) for _, records in collector.handed] == [100, 100, 51]


def test_a_hundred_records_of_a_metric_are_handled_before_the_root_ends(own, collector):
    """A root that never ends and makes no profiled call keeps no more than that."""
    steps = Counter("steps", "tests", "n")
    own.add_metric(steps)

    @own.profile
    def root():
        for _ in range(250):
            steps.inc()
        return [len(records) for _, records in collector.handed]

    assert root() == [100, 100]
    assert [(name, len(records)) for name, records in collector.handed[2:]] == [("time_profiler", 1), ("steps", 50)]


def test_deleted_metrics_leave_nothing(own, collector):
    """Without the time metric nothing of it is recorded; adding it again brings it back."""
    work = own.profile(lambda: None)
    own.delete_metric(TIME_PROFILER)
    work()
    assert collector.handed == []
    own.config(job="again")
    work()
    assert collector.records[0]["job"] == "again"


@pytest.mark.parametrize("off", ["unconfigured", "handle_records", "no handler"])
def test_nothing_is_done_until_somebody_wants_it(own, collector, off):
    """Not configured, switched off, or without anybody to hand to, a call is just a call."""
    seen = []
    own.before_func = lambda **_: seen.append(1)
    if off == "unconfigured":
        own = type(own)()
        own.add_handler(collector)
        own.before_func = lambda **_: seen.append(1)
    elif off == "handle_records":
        own.config(job="tests", handle_records=False)
    else:
        own.delete_handlers()
    assert own.profile(lambda: 5)() == 5
    assert (seen, collector.handed) == ([], [])


def test_handlers_come_and_go(own, collector):
    """They are known by name: one more of a name takes its place, and a deleted one gets nothing more."""
    other, work = type(collector)("other"), own.profile(lambda: None)
    own.add_handler(other)
    work()
    own.delete_handler("collector")
    work()
    assert (len(collector.records), len(other.records)) == (1, 2)
    successor = type(collector)("other")
    own.add_handler(successor)
    work()
    assert (len(other.records), len(successor.records)) == (2, 1)
    assert list(own.handlers) == ["other"]
    own.delete_handlers()
    assert own.handlers == {}


def test_deleting_what_is_not_there_is_logged(own, caplog):
    """As older programs may do it at their end; nothing is raised."""
    own.delete_handler("nobody")
    own.delete_metric("nothing")
    assert [record.message for record in caplog.records] == [
        "there is no handler 'nobody' to delete",
        "there is no metric 'nothing' to delete",
    ]


def test_own_metrics_are_deleted_apart_from_those_brought_along(own):
    """`delete_metrics` leaves the two of the profiler's own unless they are named."""
    own.config(job="tests", response_size_profile=True)
    own.add_metric(Histogram("sizes", "tests", "B"))
    own.delete_metrics()
    assert set(own.metrics) == {TIME_PROFILER, RESPONSE_SIZE}
    own.delete_metrics(rm_resp_size_profile=True)
    assert set(own.metrics) == {TIME_PROFILER}
    own.delete_metrics(rm_time_profile=True)
    assert own.metrics == {}
    assert own.time_profile is own.resp_size_profile is None


# ---- what is decorated -------------------------------------------------------------------------------------------


@profile
def documented(a: int, *, b: str = "") -> list[str]:
    """Return a list."""
    return [b] * a


def test_a_decorated_function_looks_like_itself(own):
    """Name, docstring, signature, kind, and that it can be pickled."""
    assert (documented.__name__, documented.__doc__) == ("documented", "Return a list.")
    assert str(inspect.signature(documented)) == "(a: 'int', *, b: 'str' = '') -> 'list[str]'"
    assert pickle.loads(pickle.dumps(documented)) is documented
    assert documented.__globals__ is globals()

    async def coroutine():
        pass

    def generator():
        yield

    async def async_generator():
        yield

    assert inspect.iscoroutinefunction(own.profile(coroutine))
    assert inspect.isgeneratorfunction(own.profile(generator))
    assert inspect.isasyncgenfunction(own.profile(async_generator))


def test_a_decorated_function_is_pickled_whole():
    """As cloudpickle does for functions of a script: it belongs to the shared profiler of whoever loads it."""

    def body():
        return 7

    assert cloudpickle.loads(cloudpickle.dumps(profile(body)))() == 7


def test_a_profiler_of_ones_own_is_not_pickled(own):
    """Its handlers could not follow."""
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(own)


class Callable:
    """An object that is called."""

    def __call__(self):
        """Return nothing."""


def test_partials_objects_and_properties_are_profiled(own, collector):
    """What is no function is known by its function, its class, or its getter."""

    class Thing:
        @own.profile
        @property
        def first(self):
            return 1

        @own.profile
        @functools.cached_property
        def second(self):
            return 2

    own.profile(functools.partial(int, base=2))("11")
    own.profile(Callable())()
    thing = Thing()
    assert (thing.first, thing.second) == (1, 2)
    assert collector.methods == ["builtins:int", "test_profiler_records:Callable", "Thing:first", "Thing:second"]


@pytest.mark.parametrize("wrong", [5, "text", int])
def test_what_cannot_be_profiled_is_refused(own, wrong):
    """A class, or what cannot be called."""
    with pytest.raises(TypeError, match="@profile measures functions"):
        own.profile(wrong)
