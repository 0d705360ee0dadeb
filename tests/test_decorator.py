"""The decorator on plain functions: what it may not change, what it writes, and its parameters."""

from __future__ import annotations

import asyncio
import copy
import inspect
import pickle
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.kept import Kept, Way, kept_fixture, way_fixture  # noqa: F401 - fixtures are asked for by name
from time_execution import settings, stats, time_execution, time_execution_async

# ---- functions at the module's level, so that they can be pickled --------------------------------------------------


@time_execution
def documented(first: int, /, second: str = "b", *rest: float, key: bytes, **others: Any) -> list[int]:
    """Say what it does."""
    return [first]


def positional(a, b, /):
    return (a, b)


def defaults(a, b=2, *, c=3):
    return (a, b, c)


def anything(*args, **kwargs):
    return (args, kwargs)


def named_like_ours(self=0, func=1, target=2, plan=3, args=4, kwargs=5, name=6):  # noqa: PLR0917 - as many as we have
    return (self, func, target, plan, args, kwargs, name)


def only_keywords(*, started=None, metric=None):
    return (started, metric)


SHAPES = (positional, defaults, anything, named_like_ours, only_keywords)
NAMES = st.sampled_from(
    ["a", "b", "c", "self", "func", "target", "plan", "args", "kwargs", "name", "started", "metric", "response"]
)


def outcome_of(call):
    """Return what a call returned, or the type and text of what it raised."""
    try:
        return "returned", call()
    except Exception as exc:
        return type(exc), str(exc)


@given(
    shape=st.sampled_from(SHAPES),
    args=st.lists(st.integers(), max_size=4),
    kwargs=st.dictionaries(NAMES, st.integers(), max_size=4),
)
@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
def test_any_call_has_the_outcome_it_has_undecorated(way, shape, args, kwargs):
    """Whatever a function is called with, its result or its complaint is the same with the decorator."""
    decorated = time_execution(shape)
    assert outcome_of(lambda: decorated(*args, **kwargs)) == outcome_of(lambda: shape(*args, **kwargs))


def test_the_very_object_is_returned_and_the_very_arguments_arrive(way: Way):
    """Neither arguments nor results are copied."""
    sent, back = object(), object()

    @time_execution
    def swap(thing, *, key):
        assert thing is sent
        assert key is sent
        return back

    assert swap(sent, key=sent) is back
    way.expect("swap")


def test_metric_has_the_fields_of_the_contract_and_no_other(kept: Kept):
    """A plain timing holds name, value, hostname and timestamp, in this order."""

    @time_execution
    def hello():
        return "World"

    hello()
    (metric,) = kept.metrics
    assert list(metric) == ["name", "value", "hostname", "timestamp"]
    assert metric["name"] == f"{__name__}.test_metric_has_the_fields_of_the_contract_and_no_other.hello"
    assert isinstance(metric["value"], float)
    assert 0 < metric["value"] < 1000
    assert metric["timestamp"].utcoffset().total_seconds() == 0


def test_both_names_are_the_same_decorator():
    """`time_execution_async` is an older name of `time_execution`."""
    assert time_execution_async is time_execution


# ---- what describes a function survives ----------------------------------------------------------------------------


def test_signature_docstring_annotations_and_names_survive():
    """What tools read from a function is what its author wrote."""
    assert documented.__doc__ == "Say what it does."
    assert documented.__name__ == "documented"
    assert documented.__module__ == __name__
    assert documented.__annotations__["key"] == "bytes"
    expected = "(first: 'int', /, second: 'str' = 'b', *rest: 'float', key: 'bytes', **others: 'Any') -> 'list[int]'"
    assert str(inspect.signature(documented)) == expected
    assert inspect.unwrap(documented) is not documented


def test_decorated_function_is_pickled_and_copied_by_name():
    """A decorated function can be sent to a process pool."""
    assert pickle.loads(pickle.dumps(documented)) is documented
    assert copy.deepcopy(documented) is documented


def test_name_of_the_series_can_be_asked():
    """`fqn` and `get_fqn()` say where the metrics of a function are."""
    assert documented.fqn == f"{__name__}.documented"  # type: ignore[attr-defined]
    assert documented.get_fqn() == f"{__name__}.documented"  # type: ignore[attr-defined]


def test_attributes_set_on_a_function_stay_readable():
    """Marks that other decorators left on a function are seen through ours."""

    def view():
        pass

    view.csrf_exempt = True  # type: ignore[attr-defined]
    assert time_execution(view).csrf_exempt  # type: ignore[attr-defined]


# ---- parameters ----------------------------------------------------------------------------------------------------


def test_name_and_get_fqn_rename_the_series(kept: Kept):
    """The series is `name`, else what `get_fqn` returns, else the qualified name."""
    time_execution(name="orders.total")(lambda: None)()
    time_execution(get_fqn=lambda func: f"by.{func.__name__}")(positional)(1, 2)
    assert kept.names == ["orders.total", "by.positional"]


def test_one_decorator_serves_many_functions(kept: Kept):
    """A decorator made once with hooks keeps the functions it decorated apart."""
    measured = time_execution(extra_hooks=[lambda func, **_: {"seen": func.__name__}])

    @measured
    def first():
        return 1

    @measured
    async def second():
        return 2

    assert first() == 1
    assert asyncio.run(second()) == 2
    assert [
        (name.rpartition(".")[2], metric["seen"]) for name, metric in zip(kept.names, kept.metrics, strict=True)
    ] == [
        ("first", "first"),
        ("second", "second"),
    ]


@pytest.mark.parametrize("thing", [42, "text", [], object()])
def test_what_cannot_be_called_is_refused(thing):
    """Decorating something that is no callable is a TypeError that names its type."""
    with pytest.raises(TypeError, match=type(thing).__name__):
        time_execution(thing)


@pytest.mark.parametrize("hook", [42, "no.such.hook", None])
def test_extra_hook_that_cannot_be_called_is_refused_at_once(hook):
    """A wrong hook shows where it is written, not at each call."""
    with pytest.raises((TypeError, ValueError)):
        time_execution(extra_hooks=[hook])(lambda: None)


# ---- settings as they are at the call ------------------------------------------------------------------------------


def test_what_is_configured_after_decorating_holds(kept: Kept):
    """Each call follows the settings in force when it is made."""

    @time_execution
    def work():
        return 1

    work()
    settings.configure(enabled=False)
    work()
    other = Kept()
    settings.configure(enabled=True, backends=[other], duration_field="duration", origin="shop", hostname="web-1")
    work()
    assert len(kept.metrics) == 1
    assert list(other.metrics[0]) == ["name", "duration", "hostname", "origin", "timestamp"]
    assert (other.metrics[0]["hostname"], other.metrics[0]["origin"]) == ("web-1", "shop")


def test_without_any_backend_a_call_is_only_a_call():
    """A program that decorates and configures nothing runs, and keeps nothing."""
    assert documented(1, key=b"") == [1]
    assert stats() == {"backends": {}, "errors": {"hook": {}, "backend": {}}}


def test_recursion_is_measured_at_each_level(way: Way):
    """A recursive function has a metric for each of its calls."""

    @time_execution
    def down(n):
        return n and down(n - 1)

    assert down(3) == 0
    way.expect(*["down"] * 4)


def test_representation_is_the_name_users_know():
    """In a console the decorator shows its own name."""
    assert repr(time_execution) == "time_execution"
