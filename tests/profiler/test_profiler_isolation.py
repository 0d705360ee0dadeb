"""Whatever is around a call may fail: what it returns, what it raises and what it refers to stay as they are."""

from __future__ import annotations

import asyncio
import gc
import signal
import traceback
import weakref
from typing import Any

import pytest

from tests.cancelling import cancelled
from time_execution import settings
from time_execution.backends.memory import MemoryBackend
from time_execution.profiler import metrics
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
    assert sorted(line.split()[0] for line in caplog.messages) == ["callback"] * 4 + ["handler"]


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


class Spoiler:
    """A handler that leaves nothing of the records themselves."""

    handler_name = "spoiler"

    def handle(self, records, profiler_name):
        """Empty each."""
        for record in records:
            record.clear()


def test_records_that_a_handler_spoilt_reach_nobody(own):
    """The records of a call that raised are logged then as little as they can be read, and that is counted."""
    own.config(job="tests", error_raised_label=True)
    own.delete_handlers()
    own.add_handler(Spoiler())

    @own.profile
    def fails():
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        fails()
    assert own.stats()["handler"] == {"errors: KeyError": 1}


@pytest.mark.parametrize("base", [metrics.Counter, metrics.Gauge])
def test_metrics_of_odd_classes_reach_nobody(own, collector, base):
    """One that can neither be compared nor be a key is recorded like any other."""

    def compare(one, other):
        raise RuntimeError("compared")

    Odd: Any = type("Odd", (base,), {"__hash__": None, "__eq__": compare})
    added, other = Odd("added", "tests", "n"), Odd("other", "tests", "n")
    own.add_metric(added)
    settings.configure(backends=[MemoryBackend()])

    @own.profile
    def work():
        added.inc(1)
        other.inc(2)
        return "result"

    assert work() == "result"
    assert [(name, len(records)) for name, records in collector.handed] == [
        ("time_profiler", 1),
        ("added", 1),
        ("other", 1),
    ]


@pytest.mark.parametrize("is_named", [True, False])
def test_what_a_callback_does_to_arguments_does_not_reach_the_call(own, is_named):
    """It is given a dict of its own, whether it takes it by name or in order."""
    seen = []
    clear: Any = lambda func, args, kwargs: kwargs.clear()  # noqa: E731 - so that both fit
    own.before_func = clear if is_named else lambda _func, _args, given: given.clear()
    own.after_func = lambda fn_result, args, kwargs: seen.append(kwargs)

    @own.profile
    def work(**given):
        return given

    assert work(a=1) == {"a": 1}
    assert seen == [{"a": 1}]
    assert own.stats()["callback"] == {}


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


@pytest.mark.parametrize("where", ["callback", "response"])
def test_what_a_signal_handler_raises_passes(own, where):
    """An alarm that strikes in a callback, or as a response says how large it is, is the caller's time limit."""

    def alarm(_number, _frame):
        raise TimeoutError

    class Response:
        def __sizeof__(self):
            signal.raise_signal(signal.SIGUSR1)
            return 1

    if where == "callback":
        own.before_func = lambda func, args, kwargs: signal.raise_signal(signal.SIGUSR1)
    else:
        own.config(job="tests", response_size_profile=True)
    before = signal.signal(signal.SIGUSR1, alarm)
    try:
        with pytest.raises(TimeoutError):
            own.profile(lambda response: response)(Response())
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert running.get() is None


def test_a_cancelled_call_stays_cancelled(own, collector):
    """The cancellation passes, and the call is recorded."""

    @own.profile
    async def waits():
        await asyncio.Event().wait()

    asyncio.run(cancelled(waits()))
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
