"""Parts that are used where no entry point is open: a warning once a place, and nothing else."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.tracker.lines import tracking
from time_execution import settings
from time_execution.backends.memory import MemoryBackend
from time_execution.tracker import misuse


@pytest.fixture(params=[False, True], ids=["line only", "with a backend"], autouse=True)
def _configured(request):
    """Let everything hold with nothing configured, and where a backend hears of every call."""
    if request.param:
        settings.configure(backends=[MemoryBackend()])


def uses_of(tracker):
    """Return each way to use a tracker that needs an entry point, as a function that returns 5."""

    @tracker.track
    def function():
        return 5

    @tracker.track
    async def coroutine():
        return 5

    @tracker.track
    def generator():
        yield 5

    @tracker.track
    async def async_generator():
        yield 5

    def in_timer():
        with tracker.timer("x"):
            return 5

    async def in_async_timer():
        async with tracker.timer("x"):
            return 5

    async def first():
        found = None
        async for item in async_generator():
            found = item
        return found

    return {
        "function": function,
        "coroutine": lambda: asyncio.run(coroutine()),
        "generator": lambda: next(iter([*generator()])),
        "async generator": lambda: asyncio.run(first()),
        "timer": in_timer,
        "async timer": lambda: asyncio.run(in_async_timer()),
        "set_metric": lambda: tracker.set_metric("x", 1) or 5,
        "set_identifier": lambda: tracker.set_identifier("x", 1) or 5,
        "set_timer": lambda: tracker.set_timer("x", 1) or 5,
    }


WAYS = list(uses_of(tracking()[0]))


@pytest.mark.parametrize("way", WAYS)
def test_use_outside_warns_once_a_place_and_does_the_work(way):
    """However often a place is passed and whatever the filters, it is warned of once; the next place is again."""
    tracker, lines = tracking()
    use = uses_of(tracker)[way]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(3):
            assert use() == 5
    assert [warning.category for warning in caught] == [RuntimeWarning]
    assert caught[0].filename == __file__
    assert "outside of an entry point" in str(caught[0].message)
    assert lines == []


@pytest.mark.parametrize("way", WAYS)
def test_use_outside_does_not_leak_into_the_next_line(way):
    """The line of the next entry point has its own latencies, metrics and identifiers only."""
    tracker, lines = tracking()
    with pytest.warns(RuntimeWarning):
        uses_of(tracker)[way]()
    tracker("main")(lambda: None)()
    assert list(lines.one) == ["latencies", "metrics"]
    assert list(lines.one["latencies"]) == ["main"]
    assert lines.one["metrics"] == {}


@pytest.mark.parametrize("way", WAYS)
def test_where_warnings_are_errors_the_work_is_done_all_the_same(way, caplog):
    """A warning that the filters make an error is logged, with the place, and never raised into the measured code."""
    tracker, _ = tracking()
    use = uses_of(tracker)[way]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(2):
            assert use() == 5
    (record,) = caplog.records
    assert "outside of an entry point" in record.message
    assert f"{__file__}, line " in record.message


@pytest.mark.parametrize("way", WAYS)
def test_in_a_thread_the_warning_says_how_to_start_one(way):
    """A thread that an entry point starts has no context of its own; the warning there names what gives it one."""
    tracker, lines = tracking()
    use = uses_of(tracker)[way]

    @tracker
    def main():
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(use).result() == 5
            assert pool.submit(contextvars.copy_context().run, use).result() == 5

    with pytest.warns(RuntimeWarning, match=r"outside of an entry point.*copy_context\(\)\.run$") as caught:
        main()
    assert len(caught) == 1
    assert len(lines.one) + len(lines.one["latencies"]) + len(lines.one["metrics"]) == 4  # once of the two


def test_a_warning_names_the_line_that_calls():
    """The place is the user's line, also through a decorated function and a nested call."""
    tracker, _ = tracking()

    @tracker.track
    def part():
        pass

    def caller():
        part()

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        caller()
        part()
    first = caller.__code__.co_firstlineno
    assert caught[0].lineno == first + 1
    assert caught[1].lineno > first + 1


def test_whoever_fails_to_show_a_warning_fails_quietly(monkeypatch):
    """A ``showwarning`` of the application's that raises does not reach the measured code."""
    tracker, _ = tracking()

    def showwarning(*args, **kwargs):
        raise OSError("no terminal")

    monkeypatch.setattr(warnings, "showwarning", showwarning)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        tracker.set_metric("x", 1)


def test_what_is_kept_of_places_is_bounded(monkeypatch):
    """After so many places no further one is told of, so that generated code cannot fill the memory."""
    monkeypatch.setattr(misuse, "_MAX_PLACES", 3)
    tracker, _ = tracking()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for number in range(5):
            exec("\n" * number + "tracker.set_metric('x', 1)", {"tracker": tracker})
    assert len(caught) == 3


def test_what_ends_later_than_its_entry_point_is_not_in_any_line():
    """A thread in a copied context that goes on after the entry point: a warning, and nothing in the next line."""
    tracker, lines = tracking()
    go_on, done = threading.Event(), []

    @tracker.track
    def slow():
        go_on.wait(10)
        return 5

    def late():
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            done.append(slow())
            tracker.set_metric("late", 1)
            done.append([str(warning.message) for warning in caught])

    @tracker
    def main():
        thread = threading.Thread(target=contextvars.copy_context().run, args=(late,))
        thread.start()
        return thread

    thread = main()
    go_on.set()
    thread.join(10)
    result, messages = done
    assert result == 5
    assert "ended later than the entry point" in messages[0]
    assert "outside of an entry point" in messages[1]
    main_again = tracker("again")(lambda: None)
    main_again()
    assert [list(line["latencies"]) for line in lines.read] == [["main"], ["again"]]


def test_a_task_that_outlives_its_entry_point_is_told_of():
    """A task that nobody waited for warns when it ends, and runs to its end."""
    tracker, lines = tracking()

    @tracker.track
    async def background(release):
        await release.wait()
        return 5

    @tracker
    async def main(release):
        task = asyncio.create_task(background(release))
        await asyncio.sleep(0)
        return task

    async def program():
        release = asyncio.Event()
        task = await main(release)
        release.set()
        return await task

    with pytest.warns(RuntimeWarning, match="ended later than the entry point"):
        assert asyncio.run(program()) == 5
    assert list(lines.one["latencies"]) == ["main"]


def test_a_plain_thread_has_no_line(caplog):
    """A thread that is started without a copy of the context is outside, whichever entry point started it."""
    tracker, lines = tracking()
    results = []

    @tracker.track
    def part():
        results.append(5)

    @tracker
    def main():
        thread = threading.Thread(target=contextvars.Context().run, args=(part,))
        thread.start()
        thread.join(10)

    with caplog.at_level(logging.WARNING):
        main()  # warnings are errors in these tests, so it is logged
    assert results == [5]
    assert list(lines.one["latencies"]) == ["main"]
    assert "outside of an entry point" in caplog.text
