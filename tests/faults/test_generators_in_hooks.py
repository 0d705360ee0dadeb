"""Generators that end inside of a hook, or handle what is thrown into them: cases B1 and P10, invariant I2."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from typing import Any

import pytest

from tests.faults.calls import raised_by
from tests.kept import Kept
from time_execution import settings, time_execution


@pytest.mark.parametrize("moment", ["before", "after"])
def test_generator_that_ends_inside_a_hook_does_not_reach_the_caller(moment):
    """A measured generator, begun outside and exhausted by a hook, ends there; the call and its metric are whole."""
    kept = Kept()

    @time_execution(name="items")
    def items():
        yield 1

    started = items()
    next(started)

    def hook(func, func_args, func_kwargs):
        if moment == "before":
            list(started)
        yield
        if moment == "after":
            list(started)

    settings.configure(backends=[kept])
    work = time_execution(name="work", extra_hooks=[hook])(lambda: 7)
    assert [work(), work()] == [7, 7]
    assert kept.names.count("work") == 2


def test_collector_that_closes_a_measured_generator_inside_a_hook_is_harmless():
    """What the garbage collector ends in the middle of a hook is measured, or counted, and nothing raises (P10)."""
    kept = Kept()

    @time_execution(name="items")
    def items(me):
        yield 1

    def hook(func, func_args, func_kwargs):
        cycle: list[Any] = []
        iterator = items(cycle)
        next(iterator)
        cycle.append(iterator)
        del cycle, iterator
        gc.collect(1)
        yield
        gc.collect(1)

    settings.configure(backends=[kept], hooks=[hook])
    work = time_execution(name="work")(lambda: 7)
    assert [work() for _ in range(3)] == [7, 7, 7]
    assert kept.names.count("work") == 3


def test_async_generator_keeps_the_context_of_what_it_raises():
    """An exception thrown in and handled there is no context of one raised later (I2)."""

    async def source():
        with contextlib.suppress(KeyError):
            yield 1
        raise ValueError("later")

    async def main(make):
        iterator = make()
        await anext(iterator)
        try:
            await iterator.athrow(KeyError("thrown in"))
        except ValueError as exc:
            return exc.__context__
        raise AssertionError

    settings.configure(backends=[Kept()])
    assert asyncio.run(main(source)) is None
    assert asyncio.run(main(time_execution(source))) is None


def test_generator_keeps_the_context_of_what_it_raises():
    """The same for a plain generator."""

    def source():
        with contextlib.suppress(KeyError):
            yield 1
        raise ValueError("later")

    def run(make):
        iterator = make()
        next(iterator)
        return raised_by(iterator.throw, KeyError("thrown in")).__context__

    settings.configure(backends=[Kept()])
    assert run(source) is None
    assert run(time_execution(source)) is None
