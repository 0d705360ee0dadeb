"""What a record holds, whatever a line was made of (M2, M23)."""

from __future__ import annotations

import copy
import logging
import os
import re
import threading
import time

import pytest

from tests.patience import least_time
from tests.secret_corpus import PLANTED
from time_execution import stats
from time_execution.hooks.request_id import reset_request_id, set_request_id
from time_execution.hooks.trace import reset_traceparent, set_traceparent


def fail(message):
    raise ConnectionError(message)


def fail_with(error, cause):
    raise error from cause


class Hostile:
    """Fails at whatever is asked of it."""

    def __str__(self):
        raise RuntimeError("no text")

    __repr__ = __format__ = __eq__ = __len__ = __bool__ = __str__
    __hash__ = None


class HostileError(Exception):
    """Cannot say what it is."""

    def __str__(self):
        raise RuntimeError("no text")


def faults():
    return stats()["errors"]["hook"]


def test_record_has_the_fields_that_are_promised(kept):
    """A line with an exception and extra fields has every field of the document, in order and in its type."""
    kept.logger.info("before")
    try:
        fail("Connection refused")
    except ConnectionError:
        kept.logger.exception(
            "Failed to connect to %s", "database", extra={"user_id": "12345", "component": "database"}
        )
    plain, record = kept.records()
    names = ["timestamp", "level", "logger", "message", "module", "function", "line", "process_id", "thread_id"]
    names += ["environment"]
    assert list(plain) == names
    assert list(record) == [*names, "exception", "user_id", "component"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", record["timestamp"])
    exception = record.pop("exception")
    assert list(exception) == ["type", "message", "traceback"]
    assert (exception["type"], exception["message"]) == ("ConnectionError", "Connection refused")
    assert exception["traceback"][0] == "Traceback (most recent call last):"
    assert exception["traceback"][-1] == "ConnectionError: Connection refused"
    assert (record["level"], record["logger"], record["environment"]) == ("ERROR", "shop", "development")
    assert record["message"] == "Failed to connect to database"
    assert (record["module"], record["function"]) == ("test_records", "test_record_has_the_fields_that_are_promised")
    assert record["line"] == fail.__code__.co_firstlineno + 35
    assert (record["process_id"], record["thread_id"]) == (os.getpid(), threading.get_ident())
    assert (record["user_id"], record["component"]) == ("12345", "database")


def test_ids_of_request_and_trace_are_there_while_there_are_some(kept):
    """Lines within a request have its id and those of its trace, also in threads that took the context along."""
    request, trace = set_request_id("r-1"), set_traceparent("00-" + "a" * 32 + "-" + "b" * 16 + "-01")
    kept.logger.info("inside")
    reset_request_id(request)
    reset_traceparent(trace)
    kept.logger.info("outside")
    inside, outside = kept.records()
    assert (inside["request_id"], inside["trace_id"], inside["span_id"]) == ("r-1", "a" * 32, "b" * 16)
    assert not {"request_id", "trace_id", "span_id"} & outside.keys()


def test_text_ends_with_the_id_of_the_request(kept):
    """With the default format, a line of text within a request names it, whatever is in the message."""
    request = set_request_id("r-1")
    kept.logger.info("inside")
    reset_request_id(request)
    kept.logger.info("outside")
    assert [line.partition(" - INFO - ")[2] for line in kept.lines()] == ["inside [request_id=r-1]", "outside"]


def test_extra_fields_replace_nothing(kept):
    """An extra field whose name is taken, or not for everybody, is there under another name; nothing is lost."""
    extra = {"level": "mine", "timestamp": 1, "exception": "x", "_hidden": 2, "_": 3, "name_": 4, "truncated": 5}
    kept.logger.info("message", extra=extra)
    record = kept.record()
    assert (record["level"], record["message"]) == ("INFO", "message")
    assert [record[f"{key}_"] for key in ("level", "timestamp", "exception", "hidden", "extra", "truncated")] == [
        "mine", 1, "x", 2, 3, 5,
    ]  # fmt: skip
    assert record["name_"] == 4


@pytest.mark.parametrize(
    ("message", "args", "expected"),
    [
        ("%s and %s", ("one",), "%s and %s [its arguments failed: TypeError]"),
        ("%d", ("one",), "%d [its arguments failed: TypeError]"),
        ("%(a)s", ({"b": 1},), "%(a)s [its arguments failed: KeyError]"),
        ("a %s", (Hostile(),), "a %s [its arguments failed: RuntimeError]"),
        (Hostile(), (), "<its str() failed> [its arguments failed: RuntimeError]"),
        (12, (), "12"),
        ("100 %", (), "100 %"),
    ],
)
def test_message_that_cannot_be_made_is_told_without_arguments(kept, message, args, expected):
    """Arguments that do not fit or fail raise nothing, cost no line, and are counted."""
    kept.logger.info(message, *args)
    kept.logger.info("after")
    assert kept.messages() == [expected, "after"]
    assert bool(faults()) is ("failed" in expected)


def test_hostile_extras_and_exceptions_are_told_all_the_same(kept):
    """Values and exceptions whose own code fails are in the record by their types, and the exception is unchanged."""
    error = HostileError("x")
    before = vars(error).copy(), error.__context__, error.__traceback__
    kept.logger.error("failed", exc_info=error, extra={"thing": Hostile(), "more": {"deep": [Hostile()]}})
    record = kept.record()
    assert record["thing"] == f"<{__name__}.Hostile>"
    assert record["more"] == {"deep": [f"<{__name__}.Hostile>"]}
    assert record["exception"]["type"] == f"{__name__}.HostileError"
    assert record["exception"]["message"] == "<its str() failed>"
    assert (vars(error).copy(), error.__context__, error.__traceback__) == before
    assert faults() == {"str() of an exception: RuntimeError": 1}


@pytest.mark.parametrize("attribute", ["levelno", "name", "lineno", "created", "exc_info", "msg", "args", "funcName"])
def test_records_that_are_none_raise_nothing(kept, attribute):
    """A line whose own attributes are hostile is left out, counted, or told; the next one is there."""
    record = logging.LogRecord("shop", logging.INFO, __file__, 1, "text", (), None)
    setattr(record, attribute, Hostile())
    kept.logger.handlers[0].handle(record)
    kept.logger.info("after")
    assert kept.messages()[-1] == "after"


def test_interrupts_pass(kept):
    """What is no error passes through a line, as it does through any other call."""

    class Interrupting:
        def __str__(self):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        kept.logger.info("%s", Interrupting())
    kept.logger.info("after")
    assert kept.messages() == ["after"]


def test_huge_lines_are_cut(kept):
    """Ten megabytes of text, a deep recursion and a thousand fields become one bounded record, which says so."""

    def deep(left):
        return deeper(left - 1) if left else 1 / 0

    def deeper(left):
        return deep(left)

    try:
        deep(200)
    except ZeroDivisionError:
        extra = {f"field{number}": number for number in range(1000)}
        kept.logger.exception("x" * 10_000_000, extra=extra | {"text": "y" * 10_000_000})
    (line,) = kept.lines("_structured.json")
    (record,) = kept.records()
    assert len(line) < 100_000
    assert len(record["message"]) < 17_000
    assert len(record["exception"]["traceback"]) == 100
    assert record["exception"]["traceback"][-1] == "ZeroDivisionError: division by zero"
    assert any(text == "…[cut]" for text in record["exception"]["traceback"])
    assert len(kept.lines()) == 101


def recur(depth):
    return other(depth + 1)


def other(depth):
    return recur(depth)


def talk(text):
    raise ValueError(text)


@pytest.mark.parametrize(("call", "argument"), [(recur, 0), (talk, "key: 'value', " * 40_000)])
def test_exceptions_of_any_size_take_little_time(kept, call, argument):
    """A recursion without end, and an exception that says half a megabyte, are told in less than 5 ms."""
    errors = []
    try:
        call(argument)
    except (RecursionError, ValueError) as exc:
        errors.append(exc)

    def took():
        began = time.thread_time()
        kept.logger.error("failed", exc_info=errors[0])
        return (time.thread_time() - began) * 1000

    assert least_time(took, 5.0) < 5.0
    traceback = kept.records()[-1]["exception"]["traceback"]
    assert traceback[0] == "Traceback (most recent call last):"
    assert traceback[-1].startswith(("RecursionError: ", "ValueError: key: 'value'"))
    assert "test_exceptions_of_any_size" in traceback[1]


@pytest.mark.parametrize(("secret", "value"), PLANTED, ids=[f"{number}" for number in range(len(PLANTED))])
def test_no_secret_is_in_any_file(kept, secret, value):
    """A secret in the message, its arguments, a field or an exception is in no file, and the value is unchanged."""
    kept.logger.warning("got %s", value)
    kept.logger.warning(repr(value))
    kept.logger.warning("got", extra={"value": value})
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        fields = {key: copy.deepcopy(item) for key, item in value.items() if key not in {"message", "name", "args"}}
        kept.logger.warning("got", extra=fields)
        assert all(fields[key] == value[key] for key in fields)
    try:
        fail_with(ValueError(value), LookupError(str(value)))
    except ValueError:
        kept.logger.exception("failed")
    kept.lines()
    for path in kept.folder.iterdir():
        assert secret not in path.read_text(encoding="utf-8"), path.name


def test_stack_is_told_where_it_was_asked_for(kept):
    """stack_info gives the lines of the stack, in the structured file and marked in the text."""
    kept.logger.info("here", stack_info=True)
    record = kept.record()
    assert record["stack"][0] == "Stack (most recent call last):"
    first, *others = kept.lines()
    assert first.endswith("here")
    assert others == [f"  | {text}" for text in record["stack"]]


def test_exception_text_of_a_queue_handler_is_kept(kept):
    """A line whose exception is a text only, as after a queue of the standard library, has that text."""
    record = logging.LogRecord("shop", logging.ERROR, __file__, 1, "text", (), None)
    record.exc_text = "Traceback (most recent call last):\nValueError: password=hunter2"
    kept.logger.handle(record)
    assert kept.record()["stack"] == ["Traceback (most recent call last):", "ValueError: password=***"]
