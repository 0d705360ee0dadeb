"""The traceback of a record: the whole way of an exception and of those it came from, and none of ours."""

from __future__ import annotations

import asyncio
import builtins
import functools
import sys
import time
import traceback

import pytest

import time_execution as package
from tests.patience import least
from tests.timer.written import ERROR_FIELDS
from time_execution import settings, time_execution
from time_execution.profiler import profile
from time_execution.traceback_text import traceback_text
from time_execution.tracker import ProcessTracker

_PACKAGE = package.__path__[0]


def caught_text(written, function, *args):
    """Return the traceback of the record that a call leaves."""
    try:
        function(*args)
    except Exception:
        return written.errors()[-1]["traceback"]
    raise AssertionError("nothing was raised")


def test_text_is_what_the_interpreter_prints(written):
    """Without frames of ours on the way, it is the interpreter's own text to the letter."""

    def inner():
        return 1 / 0

    with pytest.raises(ZeroDivisionError) as caught:
        inner()
    error = caught.value
    assert traceback_text(error) == "".join(traceback.format_exception(error))


def test_causes_and_contexts_are_told(written):
    """The text has each exception of the chain with its frames, and the words between them."""

    def deepest():
        raise KeyError("first")

    def fail(cause):
        raise LookupError("second") from cause

    @written.catcher()
    def work():
        try:
            deepest()
        except KeyError as exc:
            try:
                fail(exc)
            except LookupError:
                raise ValueError("third")  # noqa: B904 - its context is what is looked for

    text = caught_text(written, work)
    for part in ("in deepest", "KeyError: 'first'", "direct cause", "LookupError: second", "During handling", "third"):
        assert part in text
    assert text.index("first") < text.index("second") < text.index("third")


@pytest.mark.skipif(sys.version_info < (3, 11), reason="exception groups")
def test_groups_are_told_with_their_members(written):
    """Each member of a group is told with its own frames, also where groups are nested."""

    @written.catcher()
    def fail(number):
        raise ValueError(f"member {number}")

    @written.catcher()
    def work():
        errors = []
        for number in range(3):
            try:
                fail(number)
            except ValueError as exc:
                errors.append(exc)
        group = builtins.ExceptionGroup
        raise group("many", [errors[0], group("more", errors[1:])])

    text = caught_text(written, work)
    assert [f"member {number}" in text for number in range(3)] == [True] * 3
    assert text.count("in fail") == 3
    assert _PACKAGE not in text


def kinds_of_callables(measured):
    """Return a call of each kind of measured callable, by its name; all end in one that raises."""

    @measured
    def plain():
        raise ValueError

    @measured
    async def coroutine():
        await asyncio.sleep(0)
        plain()

    @measured
    def generator():
        yield
        plain()

    @measured
    async def async_generator():
        yield
        plain()

    async def exhaust():
        async for _ in async_generator():
            pass

    @measured
    @functools.wraps(coroutine)
    def around_coroutine():
        return coroutine()

    class Thing:
        def __init__(self):
            chained(plain)

        def __call__(self):
            plain()

    return {
        "plain": plain,
        "coroutine": lambda: asyncio.run(coroutine()),
        "generator": lambda: list(generator()),
        "async generator": lambda: asyncio.run(exhaust()),
        "awaitable": lambda: asyncio.run(around_coroutine()),
        "object": measured(Thing.__call__.__get__(1)),
        "partial": measured(functools.partial(plain)),
        "class": measured(Thing),
    }


def chained(function):
    try:
        function()
    except ValueError as exc:
        raise LookupError from exc


KINDS = list(kinds_of_callables(lambda function: function))


@pytest.mark.parametrize("kind", KINDS)
def test_frames_of_measuring_are_left_out(written, kind):
    """No kind of callable shows how it is measured, however often it is, and in no link of a chain."""
    decorators = written.catcher(), written.timer(results_format=None), time_execution

    def measured(function):
        for decorator in decorators:
            function = decorator(function)
        return function

    text = caught_text(written, kinds_of_callables(measured)[kind])
    assert "in plain" in text
    assert _PACKAGE not in text


def test_long_recursion_keeps_its_beginning_and_its_end(written):
    """What a runaway recursion began with and where it stopped are both told, and not a thousand frames."""

    def down(n):
        return up(n)

    def up(n):
        return down(n + 1)

    @written.catcher()
    def start():
        return down(0)

    text = caught_text(written, start)
    assert "in start" in text
    assert "RecursionError: maximum recursion depth exceeded" in text.splitlines()[-1]
    assert "…[cut, " in text
    assert len(text) < 13_000


def test_record_of_a_long_traceback_fits(written):
    """Message, traceback and arguments that are all as long as they may be leave a whole record."""

    def down(n, text):
        if n == 0:
            raise ValueError(text)
        return up(n - 1, text)

    def up(n, text):
        return down(n, text)

    text = caught_text(written, written.catcher()(down), 200, "é" * 50_000)
    assert "in down" in text
    assert text.endswith("éé\n")
    assert [key for key in written.errors()[0] if key != "truncated"] == ERROR_FIELDS
    assert (written.folder / "error.log").stat().st_size < 140_000


def test_secret_where_a_long_text_is_cut_is_masked_whole(written):
    """Secrets are looked for before the middle is left out, so none is half there at either edge."""

    part = "hunter"
    message = "x" * 200 + " api_key=" + part * 4_000 + " mine" * 500

    @written.catcher(sanitize_func=lambda text: text.replace("mine", "<!>"))
    def fail():
        raise ValueError(message)

    text = caught_text(written, fail)
    assert "api_key=***" in text
    assert part not in text
    assert "min" not in text.replace("<!>", "")


@pytest.mark.parametrize("kind", ["plain", "coroutine", "generator", "async generator", "awaitable"])
@pytest.mark.parametrize("way", ["tracker", "part", "profiler"])
def test_frames_of_other_sources_are_left_out(written, kind, way):
    """Nor does it show how it is tracked or profiled, though the timer knows nothing of either."""
    tracker = ProcessTracker(output=[].append)
    source = {"tracker": tracker, "part": tracker.track, "profiler": profile}[way]

    def measured(function):
        return function if isinstance(function, type) else written.catcher()(source(function))

    text = caught_text(written, kinds_of_callables(measured)[kind])
    assert "in plain" in text
    assert _PACKAGE not in text


def test_frames_that_raise_themselves_are_told(written):
    """An error that this package raises is told with its place, as that of any other library is."""
    text = caught_text(written, written.catcher()(lambda: settings.configure(backends=5)))
    assert text.count(_PACKAGE) > 1
    assert "in configure\n" in text


@pytest.mark.serial
def test_frames_of_measuring_cost_next_to_nothing(written):
    """A recursion that is caught at each level takes hardly longer than the interpreter's own texts of it would."""

    @written.catcher()
    def down(n):
        if n == 0:
            raise ValueError
        down_again(n - 1)

    def down_again(n):
        down(n)

    def end():
        raise ValueError

    def plain_down(n):
        try:
            end() if n == 0 else plain_down_again(n - 1)
        except ValueError as exc:
            "".join(traceback.format_exception(exc))
            raise

    def plain_down_again(n):
        plain_down(n)

    def seconds(function):
        started = time.perf_counter()
        with pytest.raises(ValueError, match=r"^$"):
            function(100)
        return time.perf_counter() - started

    def ratio():
        return min(seconds(down) for _ in range(3)) / min(seconds(plain_down) for _ in range(3))

    bound = 1.7 if sys.version_info >= (3, 11) else 3.2  # which points at no column, so all else shows more
    assert least(ratio, bound) <= bound
    assert written.errors()[0]["traceback"].count("in down\n") == 1
