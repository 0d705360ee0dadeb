"""Hooks that raise what the call's exception came from: Python would cut that out of the chain that the caller sees."""

from __future__ import annotations

import asyncio
import traceback

import pytest

from tests.hooked_calls import configure, slow_hook
from time_execution import time_execution


def raises_context(exception, **_):
    """Raise what was being handled when the call raised."""
    raise exception.__context__


def raises_cause(exception, **_):
    """Raise what the call's exception was raised from."""
    raise exception.__cause__


def raises_root(exception, **_):
    """Raise what all of it began with, and keep that to itself."""
    try:
        raise exception.__context__.__context__
    except KeyError:
        return


def raises_after(func, func_args, func_kwargs):
    """Raise what was being handled when the call raised, from a generator."""
    _response, exception, _metric = yield
    raise exception.__context__


def cuts_the_chain(exception, **_):
    """Change the chain without raising any of it."""
    exception.__context__.__context__ = None
    exception.__cause__ = None


async def awaits_nothing(**_):
    """Add nothing, where somebody awaits."""


async def awaits_context(exception, **_):
    """Raise what was being handled when the call raised, where somebody awaits."""
    raise exception.__context__


def fail():
    """Raise an exception of three generations, each of another kind."""
    try:
        try:
            return {}["root"]
        except KeyError:
            raise LookupError("between") from OSError("beside")
    except LookupError as exc:
        raise ValueError("last") from exc


def chain_of(exc):
    """Return an exception as data: its text, the lines of `fail` in its traceback, the same of what it came from."""
    if exc is None:
        return None
    lines = [line for frame, line in traceback.walk_tb(exc.__traceback__) if frame.f_code is fail.__code__]
    return repr(exc), lines, exc.__suppress_context__, chain_of(exc.__cause__), chain_of(exc.__context__)


def raised_by(function):
    """Return the chain of what a call raises."""
    with pytest.raises(ValueError, match="last") as caught:
        function()
    return chain_of(caught.value)


HOOKS = [raises_context, raises_cause, raises_root, raises_after, cuts_the_chain]


@pytest.mark.parametrize("beside", [(), (slow_hook,)], ids=["alone", "beside async"])
@pytest.mark.parametrize("hook", HOOKS)
def test_chain_of_an_exception_is_as_it_was_before_the_hooks(hook, beside):
    """Whatever of the chain a hook raises or changes, the caller gets all of it, in its order."""
    configure(hook, *beside)
    assert raised_by(time_execution(fail)) == raised_by(fail)


@pytest.mark.parametrize("hook", [*HOOKS, awaits_context])
def test_chain_is_as_it_was_beyond_an_asynchronous_function(hook):
    """The same holds where hooks are awaited."""
    configure(slow_hook, hook)

    @time_execution
    async def fail_later():
        fail()

    assert raised_by(lambda: asyncio.run(fail_later())) == raised_by(fail)


def test_chain_that_runs_in_circles_is_left_so():
    """An exception may have come, by hand, from itself."""
    configure(raises_context)
    error = ValueError("last")
    error.__context__ = other = KeyError("other")
    other.__context__ = error

    @time_execution
    def circle():
        raise error

    with pytest.raises(ValueError, match="last"):
        circle()
    assert error.__context__ is other
    assert other.__context__ is error


def nothing(**_):
    """Add nothing."""


def untouchable(base):
    """Return a class of exceptions that may not be looked at."""

    def refuse(self, *_):
        raise RuntimeError("touched")

    return type(
        "Untouchable", (base,), {"__getattribute__": refuse, "__setattr__": refuse, "__class__": property(refuse)}
    )


@pytest.mark.parametrize("base", [Exception, BaseException])
@pytest.mark.parametrize("hooks", [[nothing], [nothing, awaits_nothing]], ids=["plain", "beside async"])
def test_exception_that_nobody_may_look_at_passes(hooks, base):
    """An exception whose class raises at each look at it reaches the caller, as it would undecorated."""
    kind = untouchable(base)
    metrics = configure(*hooks)

    @time_execution
    def work():
        raise kind

    @time_execution
    async def work_later():
        raise kind

    for call in (work, lambda: work_later().send(None)):
        with pytest.raises(base) as caught:
            call()
        assert type(caught.value) is kind
    assert len(metrics) == 2
