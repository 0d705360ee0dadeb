"""`handle_errors` and `ErrorCapture`: what is logged, what passes, what is returned instead, on every kind (M5)."""

from __future__ import annotations

import asyncio
import functools
import inspect
import pickle
import traceback
import types
from contextlib import contextmanager

import pytest

from time_execution import settings, stats
from time_execution.exceptions import ConfigurationError
from time_execution.logs import ErrorCapture, error_scope, handle_errors, logger


class Odd(Exception):
    """An error of a test's own."""


@handle_errors(reraise=False, fallback_value=0)
def divide(a, b):
    """Divide."""
    return a / b


def only(kept):
    """Return the only record, once it is one of an error."""
    record = kept.record()
    assert record["level"] == "ERROR"
    assert record["exception"]["type"]
    return record


def test_fallback_takes_the_place_of_a_result(kept):
    """A call that succeeds is untouched; one that raises returns the value, and is logged where it is defined."""
    assert divide(6, 3) == 2
    assert divide(1, 0) == 0
    record = only(kept)
    assert record["message"] == f"{__name__}.divide failed: division by zero"
    assert (record["module"], record["function"]) == ("test_handle_errors", "divide")
    assert record["exception"]["traceback"][-1] == "ZeroDivisionError: division by zero"
    assert not any("handled.py" in line for line in record["exception"]["traceback"])
    assert (divide.__name__, divide.__doc__, str(inspect.signature(divide))) == ("divide", "Divide.", "(a, b)")
    assert pickle.loads(pickle.dumps(divide)) is divide


@pytest.mark.parametrize("decorator", [handle_errors, handle_errors(), handle_errors(True, 5), ErrorCapture("x")])
def test_exceptions_pass_unchanged(kept, decorator):
    """What is raised again is the same object with the same parts, and nothing was added to it."""
    error, cause = Odd("mine"), ValueError("cause")

    @decorator
    def fail():
        raise error from cause

    with pytest.raises(Odd) as caught:
        fail()
    assert caught.value is error
    assert (error.__cause__, error.__context__, vars(error)) == (cause, None, {})
    assert [frame.name for frame in traceback.extract_tb(error.__traceback__)][-1] == "fail"
    assert only(kept)["exception"]["message"] == "mine"


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, asyncio.CancelledError, GeneratorExit])
def test_what_is_no_error_passes_unlogged(kept, kind):
    """Interrupts and cancellation are nobody's to handle, whatever was asked for."""

    def fail():
        raise kind

    with pytest.raises(kind):
        handle_errors(reraise=False, fallback_value=1)(fail)()
    with pytest.raises(kind), ErrorCapture(reraise=False):
        fail()
    assert kept.records() == []


def test_fallback_function_gets_the_arguments(kept):
    """It is called with what the call was called with, and may raise itself, in the context of the error."""

    def instead(a, b=2, *, c):
        if c == "raise":
            raise LookupError(c)
        return a, b, c

    @handle_errors(reraise=False, fallback_function=instead)
    def fail(a, b=2, *, c):
        raise Odd(a)

    assert fail(1, c=3) == (1, 2, 3)
    with pytest.raises(LookupError) as caught:
        fail(1, 5, c="raise")
    assert type(caught.value.__context__) is Odd
    assert len(kept.records()) == 2


def test_coroutines_are_handled_when_they_are_awaited(kept):
    """A coroutine function stays one; its fallback may be one, too."""

    async def instead(a):
        await asyncio.sleep(0)
        return -a

    async def fail(a):
        await asyncio.sleep(0)
        raise Odd(a)

    by_value = handle_errors(reraise=False, fallback_value="none")(fail)
    by_coroutine = handle_errors(reraise=False, fallback_function=instead)(fail)
    by_function = handle_errors(reraise=False, fallback_function=lambda a: a + 1)(fail)
    passing = handle_errors(fail)
    assert all(inspect.iscoroutinefunction(each) for each in (by_value, by_coroutine, passing))

    async def main():
        with pytest.raises(Odd):
            await passing(0)
        return await by_value(1), await by_coroutine(2), await by_function(3)

    assert asyncio.run(main()) == ("none", -2, 4)
    assert [record["exception"]["message"] for record in kept.records()] == ["0", "1", "2", "3"]


def test_cancelling_is_not_handled(kept):
    """A coroutine that is cancelled ends as it does undecorated."""

    @handle_errors(reraise=False, fallback_value="swallowed")
    async def wait():
        await asyncio.Event().wait()

    async def main():
        task = asyncio.create_task(wait())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert kept.records() == []


def test_generators_end_with_the_fallback(kept):
    """What was yielded stays; then the fallback is returned, or its items follow where it is a generator."""

    def fail(n):
        got = yield n
        raise Odd(got)

    def instead(n):
        yield n + 1
        return n + 2

    def run(generator):
        items = [next(generator)]
        try:
            items.append(generator.send("sent"))
            while True:
                items.append(next(generator))
        except StopIteration as stop:
            return items, stop.value

    assert run(handle_errors(reraise=False, fallback_value=5)(fail)(1)) == ([1], 5)
    assert run(handle_errors(reraise=False, fallback_function=instead)(fail)(1)) == ([1, 2], 3)
    assert run(handle_errors(reraise=False, fallback_function=lambda n: n)(fail)(1)) == ([1], 1)
    with pytest.raises(Odd):
        list(handle_errors(fail)(1))
    assert [record["exception"]["message"] for record in kept.records()] == ["sent", "sent", "sent", "None"]


def test_closing_a_generator_is_no_error(kept):
    """One that is closed, or thrown away, is not logged."""

    @handle_errors(reraise=False)
    def items():
        yield from range(10)

    generator = items()
    next(generator)
    generator.close()
    assert kept.records() == []


def test_context_managers_of_generators_end_what_they_handle(kept):
    """Under contextmanager, what the block raises is logged, and ends there."""

    @contextmanager
    @handle_errors(reraise=False)
    def managed():
        yield 1

    with managed() as value:
        raise Odd(value)
    assert only(kept)["exception"]["message"] == "1"


def test_async_generators_end_with_the_fallback(kept):
    """What was yielded stays, what is sent and thrown arrives, and items of a fallback that is one follow."""

    async def fail(n):
        try:
            got = yield n
        except KeyError:
            got = "thrown"
        yield got
        raise Odd(got)

    async def instead(n):
        yield "instead"

    async def run(generator, *, throw=False):
        items = [await generator.asend(None)]
        items.append(await (generator.athrow(KeyError()) if throw else generator.asend("sent")))
        return items + [item async for item in generator]

    async def main():
        silent = handle_errors(reraise=False)(fail)
        going_on = handle_errors(reraise=False, fallback_function=instead)(fail)
        closed = handle_errors(fail)(1)
        await closed.asend(None)
        await closed.aclose()
        with pytest.raises(Odd):
            await run(handle_errors(fail)(1))
        return await run(silent(1)), await run(going_on(1), throw=True)

    assert asyncio.run(main()) == ([1, "sent"], [1, "thrown", "instead"])
    assert len(kept.records()) == 3


def test_methods_and_properties_are_handled(kept):
    """Whatever a class offers: methods of each kind, properties, partials, callable objects."""
    quiet = handle_errors(reraise=False, fallback_value="fallback")

    class Thing:
        @quiet
        def method(self):
            raise Odd(self)

        @quiet
        @classmethod
        def of_class(cls):
            raise Odd(cls)

        @staticmethod
        @quiet
        def static():
            raise Odd

        @property
        @quiet
        def value(self):
            raise Odd

        def __call__(self):
            raise Odd

    thing = Thing()
    found = [
        thing.method(),
        Thing.of_class(),
        Thing.static(),
        thing.value,
        quiet(thing)(),
        quiet(functools.partial(thing))(),
    ]
    assert found == ["fallback"] * 6
    assert len(kept.records()) == 6


def test_classes_only_pass_exceptions_on(kept):
    """A class stays the same one, its construction is logged where it fails, and nothing can take its place."""

    @handle_errors
    class Thing:
        def __init__(self, a):
            self.a = 1 / a

    assert Thing(1).a == 1
    with pytest.raises(ZeroDivisionError):
        Thing(0)
    assert len(kept.records()) == 1
    with pytest.raises(ConfigurationError, match="Thing"):
        handle_errors(reraise=False)(Thing)


def test_plain_functions_around_coroutine_functions(kept):
    """Such a function is awaited by its callers, so its fallback can be, too."""

    async def fail(a):
        raise Odd(a)

    @functools.wraps(fail)
    def around(a):
        if a == "early":
            raise Odd(a)
        return fail(a)

    handled = handle_errors(reraise=False, fallback_value=5)(around)
    assert [asyncio.run(handled(a)) for a in ("early", "late")] == [5, 5]
    assert len(kept.records()) == 2


def test_generator_coroutines(kept):
    """A coroutine made by types.coroutine is handled, too."""

    @handle_errors(reraise=False, fallback_value=5)
    @types.coroutine
    def fail():
        yield
        raise Odd

    async def main():
        return await fail()

    assert asyncio.run(main()) == 5
    assert len(kept.records()) == 1


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"reraise": "no"}, "reraise"),
        ({"reraise": False, "fallback_function": 5}, "fallback_function"),
        ({"reraise": False, "fallback_function": len, "fallback_value": 5}, "single"),
    ],
)
def test_wrong_arguments_are_errors_when_decorating(options, told):
    """What makes no sense is told where it stands."""
    with pytest.raises(ConfigurationError, match=told):
        handle_errors(**options)
    with pytest.raises(TypeError):
        handle_errors()(5)


def test_what_several_handlers_log_is_one_event(kept, events):
    """An exception that passes decorators and captures on its way is one event, without a scope of a request."""

    @handle_errors(reraise=False)
    def outer():
        with ErrorCapture("middle"):
            inner()

    @handle_errors
    def inner():
        raise Odd("one")

    outer()
    outer()
    assert len(kept.records()) == 6
    assert [event["type"] for event in events] == [f"{__name__}.Odd"] * 2
    with error_scope():
        outer()
    assert len(events) == 3


def test_a_log_that_cannot_be_set_up_changes_nothing(monkeypatch):
    """A wrong variable is told and counted where an exception is handled; the exception stays what it was."""
    monkeypatch.setenv("LOG_LEVEL", "LOUD")
    error = Odd()
    with pytest.raises(Odd) as caught, ErrorCapture():
        raise error
    assert (caught.value, error.__context__) == (error, None)
    assert divide(1, 0) == 0
    assert stats()["errors"]["hook"] == {"log: ConfigurationError": 2}


def test_a_handler_that_fails_changes_nothing(kept):
    """Another handler of the application's logger may raise: the fallback is returned all the same."""

    class Failing(type(logger.handlers[0]).__mro__[1]):
        def handle(self, record):
            raise RuntimeError

    handler = Failing()
    logger.addHandler(handler)
    try:
        assert divide(1, 0) == 0
    finally:
        logger.removeHandler(handler)
    assert stats()["errors"]["hook"] == {"log: RuntimeError": 1}


def test_measuring_switched_off_logs_all_the_same(kept):
    """Lines are no measurement: they are written whatever the settings say."""
    settings.configure(enabled=False)
    assert divide(1, 0) == 0
    assert len(kept.records()) == 1
