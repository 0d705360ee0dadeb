"""What is no `Exception` passes through every kind of measured thing, and its call has a metric all the same."""

from __future__ import annotations

import asyncio
import functools
import types

import pytest

from tests.kept import WAYS, Way
from time_execution import time_execution


def fail_in_function(error):
    """Raise where it is called."""

    @time_execution(name="work")
    def work():
        raise error

    work()


def fail_in_generator(error):
    """Raise where it is consumed."""

    @time_execution(name="work")
    def work():
        yield
        raise error

    list(work())


def fail_in_block(error):
    """Raise in a block."""
    with time_execution.block("work"):
        raise error


async def fail_in_coroutine(error):
    """Raise where it is awaited."""

    @time_execution(name="work")
    async def work():
        raise error

    await work()


async def fail_in_generator_coroutine(error):
    """Raise where it is awaited, in the older way to write a coroutine."""

    @time_execution(name="work")
    @types.coroutine
    def work():
        yield from ()
        raise error

    await work()


async def fail_in_async_generator(error):
    """Raise where it is consumed."""

    @time_execution(name="work")
    async def work():
        yield
        raise error

    async for _ in work():
        pass


async def fail_in_async_block(error):
    """Raise in a block."""
    async with time_execution.block("work"):
        raise error


def fail_around_coroutine(error, *, before):
    """Raise in a plain function around a coroutine function, or in the coroutine that it returns."""

    async def inner():
        raise error

    @time_execution(name="work")
    @functools.wraps(inner)
    def work():
        if before:
            raise error
        return inner()

    return work()


def at_once(fail):
    """Run a coroutine function to its end without an event loop, which has ideas of its own about interrupts."""
    return lambda error: fail(error).send(None)


FAILS = {
    "function": fail_in_function,
    "generator": fail_in_generator,
    "block": fail_in_block,
    "coroutine": at_once(fail_in_coroutine),
    "generator coroutine": at_once(fail_in_generator_coroutine),
    "asynchronous generator": at_once(fail_in_async_generator),
    "asynchronous block": at_once(fail_in_async_block),
    "around a coroutine": at_once(functools.partial(fail_around_coroutine, before=False)),
    "before a coroutine": functools.partial(fail_around_coroutine, before=True),
}


@pytest.fixture(name="way", params=[way for way in WAYS if way != "off"])
def way_fixture(request: pytest.FixtureRequest) -> Way:
    """Configure each way that measures."""
    way = Way(request.param)
    way.configure()
    return way


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, asyncio.CancelledError])
@pytest.mark.parametrize("fail", FAILS.values(), ids=FAILS)
def test_an_interrupt_passes_and_is_measured(way: Way, fail, kind):
    """The very exception comes out, there is one metric, and the hooks were told of the exception."""
    error = kind("mine")
    with pytest.raises(kind) as caught:
        fail(error)
    assert caught.value is error
    assert (error.__context__, error.__cause__) == (None, None)
    way.expect("work")
    if "hooked" in way.name:
        assert way.metrics[0]["outcome"] == kind.__name__
