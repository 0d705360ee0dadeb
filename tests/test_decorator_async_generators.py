"""The decorator on asynchronous generators: their whole protocol, and what counts as one call."""

from __future__ import annotations

import asyncio
import gc
import inspect

import pytest

from tests.cancelling import cancelled
from tests.kept import Kept, Way, way_fixture  # noqa: F401 - a fixture is asked for by name
from time_execution import settings, time_execution


@time_execution
async def async_echo(first, log):
    """Answer with what was sent; log how it ended."""
    try:
        while True:
            try:
                first = yield first
            except KeyError as exc:
                first = exc
            if first == "return":
                return
    finally:
        await asyncio.sleep(0)
        log.append("end")


def test_kind_of_asynchronous_generators_survives():
    """What asks for an asynchronous generator function gets yes."""
    assert inspect.isasyncgenfunction(async_echo)
    assert inspect.isasyncgen(async_echo(1, []))
    assert async_echo(1, []).__name__ == "async_echo"


def test_async_generator_answers_asend_athrow_and_ends(way: Way):
    """Values and exceptions go both ways as without the decorator."""

    async def main():
        log: list[str] = []
        iterator = async_echo("a", log)
        error = KeyError("k")
        assert await anext(iterator) == "a"
        assert await iterator.asend("b") == "b"
        assert await iterator.athrow(error) is error
        with pytest.raises(StopAsyncIteration):
            await iterator.asend("return")
        with pytest.raises(StopAsyncIteration):
            await anext(iterator)
        return log

    assert asyncio.run(main()) == ["end"]
    way.expect("async_echo")


def test_exception_thrown_into_an_async_generator_comes_out_as_it_is(way: Way):
    """What the generator does not catch is the very object that was thrown, without a new context."""

    async def main():
        iterator = async_echo("a", [])
        await anext(iterator)
        error = ValueError("v")
        with pytest.raises(ValueError, match="v") as caught:
            await iterator.athrow(error)
        assert caught.value is error
        assert (error.__context__, error.__cause__) == (None, None)

    asyncio.run(main())
    way.expect("async_echo")


def test_closed_async_generator_cleans_up_and_is_no_failure():
    """aclose() awaits the generator's finally; hooks see neither exception nor response."""
    seen = []
    settings.configure(backends=[Kept()], hooks=[lambda exception, response, **_: seen.append((exception, response))])

    async def main():
        log: list[str] = []
        iterator = async_echo("a", log)
        await anext(iterator)
        await iterator.aclose()
        await iterator.aclose()
        return log

    assert asyncio.run(main()) == ["end"]
    assert seen == [(None, None)]


def test_async_generator_that_is_left_early_ends_with_its_loop(way: Way):
    """What `break` leaves behind is finished by the event loop, and measured then."""
    log: list[str] = []

    async def main():
        async for value in async_echo("a", log):
            assert value == "a"
            break
        gc.collect(1)  # it is young: no need to look at everything
        await asyncio.sleep(0.01)

    asyncio.run(main())
    assert log == ["end"]
    way.expect("async_echo")


def test_async_generator_that_is_never_started_is_not_measured(way: Way):
    """Making one, and closing it unused, is no call."""

    async def main():
        await async_echo("a", []).aclose()

    asyncio.run(main())
    assert way.metrics == []


def test_cancelling_the_consumer_reaches_the_async_generator(way: Way):
    """CancelledError passes through the generator, whose finally runs, and out again."""
    log: list[str] = []

    @time_execution
    async def slow():
        try:
            yield 1
            await asyncio.sleep(60)
            yield 2
        finally:
            log.append("end")

    async def consume():
        async for _ in slow():
            pass

    async def main():
        await cancelled(consume())

    asyncio.run(main())
    assert log == ["end"]
    way.expect("slow")


def test_async_generator_that_refuses_to_close_fails_as_undecorated(way: Way):
    """Yielding in answer to aclose() is the RuntimeError that it always is."""

    @time_execution
    async def stubborn():
        try:
            yield 1
        finally:
            yield 2

    async def main():
        iterator = stubborn()
        await anext(iterator)
        with pytest.raises(RuntimeError, match="ignored GeneratorExit"):
            await iterator.aclose()

    asyncio.run(main())
    way.expect("stubborn")


def test_just_started_async_generator_takes_no_value(way: Way):
    """Sending a value before the first one was yielded is the error that it always is."""

    async def main():
        with pytest.raises(TypeError, match="just-started"):
            await async_echo("a", []).asend("b")

    asyncio.run(main())


def test_context_variables_are_the_consumers(way: Way):
    """An asynchronous generator runs in the context of who iterates it, with the decorator as without."""
    import contextvars

    variable = contextvars.ContextVar("variable", default=0)

    @time_execution
    async def work():
        variable.set(variable.get() + 1)
        yield variable.get()
        yield variable.get()

    async def main():
        iterator = work()
        assert await anext(iterator) == 1
        variable.set(10)
        assert await anext(iterator) == 10
        await iterator.aclose()

    asyncio.run(main())
