"""The decorator on callables that are no functions: partials, objects, and what is written in C."""

from __future__ import annotations

import asyncio
import functools
import operator
from typing import Any

import pytest

from tests.kept import Kept, Way, kept_fixture, way_fixture  # noqa: F401 - fixtures are asked for by name
from time_execution import time_execution


class Adder:
    """A callable object."""

    def __call__(self, a, b=1):
        return a + b


class AsyncAdder:
    """A callable object that is to be awaited."""

    async def __call__(self, a, b=1):
        await asyncio.sleep(0.02)
        return a + b


def defaults(a, b=2, *, c=3):
    return (a, b, c)


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
