"""Generators and coroutines: what is called between their steps is not theirs, and what is thrown in arrives."""

from __future__ import annotations

import asyncio
import functools
import types

import pytest

from time_execution.profiler._mode import RESPONSE_SIZE, TIME_PROFILER


def test_a_generator_is_the_caller_of_its_own_calls_only(own, collector):
    """What the consumer does between two items is not the generator's."""

    @own.profile
    def leaf():
        pass

    @own.profile
    def numbers():
        for number in range(2):
            leaf()
            got = yield number
            assert got in {None, "sent"}
        return "end"

    @own.profile
    def consume():
        generator = numbers()
        assert next(generator) == 0
        leaf()
        assert generator.send("sent") == 1
        with pytest.raises(StopIteration) as stop:
            next(generator)
        leaf()
        return stop.value.value

    assert consume() == "end"
    root = "test_profiler_generators:consume"
    assert collector.methods == [
        f"{root}.numbers.leaf",
        f"{root}.leaf",
        f"{root}.numbers.leaf",
        f"{root}.numbers",
        f"{root}.leaf",
        root,
    ]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_generators_may_end_in_any_order(own, collector, order):
    """Closed in whatever order, they leave no call behind as the innermost one."""

    @own.profile
    def leaf():
        pass

    @own.profile
    def numbers():
        yield 1
        yield 2

    running = [numbers() for _ in range(3)]
    for generator in running:
        next(generator)
    leaf()
    for index in order:
        running[index].close()
    leaf()
    numbers, leaf_ = "test_profiler_generators:numbers", "test_profiler_generators:leaf"
    assert collector.methods == [leaf_, numbers, numbers, numbers, leaf_]


def test_what_is_thrown_into_a_generator_arrives(own, collector):
    """The very exception, without a context of ours; and what it raises comes out."""
    thrown, raised, caught_inside = LookupError("in"), OSError("out"), []

    @own.profile
    def catching():
        try:
            yield 1
        except LookupError as exc:
            caught_inside.append((exc, exc.__context__))
        yield 2
        raise raised

    generator = catching()
    next(generator)
    assert generator.throw(thrown) == 2
    with pytest.raises(OSError, match="out") as caught:
        next(generator)
    assert caught.value is raised
    assert raised.__context__ is None
    assert caught_inside == [(thrown, None)]
    assert collector.methods == ["test_profiler_generators:catching"]


def test_an_asynchronous_generator_is_followed_as_well(own, collector):
    """Items, what is sent and thrown, and its end; calls in between are the consumer's."""

    @own.profile
    async def leaf():
        await asyncio.sleep(0)

    @own.profile
    async def pages():
        await leaf()
        sent = yield 1
        try:
            yield sent
        except LookupError:
            await leaf()
            yield 3

    async def consume():
        generator = pages()
        assert await generator.asend(None) == 1
        await leaf()
        assert await generator.asend("s") == "s"
        assert await generator.athrow(LookupError()) == 3
        await generator.aclose()
        await leaf()

    asyncio.run(consume())
    prefix = "test_profiler_generators"
    leaf_ = f"{prefix}:leaf"
    inner = f"{prefix}:pages.leaf"
    assert collector.methods == [leaf_, inner, inner, f"{prefix}:pages", leaf_]


def test_a_function_around_a_coroutine_function_is_measured_to_its_end(own, collector):
    """Called but not yet awaited, it is nobody's caller."""

    @own.profile
    def leaf():
        pass

    async def inner():
        leaf()
        return 3

    @own.profile
    @functools.wraps(inner)
    def around():
        return inner()

    async def main():
        first, second = around(), around()
        leaf()
        return await first + await second

    assert asyncio.run(main()) == 6
    prefix = "test_profiler_generators"
    call = [f"{prefix}:inner.leaf", f"{prefix}:inner"]
    assert collector.methods == [f"{prefix}:leaf", *call, *call]


def test_a_coroutine_made_by_types_is_measured(own, collector):
    """`types.coroutine` makes a generator function that is awaited."""

    @own.profile
    @types.coroutine
    def old():
        yield from asyncio.sleep(0).__await__()
        return 1

    async def main():
        return await old()

    assert asyncio.run(main()) == 1
    assert collector.methods == ["test_profiler_generators:old"]


def test_what_yields_has_no_response_to_measure(own, collector):
    """A root that is a generator has a time and no size; a coroutine that is written as a generator has both."""
    own.config(job="tests", response_size_profile=True)

    @own.profile
    def numbers():
        yield 1

    @own.profile
    async def letters():
        yield "a"

    @own.profile
    @types.coroutine
    def awaited():
        yield from asyncio.sleep(0).__await__()
        return "end"

    async def main():
        assert [letter async for letter in letters()] == ["a"]
        assert await awaited() == "end"

    assert list(numbers()) == [1]
    asyncio.run(main())
    assert [name for name, _ in collector.handed] == [TIME_PROFILER, TIME_PROFILER, TIME_PROFILER, RESPONSE_SIZE]
