"""The handlers: what they write, and what they refuse."""

from __future__ import annotations

import asyncio
import io
import logging
import time
from typing import Any

import pytest

from tests.faults.harness import check_conservation, in_threads
from time_execution.exceptions import ConfigurationError
from time_execution.profiler import handlers
from time_execution.profiler.handlers import OutputFormatter
from time_execution.profiler.types import Record
from time_execution.testing.hostile import HOSTILE_NAMES

RECORD: Record = {
    "item": "Owner",
    "metric": "histogram",
    "units": "mS",
    "job": "job",
    "method": "Owner:root.step.work",
    "labels": {},
    "value": ("observe", 0.06),
}
PLAIN = "profiler: time_profiler, method: Owner:root.step.work, value: 0.06 mS"


def labelled(**labels: Any) -> Record:
    return {**RECORD, "labels": labels}


def test_the_text_of_a_record():
    """Labels come last, and only when there are any."""
    line = OutputFormatter.record_to_str("time_profiler", RECORD)
    assert line == PLAIN
    line = OutputFormatter().record_to_str("time_profiler", labelled(a="1", error_raised=False))
    assert line == f"{PLAIN}, labels: a=1, error_raised=False"


@pytest.mark.parametrize("text", [*HOSTILE_NAMES, "a\nprofiler: forged", "\x1b[2J", "a\u2028b\x85c\td"])
def test_a_record_is_one_line_whatever_is_in_it(text):
    """No label, name or context begins another line, or commands a terminal."""
    record = labelled(**{text: text})
    record["method"] = text
    line = OutputFormatter.record_to_str(text, record)
    assert line.isprintable()
    assert len(line.splitlines()) == 1
    if text.isprintable():
        assert text in line


def test_a_stream_gets_a_line_for_each_record():
    """Records that come together are written at once, and flushed."""
    calls = []

    class Stream(io.StringIO):
        def write(self, text):
            calls.append(text)
            return len(text)

        def flush(self):
            calls.append("flush")

    handler = handlers.StreamHandler("s", Stream())
    handler.handle([RECORD, labelled(a=1)], "time_profiler")
    assert calls == [f"{PLAIN}\n{PLAIN}, labels: a=1\n", "flush"]


def test_the_standard_output_is_the_one_of_the_moment(capsys):
    """So it may be put in another's place at any time."""
    handlers.StreamHandler("s").handle([RECORD], "time_profiler")
    assert capsys.readouterr().out == f"{PLAIN}\n"


def test_a_stream_that_cannot_show_a_letter_shows_its_number():
    """Rather than losing the record."""
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    handlers.StreamHandler("s", stream).handle([labelled(name="\u00e9\u4e2d")], "time_profiler")
    assert raw.getvalue() == f"{PLAIN}, labels: name=\\xe9\\u4e2d\n".encode()
    stream.close()


def test_a_closed_stream_is_counted(own, collector):
    """And keeps no other handler from its records."""
    stream = io.StringIO()
    stream.close()
    own.delete_handlers()
    own.add_handler(handlers.StreamHandler("closed", stream))
    own.add_handler(collector)
    own.profile(lambda: None)()
    assert own.stats()["handler"] == {"closed: ValueError": 1}
    assert len(collector.records) == 1


@pytest.mark.parametrize("level", [logging.DEBUG, logging.ERROR])
def test_a_logger_gets_all_lines_as_one_message(caplog, level):
    """At the level asked for, DEBUG if none is."""
    caplog.set_level(logging.DEBUG)
    logger = logging.getLogger("of.program")
    given = {} if level == logging.DEBUG else {"level": level}
    handlers.LoggerHandler("l", logger, **given).handle([RECORD, RECORD], "time_profiler")
    handlers.NamedLoggerHandler("n", "of.program", **given).handle([RECORD], "time_profiler")
    assert [(record.name, record.levelno, record.message) for record in caplog.records] == [
        ("of.program", level, f"{PLAIN}\n{PLAIN}"),
        ("of.program", level, PLAIN),
    ]


def test_a_percent_sign_is_only_that(caplog):
    """Names are no formats."""
    caplog.set_level(logging.DEBUG)
    handlers.LoggerHandler("l", logging.getLogger("of.program")).handle([labelled(rate="5%s")], "time_profiler")
    assert caplog.records[0].message == f"{PLAIN}, labels: rate=5%s"


def test_without_a_logger_it_goes_to_the_standard_output(capsys):
    """By a logger of our own, whose handler is added once."""
    made = [handlers.LoggerHandler("l") for _ in range(3)]
    made[-1].handle([RECORD], "time_profiler")
    assert capsys.readouterr().out == f"{PLAIN}\n"
    assert len(logging.getLogger("PHANOS").handlers) == 1


def test_the_standard_output_is_found_once_by_threads(monkeypatch):
    """However many make their handlers at once, a line is written once."""

    class Slow(handlers._StandardOutput):
        """Takes a while to make."""

        def __init__(self):
            time.sleep(0.02)
            super().__init__()

    logger = logging.getLogger("PHANOS")
    monkeypatch.setattr(logger, "handlers", [])
    monkeypatch.setattr(handlers, "_StandardOutput", Slow)
    in_threads(4, lambda _: handlers.LoggerHandler("l"))
    assert len(logger.handlers) == 1


def test_a_call_that_raised_is_told_though_no_handler_logs(own, caplog):
    """With `error_raised_label`, its records go to the profiler's logger, at the level DEBUG."""
    caplog.set_level(logging.DEBUG)
    own.config("of.program", job="j", error_raised_label=True)

    @own.profile
    def fails(*, fail):
        if fail:
            raise LookupError

    fails(fail=False)
    with pytest.raises(LookupError):
        fails(fail=True)
    ((name, level, message),) = [(record.name, record.levelno, record.message) for record in caplog.records]
    assert (name, level) == ("of.program", logging.DEBUG)
    assert message.startswith("profiler: time_profiler, method: test_profiler_handlers:fails, value: ")
    assert message.endswith("labels: error_raised=True")
    own.add_handler(handlers.LoggerHandler("l", logging.getLogger("of.handler")))
    with pytest.raises(LookupError):
        fails(fail=True)
    assert [record.name for record in caplog.records] == ["of.program", "of.handler"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: handlers.StreamHandler(""), "handler_name must be a text"),
        (lambda: handlers.StreamHandler(5), "handler_name must be a text that is not empty, got an int"),
        (lambda: handlers.StreamHandler("s", "stdout"), "output must be a text stream, not str"),
        (lambda: handlers.LoggerHandler("l", 5), "logger must be a logger or its name, not int"),
        (lambda: handlers.LoggerHandler("l", level="DEBUG"), "level must be the number of a level of logging, not str"),
        (lambda: handlers.NamedLoggerHandler("l", None), "logger_name must be a text"),
        (lambda: handlers.ImpProfHandler("h", retry=-1), "retry must be a whole number of at least 0"),
        (lambda: handlers.ImpProfHandler("h", retry_delay=0), "retry_delay must be a number of seconds above 0"),
        (lambda: handlers.ImpProfHandler("h", port=0), "port must be a whole number from 1"),
        (lambda: handlers.ImpProfHandler("h", exchange_type="wide"), "exchange_type must be one of"),
        (lambda: handlers.ImpProfHandler("h", hart_beat=5), r"unknown option 'hart_beat'; did you mean 'heartbeat'\?"),
        (lambda: handlers.ImpProfHandler("h", logger=5), "logger must be a logger or its name"),
    ],
)
def test_mistakes_in_making_a_handler_are_loud(make, message):
    """They are raised where they are made."""
    with pytest.raises(ConfigurationError, match=message):
        make()
    assert logging.getLogger("PHANOS").handlers == []


# ---- RabbitMQ without a server; tests/services/test_profiler_rabbitmq.py has one -------------------------------------


def test_a_server_that_is_away_costs_nobody_anything(own, caplog):
    """Neither making the handler nor handing to it raises; what waits and what is dropped is counted, within bounds."""
    handler = handlers.ImpProfHandler("rabbit", "127.0.0.1", 1, timeout=0.5, queue_maxsize=50, shutdown_timeout=0.1)
    own.add_handler(handler)
    work = own.profile(lambda: None)
    for _ in range(120):
        work()
    assert handler.flush(0.0) is False
    stats = handler.stats()
    # Where the oldest are on their way, it is the newest that have no room.
    assert set(stats["dropped"]) | set(stats["rejected"]) == {"queue_full"}
    check_conservation(stats, offered=120)
    assert stats["pending"] == 50
    handler.close(0.1)
    check_conservation(handler.stats(), offered=120, pending=0)
    assert own.stats()["handler"] == {}


def test_records_that_raised_are_told_by_the_handler_s_logger(own, caplog):
    """As the older handler does it: where there is a label that says so, at the level DEBUG."""
    caplog.set_level(logging.DEBUG, logger="of.handler")
    handler = handlers.ImpProfHandler("rabbit", "127.0.0.1", 1, logger="of.handler", shutdown_timeout=0.0)
    own.config(job="j", error_raised_label=True)
    own.add_handler(handler)

    @own.profile
    def fails():
        raise LookupError

    with pytest.raises(LookupError):
        fails()
    (record,) = [record for record in caplog.records if record.name == "of.handler"]
    assert record.message.endswith("error_raised=True")
    handler.close(0.0)


def test_the_asynchronous_handler_is_made_as_programs_await_it():
    """By `create`; it is the same handler."""
    handler = asyncio.run(handlers.AsyncImpProfHandler.create("rabbit", "127.0.0.1", port=1))
    assert isinstance(handler, handlers.ImpProfHandler)
    assert handler.handler_name == "rabbit"
    handler.close(0.0)
