"""What hooks and direct backends measure themselves runs, is counted and makes no metric, so that it ends."""

from __future__ import annotations

import asyncio
import functools
import types

import pytest

from tests.hooked_calls import BOTH
from tests.kept import Kept
from time_execution import settings, stats, time_execution
from time_execution.backends.threaded import ThreadedBackend

ran: list[str] = []


@time_execution(name="inner")
def function():
    """Run."""
    ran.append("function")


@time_execution(name="inner")
async def coroutine():
    """Run where it is awaited."""
    ran.append("coroutine")


async def _plain_coroutine():
    ran.append("awaitable")


@time_execution(name="inner")
@functools.wraps(_plain_coroutine)
def awaitable():
    """Return what runs where it is awaited."""
    return _plain_coroutine()


@time_execution(name="inner")
def generator():
    """Run where it is consumed."""
    ran.append("generator")
    yield


@time_execution(name="inner")
async def async_generator():
    """Run where it is consumed."""
    ran.append("async_generator")
    yield


@time_execution(name="inner")
@types.coroutine
def generator_coroutine():
    """Run where it is awaited."""
    ran.append("generator_coroutine")
    yield from ()


def block():
    """Run in a measured block."""
    with time_execution.block("inner"):
        ran.append("block")


async def async_block():
    """Run in a measured block."""
    async with time_execution.block("inner"):
        ran.append("async_block")


async def exhaust(iterator):
    """Consume all of it."""
    async for _ in iterator:
        pass


SYNCHRONOUS = {
    "function": function,
    "generator": lambda: list(generator()).clear(),
    "block": block,
}
ASYNCHRONOUS = {
    "coroutine": coroutine,
    "awaitable": awaitable,
    "generator_coroutine": generator_coroutine,
    "async_generator": lambda: exhaust(async_generator()),
    "async_block": async_block,
}


async def wait_for(make):
    """Await what a function makes."""
    await make()


def at_once(make):
    """Run to its end what never waits, as a hook may that has no event loop."""
    with pytest.raises(StopIteration):
        wait_for(make).send(None)


INNERS = SYNCHRONOUS | {name: functools.partial(at_once, make) for name, make in ASYNCHRONOUS.items()}


def plain_hook(run):
    """Return a hook that runs it."""
    return lambda **_: run()


def hook_before(run):
    """Return a generator hook that runs it before the call."""

    def hook(func, func_args, func_kwargs):
        run()
        yield

    return hook


def hook_after(run):
    """Return a generator hook that runs it after the call."""

    def hook(func, func_args, func_kwargs):
        yield
        run()

    return hook


class Measuring(Kept):
    """A backend that runs it with each metric."""

    def __init__(self, run):
        super().__init__()
        self.run = run

    def write(self, name, **data):
        self.run()
        super().write(name, **data)


@pytest.fixture(autouse=True)
def _nothing_ran():
    """Forget what ran."""
    ran.clear()


def expect_one_metric_a_call(kept, name):
    """Assert that the inner thing ran once a call and was counted, and that the outer one alone made metrics.

    There were two calls: only in the second are plans ready that need not be compiled.
    """
    assert ran == [name] * 2
    assert kept.names == ["work"] * 2
    assert not any("hook_error" in metric for metric in kept.metrics)
    assert stats()["errors"] == {"hook": {"inner: reentrant": 2}, "backend": {}}


@pytest.mark.parametrize("name", INNERS)
@pytest.mark.parametrize("make", [plain_hook, hook_before, hook_after])
@BOTH
def test_what_a_hook_measures_is_counted_and_makes_no_metric(call, make, name):
    """Whatever kind of thing it is, it runs, and the hook is not called for it."""
    kept = Kept()
    settings.configure(backends=[kept], hooks=[make(INNERS[name])])
    assert [call(1), call(1)] == [(1,), (1,)]
    expect_one_metric_a_call(kept, name)


@pytest.mark.parametrize("name", INNERS)
@pytest.mark.parametrize("fails", [False, True], ids=["returns", "raises"])
@BOTH
def test_what_a_direct_backend_measures_is_counted_and_makes_no_metric(call, fails, name):
    """The same holds for a backend that the caller writes to."""
    kept = Measuring(INNERS[name])
    settings.configure(backends=[kept])
    error = ValueError("v")
    for _ in range(2):
        if fails:
            with pytest.raises(ValueError, match="v") as caught:
                call(error)
            assert caught.value is error
        else:
            assert call(1) == (1,)
    expect_one_metric_a_call(kept, name)


@pytest.mark.parametrize(
    "name", [name for name in ASYNCHRONOUS if name != "generator_coroutine"]
)  # on which no hook is awaited
@pytest.mark.parametrize("as_task", [False, True], ids=["awaited", "in a task"])
def test_what_an_asynchronous_hook_awaits_is_counted_and_makes_no_metric(as_task, name):
    """Neither where the hook awaits it nor in a task that the hook starts and waits for is the hook called for it."""

    async def run():
        await ASYNCHRONOUS[name]()

    async def hook(**_):
        await (asyncio.create_task(run()) if as_task else run())

    kept = Kept()
    settings.configure(backends=[kept], hooks=[hook])

    @time_execution(name="work")
    async def work():
        return 1

    assert [asyncio.run(work()), asyncio.run(work())] == [1, 1]
    expect_one_metric_a_call(kept, name)


@pytest.mark.parametrize("name", ["coroutine", "awaitable", "async_block"])
def test_what_an_asynchronous_hook_awaits_makes_no_metric_without_that_hook_either(name):
    """Whether it has hooks of its own makes no difference."""

    async def hook(**_):
        await ASYNCHRONOUS[name]()

    kept = Kept()
    settings.configure(backends=[kept])

    @time_execution(name="work", extra_hooks=[hook])
    async def work():
        return 1

    assert [asyncio.run(work()), asyncio.run(work())] == [1, 1]
    expect_one_metric_a_call(kept, name)


@pytest.mark.parametrize("name", INNERS)
def test_what_a_queued_backend_measures_is_counted_and_makes_no_metric(name):
    """Its worker would feed itself for ever."""
    kept = Measuring(INNERS[name])
    settings.configure(backends=[queue := ThreadedBackend(kept, bulk_timeout=0.01)])
    for calls in (1, 2):
        time_execution(name="work")(lambda: None)()
        assert queue.flush(10.0)
        assert (ran, kept.names) == ([name] * calls, ["work"] * calls)
        assert queue.stats()["rejected"] == {"reentrant": calls}


@pytest.mark.parametrize("name", INNERS)
def test_the_call_after_one_with_a_measuring_hook_is_measured(name):
    """Once the hook is gone, the same thing makes a metric of its own."""
    kept = Kept()
    settings.configure(backends=[kept], hooks=[plain_hook(INNERS[name])])
    time_execution(name="work")(lambda: None)()
    settings.configure(hooks=[])
    INNERS[name]()
    assert kept.names == ["work", "inner"]
