"""What `ErrorCatcher` writes for an exception, and that the exception passes as if nobody had looked."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from datetime import timedelta

import pytest

from tests.kept import Kept
from tests.timer.raising import fail, raised_by
from tests.timer.written import ERROR_FIELDS
from time_execution import flush, settings
from time_execution.timer import ErrorCatcher


def test_line_has_these_fields_in_this_order(written):
    """A line of error.log has seven fields, named and ordered as they are documented."""
    raised_by(written.catcher()(fail), "no")
    assert flush(20)
    (line,) = (written.folder / "error.log").read_text(encoding="utf-8").splitlines()
    assert list(json.loads(line)) == ERROR_FIELDS


def test_record_describes_the_exception(written):
    """Function, moment, type, message, traceback and arguments are those of the call that raised."""
    raised_by(written.catcher()(fail), "not so", password="x")
    (record,) = written.errors()
    assert record["function"] == f"{fail.__module__}.fail"
    assert (record["type"], record["message"]) == ("ValueError", "not so")
    assert record["arguments"] == "message='not so', password=***"
    assert record["traceback"].startswith("Traceback (most recent call last):\n")
    assert record["traceback"].endswith("ValueError: not so\n")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", record["time"])


def test_call_that_returns_writes_nothing(written, tmp_path):
    """There is no record, no file and no folder without an error."""
    result = object()
    assert written.catcher()(lambda: result)() is result
    assert flush(20)
    assert list(tmp_path.iterdir()) == []


def test_same_exception_passes(written):
    """The caller gets the same object, with the cause, the context, the notes and the state it had."""
    cause, context = KeyError("cause"), LookupError("context")
    error = ValueError("error")
    error.extra = [1]

    @written.catcher()
    def work():
        try:
            raise context
        except LookupError:
            raise error from cause

    assert raised_by(work) is error
    assert (error.__cause__, error.__context__, error.__suppress_context__) == (cause, context, True)
    assert (cause.__context__, context.__context__, error.extra) == (None, None, [1])


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError])
def test_what_is_no_error_is_not_told(written, tmp_path, kind):
    """Whoever ends a program or cancels a task has not failed: it passes, and no record is written."""

    @written.catcher()
    def leave(exc):
        raise exc

    error = kind()
    assert raised_by(leave, error) is error
    assert flush(20)
    assert list(tmp_path.iterdir()) == []


def test_errors_are_not_sampled(written):
    """However few calls are measured, every error is told; and its event does not claim to stand for others."""
    store = Kept()
    settings.configure(backends=[store], sample_rate=0.01)
    for number in range(50):
        raised_by(written.catcher()(fail), number)
    assert len(written.errors()) == 50
    assert not any("sample_rate" in metric for metric in store.metrics)


@pytest.mark.parametrize("options", [{"enabled": False}, {"exclude": ["*.fail"]}, {"include": ["other.*"]}])
def test_settings_that_measure_nothing_leave_no_record(written, options):
    """Switched off, or left out by name, a function raises and nothing is written."""
    caught = written.catcher()(fail)
    with settings(**options):
        assert isinstance(raised_by(caught, "x"), ValueError)
    assert written.errors() == []


def test_event_reaches_the_settings_backends(written):
    """Every configured backend gets an event named error, with the fields of the record and no duration."""
    kinds = []

    class Backend(Kept):
        def write_many(self, metrics):
            raise AssertionError

    store = Kept()
    settings.configure(
        backends=[store], hooks=[lambda metric, **_: kinds.append(metric.kind)], origin="shop", duration_field="took"
    )
    raised_by(written.catcher()(fail), "no")
    (metric,), (record,) = store.metrics, written.errors()
    assert kinds == ["event"]
    assert metric["name"] == "error"
    renamed = {
        "error_type": "type",
        **{key: key for key in ("call_id", "function", "message", "traceback", "arguments")},
    }
    assert set(metric) == {"name", "hostname", "origin", "timestamp", *renamed}
    assert {new: metric[old] for old, new in renamed.items()} == {new: record[new] for new in renamed.values()}
    assert metric["timestamp"].utcoffset() == timedelta(0)


def test_hooks_run_for_errors_but_for_those_around_a_call(written):
    """Plain hooks see the event and add to it; generator hooks would have had to begin before the call."""
    store, around = Kept(), []

    def generator(**_):
        around.append("began")
        yield

    settings.configure(backends=[store], hooks=[generator, lambda exception, **_: {"seen": type(exception).__name__}])
    raised_by(written.catcher()(fail), "no")
    assert around == []
    assert [metric["seen"] for metric in store.metrics] == ["ValueError"]


def test_failing_hook_and_backend_change_nothing(written):
    """What hooks and backends raise is counted; the exception and the record are as without them."""

    class Broken:
        def write(self, name, **data):
            raise RuntimeError

    settings.configure(backends=[Broken()], hooks=[lambda **_: 1 / 0])
    error = raised_by(written.catcher()(fail), "no")
    assert (type(error), error.__context__) == (ValueError, None)
    assert len(written.errors()) == 1


def test_coroutine_is_caught_where_it_is_awaited(written):
    """A coroutine function's exception is told when it is awaited, with its arguments; asynchronous hooks run."""
    store = Kept()

    async def hook(**_):
        await asyncio.sleep(0)
        return {"awaited": True}

    @written.catcher()
    async def work(n):
        await asyncio.sleep(0)
        raise ValueError(n)

    settings.configure(backends=[store], hooks=[hook])
    assert str(raised_by(asyncio.run, work(5))) == "5"
    assert [record["arguments"] for record in written.errors()] == ["n=5"]
    assert [metric["awaited"] for metric in store.metrics] == [True]


def test_generators_are_caught_while_they_run(written):
    """Errors inside generators of both kinds, also those thrown in, are told once; closing one is none."""
    catcher = written.catcher()

    @catcher
    def count():
        yield 1
        yield 2
        raise ValueError("end")

    @catcher
    async def count_async():
        yield 1
        raise ValueError("async end")

    async def main():
        async for _ in count_async():
            pass

    assert isinstance(raised_by(list, count()), ValueError)
    assert isinstance(raised_by(asyncio.run, main()), ValueError)
    generator = count()
    next(generator)
    assert isinstance(raised_by(generator.throw, KeyError("thrown")), KeyError)
    closed = count()
    next(closed)
    closed.close()
    assert [record["message"] for record in written.errors()] == ["end", "async end", "'thrown'"]


def test_arguments_are_told_as_they_are_when_it_raises(written):
    """A list that the function changed is shown as it was when it failed, which is what explains the failure."""

    @written.catcher()
    def pop(items):
        items.clear()
        return items.pop()

    raised_by(pop, [1, 2])
    assert written.errors()[0]["arguments"] == "items=[]"


def test_threads_lose_no_error(written):
    """Many threads at once: every error has its line."""
    caught = written.catcher()(fail)

    def work(number):
        for step in range(50):
            raised_by(caught, f"{number}-{step}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    messages = {record["message"] for record in written.errors()}
    assert messages == {f"{number}-{step}" for number in range(8) for step in range(50)}


def test_catcher_of_another_path_writes_there(written, tmp_path):
    """error_log_file names the file, whatever its folder."""
    path = tmp_path / "deep" / "down" / "mine.txt"
    raised_by(written.catcher(error_log_file=path)(fail), "x")
    raised_by(ErrorCatcher(log_to_console=False, error_log_file=str(path))(fail), "y")
    assert flush(20)
    assert len(path.read_text(encoding="utf-8").splitlines()) == 2
