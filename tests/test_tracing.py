"""The engine behind ``time-execution run``: which functions it takes, and how it changes their code."""

from __future__ import annotations

import importlib
import sys
import types

import pytest

from time_execution.backends.threaded import ThreadedBackend
from time_execution.tracing import Selection, Tracer
from time_execution.tracing.rewrite import instrument
from time_execution.tracing.series import Pauses


class Recorder:
    """Stands in for a series: notes each call, with 'failed' when it raised."""

    def __init__(self, name, calls):
        self.name, self.calls = name, calls

    def clock(self):
        return 1

    def end(self, reading):
        self.calls.append(self.name)

    def fail(self, reading):
        self.calls.append(f"{self.name} failed")
        return 0

    def span(self):
        return self

    def __enter__(self):
        pass

    def __exit__(self, kind, *_):
        self.end(1) if kind is None else self.fail(1)


def run(source, *, is_wanted=lambda name: True):
    """Run instrumented source as module ``m``; return its namespace and the calls that were noted."""
    calls: list[str] = []
    code = instrument(source.encode(), "m.py", "m", is_wanted=is_wanted, series_of=lambda name: Recorder(name, calls))
    module = types.ModuleType("m")
    exec(code, module.__dict__)
    return module, calls


@pytest.mark.parametrize(
    ("include", "exclude", "name", "wanted"),
    [
        (["shop.*"], [], "shop.orders.Order.total", True),
        (["shop.*"], [], "shopping.f", False),
        (["shop.*"], ["*._*"], "shop.orders._private", False),
        (["*.total"], [], "shop.orders.Order.total", True),
        (["shop.[a-c]*"], [], "shop.basket.f", True),
        (["shop.?x"], [], "shop.ax", True),
        (["shop"], [], "shop.f", False),
        (["a.f", "b.g"], [], "b.g", True),
    ],
)
def test_selection_follows_fnmatch(include, exclude, name, wanted):
    """Names are matched whole, with wildcards, unless excluded."""
    assert Selection(include, exclude).matches(name) is wanted


@pytest.mark.parametrize(
    ("pattern", "module", "concerned"),
    [
        ("shop.*", "shop", True),
        ("shop.*", "shop.orders", True),
        ("shop.*", "shopping", False),
        ("shop.orders.Order.*", "shop", True),
        ("shop.orders.Order.*", "shop.orders", True),
        ("shop.orders.Order.*", "shop.tax", False),
        ("sho*", "shop", True),
        ("*.total", "anything", True),
        ("*", "time_execution.decorator", False),
    ],
)
def test_selection_never_passes_over_a_module_that_matters(pattern, module, concerned):
    """A module is compiled anew when a function in it could match, and our own package never."""
    assert Selection([pattern]).concerns(module) is concerned


def test_each_way_out_of_a_function_is_noted_once():
    """Return, the end, an exception, a loop with returns inside and a finally of its own: one note each."""
    module, calls = run("""
def returns(x):
    for n in range(3):
        if n == x:
            return n
    return -1

def ends():
    pass

def raises():
    try:
        raise ValueError("x")
    finally:
        ends()

def swallows():
    try:
        raises()
    except ValueError as exc:
        return exc
""")
    assert [module.returns(1), module.returns(9), module.ends()] == [1, -1, None]
    assert calls == ["m.returns", "m.returns", "m.ends"]
    calls.clear()
    error = module.swallows()
    assert calls == ["m.ends", "m.raises failed", "m.swallows"]
    assert error.__context__ is None


def test_generators_are_noted_when_they_end():
    """Exhausted, closed, thrown into, or dropped; values sent in and returned go through."""
    module, calls = run("""
def steps():
    got = yield 1
    return got

def outer():
    return (yield from steps())
""")
    generator = module.outer()
    assert calls == []
    assert next(generator) == 1
    with pytest.raises(StopIteration) as stop:
        generator.send("x")
    assert stop.value.value == "x"
    assert calls == ["m.steps", "m.outer"]
    thrown = module.steps()
    next(thrown)
    with pytest.raises(KeyError):
        thrown.throw(KeyError(1))
    dropped = module.steps()
    next(dropped)
    del dropped
    assert calls[2:] == ["m.steps failed", "m.steps failed"]


def test_names_follow_the_nesting_and_our_decorator_is_left_alone():
    """Classes and functions inside functions are named by what is around them; decorated functions keep to that."""
    module, calls = run("""
def time_execution(f=None, **k):
    return f if f else time_execution

class A:
    class B:
        def f(self):
            def g():
                return 1
            return g()

@time_execution
def bare(): pass

@time_execution(name="x")
def called(): pass
""")
    calls.clear()
    assert module.A.B().f() == 1
    module.bare()
    module.called()
    assert calls == ["m.A.B.f.g", "m.A.B.f"]


def test_only_what_is_wanted_changes():
    """The code of other functions, and of modules without a wanted one, is what Python makes of it."""
    source = "def a():\n    return 1\n\ndef b():\n    return 2\n"
    module, calls = run(source, is_wanted=lambda name: name == "m.a")
    plain: dict = {}
    exec(compile(source, "m.py", "exec"), plain)
    assert module.b.__code__.co_code == plain["b"].__code__.co_code
    assert module.b.__code__.co_consts == plain["b"].__code__.co_consts
    assert module.a.__code__.co_code != plain["a"].__code__.co_code
    assert (module.a(), module.b(), calls) == (1, 2, ["m.a"])


def test_lines_stay_where_they_are():
    """Instrumented code has no line that the function does not have."""
    source = 'def f(x):\n    """Doc."""\n    y = x\n    return y\n'
    module, _ = run(source)
    lines = {line for _, _, line in module.f.__code__.co_lines() if line is not None}
    assert lines <= {1, 3, 4}
    assert module.f.__code__.co_firstlineno == 1


@pytest.mark.skipif(sys.version_info < (3, 12), reason="syntax of Python 3.12")
def test_type_parameters_are_no_part_of_a_name():
    """A generic function has the name that it would have without type parameters."""
    module, calls = run("class C[T]:\n    def f[U](self, x: U) -> U:\n        return x\n")
    assert module.C().f(3) == 3
    assert calls == ["m.C.f"]


def test_pauses_are_counted_within_a_span_only():
    """Of several pauses, those inside a span are taken off it, never more than all of it."""
    pauses = Pauses()
    pauses._ends, pauses._totals, pauses.last = [100, 200, 300], [0, 10, 30, 60], 300
    assert pauses.within(0, 1000) == 60
    assert pauses.within(150, 250) == 20
    assert pauses.within(301, 400) == 0
    assert pauses.within(195, 200) == 5


def test_tracer_measures_imported_modules_until_stopped(tmp_path, monkeypatch):
    """Modules imported while it runs are measured, with the type of what they raise; later ones are not."""
    (tmp_path / "traced_one.py").write_text("def f(x):\n    return 1 / x\n")
    (tmp_path / "traced_two.py").write_text("def f():\n    return 2\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    class Kept:
        def __init__(self):
            self.metrics = []

        def bulk_write(self, metrics):
            self.metrics += metrics

    store = Kept()
    backend = ThreadedBackend(store)
    tracer = Tracer(Selection(["traced_*"]), backend)
    tracer.start()
    try:
        traced_one = importlib.import_module("traced_one")
    finally:
        tracer.stop()
    traced_two = importlib.import_module("traced_two")
    assert traced_one.f(1) == 1
    with pytest.raises(ZeroDivisionError):
        traced_one.f(0)
    assert traced_two.f() == 2
    backend.close()
    assert [(metric["name"], metric.get("error_type")) for metric in store.metrics] == [
        ("traced_one.f", None),
        ("traced_one.f", "ZeroDivisionError"),
    ]
    assert all(metric["value"] >= 0 and metric["hostname"] for metric in store.metrics)
    assert tracer.functions == ["traced_one.f"]
    assert tracer._importer not in sys.meta_path


def test_what_a_module_calls_locals_is_its_own():
    """A function that hands its local variables on hands on no more than it has."""
    module, calls = run(
        "def f(a):\n    return locals()\n\ndef g(a):\n    def inner():\n        return vars()\n    return inner()\n"
    )
    assert (module.f(1), module.g(1)) == ({"a": 1}, {})
    assert sorted(calls) == ["m.f", "m.g", "m.g.inner"]
