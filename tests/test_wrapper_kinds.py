"""What a measured thing is, where that takes a second look: partials, bound methods, decorators of other modules."""

from __future__ import annotations

import asyncio
import copy
import functools
import pickle
import textwrap
import types

import pytest

from tests.kept import Kept
from time_execution import settings, time_execution


class Shelf:
    """Has a method to bind, and takes it from another shelf as an attribute."""

    def __init__(self, thing=None):
        self.thing = thing

    def give(self, *args):
        """Return what it has, and what it was given."""
        return self.thing, *args


def test_bound_method_as_an_attribute_binds_nothing_more():
    """As without us, it stays the method of the object it was bound to."""

    class Other:
        give = time_execution(Shelf("mine").give)

    assert Other().give(1) == ("mine", 1)
    assert Other.give(1) == ("mine", 1)


@pytest.mark.parametrize("through", [copy.copy, copy.deepcopy, lambda thing: pickle.loads(pickle.dumps(thing))])
@pytest.mark.parametrize("disabled", [False, True])
def test_copy_leaves_out_the_hooks_that_the_original_does(through, disabled):
    """How a thing is measured goes with it."""
    kept = Kept()
    settings.configure(backends=[kept], hooks=[lambda **_: {"hooked": True}])
    measured = time_execution(disable_default_hooks=disabled)(functools.partial(int, base=2))
    assert through(measured)("101") == 5
    assert ("hooked" in kept.metrics[0]) is not disabled


def test_partial_of_an_older_coroutine_can_be_awaited():
    """A generator function that `types.coroutine` made one of is one, however deep in partials it lies."""
    kept = Kept()
    settings.configure(backends=[kept])

    @types.coroutine
    def older(x):
        yield from asyncio.sleep(0).__await__()
        return x

    async def main():
        with_a_note = functools.partial(older, 5)
        with_a_note.note = "so that Python does not make one of the two"  # type: ignore[attr-defined]
        return await time_execution(name="older")(functools.partial(with_a_note))()

    assert asyncio.run(main()) == 5
    assert kept.names == ["older"]


def test_partial_of_a_plain_function_around_a_coroutine_is_timed_over_the_await():
    """As the function itself is."""
    kept = Kept()
    settings.configure(backends=[kept])

    async def inner(x):
        await asyncio.sleep(0)
        return x

    @functools.wraps(inner)
    def plain(x):
        return inner(x)

    async def main():
        waiting = time_execution(name="plain")(functools.partial(plain, 5))()
        assert kept.names == []
        return await waiting

    assert asyncio.run(main()) == 5
    assert kept.names == ["plain"]


def test_globals_are_those_of_the_innermost_function():
    """A decorator of another module hides them from nobody."""

    @functools.wraps(textwrap.dedent)
    def decorated(text):
        return textwrap.dedent(text)

    assert time_execution(decorated).__globals__ is vars(textwrap)
    assert time_execution(decorated)(" a") == "a"


async def raises_as_it_ends():
    """Fail while it is closed."""
    try:
        yield 1
    finally:
        raise ValueError("clean-up")


async def goes_on():
    """Do not end when it is closed."""
    try:
        yield 1
    finally:
        yield 2


@pytest.mark.parametrize(("numbers", "kind"), [(raises_as_it_ends, ValueError), (goes_on, RuntimeError)])
def test_failure_of_closing_has_the_context_that_it_would_have(numbers, kind):
    """To close an asynchronous generator adds nothing of ours to what comes of it."""
    settings.configure(backends=[Kept()])

    def contexts_of(function):
        async def main():
            iterator = function()
            await anext(iterator)
            await iterator.aclose()

        with pytest.raises(kind) as caught:
            asyncio.run(main())
        found, context = [], caught.value.__context__
        while context is not None:
            found.append(type(context))
            context = context.__context__
        return found

    assert contexts_of(time_execution(numbers)) == contexts_of(numbers)
