"""The decorator on asynchronous functions, and on what only returns something to await."""

from __future__ import annotations

import asyncio
import functools
import inspect
import types
from typing import Any

import pytest

from tests.cancelling import cancelled
from tests.kept import Kept, Way, kept_fixture, way_fixture  # noqa: F401 - fixtures are asked for by name
from time_execution import time_execution


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
        return await cancelled(work())

    assert asyncio.run(main()).cancelled()
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
