"""Isolation on the call path: whatever hooks and backends do, the caller sees what he would see undecorated.

Cases B1 and B2 of the acceptance matrix, and invariant I2: the same object, the same tail of the traceback,
the same ``__context__`` and ``__cause__``.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import threading
import traceback
from typing import Any

import pytest

from tests.faults.calls import (
    FAILURES,
    KINDS,
    Odd,
    anatomy,
    bare,
    raised_by,
    run_async_generator,
    run_coroutine,
    run_function,
    run_generator,
    run_handler,
    run_method,
    stops,
    stops_async,
)
from tests.faults.troubles import (
    CONFIGURATIONS,
    HOOKS,
    WRONG,
    ApiError,
    Bad,
    BadBatch,
    after_the_same,
    awaits_the_same,
    raises_the_same,
    recurses,
    returns_rubbish,
    rewrites_the_chain,
    spoils,
)
from tests.kept import Kept
from time_execution import block, settings, shutdown, stats, time_execution


@pytest.fixture(autouse=True)
def _no_patience():
    """Do not wait at the end for what a backend that is down will never take."""
    yield
    shutdown(0.01)


@WRONG
def test_exception_is_what_it_would_be_undecorated(wrong):
    """Type, content, frames, context and cause of an exception are the function's own (B1, B2, I2)."""
    settings.configure(**CONFIGURATIONS[wrong]())
    for kind, fail in itertools.product(KINDS, (*FAILURES, stops, stops_async)):
        if fail in {stops, stops_async} and kind in {run_coroutine, run_generator, run_async_generator}:
            continue  # there, the language itself makes a RuntimeError of it
        undecorated = raised_by(kind, lambda thing: thing, fail)
        decorated = raised_by(kind, time_execution, fail)
        assert anatomy(decorated) == anatomy(undecorated), (kind.__name__, fail.__name__)


@WRONG
def test_exception_is_the_very_object(wrong):
    """The caller catches the object that was raised, its attributes untouched (I2)."""
    settings.configure(**CONFIGURATIONS[wrong]())
    error = Odd(required=object())
    cause, context = ValueError("cause"), KeyError("context")
    error.__cause__, error.__context__ = cause, context
    shape = vars(error).copy()

    def fail():
        raise error

    for kind in KINDS:
        if kind is run_handler:
            continue  # there, the language itself sets the context
        assert raised_by(kind, time_execution, fail) is error
        assert (error.__cause__, error.__context__, vars(error)) == (cause, context, shape)


class Difficult:
    """An object that nobody may touch."""

    def __eq__(self, other):
        raise RuntimeError("compared")

    __hash__ = None  # type: ignore[assignment]

    def __bool__(self):
        raise RuntimeError("asked")

    def __repr__(self):
        raise RuntimeError("shown")

    def __getattr__(self, name):
        raise RuntimeError("looked at")


@time_execution
def give(thing):
    """Return it."""
    return thing


@time_execution
async def give_later(thing):
    """Return it where it is awaited."""
    return thing


@time_execution
def give_twice(thing):
    """Yield and return it."""
    yield thing
    return thing


@time_execution
async def give_each(thing):
    """Yield it where it is awaited."""
    yield thing


@WRONG
def test_result_is_the_very_object(wrong):
    """The caller gets the object that was returned, however odd it is (I2)."""
    settings.configure(**CONFIGURATIONS[wrong]())
    things: list[Any] = [Difficult(), None, NotImplemented, [], ValueError("returned, not raised")]
    for thing in things:
        assert give(thing) is thing
        assert asyncio.run(give_later(thing)) is thing
        iterator = give_twice(thing)
        assert next(iterator) is thing
        assert getattr(raised_by(next, iterator), "value") is thing  # noqa: B009 - a StopIteration has one
        with pytest.raises(StopIteration) as stop:
            anext(give_each(thing)).__await__().send(None)
        assert stop.value.value is thing
        with block("b") as entered:
            entered.fields["thing"] = 1


@WRONG
def test_nothing_is_left_behind(wrong):
    """After any failure the next call is measured as the first, once things are in order again."""
    settings.configure(**CONFIGURATIONS[wrong]())
    for kind in KINDS:
        raised_by(kind, time_execution, bare)
    kept = Kept()
    settings.configure(backends=[kept], hooks=[])
    for kind in KINDS:
        raised_by(kind, time_execution(name=kind.__name__), bare)
    assert kept.names == [kind.__name__ for kind in KINDS]


@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize("fails", [False, True], ids=["returns", "raises"])
def test_metric_is_written_though_a_hook_fails(hook, fails):
    """The metric arrives with `hook_error`, unless the hook left nothing of it, and the failure is counted (B1)."""
    kept = Kept()
    settings.configure(backends=[kept], hooks=[hook, lambda **_: {"last": 1}])

    @time_execution(name="work")
    async def work():
        if fails:
            raise ValueError("v")
        return 1

    try:
        asyncio.run(work())
    except ValueError:
        assert fails
    same = hook in {raises_the_same, rewrites_the_chain, after_the_same, awaits_the_same}
    if hook is spoils:
        return
    (metric,) = kept.metrics
    assert (metric["name"], metric["last"]) == ("work", 1)
    expected = None if same and not fails else type(raised_or_merged(hook, fails)).__name__
    assert metric.get("hook_error") == expected
    assert sum(stats()["errors"]["hook"].values()) == (expected is not None)


def raised_or_merged(hook, fails):
    """Return an exception of the kind that a hook's failure is."""
    if hook in {raises_the_same, rewrites_the_chain, after_the_same, awaits_the_same}:
        return ValueError()
    return {returns_rubbish: TypeError(), recurses: RecursionError()}.get(hook, RuntimeError())


def test_users_exception_is_not_replaced_by_a_hooks():
    """The older library gave back the hook's KeyError in place of the result; here the caller knows nothing of it."""

    def hook(response, **_):
        return {"status": response["status"]}

    settings.configure(backends=[Kept()], hooks=[hook])
    assert time_execution(lambda: 42)() == 42
    with pytest.raises(ValueError, match="mine"):
        time_execution(lambda: int("mine"))()


def test_traceback_does_not_grow_with_hooks_and_backends():
    """Above the function's own frames stand at most two of ours, however much is configured."""
    settings.configure(**CONFIGURATIONS["everything"]())
    for kind in (run_function, run_method, run_coroutine, run_generator):
        exc = raised_by(kind, time_execution, bare)
        files = [frame.filename.replace("\\", "/") for frame in traceback.extract_tb(exc.__traceback__)]
        assert sum("/time_execution/" in name for name in files) <= 3
        assert "faults" in files[-1]


def test_failing_hooks_and_backends_of_many_threads_mix_nothing_up():
    """Under four threads each caller has his own result or exception, and every call has its metric."""
    chance = random.Random(5)
    plan = [chance.random() < 0.5 for _ in range(300)]
    kept = Kept()
    wrong: list[Any] = []

    @time_execution(name="work")
    def work(thing, fails):
        if fails:
            raise thing
        return thing

    def run():
        for fails in plan:
            thing = ValueError("mine")
            try:
                got: Any = work(thing, fails)
            except ValueError as exc:
                got = exc
            if got is not thing or thing.__context__ is not None:
                wrong.append(got)

    settings.configure(backends=[Bad(OSError()), kept, BadBatch(ApiError(500, body=b""))], hooks=HOOKS[:9])
    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert wrong == []
    assert len(kept.metrics) == 4 * len(plan)
