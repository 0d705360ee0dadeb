"""Entry points in asyncio tasks: coroutines, asynchronous generators, and what is around them."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import types
from functools import wraps

import pytest

from tests.tracker.lines import Lines, check_each, tracking
from time_execution.tracker import ProcessTracker

pytestmark = pytest.mark.usefixtures("configured")


# ---- asyncio -------------------------------------------------------------------------------------------------------


def test_entry_points_in_many_tasks_never_mix():
    """500 tasks that give way to each other again and again have 500 lines with their own data."""
    tracker, lines = tracking()

    @tracker.track
    async def part(number):
        await asyncio.sleep(0)
        tracker.set_metric("number", number)

    @tracker
    async def main(number):
        async with tracker.timer(f"block {number}"):
            await asyncio.gather(*(part(number) for _ in range(number % 3 + 1)))
        await asyncio.sleep(0)
        tracker.set_identifier("number", number)
        return number

    async def program():
        return await asyncio.gather(*(main(number) for number in range(500)))

    assert asyncio.run(program()) == list(range(500))
    check_each(lines, 500)


def test_coroutines_are_measured_to_the_end_of_the_await():
    """Making a coroutine measures nothing; awaiting it does, together with what it waits for."""
    tracker, lines = tracking()

    @tracker.track
    async def part(release):
        asyncio.get_running_loop().call_later(0.02, release.set)
        await release.wait()

    @tracker
    async def main(release):
        waiting = part(release)
        with tracker.timer("meanwhile"):
            await asyncio.sleep(0)
        await waiting

    async def program():
        coroutine = main(asyncio.Event())
        assert lines == []
        await coroutine

    asyncio.run(program())
    latencies = lines.one["latencies"]
    assert list(latencies) == ["meanwhile", "part", "main"]
    assert latencies["main"] >= latencies["part"] >= 15


def test_cancellation_passes_and_the_line_is_written():
    """A cancelled entry point ends with `CancelledError`, and has a line with what had been finished."""
    tracker, lines = tracking()

    @tracker
    async def main(started):
        with tracker.timer("before"):
            started.set()
        await asyncio.Event().wait()

    async def program():
        started = asyncio.Event()
        task = asyncio.create_task(main(started))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()

    asyncio.run(program())
    assert list(lines.one["latencies"]) == ["before", "main"]


def test_exceptions_of_coroutines_pass_unchanged():
    """What a coroutine raises arrives as the same object, whether the entry point or a part raised it."""
    tracker, lines = tracking()
    error = ValueError("no")

    @tracker.track
    async def part():
        async with tracker.timer("block"):
            raise error

    @tracker
    async def main():
        await part()

    with pytest.raises(ValueError, match="no") as caught:
        asyncio.run(main())
    assert caught.value is error
    assert error.__context__ is None
    assert list(lines.one["latencies"]) == ["block", "part", "main"]


@pytest.mark.parametrize("failing", [False, True])
def test_a_task_that_was_started_in_an_entry_point_has_lines_of_its_own_later(failing):
    """An entry point that a background task calls after the one that started it has ended writes its line."""
    lines = Lines()

    def output(text):
        lines.append(text)
        if failing:
            raise OSError("no more")

    tracker = ProcessTracker(output)

    @tracker
    async def later():
        with tracker.timer("part"):
            await asyncio.sleep(0)

    async def background(release):
        await release.wait()
        await later()

    @tracker
    async def main(release):
        return asyncio.create_task(background(release))

    async def program():
        release = asyncio.Event()
        task = await main(release)
        release.set()
        await task

    asyncio.run(program())
    assert [list(line["latencies"]) for line in lines.read] == [["main"], ["part", "later"]]


def test_async_generators_keep_their_line_to_themselves():
    """Their consumer has its own line while it has control; values, what is sent and what is thrown pass through."""
    tracker, lines = tracking()

    @tracker
    async def numbers():
        with tracker.timer("first"):
            got = yield 1
        tracker.set_metric("got", got)
        try:
            yield 2
        except KeyError:
            yield 3

    @tracker
    async def main():
        generator = numbers()
        assert await anext(generator) == 1
        with tracker.timer("consumer"):
            assert await generator.asend("sent") == 2
        assert await generator.athrow(KeyError("thrown")) == 3
        with pytest.raises(StopAsyncIteration):
            await anext(generator)

    asyncio.run(main())
    inner, outer = lines.read
    assert list(inner["latencies"]) == ["first", "numbers"]
    assert inner["metrics"] == {"got": "sent"}
    assert list(outer["latencies"]) == ["consumer", "main"]


def test_async_generators_that_are_closed_or_fail_have_their_line():
    """An asynchronous generator that is closed ends as it would by itself; one that fails raises what it raised."""
    tracker, lines = tracking()
    error, closed = LookupError("end"), []

    @tracker
    async def numbers():
        try:
            yield 1
        finally:
            await asyncio.sleep(0)
            closed.append(True)
        raise error

    async def program():
        generator = numbers()
        await anext(generator)
        await generator.aclose()
        with pytest.raises(LookupError) as caught:
            [_ async for _ in numbers()]
        assert caught.value is error

    asyncio.run(program())
    assert len(closed) == len(lines) == 2


def test_plain_functions_around_coroutine_functions_are_measured_to_the_end():
    """A wrapper that returns a coroutine or a task is measured until that is done, and its parts find the line."""
    tracker, lines = tracking()

    async def inner():
        await asyncio.sleep(0)
        with tracker.timer("part"):
            return 5

    @tracker("coroutine")
    @wraps(inner)
    def as_coroutine():
        return inner()

    @tracker("task")
    @wraps(inner)
    def as_task():
        return asyncio.ensure_future(inner())

    @tracker("result")
    @wraps(inner)
    def as_result():
        return 5

    async def program():
        assert await as_coroutine() == 5
        assert await as_task() == 5
        assert as_result() == 5
        await asyncio.sleep(0)

    asyncio.run(program())
    assert sorted(list(line["latencies"]) for line in lines.read) == [
        ["part", "coroutine"],
        ["part", "task"],
        ["result"],
    ]


def test_a_task_that_fails_or_is_cancelled_has_its_line():
    """A plain function that returns a task is told of how it ended, and the task stays the caller's."""
    tracker, lines = tracking()
    error = ValueError("no")

    async def inner(fails):
        await asyncio.sleep(0)
        if fails:
            raise error

    @tracker("task")
    @wraps(inner)
    def as_task(fails):
        return asyncio.ensure_future(inner(fails))

    async def program():
        with pytest.raises(ValueError, match="no") as caught:
            await as_task(True)
        assert caught.value is error
        task = as_task(False)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0)

    asyncio.run(program())
    assert len(lines) == 2


def test_plain_functions_around_coroutine_functions_may_fail():
    """One that raises itself, and one whose coroutine does: the same exception arrives, and each has its line."""
    tracker, lines = tracking()
    errors = [ValueError("at once"), ValueError("when awaited")]

    async def inner(at_once):
        raise errors[1]

    @tracker
    @wraps(inner)
    def main(at_once):
        if at_once:
            raise errors[0]
        return inner(at_once)

    with pytest.raises(ValueError, match="at once") as caught:
        main(True)
    assert caught.value is errors[0]
    with pytest.raises(ValueError, match="when awaited") as caught:
        asyncio.run(main(False))
    assert caught.value is errors[1]
    assert errors[1].__context__ is None
    assert [list(line["latencies"]) for line in lines.read] == [["inner"], ["inner"]]


def test_an_async_generator_that_is_driven_through_several_contexts_works():
    """A step that begins in one context and ends in another is no trouble for the measured code."""
    tracker, lines = tracking()

    @types.coroutine
    def suspend():
        yield

    @tracker
    async def numbers():
        await suspend()
        yield 1

    generator = numbers()
    step = generator.asend(None)
    contextvars.Context().run(step.send, None)
    with pytest.raises(StopIteration) as stop:
        contextvars.Context().run(step.send, None)
    assert stop.value.value == 1
    with pytest.raises(StopIteration):
        generator.aclose().send(None)
    assert len(lines) == 1


def test_generator_coroutines_are_awaited_and_measured():
    """The older way to write a coroutine is an entry point, too."""
    tracker, lines = tracking()

    @tracker
    @types.coroutine
    def main():
        yield from asyncio.sleep(0).__await__()
        with tracker.timer("part"):
            return 5

    async def program():
        return await main()

    assert asyncio.run(program()) == 5
    assert list(lines.one["latencies"]) == ["part", "main"]


def test_a_coroutine_that_is_thrown_away_leaves_no_line_open():
    """One that is closed in another context than it ran in has its line, and no context is changed by it."""
    tracker, lines = tracking()

    @tracker
    async def main():
        with contextlib.suppress(GeneratorExit):
            await asyncio.Future()

    context = contextvars.Context()
    loop = asyncio.new_event_loop()
    try:
        asyncio.set_event_loop(loop)
        coroutine = main()
        context.run(coroutine.send, None)
        coroutine.close()
    finally:
        asyncio.set_event_loop(None)
        loop.close()
    assert list(lines.one["latencies"]) == ["main"]
    with pytest.warns(RuntimeWarning, match="outside"):
        tracker.set_metric("x", 1)
