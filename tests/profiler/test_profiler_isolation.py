"""Whatever is around a call may fail: what it returns, what it raises and what it refers to stay as they are."""

from __future__ import annotations

import asyncio
import gc
import signal
import traceback
import weakref

import pytest

from time_execution import settings
from time_execution.profiler.tree import running

_NAMES = {"asynchronous generator": "async_generator"}


class Broken:
    """A handler that raises."""

    handler_name = "broken"

    def __init__(self, error=None):
        self.error = OSError("handler") if error is None else error

    def handle(self, records, profiler_name):
        """Spoil what it was given, and raise."""
        records.clear()
        raise self.error


@pytest.fixture
def broken(own):
    """Let everything around a call raise."""

    def raise_it(**_):
        raise RuntimeError("callback")

    own.before_func = own.before_root_func = own.after_func = own.after_root_func = raise_it
    handlers = own.handlers["collector"]
    own.delete_handlers()
    own.add_handler(Broken())
    own.add_handler(handlers)
    return own


def test_results_are_untouched_whatever_raises(broken, collector, caplog):
    """The same object comes back; each fault is counted, and logged once; the next handler gets its records."""
    result = object()
    work = broken.profile(lambda: result)
    assert [work() for _ in range(3)] == [result] * 3
    assert len(collector.records) == 3
    callbacks = broken.stats()["callback"]
    assert {key.split()[0] for key in callbacks} == {"before_func", "before_root_func", "after_func", "after_root_func"}
    assert set(callbacks.values()) == {3}
    assert broken.stats()["handler"] == {"broken: OSError": 3}
    assert len(caplog.records) == 5


@pytest.mark.parametrize("kind", ["function", "coroutine", "generator", "asynchronous generator"])
def test_exceptions_are_untouched_whatever_raises(broken, kind):
    """Identity, cause, context and the last place in the traceback are what they would be."""
    cause, error = KeyError("cause"), LookupError("mine")

    async def coroutine():
        raise error from cause

    def function():
        raise error from cause

    def generator():
        yield 1
        raise error from cause

    async def async_generator():
        yield 1
        raise error from cause

    async def consume(items):
        return [item async for item in items]

    calls = {
        "function": broken.profile(function),
        "coroutine": lambda: asyncio.run(broken.profile(coroutine)()),
        "generator": lambda: list(broken.profile(generator)()),
        "asynchronous generator": lambda: asyncio.run(consume(broken.profile(async_generator)())),
    }
    with pytest.raises(LookupError) as caught:
        calls[kind]()
    assert caught.value is error
    assert (error.__cause__, error.__context__) == (cause, None)
    assert traceback.extract_tb(error.__traceback__)[-1].name == _NAMES.get(kind, kind)
    assert running.get() is None


def test_an_exception_that_a_callback_raises_again_is_set_back(own):
    """Raised by a callback or a handler once more, the function's own exception keeps its context and its cause."""
    first, error = KeyError("first"), LookupError("mine")

    def spoil(**_):
        try:
            raise error from OSError("spoilt")
        except LookupError:
            raise first from error

    own.after_func = spoil
    own.add_handler(Broken(error))

    @own.profile
    def fails():
        try:
            raise first
        except KeyError:
            raise error  # noqa: B904

    with pytest.raises(LookupError) as caught:
        fails()
    assert caught.value is error
    assert error.__context__ is first
    assert error.__cause__ is None
    assert first.__context__ is first.__cause__ is None


def test_interrupts_pass_and_leave_no_call_behind(own):
    """What is no `Exception` ends the program, from wherever it comes."""

    def interrupt(**_):
        raise KeyboardInterrupt

    for name in ("before_func", "after_func"):
        setattr(own, name, interrupt)
        with pytest.raises(KeyboardInterrupt):
            own.profile(lambda: None)()
        setattr(own, name, None)
        assert running.get() is None
    own.add_handler(Broken(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        own.profile(lambda: None)()
    assert running.get() is None


def test_what_a_signal_handler_raises_passes(own):
    """An alarm that strikes in a callback is the caller's time limit."""

    def alarm(_number, _frame):
        raise TimeoutError

    own.before_func = lambda func, args, kwargs: signal.raise_signal(signal.SIGUSR1)
    before = signal.signal(signal.SIGUSR1, alarm)
    try:
        with pytest.raises(TimeoutError):
            own.profile(lambda: None)()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert running.get() is None


def test_a_cancelled_call_stays_cancelled(own, collector):
    """The cancellation passes, and the call is recorded."""

    @own.profile
    async def waits():
        await asyncio.Event().wait()

    async def main():
        task = asyncio.create_task(waits())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert collector.methods == ["test_profiler_isolation:waits"]


def test_errors_reach_the_caller_where_tests_ask_for_it(own):
    """With ``settings.raise_errors`` a broken handler is seen."""
    own.add_handler(Broken())
    with settings(raise_errors=True), pytest.raises(OSError, match="handler"):
        own.profile(lambda: None)()


def test_nothing_is_kept_of_a_call(own):
    """Results, arguments and exceptions are free as soon as the caller lets go of them, without a collection."""

    class Thing:
        pass

    class Mine(Exception):
        pass

    @own.profile
    def work(thing, *, fail=False):
        if fail:
            raise Mine
        return Thing()

    gc.collect()
    gc.disable()
    try:
        thing = Thing()
        watched = [weakref.ref(thing), weakref.ref(work(thing))]
        try:
            work(thing, fail=True)
        except Mine as exc:
            watched.append(weakref.ref(exc))
        del thing
        assert [reference() for reference in watched] == [None] * 3
    finally:
        gc.enable()
