"""The call tree under generators: what they and their consumers call is told apart, in whatever order they end."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import threading

import pytest

from tests.hooks.call_trees import branch, leaf, nothing_leaks, tree  # noqa: F401 - a fixture applies by being here
from time_execution import time_execution
from time_execution.hooks import call_tree_hook
from time_execution.hooks.call_tree import _innermost


@time_execution
def numbers(count: int = 2):
    for number in range(count):
        leaf()
        yield number


def test_generator_is_the_caller_of_its_own_calls_only(measured) -> None:
    """What the consumer calls between two items is the consumer's."""
    metrics = measured(call_tree_hook)

    @time_execution
    def consume():
        for _ in numbers():
            branch()

    consume()
    assert tree(metrics) == [
        ("leaf", "numbers", 2),
        ("leaf", "branch", 2),
        ("branch", "consume", 1),
        ("leaf", "numbers", 2),
        ("leaf", "branch", 2),
        ("branch", "consume", 1),
        ("numbers", "consume", 1),
        ("consume", "-", 0),
    ]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2), (1, 2, 0)])
def test_generators_may_end_in_any_order(measured, order) -> None:
    """Interleaved generators keep their own calls and leave nothing behind, in whatever order they end."""
    metrics = measured(call_tree_hook)
    running = [numbers(3) for _ in range(3)]
    for generator in running:
        next(generator)
    for generator in reversed(running):
        next(generator)
    leaf()
    for index in order:
        running[index].close()
    assert _innermost.get() is None
    leaf()
    assert tree(metrics)[:6] == [("leaf", "numbers", 1)] * 6
    assert tree(metrics)[6:] == [("leaf", "-", 0), *[("numbers", "-", 0)] * 3, ("leaf", "-", 0)]


def test_generator_that_ends_in_another_thread_leaves_no_parent_behind(measured) -> None:
    """Closed elsewhere, it is neither a parent here nor kept alive by ever longer chains."""
    metrics = measured(call_tree_hook)

    def run() -> None:
        for _ in range(50):
            generator = numbers()
            next(generator)
            closing = threading.Thread(target=generator.close)
            closing.start()
            closing.join()
        call = _innermost.get()
        length = 0
        while call is not None:
            call, length = call.previous, length + 1
        assert length <= 1
        leaf()

    contextvars.copy_context().run(run)
    assert tree(metrics)[-1] == ("leaf", "-", 0)


def test_abandoned_generator_leaves_nothing_behind(measured) -> None:
    """A generator that is never finished is closed by the collector."""
    metrics = measured(call_tree_hook)
    generator = numbers()
    next(generator)
    del generator
    gc.collect()
    assert _innermost.get() is None
    assert tree(metrics) == [("leaf", "numbers", 1), ("numbers", "-", 0)]


def test_async_generator_is_the_caller_of_its_own_calls_only(measured) -> None:
    """The same holds for asynchronous generators, across awaits."""
    metrics = measured(call_tree_hook)

    @time_execution
    async def fetch():
        await asyncio.sleep(0)

    @time_execution
    async def pages():
        for number in range(2):
            await fetch()
            yield number

    @time_execution
    async def consume():
        async for _ in pages():
            await asyncio.sleep(0)
            leaf()

    asyncio.run(consume())
    assert tree(metrics) == [
        ("fetch", "pages", 2),
        ("leaf", "consume", 1),
        ("fetch", "pages", 2),
        ("leaf", "consume", 1),
        ("pages", "consume", 1),
        ("consume", "-", 0),
    ]
