"""The decorator on every kind of callable: what it may not change, and what it measures."""

from __future__ import annotations

import abc
import asyncio
import copy
import functools
import inspect
import operator
import pickle
import types
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


# ---- methods, properties, and what the standard library wraps ------------------------------------------------------


class Plain:
    """Every kind of member, decorated above and below what makes it one."""

    @time_execution
    def method(self, x):
        return (self, x)

    @staticmethod
    @time_execution
    def static_below(x):
        return x

    @time_execution
    @staticmethod
    def static_above(x):
        return x

    @classmethod
    @time_execution
    def class_below(cls, x):
        return (cls, x)

    @time_execution
    @classmethod
    def class_above(cls, x):
        return (cls, x)

    @property
    @time_execution
    def property_below(self):
        """Documented."""
        return self

    @time_execution  # type: ignore[prop-decorator]
    @property
    def property_above(self):
        """Documented."""
        return self

    @property_above.setter
    def property_above(self, value):
        self.set = value

    @functools.cached_property
    @time_execution
    def cached_below(self):
        return object()

    @time_execution  # type: ignore[prop-decorator]
    @functools.cached_property
    def cached_above(self):
        """Documented."""
        return object()

    @functools.lru_cache  # noqa: B019 - what is measured is the method
    @time_execution
    def lru_below(self, x):
        return object()

    @time_execution
    @functools.lru_cache  # noqa: B019 - see above
    def lru_above(self, x):
        return object()


class Child(Plain):
    """Overrides and goes on to its parent."""

    def method(self, x):
        return super().method(x)


@pytest.mark.parametrize("name", ["static_below", "static_above"])
def test_static_methods_stay_static(way: Way, name):
    """A static method gets neither instance nor class, however it is called."""
    assert getattr(Plain, name)(1) == 1
    assert getattr(Plain(), name)(2) == 2
    assert isinstance(vars(Plain)[name], staticmethod)
    way.expect(name, name)


@pytest.mark.parametrize("name", ["class_below", "class_above"])
def test_class_methods_get_the_class_they_are_called_on(way: Way, name):
    """A class method gets the subclass when called on one."""
    assert getattr(Plain, name)(1) == (Plain, 1)
    assert getattr(Child(), name)(2) == (Child, 2)
    assert isinstance(vars(Plain)[name], classmethod)
    way.expect(name, name)


@pytest.mark.parametrize("name", ["property_below", "property_above"])
def test_properties_stay_properties(way: Way, name):
    """A property is read as an attribute, has its docstring, and is measured at each reading."""
    plain = Plain()
    assert getattr(plain, name) is plain
    assert vars(Plain)[name].__doc__ == "Documented."
    way.expect(name)


def test_setter_of_a_property_is_kept_and_measured(way: Way):
    """A decorated property takes a setter, and one that has a setter already has both measured."""
    plain = Plain()
    plain.property_above = 3
    assert plain.set == 3

    class Whole:
        @property
        def value(self):
            return 1

        @value.setter
        def value(self, new):
            self.new = new

    measured = time_execution(vars(Whole)["value"])
    Whole.value = measured  # type: ignore[method-assign]
    whole = Whole()
    whole.value = 5
    assert (whole.value, whole.new) == (1, 5)
    way.expect("value", "value")


def test_subclass_of_property_stays_one():
    """A property of another kind keeps what its class adds."""

    class Special(property):
        extra = "kept"

    assert time_execution(Special(lambda self: 1)).extra == "kept"


@pytest.mark.parametrize("name", ["cached_below", "cached_above"])
def test_cached_property_is_computed_and_measured_once(way: Way, name):
    """The second reading finds the value in the instance."""
    plain = Plain()
    assert getattr(plain, name) is getattr(plain, name)
    way.expect(name)


def test_lru_cache_below_measures_calls_and_above_measures_misses(way: Way):
    """What is measured is what lies below the decorator; the cache's own functions stay in reach."""
    plain = Plain()
    assert plain.lru_below(1) is plain.lru_below(1)
    assert plain.lru_above(1) is plain.lru_above(1)
    assert Plain.lru_above.cache_info().hits == 1
    Plain.lru_above.cache_clear()
    assert Plain.lru_above.cache_info().currsize == 0
    assert Plain.lru_above.cache_parameters()["maxsize"] == 128
    way.expect("lru_below", "lru_above", "lru_above")


def test_methods_bind_and_super_finds_them(way: Way):
    """A decorated method binds like any other, also through super() and as an unbound function."""
    child = Child()
    assert child.method(1) == (child, 1)
    assert Plain.method(child, 2) == (child, 2)
    assert Plain().method.__func__ is Plain.method  # type: ignore[attr-defined]
    way.expect("method", "method")


def test_singledispatch_works_on_both_sides(way: Way):
    """Dispatch and registration work through the decorator."""

    @time_execution
    @functools.singledispatch
    def above(thing):
        return "any"

    @above.register
    def _(thing: int):
        return "int"

    @functools.singledispatch
    @time_execution
    def below(thing):
        return "any"

    below.register(int, lambda thing: "int")
    assert (above(1), above("")) == ("int", "any")
    assert (below(1), below("")) == ("int", "any")
    way.expect("above", "above", "below")


def test_abstract_methods_stay_abstract():
    """A class whose abstract method is decorated cannot be constructed."""

    class Base(abc.ABC):
        @time_execution
        @abc.abstractmethod
        def work(self): ...

        @time_execution  # type: ignore[prop-decorator]
        @property
        @abc.abstractmethod
        def value(self): ...

    assert Base.__abstractmethods__ == {"work", "value"}


def test_methods_measures_what_a_class_defines_itself(way: Way):
    """`methods` measures functions, static and class methods by pattern, but special methods only when named."""

    class Work:
        def load(self):
            return 1

        @staticmethod
        def load_all():
            return 2

        @classmethod
        def load_class(cls):
            return cls

        def save(self):
            return 3

        def __len__(self):
            return 4

    assert time_execution.methods(Work, "load*") is Work
    work = Work()
    assert (work.load(), work.load_all(), work.load_class(), work.save(), len(work)) == (1, 2, Work, 3, 4)
    way.expect("load", "load_all", "load_class")
    assert time_execution.methods(Work, "__len__") is Work
    assert len(work) == 4
    way.expect("load", "load_all", "load_class", "__len__")


# ---- callables that are no functions -------------------------------------------------------------------------------


class Adder:
    """A callable object."""

    def __call__(self, a, b=1):
        return a + b


class AsyncAdder:
    """A callable object that is to be awaited."""

    async def __call__(self, a, b=1):
        await asyncio.sleep(0.02)
        return a + b


def test_partial_is_measured_under_its_functions_name(way: Way):
    """A partial keeps its arguments and has the series of what it calls."""
    assert time_execution(functools.partial(defaults, 1, c=9))(5) == (1, 5, 9)
    assert time_execution(functools.partial(functools.partial(defaults, 1), 2))() == (1, 2, 3)
    way.expect("defaults", "defaults")


def test_partial_has_its_functions_name():
    """A decorated partial or object shows in logs as what it calls, not as our wrapper."""
    measured: Any = time_execution(functools.partial(defaults, 1))
    assert (measured.__name__, measured.__qualname__, measured.__module__) == ("defaults", "defaults", __name__)
    assert time_execution(Adder()).__qualname__ == "Adder"  # type: ignore[attr-defined]


def test_callable_object_is_measured_under_its_class(way: Way):
    """An object with `__call__` has the series of its class."""
    assert time_execution(Adder())(1, b=2) == 3
    way.expect("Adder")


@pytest.mark.parametrize("wrap", [lambda it: it, functools.partial], ids=["object", "partial"])
def test_async_callable_object_is_timed_over_its_await(kept: Kept, wrap):
    """What is measured is the work, not the making of a coroutine; also behind a partial."""
    measured = time_execution(wrap(AsyncAdder()))
    assert asyncio.run(measured(1, b=2)) == 3
    assert kept.metrics[0]["value"] > 10


@pytest.mark.parametrize(
    ("builtin", "args", "result"),
    [
        (len, ("abc",), 3),
        (max, (1, 2), 2),
        (str.upper, ("a",), "A"),
        ("a-b".split, ("-",), ["a", "b"]),
        (operator.itemgetter(1), ("ab",), "b"),
        (dict.fromkeys, ("a",), {"a": None}),
    ],
    ids=["len", "max", "method descriptor", "bound method", "itemgetter", "class method"],
)
def test_builtins_can_be_measured(way: Way, builtin, args, result):
    """What is written in C is measured like anything else."""
    assert time_execution(builtin)(*args) == result
    assert len(way.metrics) == way.measures


# ---- asynchronous functions ----------------------------------------------------------------------------------------


def test_coroutine_function_stays_one_and_is_timed_to_the_end(way: Way):
    """The awaited time is measured, and both ways to ask say that it is a coroutine function."""

    @time_execution
    async def work(x):
        await asyncio.sleep(0.02)
        return x

    assert inspect.iscoroutinefunction(work)
    token = object()
    assert asyncio.run(work(token)) is token
    way.expect("work")
    assert all(metric["value"] > 10 for metric in way.metrics)


def test_partial_of_a_coroutine_function_stays_one(way: Way):
    """A partial around a coroutine function is to be awaited, too."""

    async def work(x, y):
        return (x, y)

    measured = time_execution(functools.partial(work, 1))
    assert inspect.iscoroutinefunction(measured)
    assert asyncio.run(measured(2)) == (1, 2)
    way.expect("work")


def test_coroutine_that_is_never_awaited_is_not_measured(kept: Kept):
    """Only what ran has a duration."""

    @time_execution
    async def work():
        return 1

    work().close()
    assert kept.metrics == []


def test_cancelled_coroutine_is_measured_and_stays_cancelled(way: Way):
    """CancelledError passes, and what ran until then is written."""

    @time_execution
    async def work():
        await asyncio.sleep(60)

    async def main():
        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()

    asyncio.run(main())
    way.expect("work")


def test_wrong_arguments_of_a_coroutine_function_are_the_callers_error(way: Way):
    """The complaint about arguments is the function's own, and the failed call is measured on every way."""

    @time_execution
    async def work():
        return 1

    with pytest.raises(TypeError, match="positional argument"):
        asyncio.run(work(1))  # type: ignore[call-arg]
    way.expect("work")


def test_generator_hook_ends_when_an_async_function_is_called_wrongly(kept: Kept):
    """A hook that started before the call gets its outcome also when the call could not begin."""
    outcomes: list[Any] = []

    def hook(func, func_args, func_kwargs):
        _response, exception, _metric = yield
        outcomes.append(type(exception))

    @time_execution(extra_hooks=[hook])
    async def work():
        return 1

    with pytest.raises(TypeError):
        asyncio.run(work(1))  # type: ignore[call-arg]
    assert outcomes == [TypeError]


def test_plain_function_that_returns_a_coroutine_is_left_as_it_is(way: Way):
    """Nothing says that it returns a coroutine, so what it returns is passed on untouched."""

    async def inner():
        return 7

    made = []

    @time_execution
    def outer():
        made.append(inner())
        return made[0]

    async def main():
        coroutine = outer()
        assert coroutine is made[0]
        return await coroutine

    assert asyncio.run(main()) == 7
    way.expect("outer")


def test_plain_wrapper_around_a_coroutine_function_is_timed_over_the_await(kept: Kept):
    """A function that says it wraps a coroutine function is measured to the end of what it returns."""

    async def inner(x):
        await asyncio.sleep(0.02)
        return x

    @time_execution
    @functools.wraps(inner)
    def outer(x):
        return inner(x)

    assert asyncio.run(outer(3)) == 3
    assert kept.metrics[0]["value"] > 10


def test_plain_wrapper_around_a_coroutine_function_may_run_it_itself(way: Way):
    """What returns the result instead of a coroutine is measured as the plain function that it is."""

    async def inner(x):
        return x

    @time_execution
    @functools.wraps(inner)
    def outer(x):
        return asyncio.run(inner(x))

    assert outer(3) == 3
    way.expect("inner")
    with pytest.raises(TypeError):
        outer()  # type: ignore[call-arg]


def test_wrapper_that_returns_a_task_gives_back_that_task(way: Way):
    """A task that a wrapper started is handed to the caller itself, who may add callbacks or never await it."""

    async def inner(x):
        return x

    tasks = []

    @time_execution
    @functools.wraps(inner)
    def start(x):
        tasks.append(asyncio.ensure_future(inner(x)))
        return tasks[0]

    async def main():
        task = start(4)
        assert task is tasks[0]
        return await task

    assert asyncio.run(main()) == 4
    way.expect("inner")


def test_generator_based_coroutine_can_still_be_awaited(way: Way):
    """What `types.coroutine` made is awaited with the decorator as without."""

    @time_execution
    @types.coroutine
    def low_level():
        yield
        return 5

    async def main():
        return await low_level()

    assert asyncio.run(main()) == 5
    way.expect("low_level")


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
