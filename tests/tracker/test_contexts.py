"""Calls at the same time: in threads, asyncio tasks and forked processes each entry point has what is its own."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import io
import os
import signal
import threading
import types
import weakref
from concurrent.futures import ThreadPoolExecutor
from functools import partial, wraps

import pytest

from tests.forked import exit_code, needs_fork, start_in_a_child
from tests.tracker.lines import tracking
from time_execution import settings
from time_execution.backends.memory import MemoryBackend
from time_execution.tracker import ProcessTracker
from time_execution.tracker.line import MANY, turn


@pytest.fixture(params=[False, True], ids=["line only", "with a backend"], autouse=True)
def _configured(request):
    """Let everything hold with nothing configured, and where a backend hears of every call."""
    if request.param:
        settings.configure(backends=[MemoryBackend()])


def check_each(lines, count):
    """Assert that each of so many calls has a line with its own number everywhere, and nothing of another's."""
    assert sorted(line["number"] for line in lines.read) == list(range(count))
    for line in lines.read:
        number = line["number"]
        assert line["metrics"] == {"number": number}
        assert set(line["latencies"]) == {"main", "part", f"block {number}"}
        assert line.get("repeats") == ({"part": line["repeats"]["part"]} if "repeats" in line else None)
        assert line.get("repeats", {}).get("part", {"count": 1})["count"] == number % 3 + 1


# ---- threads -------------------------------------------------------------------------------------------------------


def test_entry_points_in_many_threads_never_mix():
    """400 calls in 16 threads, that wait for each other in the midst, have 400 lines with their own data."""
    tracker, lines = tracking()
    together = threading.Barrier(16)

    @tracker.track
    def part(number):
        tracker.set_metric("number", number)

    @tracker
    def main(number):
        together.wait(20)
        with tracker.timer(f"block {number}"):
            for _ in range(number % 3 + 1):
                part(number)
        tracker.set_identifier("number", number)
        together.wait(20)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(main, range(400)))
    check_each(lines, 400)


def test_threads_with_a_copied_context_add_to_the_line():
    """What runs in `asyncio.to_thread` or in a copy of the context is part of the entry point that waits for it."""
    tracker, lines = tracking()

    @tracker.track
    def part():
        pass

    @tracker
    def main():
        threads = [threading.Thread(target=contextvars.copy_context().run, args=(part,)) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)

    @tracker
    async def main_async():
        await asyncio.gather(*(asyncio.to_thread(part) for _ in range(20)))

    main()
    asyncio.run(main_async())
    assert [line["repeats"]["part"]["count"] for line in lines.read] == [20, 20]


def test_an_entry_point_in_a_thread_of_another_has_its_own_line():
    """An entry point that runs in a copy of the context of another one is in neither's parts."""
    tracker, lines = tracking()
    inner = tracker("inner")(lambda: tracker.set_metric("x", 1))

    @tracker
    def outer():
        thread = threading.Thread(target=contextvars.copy_context().run, args=(inner,))
        thread.start()
        thread.join(20)

    outer()
    assert [list(line["latencies"]) for line in lines.read] == [["inner"], ["outer"]]
    assert [line["metrics"] for line in lines.read] == [{"x": 1}, {}]


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


def test_a_task_that_was_started_in_an_entry_point_has_lines_of_its_own_later():
    """An entry point that a background task calls after the one that started it has ended writes its line."""
    tracker, lines = tracking()

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


# ---- forks and signals ---------------------------------------------------------------------------------------------


@needs_fork
def test_a_fork_inside_an_entry_point_has_a_line_in_both_processes():
    """Parent and child go on with copies of the line, and each writes what it added itself."""
    tracker, lines = tracking()

    def check():
        with tracker.timer("child"):
            pass

    def work():
        result = main(check)
        assert result is None
        (line,) = lines.read
        assert list(line["latencies"]) == ["before", "child", "main"]

    @tracker
    def main(then):
        with tracker.timer("before"):
            pass
        then()

    def in_between():
        child = os.fork()
        if child == 0:
            in_between.is_child = True
            with tracker.timer("child"):
                pass
        else:
            assert exit_code(child) == 0
            with tracker.timer("parent"):
                pass

    in_between.is_child = False
    assert exit_code(start_in_a_child(work)) == 0
    main(in_between)
    if in_between.is_child:
        os._exit(0 if list(lines.one["latencies"]) == ["before", "child", "main"] else 1)
    assert list(lines.one["latencies"]) == ["before", "parent", "main"]


@needs_fork
def test_a_fork_while_another_thread_sums_up_does_not_hang_the_child():
    """The lock that a thread of the parent holds is replaced in the child, which writes complete lines."""
    tracker, lines = tracking()
    holding, release = threading.Event(), threading.Event()

    def hold():
        with turn.lock:
            holding.set()
            release.wait(20)

    def work():
        signal.signal(signal.SIGALRM, signal.SIG_DFL)  # that of the test's own time limit would raise, once

        @tracker
        def main():
            tracker.set_metric("x", 1)
            for _ in range(MANY + 10):
                with tracker.timer("part"):
                    pass

        main()
        assert lines.one["repeats"]["part"]["count"] == MANY + 10

    thread = threading.Thread(target=hold)
    thread.start()
    assert holding.wait(10)
    try:
        assert exit_code(start_in_a_child(work, longest=10)) == 0
    finally:
        release.set()
        thread.join(10)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this platform has no timers")
def test_signal_handlers_that_use_the_tracker_lose_nothing():
    """A handler that interrupts the entry point anywhere adds to its line, and none of either's latencies is lost."""
    tracker, lines = tracking()
    handled = []

    def handler(*_):
        with tracker.timer("handler"):
            handled.append(True)

    @tracker
    def main():
        for _ in range(20_000):
            with tracker.timer("part"):
                pass
        signal.setitimer(signal.ITIMER_REAL, 0)

    before = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
        main()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    repeats = lines.one["repeats"]
    assert repeats["part"]["count"] == 20_000
    assert repeats.get("handler", {"count": len(handled)})["count"] == len(handled)


def test_lines_and_what_they_hold_end_with_the_call():
    """Nothing of a call is kept: neither its arguments, nor its result, nor an exception and its frames."""
    tracker, _ = tracking()

    class Kept:
        pass

    @tracker
    def main(argument, fails):
        with tracker.timer("part"):
            if fails:
                raise ValueError("no")
        return argument

    references = []
    gc.disable()
    try:
        for fails in (False, True):
            kept = Kept()
            references.append(weakref.ref(kept))
            with contextlib.suppress(ValueError):
                main(kept, fails)
            del kept
        assert [reference() for reference in references] == [None, None]
    finally:
        gc.enable()


def test_generators_that_were_closed_or_failed_keep_nothing():
    """Nor does an exception that closed a generator, or was thrown through it, live on in a circle with its frame."""
    tracker, _ = tracking()

    class Kept:
        pass

    @tracker
    def numbers(argument):
        yield argument

    @tracker
    async def async_numbers(argument):
        yield argument

    def closed(kept):
        generator = numbers(kept)
        next(generator)
        generator.close()

    def failed(kept):
        generator = numbers(kept)
        next(generator)
        with contextlib.suppress(KeyError):
            generator.throw(KeyError("thrown"))

    async def async_closed(kept):
        generator = async_numbers(kept)
        await anext(generator)
        await generator.aclose()

    async def async_failed(kept):
        generator = async_numbers(kept)
        await anext(generator)
        with contextlib.suppress(KeyError):
            await generator.athrow(KeyError("thrown"))

    ends = (closed, failed, lambda kept: asyncio.run(async_closed(kept)), lambda kept: asyncio.run(async_failed(kept)))
    for end in ends:
        gc.collect()
        gc.disable()
        try:
            kept = Kept()
            reference = weakref.ref(kept)
            end(kept)
            del kept
            assert reference() is None
        finally:
            gc.enable()


def test_printed_lines_of_many_threads_are_whole():
    """The default output writes a line and its end at once, so lines of threads do not run into each other."""

    class Slow(io.StringIO):
        def write(self, text):
            done = super().write(text)
            threading.Event().wait(0.0001)  # lets another thread write
            return done

    tracker = ProcessTracker()
    mains = [tracker(f"main {number}")(lambda: None) for number in range(4)]
    with contextlib.redirect_stdout(Slow()) as stream, ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda main: [main() for _ in range(50)], mains))
    lines = stream.getvalue().split("\n")
    assert len(lines) == 201
    assert all(line.startswith('{"latencies": {"main ') and line.endswith("}") for line in lines[:-1])


def test_partial_is_measured_by_tasks_too():
    """A partial of a coroutine function is awaited as the function itself is."""
    tracker, lines = tracking()

    async def inner(value):
        await asyncio.sleep(0)
        return value

    assert asyncio.run(tracker(partial(inner, 5))()) == 5
    assert list(lines.one["latencies"]) == ["inner"]
