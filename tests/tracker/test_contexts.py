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
import weakref
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from tests.forked import exit_code, needs_fork, start_in_a_child
from tests.tracker.lines import check_each, tracking
from time_execution.tracker import ProcessTracker
from time_execution.tracker.line import MANY, turn

pytestmark = pytest.mark.usefixtures("configured")


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
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
        for _ in range(20_000):
            with tracker.timer("part"):
                pass
        signal.setitimer(signal.ITIMER_REAL, 0)

    before = signal.signal(signal.SIGALRM, handler)
    try:
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
