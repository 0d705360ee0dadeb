"""A measured call that raises leaves nothing behind: what its frames held is gone with its exception."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import types
import weakref

import pytest

from tests.kept import Kept
from time_execution import settings, time_execution
from time_execution.backends.threaded import ThreadedBackend


class Held:
    """Stands for a file, a lock, a connection that a frame holds."""


def function(refs):
    held = Held()
    refs.append(weakref.ref(held))
    raise ValueError


async def coroutine(refs):
    held = Held()
    refs.append(weakref.ref(held))
    raise ValueError


def generator(refs):
    held = Held()
    refs.append(weakref.ref(held))
    yield 1
    raise ValueError


@types.coroutine
def generator_coroutine(refs):
    held = Held()
    refs.append(weakref.ref(held))
    yield from ()
    raise ValueError


async def async_generator(refs):
    held = Held()
    refs.append(weakref.ref(held))
    yield 1
    raise ValueError


@functools.wraps(coroutine)
def awaitable(refs):
    return coroutine(refs)


def ended(awaited):
    """Run to its end what needs no event loop, without one's own references."""
    with contextlib.suppress(StopIteration, ValueError):
        awaited.send(None)


def consume(measured, refs):
    list(measured(refs))


async def consume_async(measured, refs):
    async for _ in measured(refs):
        pass


async def throw_async(measured, refs):
    running = measured(refs)
    await running.asend(None)
    await running.athrow(ValueError())


async def close_async(measured, refs):
    running = measured(refs)
    await running.asend(None)
    await running.aclose()


def call(measured, refs):
    measured(refs)


def close(measured, refs):
    running = measured(refs)
    next(running)
    running.close()


def asynchronously(consumer):
    return lambda measured, refs: ended(consumer(measured, refs))


async def wait(measured, refs):
    await measured(refs)


@pytest.fixture(params=["queued", "direct", "hooked", "async hooked"])
def _configured(request):
    """Configure each of the ways on which a call ends differently."""

    async def awaited(**_):
        return {"awaited": True}

    hooks = {"hooked": [lambda **_: {"seen": True}], "async hooked": [awaited]}.get(request.param, [])
    backend = ThreadedBackend(Kept()) if request.param == "queued" else Kept()
    settings.configure(backends=[backend], hooks=hooks)


@pytest.mark.usefixtures("_configured")
@pytest.mark.parametrize(
    ("kind", "consumer"),
    [
        (function, call),
        (coroutine, asynchronously(wait)),
        (awaitable, asynchronously(wait)),
        (generator_coroutine, asynchronously(wait)),
        (generator, consume),
        (generator, close),
        (async_generator, asynchronously(consume_async)),
        (async_generator, asynchronously(throw_async)),
        (async_generator, asynchronously(close_async)),
    ],
    ids=[
        "function",
        "coroutine",
        "awaitable",
        "types.coroutine",
        "generator",
        "closed",
        "async",
        "thrown into",
        "left",
    ],
)
def test_nothing_outlives_a_call_that_raised(kind, consumer):
    """Reference counts alone free what the frames held: there is no cycle for the collector to find."""
    measured = time_execution(kind)
    refs: list[weakref.ref[Held]] = []
    gc.collect()
    gc.disable()
    try:
        for _ in range(2):  # the first call compiles the plan, the second takes the fast way
            with contextlib.suppress(ValueError):
                consumer(measured, refs)
        assert [ref() for ref in refs] == [None, None]
    finally:
        gc.enable()


def test_task_that_failed_is_measured_with_its_exception():
    """What a plain function returns may be a task: its failure is the call's, and still for the caller to notice."""
    kept, noticed = Kept(), []

    async def fails():
        raise KeyError("x")

    async def answers():
        return 5

    async def hangs():
        await asyncio.sleep(60)

    def started(function):
        return time_execution(name="task")(functools.wraps(function)(lambda: asyncio.ensure_future(function())))

    async def main():
        asyncio.get_running_loop().set_exception_handler(lambda _, context: noticed.append(context["message"]))
        failing, answering, hanging = started(fails)(), started(answers)(), started(hangs)()
        asyncio.get_running_loop().call_soon(hanging.cancel)
        await asyncio.wait([failing, answering, hanging])
        await asyncio.sleep(0)
        del failing  # whose exception nobody asked for
        await asyncio.sleep(0)

    def outcome(response, exception, **_):
        return {"outcome": (response, type(exception).__name__)}

    settings.configure(backends=[kept], hooks=[outcome])
    asyncio.run(main())
    outcomes = sorted(str(metric["outcome"]) for metric in kept.metrics)
    assert outcomes == ["(5, 'NoneType')", "(None, 'CancelledError')", "(None, 'KeyError')"]
    assert noticed == ["Task exception was never retrieved"]
