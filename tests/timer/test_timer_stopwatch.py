"""`Timer` as a stopwatch and as a context manager."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import threading
import weakref
from contextlib import ExitStack

import pytest

from tests.timer.written import FIELDS
from time_execution import settings, stats
from time_execution.timer import timer as timer_module


def names(written):
    """Return the functions of the records, without their module."""
    return [record["function"].removeprefix(f"{__name__}.") for record in written.timings()]


def test_start_and_stop_write_one_record(written):
    """Between start and stop lies one record, whole, under the name of the function that called start."""
    timer = written.timer()
    timer.start()
    timer.stop()
    (record,) = written.timings()
    assert list(record) == FIELDS
    assert None not in record.values()
    assert record["function"].endswith("test_start_and_stop_write_one_record")
    assert (record["arguments"], record["outcome"]) == ("", "ok")


def test_block_writes_one_record(written):
    """A with statement does the same, and hands the timer out."""
    with written.timer() as timer:
        pass
    with timer:
        pass
    records = written.timings()
    assert len({record["call_id"] for record in records}) == 2
    assert None not in records[0].values()


def test_name_stands_for_that_of_the_caller(written):
    """A name that was given is used for blocks and for functions alike."""
    timer = written.timer(name="nightly")
    with timer:
        pass
    timer(len)("x")
    assert [record["function"] for record in written.timings()] == ["nightly", "nightly"]


def test_stop_without_start_is_an_error(written):
    """Stopping what never ran, or has stopped, says so; nothing is written for it."""
    timer = written.timer()
    with pytest.raises(RuntimeError, match="without start"):
        timer.stop()
    timer.start()
    timer.stop()
    with pytest.raises(RuntimeError, match="without start"):
        timer.stop()
    assert len(written.timings()) == 1


def test_clocks_may_be_nested(written):
    """The clock that was started last is stopped first, and two timers do not mix."""
    outer, inner = written.timer(name="outer"), written.timer(name="inner")
    outer.start()
    outer.start()
    with inner:
        outer.stop()
    outer.stop()
    found = [(record["function"], record["wall_ms"]) for record in written.timings()]
    assert [name for name, _ in found] == ["outer", "inner", "outer"]
    assert found[0][1] < found[2][1]


def test_exception_in_a_block_passes_and_is_its_outcome(written):
    """A block that fails has a record with the exception's type, and the same exception leaves it."""
    error = LookupError("x")
    with pytest.raises(LookupError) as caught, written.timer():
        raise error
    assert caught.value is error
    assert error.__context__ is None
    assert written.timings()[0]["outcome"] == "LookupError"


def test_nothing_is_left_in_the_context(written):
    """After the last stop nothing refers to what ran."""
    timer = written.timer()
    before = contextvars.copy_context()
    with timer:
        timer.start()
        timer.stop()
    left = {key: value for key, value in contextvars.copy_context().items() if before.get(key) != value}
    assert {key.name: value for key, value in left.items()} in ({}, {"time_execution.timer.running": ()})


def test_forgotten_starts_do_not_pile_up(written):
    """A program that starts and never stops holds a bounded number of clocks."""
    timer = written.timer()

    def forget():
        for _ in range(3000):
            timer.start()
        return len(timer_module._running.get())

    assert contextvars.copy_context().run(forget) <= 1001
    assert written.folder.exists() is False


def test_threads_have_clocks_of_their_own(written):
    """One timer in many threads at once: each stops its own, and none has another's."""
    timer, together, refused = written.timer(), threading.Barrier(8), []

    def work(number):
        together.wait(20)
        for _ in range(100):
            with timer:
                timer.start()
                timer.stop()
        try:
            timer.stop()
        except RuntimeError:
            refused.append(number)

    timer.start()
    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    timer.stop()
    assert sorted(refused) == list(range(8))
    records = written.timings()
    assert len(records) == len({record["call_id"] for record in records}) == 8 * 200 + 1


def test_task_does_not_stop_the_clock_of_who_made_it(written):
    """A task begins with a copy of its maker's context, and what runs there is not its own to stop."""
    timer = written.timer(name="maker")

    async def child(number):
        with pytest.raises(RuntimeError, match="without start"):
            timer.stop()
        with timer:
            await asyncio.sleep(0.001 * (number % 3))

    def in_a_thread():
        with pytest.raises(RuntimeError, match="without start"):
            timer.stop()

    async def main():
        timer.start()
        await asyncio.gather(*map(child, range(50)), asyncio.to_thread(in_a_thread))
        timer.stop()

    asyncio.run(main())
    assert len(written.timings()) == 51
    assert max(written.timings(), key=lambda record: record["wall_ms"]) == written.timings()[-1]


def test_block_that_another_context_leaves_raises_nothing(written):
    """A generator with a block in it may be ended elsewhere: the block has no record then, and that is counted."""
    timer = written.timer()

    def produce():
        with timer:
            yield 1
            raise KeyError("mine")

    producing = produce()
    assert contextvars.copy_context().run(next, producing) == 1
    with pytest.raises(KeyError, match="mine"):
        next(producing)
    other = produce()
    assert contextvars.copy_context().run(next, other) == 1
    other.close()
    assert stats()["errors"]["hook"] == {"Timer: left in another thread or task": 2}
    with timer:
        pass
    assert len(written.timings()) == 1


def test_blocks_in_a_stack_are_timed(written):
    """A stack of context managers enters and leaves like a with statement."""
    with ExitStack() as stack:
        for name in ("a", "b"):
            stack.enter_context(written.timer(name=name))
    assert [record["function"] for record in written.timings()] == ["b", "a"]


def test_settings_decide_about_blocks_too(written):
    """A block that is switched off or filtered out has no record, and its stop is no error."""
    timer = written.timer(name="block")
    for options in ({"enabled": False}, {"sample_rate": 0.0}, {"exclude": ["blo*"]}):
        with settings(**options):
            timer.start()
            timer.stop()
    assert written.timings() == []


def test_stop_after_an_error_that_passes_on_leaves_nothing(written):
    """Where tests let errors of hooks through, a block that raises one is over all the same."""

    def broken(**_):
        raise ZeroDivisionError

    timer = written.timer()
    with settings(hooks=[broken], raise_errors=True):
        timer.start()
        with pytest.raises(ZeroDivisionError):
            timer.stop()
        with pytest.raises(RuntimeError, match="without start"):
            timer.stop()


def test_module_and_nested_functions_have_readable_names(written):
    """A block is named after the function around it, without ``<locals>``, and after the module where there is none."""
    timer = written.timer()

    def inner():
        with timer:
            pass

    inner()
    exec("with timer: pass", {"__name__": "script", "timer": timer})
    local, script = [record["function"] for record in written.timings()]
    assert local.startswith(__name__)
    assert local.endswith("inner")
    assert "<" not in local
    assert script == "script"


def test_deep_recursions_are_timed_at_each_level(written):
    """A block in a function that calls itself has a record for each call, as deep as programs go."""
    timer = written.timer(name="down")

    def down(n):
        with timer:
            if n:
                down(n - 1)

    down(300)
    assert len(written.timings()) == 301
    assert stats()["errors"]["hook"] == {}


def test_block_that_is_not_entered_is_not_stopped(written):
    """Where the program is ended while a clock is started, the block around that is stopped, and not the other."""
    stopped = []

    def interrupted(func_kwargs, **_):
        if timer_module._running.get()[1:]:
            raise KeyboardInterrupt
        stopped.append((yield))

    timer = written.timer(name="outer")
    with settings(hooks=[interrupted]), timer:
        with pytest.raises(KeyboardInterrupt):
            timer.start()
        assert stopped == []
    assert len(stopped) == len(written.timings()) == 1
    with pytest.raises(RuntimeError, match="without start"):
        timer.stop()


def test_clock_keeps_no_task_alive(written):
    """A task that goes on in the background has a copy of its maker's context, but not the maker."""
    timer, makers = written.timer(), []

    async def background(ended):
        await ended.wait()

    async def maker(ended):
        makers.append(weakref.ref(asyncio.current_task()))
        with timer:
            return asyncio.create_task(background(ended))

    async def main():
        ended = asyncio.Event()
        task = await asyncio.create_task(maker(ended))
        await asyncio.sleep(0)
        gc.collect()
        assert makers[0]() is None
        ended.set()
        await task

    asyncio.run(main())
    assert len(written.timings()) == 1
