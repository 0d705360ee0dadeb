"""The forms of a record: one physical line of text or of JSON, whatever is in it (L6), and the names of ECS."""

from __future__ import annotations

import json
import logging
import re

import pytest

from tests.logs.kept_log import KeptLog
from time_execution.formats.log_line import CONTINUED, TextLine, ecs_line, flat_line, one_line
from time_execution.hooks.request_id import reset_request_id, set_request_id
from time_execution.logs import get_logger, logger
from time_execution.types import Metric

FORGED = "2025-05-10T06:35:12.548Z - shop - CRITICAL - forged"
ENDS = ["\r\n", "\n", "\r", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"]
ODD = [
    *ENDS,
    "\x1b[31m",
    "\x1b]0;title\x07",
    "\t",
    "\x00",
    "\x08",
    "\x7f",
    "\x9b",
    "\u202e",
    "\u2066",
    "\u200f",
    "\ud800",
]


def fail(error, cause=None):
    raise error from cause


def parsed(text):
    """Return the lines of a file of text as each kind of reader sees them."""
    return [text.split("\n"), text.splitlines(), re.split(r"[\r\n\x0b\x0c\x1c-\x1e\x85\u2028\u2029]", text)]


@pytest.mark.parametrize("odd", ODD, ids=[f"{odd!a}" for odd in ODD])
def test_a_record_is_one_line_whatever_is_in_it(kept, odd):
    """Whatever stands in a message, a name, a field or an exception, every reader sees one line a record (L6)."""
    text = f"before{odd}{FORGED}"
    get_logger(text).info(text)
    logger.info("%s", text, extra={"user": text, text: 1})
    try:
        fail(ValueError(text))
    except ValueError:
        logger.exception(text)
    kept.lines()
    for ending in (".log", "_error.log"):
        content = (kept.folder / f"shop{ending}").read_bytes().decode()
        for lines in parsed(content):
            begun = [line for line in lines if line and not line.startswith(CONTINUED)]
            assert len(begun) == (3 if ending == ".log" else 1)
            assert all(re.match(r"\d{4}-\d\d-\d\dT[\d:.]+Z - shop", line) for line in begun)
        assert odd not in content or odd == "\n"
        assert not set(content) & set("\x1b\x00\x85\u2028\u2029\u202e\r\t")
    content, records = (kept.folder / "shop_structured.json").read_bytes().decode(), []
    for lines in parsed(content):
        records = [json.loads(line) for line in lines if line]
        assert len(records) == 3
    if odd != "\ud800":
        assert records[1]["message"] == records[1]["user"] == records[2]["exception"]["message"] == text
        assert records[0]["logger"] == f"shop.{text}"


def test_traceback_lines_are_marked(kept):
    """The lines of a traceback follow that of the record, marked; a record's own line never begins with the mark."""
    try:
        fail(ValueError(f"one\n{FORGED}"), KeyError("two"))
    except ValueError:
        logger.exception("failed")
    first, *others = kept.lines()
    assert first.endswith(" - ERROR - failed")
    assert all(line.startswith(CONTINUED) for line in others)
    assert f"{CONTINUED}ValueError: one" in others
    assert f"{CONTINUED}{FORGED}" in others
    line = TextLine("%(message)s")
    assert line(Metric({"message": f"{CONTINUED}forged", "timestamp": 0})) == "\\x20 | forged\n"


def test_ordinary_text_is_left_as_it_is():
    """Accents, emoji, quotes, backslashes and a no-break space need no escape."""
    for text in ("Grüße, 你好 🎉", r"C:\new\table", 'it\'s "quoted"', "a\xa0b", "", "100%"):
        assert one_line(text) == text


def test_lines_without_all_fields_are_written():
    """A record of somebody else's making, short of fields or with odd ones, is a line all the same."""
    line = TextLine("%(asctime)s %(levelname)s %(lineno)d %(name)s %(message)s")
    record = Metric({"timestamp": 10**30, "message": None, "exception": {"type": "E", "message": "m"}, "stack": 5})
    assert line(record) == f"{10**30} - - - -\n{CONTINUED}E: m\n"
    assert json.loads(flat_line(Metric({"timestamp": 0, "name": "log", "_x": 1, "": 2})))[""] == 2
    assert json.loads(ecs_line(Metric({"timestamp": 0})))["@timestamp"] == "1970-01-01T00:00:00.000Z"


def test_ecs_is_what_elastic_writes(tmp_path):
    """The structured file in ECS has what ecs_logging has, but for the service and the traceback, which say more."""
    ecs_logging = pytest.importorskip("ecs_logging")
    kept = KeptLog(tmp_path / "logs", log_profile="ecs")
    formatter = ecs_logging.StdlibFormatter()
    theirs = []

    class Formatting(logging.Handler):
        def emit(self, record):
            theirs.append(formatter.format(record))

    handler = Formatting()
    logger.addHandler(handler)
    extra = {"user_id": 7, "http": {"method": "GET"}, "http.status": 200, "deep.er.field": [1, "x"], "none": 1.5}
    try:
        logger.info("plain %s", "text")
        get_logger("billing").warning("with fields", extra=extra)
        logger.info("with stack", stack_info=True)
        try:
            fail(KeyError("a\nb"))
        except KeyError:
            logger.exception("failed")
    finally:
        logger.removeHandler(handler)
    ours = kept.lines("_structured.json")
    assert len(ours) == len(theirs) == 4
    for our, their in zip(map(json.loads, ours), map(json.loads, theirs), strict=True):
        assert list(our)[:3] == list(their)[:3] == ["@timestamp", "log.level", "message"]
        assert our.pop("service") == {"name": "shop", "environment": "development"}
        if "error" in our:  # ours is the whole traceback, and redacted
            begins = "Traceback" if "type" in our["error"] else "Stack"
            assert our["error"].pop("stack_trace").startswith(f"{begins} (most recent call last):\n")
            their["error"].pop("stack_trace")
        assert our == their


def test_ecs_names_ids_and_moves_what_is_in_the_way(tmp_path):
    """Ids stand where ECS wants them, and a field whose place is taken is there under another name."""
    kept = KeptLog(tmp_path / "logs", log_profile="ecs")
    request = set_request_id("r-1")
    try:
        logger.info(
            "x", extra={"service": "other", "error.type.deep": 1, "error.type": 2, "log": {"logger": 3, "a": 4}}
        )
    finally:
        reset_request_id(request)
    (record,) = kept.records()
    assert record["http"] == {"request": {"id": "r-1"}}
    assert record["service_"] == "other"
    assert record["error"]["type"] == {"deep": 1}
    assert record["error"]["type_"] == 2
    assert (record["log"]["logger"], record["log"]["logger_"], record["log"]["a"]) == ("shop", 3, 4)


@pytest.mark.parametrize(
    "template", ["", "text", "%(message)", "%(message)q", "%s", "%(message)s %", "%(a b)s", "a\nb %(message)s"]
)
def test_formats_that_are_none_are_refused(template):
    """What logging would fail on at every line, or what makes several lines, is told at once."""
    with pytest.raises(ValueError, match="expected a format"):
        TextLine(template)
