"""`handle_errors` and `ErrorCapture`: what is logged, what passes, what is returned instead, on every kind (M5)."""

from __future__ import annotations

import asyncio
import inspect
import logging
import pickle
import traceback

import pytest

from tests.cancelling import cancelled
from time_execution import settings, stats
from time_execution.exceptions import ConfigurationError
from time_execution.logs import ErrorCapture, error_scope, handle_errors, logger


class Odd(Exception):
    """An error of a test's own."""


@handle_errors(reraise=False, fallback_value=0)
def divide(a, b):
    """Divide."""
    return a / b


def throw(error):
    raise error


def test_fallback_takes_the_place_of_a_result(kept):
    """A call that succeeds is untouched; one that raises returns the value, and is logged where it is defined."""
    assert divide(6, 3) == 2
    assert divide(1, 0) == 0
    record = kept.error()
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
    assert kept.error()["exception"]["message"] == "mine"


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

    asyncio.run(cancelled(wait()))
    assert kept.records() == []


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


def test_a_handler_that_raises_what_it_is_told_changes_nothing(kept):
    """Another handler may raise the very exception again, amid one of its own: all that belongs to it stays."""

    class Raising(logging.Handler):
        def handle(self, record):
            try:
                throw(RuntimeError())
            except RuntimeError as own:
                raise record.exc_info[1] from own

    @handle_errors
    def fail():
        try:
            throw(LookupError("before"))
        except LookupError:
            raise error from cause

    error, cause, handler = Odd("mine"), ValueError("cause"), Raising()
    logger.addHandler(handler)
    try:
        with pytest.raises(Odd) as caught:
            fail()
    finally:
        logger.removeHandler(handler)
    assert caught.value is error
    assert (error.__cause__, type(error.__context__)) == (cause, LookupError)
    assert "handle" not in [frame.name for frame in traceback.extract_tb(error.__traceback__)]


def test_measuring_switched_off_logs_all_the_same(kept):
    """Lines are no measurement: they are written whatever the settings say."""
    settings.configure(enabled=False)
    assert divide(1, 0) == 0
    assert len(kept.records()) == 1
