"""`handle_errors` and `ErrorCapture` on every kind of callable: generators, methods, classes, odd functions (M5)."""

from __future__ import annotations

import asyncio
import functools
import types
from contextlib import contextmanager

import pytest

from time_execution.exceptions import ConfigurationError
from time_execution.logs import ErrorCapture, handle_errors, log_function_call


class Odd(Exception):
    """An error of a test's own."""


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
    assert kept.error()["exception"]["message"] == "1"


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


@pytest.mark.parametrize("decorator", [handle_errors, ErrorCapture("x"), handle_errors(reraise=False)])
def test_what_such_functions_return_is_theirs(kept, decorator):
    """A task stays that task and is awaited for its own result; what is no coroutine is not made one."""

    async def work():
        return 17

    @decorator
    @functools.wraps(work)
    def begin():
        return asyncio.create_task(work())

    @decorator
    @functools.wraps(work)
    def known():
        return 18

    async def main():
        task = begin()
        assert isinstance(task, asyncio.Task)
        return await task, known()

    assert asyncio.run(main()) == (17, 18)
    assert kept.records() == []


def test_such_functions_are_called_at_once(kept):
    """What is no part of the coroutine happens with the call, and what it raises there is raised there."""
    called = []

    async def work(a):
        return a

    @handle_errors
    @functools.wraps(work)
    def around(a):
        called.append(a)
        if not a:
            raise Odd(a)
        return work(a)

    coroutine = around(5)
    assert called == [5]
    assert asyncio.run(coroutine) == 5
    with pytest.raises(Odd):
        around(0)
    assert kept.error()["exception"]["message"] == "0"


def test_async_generators_go_on_with_any_fallback(kept):
    """Items of a plain generator follow, too; what any other function does is done, though there is nowhere for it."""
    done = []

    async def fail():
        yield 1
        raise Odd

    def generator():
        yield 2

    async def coroutine():
        await asyncio.sleep(0)
        done.append("coroutine")

    async def run(instead):
        return [item async for item in handle_errors(reraise=False, fallback_function=instead)(fail)()]

    assert asyncio.run(run(generator)) == [1, 2]
    assert asyncio.run(run(coroutine)) == [1]
    assert asyncio.run(run(lambda: done.append("function"))) == [1]
    assert done == ["coroutine", "function"]
    assert len(kept.records()) == 3


def test_fallback_of_an_async_generator_is_closed_with_it(kept):
    """Whoever ends the items of the fallback early, by closing what was decorated, ends the fallback there and then."""
    closed = []

    async def instead():
        try:
            yield 1
            yield 2
        finally:
            closed.append(True)

    @handle_errors(reraise=False, fallback_function=instead)
    async def fail():
        raise Odd
        yield

    async def main():
        items = fail()
        assert await anext(items) == 1
        await items.aclose()
        return list(closed)

    assert asyncio.run(main()) == [True]


async def _items():
    yield 1


async def _work():
    return 1


@pytest.mark.parametrize("instead", [_items, _work, functools.partial(_work)])
def test_asynchronous_fallback_of_a_generator_is_an_error_when_decorating(instead):
    """Nobody could await it, which would show only with the first exception, and in its place."""

    def items():
        yield 1

    with pytest.raises(ConfigurationError, match="asynchronous"):
        handle_errors(reraise=False, fallback_function=instead)(items)


@pytest.mark.parametrize("decorator", [handle_errors, log_function_call, ErrorCapture("x")])
def test_objects_that_answer_no_question_change_nothing(kept, decorator):
    """A callable object whose attributes or signature raise when they are asked for: the call is what it was."""

    class Proxy:
        is_away = False

        def __call__(self, a):
            return 10 / a

        def __getattr__(self, name):
            raise RuntimeError("away") if self.is_away else AttributeError(name)

        @property
        def __signature__(self):
            raise RuntimeError("away")

    proxy = Proxy()
    handled = decorator(proxy)
    Proxy.is_away = True
    assert handled(5) == 2
    with pytest.raises(ZeroDivisionError) as caught:
        handled(0)
    assert caught.value.__context__ is None


def test_generator_coroutines(kept):
    """A coroutine made by types.coroutine is handled, too."""

    @handle_errors(reraise=False, fallback_value=5)
    @types.coroutine
    def fail():
        yield
        raise Odd

    async def instead():
        return 6

    async def main():
        return await fail(), await handle_errors(reraise=False, fallback_function=instead)(fail.__wrapped__)()

    assert asyncio.run(main()) == (5, 6)
    assert len(kept.records()) == 2
