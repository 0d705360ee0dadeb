"""The wrapper's globals are those of the function that it wraps, and it uses none of them, whatever they hold."""

from __future__ import annotations

import asyncio
import builtins
import dis
import doctest
import functools
import inspect
import types

import pytest

from tests.kept import Kept
from time_execution import settings, time_execution, wrapper
from time_execution.backends.threaded import ThreadedBackend

SOURCE = '''
from __future__ import annotations

import functools
import types

class Item:
    """Known by this name in this module alone."""

def function(item: Item = None):
    """Return what it was given.

    >>> function(1)
    1
    """
    return item

async def coroutine(item: Item = None):
    return item

def generator(item: Item = None):
    yield item

@types.coroutine
def generator_coroutine(item: Item = None):
    yield
    return item

async def async_generator(item: Item = None):
    yield item

def _plain(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)
    return wrapper

awaitable = _plain(coroutine)
partial = functools.partial(function, None)
'''
FUNCTIONS = ("function", "coroutine", "generator", "generator_coroutine", "async_generator", "awaitable")
KINDS = (*FUNCTIONS, "partial")

# Every builtin, and every name of the module that makes the wrappers, as something that is of no use.
HOSTILE = dict.fromkeys([name for name in (*vars(builtins), *vars(wrapper)) if not name.startswith("__")])


def module_of_a_user() -> types.ModuleType:
    """Return a module with a function of each kind."""
    module = types.ModuleType("application")
    exec(compile(SOURCE, "application.py", "exec"), module.__dict__)
    return module


def run(kind, measured):
    """Call, await or exhaust what was measured, and return what came."""

    async def consume():
        return [item async for item in measured(1)]

    async def wait():
        return await measured(1)

    if kind == "async_generator":
        return asyncio.run(consume())[0]
    if kind in {"coroutine", "awaitable", "generator_coroutine"}:
        return asyncio.run(wait())
    return next(iter(measured(1))) if kind == "generator" else measured(1) if kind == "function" else measured()


@pytest.mark.parametrize("kind", FUNCTIONS)
def test_wrapper_has_the_globals_of_the_function_itself(kind):
    """Also where the function stands behind another decorator."""
    module = module_of_a_user()
    assert time_execution(getattr(module, kind)).__globals__ is vars(module)


@pytest.mark.parametrize("kind", FUNCTIONS)
def test_wrapper_looks_up_no_global(kind):
    """What its module calls ``len`` is nothing to it."""
    measured = time_execution(getattr(module_of_a_user(), kind))
    used = [step.argval for step in dis.get_instructions(measured) if step.opname in {"LOAD_GLOBAL", "LOAD_NAME"}]
    assert used == []


@pytest.mark.parametrize("way", ["queued", "direct", "hooked"])
@pytest.mark.parametrize("kind", KINDS)
def test_module_with_names_of_its_own_is_measured_as_any_other(kind, way):
    """A module may call anything by the name of a builtin, and by the names that our code knows."""
    kept, module = Kept(), module_of_a_user()
    backend = kept if way != "queued" else ThreadedBackend(kept)
    settings.configure(backends=[backend], hooks=[lambda **_: {"seen": True}] if way == "hooked" else [])
    measured = time_execution(getattr(module, kind), name="measured")
    vars(module).update(HOSTILE)
    assert run(kind, measured) == (None if kind == "partial" else 1)
    if way == "queued":
        backend.close()
    assert kept.names == ["measured"]


@pytest.mark.parametrize("kind", ["function", "coroutine", "generator", "generator_coroutine", "async_generator"])
def test_exception_passes_where_the_module_has_exceptions_of_its_own(kind):
    """The wrapper catches what Python raises, not what a module calls so."""
    kept, module = Kept(), module_of_a_user()
    settings.configure(backends=[kept], hooks=[lambda exception, **_: {"error": type(exception).__name__}])
    measured = time_execution(getattr(module, kind))
    vars(module).update(HOSTILE)
    with pytest.raises(TypeError, match="unexpected keyword"):
        run(kind, functools.partial(measured, no_such=1))
    assert [metric["error"] for metric in kept.metrics] == ["TypeError"]


def test_annotations_that_are_text_are_found_where_the_wrapper_says():
    """As web frameworks do that evaluate them with the globals of what they are handed."""
    module = module_of_a_user()
    measured = time_execution(module.function)
    annotation = inspect.signature(measured).parameters["item"].annotation
    assert eval(annotation, measured.__globals__) is module.Item


def test_doctest_finds_a_decorated_function():
    """It knows by a function's globals whether it belongs to the module."""
    module = module_of_a_user()
    module.function = time_execution(module.function)
    found = {test.name for test in doctest.DocTestFinder().find(module) if test.examples}
    assert found == {"application.function"}


def test_what_has_no_globals_is_wrapped_all_the_same():
    """A function written in C, and an object that is called."""

    class Callable:
        def __call__(self):
            return 1

    assert (time_execution(len)([1, 2]), time_execution(Callable())()) == (2, 1)
