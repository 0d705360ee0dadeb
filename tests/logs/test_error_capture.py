"""`ErrorCapture`: a block's exception is logged with what it is about, and passes or ends there (M5)."""

from __future__ import annotations

import asyncio

import pytest

from time_execution.exceptions import ConfigurationError
from time_execution.logs import ErrorCapture


class Odd(Exception):
    """An error of a test's own."""


def only(kept):
    """Return the only record, once it is one of an error."""
    record = kept.record()
    assert record["level"] == "ERROR"
    assert record["exception"]["type"]
    return record


def test_capture_logs_what_it_is_about(kept):
    """The line stands where the block does, with the component, the user and further fields, whatever their names."""
    fields = {"order": 7, "name": "n", "args": "a", "message": "m", "self": "s", "level": "l", "password": "hunter2"}
    with ErrorCapture("user_service", 42, reraise=False, **fields) as capture:
        raise Odd("no user")
    record = only(kept)
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
    assert only(kept)["component"] == "c"


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
    assert only(kept)["function"] == "main"


def test_capture_as_a_decorator(kept):
    """Each call's exception is logged with the fields, and ends there where that was asked for."""

    @ErrorCapture("jobs", reraise=False, queue="low")
    async def job():
        raise Odd

    assert asyncio.run(job()) is None
    assert (only(kept)["component"], only(kept)["queue"]) == ("jobs", "low")


def test_reraise_is_a_switch():
    """A text such as "no" would count as true."""
    with pytest.raises(ConfigurationError, match="reraise"):
        ErrorCapture(reraise="no")
