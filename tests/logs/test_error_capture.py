"""`ErrorCapture`: a block's exception is logged with what it is about, and passes or ends there (M5)."""

from __future__ import annotations

import asyncio
import threading
from contextvars import copy_context

import pytest

from time_execution.exceptions import ConfigurationError
from time_execution.logs import ErrorCapture
from time_execution.logs.errors import scope_in_force


class Odd(Exception):
    """An error of a test's own."""


def test_capture_logs_what_it_is_about(kept):
    """The line stands where the block does, with the component, the user and further fields, whatever their names."""
    fields = {"order": 7, "name": "n", "args": "a", "message": "m", "self": "s", "level": "l", "password": "hunter2"}
    with ErrorCapture("user_service", 42, reraise=False, **fields) as capture:
        raise Odd("no user")
    record = kept.error()
    assert capture.failed
    assert record["message"] == "user_service failed: no user"
    assert (record["component"], record["user_id"], record["order"], record["password"]) == (
        "user_service",
        42,
        7,
        "***",
    )
    assert [record[f"{name}_"] for name in ("name", "args", "message", "level")] == ["n", "a", "m", "l"]
    assert record["self"] == "s"
    assert (record["module"], record["function"]) == ("test_error_capture", "test_capture_logs_what_it_is_about")


def test_capture_lets_pass_by_default(kept):
    """Without reraise=False, the exception goes on; a block that ends well says nothing, and may be used again."""
    capture = ErrorCapture(component="c")
    with capture:
        pass
    assert not capture.failed
    error = Odd()
    with pytest.raises(Odd) as caught, capture:
        raise error
    assert (caught.value, capture.failed) == (error, True)
    with capture:
        pass
    assert not capture.failed
    assert kept.error()["component"] == "c"


def test_capture_for_async_with(kept):
    """The same holds in a coroutine, also when its task is cancelled."""

    async def main():
        async with ErrorCapture("a", reraise=False) as capture:
            raise Odd
        with pytest.raises(asyncio.CancelledError):
            async with ErrorCapture("a", reraise=False):
                raise asyncio.CancelledError
        return capture.failed

    assert asyncio.run(main()) is True
    assert kept.error()["function"] == "main"


def test_capture_as_a_decorator(kept):
    """Each call's exception is logged with the fields, and ends there where that was asked for."""

    @ErrorCapture("jobs", reraise=False, queue="low")
    async def job():
        raise Odd

    assert asyncio.run(job()) is None
    assert (kept.error()["component"], kept.error()["queue"]) == ("jobs", "low")


def test_reraise_is_a_switch():
    """A text such as "no" would count as true."""
    with pytest.raises(ConfigurationError, match="reraise"):
        ErrorCapture(reraise="no")


def test_capture_within_itself_leaves_nothing_open(kept, events):
    """The same one may be entered again within its block, as by a recursion: the exception is told once, then over."""
    capture = ErrorCapture("c")
    with pytest.raises(Odd), capture, capture, capture:
        raise Odd
    assert scope_in_force() is None
    assert (len(kept.records()), len(events)) == (3, 1)


@pytest.mark.parametrize("first", ["outer", "inner"])
def test_one_capture_serves_several_threads(kept, first):
    """Blocks of one capture that overlap in two threads end each its own scope, in whatever order they end."""
    capture = ErrorCapture("c", reraise=False)
    entered, left, seen = threading.Event(), threading.Event(), []

    def other():
        with capture:
            entered.set()
            if first == "outer":
                assert left.wait(20)
            raise Odd("other")
        seen.append(scope_in_force())

    thread = threading.Thread(target=other)
    with capture:
        thread.start()
        assert entered.wait(20)
        if first == "inner":
            thread.join(20)
        raise Odd("this")
    seen.append(scope_in_force())
    left.set()
    thread.join(20)
    assert seen == [None, None]
    assert {record["exception"]["message"] for record in kept.records()} == {"this", "other"}


def test_capture_that_is_left_in_another_context(kept):
    """A block that is left where it was not entered, as of a generator that is closed elsewhere, ends all the same."""
    capture = ErrorCapture("c", reraise=False)
    entered = copy_context()
    entered.run(capture.__enter__)
    error = Odd("late")
    assert capture.__exit__(Odd, error, None) is True
    assert entered.run(scope_in_force) is None
    assert capture.__exit__(Odd, error, None) is True  # never entered
    assert len(kept.records()) == 2
