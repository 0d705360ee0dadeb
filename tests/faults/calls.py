"""What is measured while all goes wrong beside it: each kind of callable, raising in every way.

Nothing here is decorated yet; `anatomy` tells what can be seen of an exception, decorated or not.
"""

from __future__ import annotations

import asyncio
import builtins
import sys
import traceback
from collections.abc import Callable
from typing import Any

import pytest

NOTHING: dict[str, Any] = {}


class Odd(Exception):
    """An exception with a will of its own."""

    def __init__(self, *, required):
        super().__init__("odd")
        self.required = required

    def __eq__(self, other):
        raise RuntimeError("compared")

    __hash__ = None  # type: ignore[assignment]

    def __str__(self):
        raise RuntimeError("shown")

    __repr__ = __str__


def bare():
    """Raise."""
    raise ValueError("bare")


def with_context():
    """Raise while another exception is handled."""
    try:
        NOTHING["missing"]
    except KeyError:
        raise ValueError("in a handler")  # noqa: B904 - the implicit context is the point


def with_cause():
    """Raise from another exception."""
    try:
        int("x")
    except ValueError as exc:
        raise LookupError("translated") from exc


def from_none():
    """Raise with the context suppressed."""
    try:
        int("x")
    except ValueError:
        raise LookupError("translated") from None


def odd():
    """Raise what can be neither compared nor shown."""
    raise Odd(required=1)


def stops():
    """Raise what ends an iteration."""
    raise StopIteration("value")


def stops_async():
    """Raise what ends an asynchronous iteration."""
    raise StopAsyncIteration("value")


def interrupted():
    """Raise what is no Exception."""
    raise KeyboardInterrupt


def cancelled():
    """Raise what ends a task."""
    raise asyncio.CancelledError("because")


def group():
    """Raise several at once, where there are groups."""
    if sys.version_info < (3, 11):
        raise ValueError("no groups yet")
    raise getattr(builtins, "ExceptionGroup")("several", [ValueError("a"), KeyError("b")])  # noqa: B009 - not on 3.10


FAILURES = (bare, with_context, with_cause, from_none, odd, interrupted, cancelled, group)


def run_function(decorate, fail):
    """Call a function."""

    @decorate
    def measured():
        fail()

    measured()


def run_method(decorate, fail):
    """Call a method through an instance."""

    class Thing:
        @decorate
        def measured(self):
            fail()

    Thing().measured()


def run_class(decorate, fail):
    """Construct an object."""

    @decorate
    class Thing:
        def __init__(self):
            fail()

    Thing()


def run_coroutine(decorate, fail):
    """Drive a coroutine by hand."""

    @decorate
    async def measured():
        fail()

    measured().send(None)


def run_generator(decorate, fail):
    """Exhaust a generator."""

    @decorate
    def measured():
        yield 1
        fail()

    list(measured())


def run_async_generator(decorate, fail):
    """Exhaust an asynchronous generator by hand."""

    @decorate
    async def measured():
        yield 1
        fail()

    async def main():
        async for _ in measured():
            pass

    main().send(None)


def run_handler(decorate, fail):
    """Call a function while the caller handles an exception of his own."""

    @decorate
    def measured():
        fail()

    try:
        int("the caller's")
    except ValueError:
        measured()


KINDS = (run_function, run_method, run_class, run_coroutine, run_generator, run_async_generator, run_handler)


def anatomy(exc: BaseException | None) -> Any:
    """Return what can be seen of an exception and its chain, without what one frame of ours adds."""
    if exc is None:
        return None
    frames = [
        (frame.name, frame.line)
        for frame in traceback.extract_tb(exc.__traceback__)
        if "time_execution/" not in frame.filename.replace("\\", "/")
    ]
    parts = getattr(exc, "exceptions", ())
    return (
        type(exc),
        [anatomy(part) for part in parts] or exc.args,
        vars(exc),
        frames,
        exc.__suppress_context__,
        anatomy(exc.__cause__),
        anatomy(exc.__context__),
    )


def raised_by(call: Callable[..., Any], *args: Any) -> BaseException:
    """Return what a call raises."""
    try:
        call(*args)
    except BaseException as exc:
        return exc
    pytest.fail("nothing was raised")
