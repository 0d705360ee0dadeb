"""What is called around profiled functions, and that nothing of it reaches them."""

from __future__ import annotations

import asyncio

import pytest

import time_execution
from time_execution.exceptions import ConfigurationError
from time_execution.profiler import metrics


@pytest.fixture
def told(own):
    """Set all four callbacks, and give what they were called with."""
    calls = []

    def note(name):
        return lambda **given: calls.append((name, given))

    for name in ("before_func", "before_root_func", "after_func", "after_root_func"):
        setattr(own, name, note(name))
    return calls


def test_callbacks_come_in_order_with_packed_arguments(own, told):
    """Roots before calls, and after them; each with the function or its result, and the arguments as they came."""

    @own.profile
    def child(a):
        return a + 1

    @own.profile
    def root(a, *, b):
        return child(a) + b

    assert root(1, b=2) == 4
    arguments, kwargs = ((1,), {"b": 2}), {"args": (1,), "kwargs": {}}
    of_root = {"args": arguments[0], "kwargs": arguments[1]}
    assert told == [
        ("before_root_func", {"func": root.__wrapped__, **of_root}),
        ("before_func", {"func": root.__wrapped__, **of_root}),
        ("before_func", {"func": child.__wrapped__, **kwargs}),
        ("after_func", {"fn_result": 2, **kwargs}),
        ("after_func", {"fn_result": 4, **of_root}),
        ("after_root_func", {"fn_result": 4, **of_root}),
    ]


def test_asynchronous_functions_and_generators_have_callbacks_too(own, told):
    """They are called around the awaiting, and around the first and the last step."""

    @own.profile
    async def coroutine():
        await asyncio.sleep(0)
        return "awaited"

    @own.profile
    def generator():
        yield 1
        return "exhausted"

    asyncio.run(coroutine())
    list(generator())
    names = ["before_root_func", "before_func", "after_func", "after_root_func"]
    assert [name for name, _ in told] == names * 2
    assert [given["fn_result"] for name, given in told if name == "after_func"] == ["awaited", "exhausted"]
    assert told[4][1]["func"].__name__ == "generator"


def test_a_call_that_raises_has_no_result(own, told):
    """The callbacks after it are called with None."""

    @own.profile
    def fails():
        raise LookupError

    with pytest.raises(LookupError):
        fails()
    assert told[-1] == ("after_root_func", {"fn_result": None, "args": (), "kwargs": {}})


def test_callbacks_with_other_names_are_called_in_order(own):
    """As some programs call the result ``result``."""
    calls = []
    own.before_func = lambda function, *rest: calls.append((function.__name__, *rest))
    own.after_func = lambda result, args, kwargs: calls.append((result, args, kwargs))
    own.profile(max)(1, 2)
    assert calls == [("max", (1, 2), {}), (2, (1, 2), {})]
    own.before_func = None
    own.after_func = None
    own.profile(max)(1, 2)
    assert len(calls) == 2


async def asynchronous(func, args, kwargs):
    """Do nothing."""


@pytest.mark.parametrize("wrong", [5, asynchronous, lambda: None, lambda func: None])
def test_a_callback_that_cannot_be_called_so_is_refused_at_once(own, wrong):
    """When it is set, not at the first call."""
    with pytest.raises(ConfigurationError, match="before_func must"):
        own.before_func = wrong
    assert own.before_func is None


def test_callbacks_run_inside_the_call_they_are_about(own, collector):
    """A metric that one of them uses belongs to it."""
    metric = metrics.Counter("count", "j", "u")
    own.before_func = lambda func, args, kwargs: metric.inc()
    own.after_root_func = lambda fn_result, args, kwargs: metric.inc(2)

    @own.profile
    def child():
        pass

    own.profile(lambda: child())()  # noqa: PLW0108
    prefix = "test_profiler_callbacks:<lambda>"
    name, records = collector.handed[-1]
    assert name == "count"
    assert [(record["method"], record["value"][1]) for record in records] == [
        (prefix, 1),
        (f"{prefix}.child", 1),
        (prefix, 2),
    ]


def test_profiled_functions_that_callbacks_and_handlers_call_are_not_measured(own, collector):
    """They would go on without end; each is counted."""
    helper = own.profile(lambda: 1)
    own.before_func = lambda func, args, kwargs: helper()

    class Calling:
        handler_name = "calling"

        def handle(self, records, profiler_name):
            helper()

    own.add_handler(Calling())

    def work():
        pass

    own.profile(work)()
    assert collector.methods == ["test_profiler_callbacks:work"]
    counted = time_execution.stats()["errors"]["hook"]
    assert counted == {"test_profiler_callbacks:<lambda>: reentrant": 2}


def test_a_metric_that_a_handler_uses_is_counted_and_not_recorded(own, collector):
    """What handles records must not make records."""
    metric = metrics.Counter("count", "j", "u")
    own.add_metric(metric)
    collector.handle = lambda records, name: metric.inc()
    own.profile(lambda: None)()
    assert own.stats()["instrument"] == {"count.inc: reentrant": 1}
