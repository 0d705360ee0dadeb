"""Asynchronous hooks: awaited where somebody awaits, and only then."""

from __future__ import annotations

import asyncio
import functools

import pytest

from tests.cancelling import cancelled
from tests.hooked_calls import async_work, call, call_async, configure, slow_hook, work
from time_execution import stats, time_execution, write_metric


class AsyncHookObject:
    """A hook that is an object with an asynchronous call."""

    async def __call__(self, **_):
        return {"awaited": "by object"}


@pytest.mark.parametrize(
    "hook", [slow_hook, functools.partial(slow_hook), AsyncHookObject()], ids=["function", "partial", "object"]
)
def test_asynchronous_hook_is_awaited_on_asynchronous_functions(hook):
    """Its fields are merged in its place in the order."""
    metrics = configure(hook, lambda metric, **_: {"after": metric.get("awaited")})
    call_async()
    assert metrics[0]["awaited"]
    assert metrics[0]["after"] == metrics[0]["awaited"]


def test_asynchronous_hook_on_a_plain_function_is_skipped_and_counted():
    """There is nobody to await it; the metric is written without it."""
    metrics = configure(slow_hook)
    call()
    assert "awaited" not in metrics[0]
    assert list(stats()["errors"]["hook"].values()) == [1]


def test_asynchronous_hook_is_not_awaited_after_a_cancellation():
    """What is cancelled ends at once; its metric is written without what would have to be awaited."""
    metrics = configure(slow_hook)

    @time_execution(name="sleep")
    async def sleep():
        await asyncio.sleep(60)

    async def main():
        await cancelled(sleep())

    asyncio.run(main())
    assert [metric["name"] for metric in metrics] == ["sleep"]


def test_asynchronous_hook_may_call_what_is_measured():
    """A measured coroutine function that a hook awaits runs unmeasured, and does not call the hook again."""
    helper = time_execution(name="helper")(asyncio.sleep)

    async def hook(**_):
        await helper(0)
        write_metric("from.the.hook", value=1)

    metrics = configure(hook)
    call_async()
    assert sorted(metric["name"] for metric in metrics) == ["from.the.hook", "work"]


def test_tasks_beside_an_asynchronous_hook_are_measured():
    """Only what the hook itself awaits counts as its own; another task meanwhile is measured."""
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def hook(func_args, **_):
        if func_args == ("first",):
            reached.set()
            await go_on.wait()

    metrics = configure(hook)

    async def second():
        await reached.wait()
        await async_work("second")
        work("third")
        go_on.set()

    async def main():
        await asyncio.wait_for(asyncio.gather(async_work("first"), second()), 10)

    asyncio.run(main())
    assert len(metrics) == 3
