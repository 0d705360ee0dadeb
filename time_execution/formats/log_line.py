r"""What a log record holds, and the three forms in which it is written: a line of text, flat JSON, ECS.

A record is a `Metric` of the kind ``event`` named ``log``, in plain values, its secrets masked:

==============================  ==================================================================================
field                           holds
==============================  ==================================================================================
``timestamp``                   nanoseconds since the epoch (int); files show ``2025-05-10T06:35:12.548Z``
``level``, ``logger``           ``ERROR`` (or a level's own name), the name of the logger
``message``                     the text with its arguments
``module``, ``function``        where the line was written: the file without ``.py``, the function
``line``                        its line (int)
``process_id``, ``thread_id``   int
``environment``                 ``FLASK_ENV``
``exception``                   where there is one: ``{"type": str, "message": str, "traceback": [str, …]}``, the lines
                                of its traceback without their ends
``stack``                       where it was asked for: lines as those of a traceback
``request_id``                  where there is one; so ``trace_id`` and ``span_id``
anything else                   the extra fields of the line; one whose name is taken gets a trailing ``_``
==============================  ==================================================================================

Fields that begin with ``_`` are for whoever makes a text of a record, and no file shows them: ``_level`` (the number),
``_template`` (the text before its arguments were put in, of lines from `ERROR` up), ``_noticed`` (True where Slack and
mail were told already), and what ``LOG_FORMAT`` or a profile asks for besides.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from time_execution.formats.json import document, encode, encode_value, nanoseconds_text
from time_execution.types import NAME, TIMESTAMP, Metric

NAME_OF_RECORDS = "log"

LEVEL = "level"
LOGGER = "logger"
MESSAGE = "message"
MODULE = "module"
FUNCTION = "function"
LINE = "line"
PROCESS_ID = "process_id"
THREAD_ID = "thread_id"
ENVIRONMENT = "environment"
EXCEPTION = "exception"
STACK = "stack"
REQUEST_ID = "request_id"
TRACE_ID = "trace_id"
SPAN_ID = "span_id"

LEVEL_NUMBER = "_level"
TEMPLATE = "_template"
NOTICED = "_noticed"

CONTINUED = "  | "
"""What the lines of a traceback begin with in files of text; the line of a record never does."""

MAX_TRACEBACK = 100
"""Of so many lines is a traceback at most."""

ABSENT = "-"
"""What stands for a field that a record does not have."""

ECS_VERSION = "1.6.0"

# What ends a line for some reader, tells a terminal something, turns the direction of writing, or has no UTF-8.
_ODD = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_CONVERSION = re.compile(r"%(?:%|\((\w+)\)([#0+ -]*(?:\d+)?(?:\.\d+)?[diouxXeEfFgGcrsa]))")
_SHORT = {ord("\n"): r"\n", ord("\r"): r"\r", ord("\t"): r"\t"}
_LATIN = 0xFF
_MILLISECOND = 1_000_000


def one_line(text: str) -> str:
    r"""Return a text that is one line to every reader: what could end it, or do something, is shown by its escape.

    Example:
        >>> print(one_line("paid\r\n2025-05-10 CRITICAL \x1b[31m forged"))
        paid\r\n2025-05-10 CRITICAL \x1b[31m forged
    """
    if text.isprintable():
        return text
    return _ODD.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    """Return a character as Python writes it; the codec that does so is imported by its first use, as late as that."""
    code = ord(found[0])
    return _SHORT.get(code) or (f"\\x{code:02x}" if code <= _LATIN else f"\\u{code:04x}")


def moment_text(nanoseconds: int) -> str:
    """Return ISO 8601 in UTC with milliseconds.

    Example:
        >>> moment_text(1_700_000_000_548_999_999)
        '2023-11-14T22:13:20.548Z'
    """
    text = nanoseconds_text(nanoseconds)
    return f"{text[:-4]}Z" if isinstance(text, str) else str(text)


def _shown(value: Any) -> str:
    return ABSENT if value is None else one_line(value if isinstance(value, str) else encode_value(value))


def _of_record(name: str) -> Callable[[Metric], Any]:
    """Return what gives a field of a record: a number as it is, anything else as one line of text."""

    def get(record: Metric) -> Any:
        value = record.get(name)
        kind = type(value)
        return value if kind is int or kind is float else _shown(value)

    return get


PRIVATE = {name: f"_{name}" for name in ("filename", "pathname", "processName", "relativeCreated", "threadName")}
PRIVATE["taskName"] = "_taskName"
"""What `logging` knows of a line and no file shows, and the field that has it where ``LOG_FORMAT`` asks for it."""

_KNOWN: dict[str, Callable[[Metric], Any]] = {
    "asctime": lambda record: moment_text(record[TIMESTAMP]),
    "created": lambda record: record[TIMESTAMP] / 1_000_000_000,
    "msecs": lambda record: record[TIMESTAMP] // _MILLISECOND % 1000,
    "name": _of_record(LOGGER),
    "levelname": _of_record(LEVEL),
    "levelno": _of_record(LEVEL_NUMBER),
    "funcName": _of_record(FUNCTION),
    "lineno": _of_record(LINE),
    "process": _of_record(PROCESS_ID),
    "thread": _of_record(THREAD_ID),
    **{name: _of_record(field) for name, field in PRIVATE.items()},
}


class TextLine:
    r"""Makes a line of text of a record, by a format such as `logging` has in its ``%`` style. Immutable, thread-safe.

    A record is one line, whatever is in it: see `one_line`. The lines of its traceback follow, each beginning with
    `CONTINUED`. ``%(asctime)s`` is ISO 8601 in UTC. Besides what `logging` knows, any field of the record may be
    named; ``-`` stands for one that it does not have.

    Args:
        template: The format.
        suffix: Names a field that ends the line, in brackets, where a record has it.

    Attributes:
        private: The fields beginning with ``_`` that it needs, and the attributes of `logging.LogRecord` they hold.

    Raises:
        ValueError: When it is no such format, or would make several lines.

    Example:
        >>> line = TextLine("%(asctime)s %(levelname)s %(message)s")
        >>> line(Metric({"timestamp": 0, "level": "INFO", "message": "a\nb"}))
        '1970-01-01T00:00:00.000Z INFO a\\nb\n'
    """

    def __init__(self, template: str, *, suffix: str | None = None) -> None:
        names = [found[1] for found in _CONVERSION.finditer(template) if found[1]]
        if not names:
            raise ValueError("expected a format such as %(asctime)s %(message)s, which names at least one field")
        if "%" in _CONVERSION.sub("", template):
            raise ValueError("expected a format in which each % begins a field such as %(message)s, or is doubled")
        if _ODD.sub("", template.replace("\t", "")) != template.replace("\t", ""):
            raise ValueError("expected a format of one line, without control characters but tabs")
        self._getters = tuple(_KNOWN.get(name) or _of_record(name) for name in names)
        self._template = _CONVERSION.sub(lambda found: f"%{found[2]}" if found[1] else "%%", template)
        self._plain = _CONVERSION.sub(lambda found: "%s" if found[1] else "%%", template)
        self._suffix = suffix
        self.private = {field: name for name, field in PRIVATE.items() if name in names}

    def __call__(self, record: Metric) -> str:
        """Return the line, and those of the traceback, each with its end."""
        values = tuple([get(record) for get in self._getters])
        try:
            line = self._template % values
        except (TypeError, ValueError, OverflowError):  # a text where the format wants a number
            line = self._plain % values
        if line.startswith(CONTINUED):
            line = f"\\x20{line[1:]}"
        if self._suffix is not None and self._suffix in record:
            line += f" [{self._suffix}={_shown(record[self._suffix])}]"
        if EXCEPTION in record or STACK in record:
            return "".join([f"{line}\n", *(f"{CONTINUED}{one_line(text)}\n" for text in _more_lines(record))])
        return f"{line}\n"


def _more_lines(record: Metric) -> Iterator[str]:
    """Yield the lines that follow that of a record: of its exception, and of where it was written."""
    exception, stack = record.get(EXCEPTION), record.get(STACK)
    if isinstance(exception, dict):
        traceback = exception.get("traceback")
        if traceback and isinstance(traceback, list):
            yield from map(str, traceback)
        else:
            yield f"{exception.get('type')}: {exception.get('message')}"
    if isinstance(stack, list):
        yield from map(str, stack)


def flat_line(record: Metric) -> str:
    """Return a record as one line of JSON with the fields of the table above; the record is not changed."""
    shown = {key: value for key, value in record.items() if not (key.startswith("_") or key == NAME)}
    shown[TIMESTAMP] = moment_text(record[TIMESTAMP])
    return f"{document(shown)}\n"


ECS_PRIVATE = {PRIVATE[name]: name for name in ("filename", "processName", "threadName")}
"""The fields that `ecs_line` needs besides, and the attributes of `logging.LogRecord` they hold."""

_ECS = {
    LOGGER: "log.logger",
    FUNCTION: "log.origin.function",
    LINE: "log.origin.file.line",
    "_filename": "log.origin.file.name",
    PROCESS_ID: "process.pid",
    "_processName": "process.name",
    THREAD_ID: "process.thread.id",
    "_threadName": "process.thread.name",
    ENVIRONMENT: "service.environment",
    REQUEST_ID: "http.request.id",
    TRACE_ID: "trace.id",
    SPAN_ID: "span.id",
}
_ECS_OTHERWISE = frozenset((NAME, TIMESTAMP, LEVEL, MESSAGE, EXCEPTION, STACK, MODULE))


def ecs_line(record: Metric, *, service: str = "") -> str:
    """Return a record as one line of JSON with the names of the Elastic Common Schema.

    Extra fields keep their names; dots in them make objects. One whose place is taken gets a trailing ``_``.

    Args:
        record: Not changed.
        service: The name of the application.
    """
    shown: dict[str, Any] = {
        "@timestamp": moment_text(record[TIMESTAMP]),
        "log.level": str(record.get(LEVEL)).lower(),
        "message": record.get(MESSAGE),
        "ecs.version": ECS_VERSION,
    }
    _put(shown, "log.original", record.get(MESSAGE))
    for key, name in _ECS.items():
        if record.get(key) is not None:
            _put(shown, name, record[key])
    if service:
        _put(shown, "service.name", service)
    exception = record.get(EXCEPTION)
    if isinstance(exception, dict):
        error = {key: exception.get(key) for key in ("type", "message")}
        shown["error"] = {**error, "stack_trace": "\n".join(map(str, exception.get("traceback") or ()))}
    elif isinstance(record.get(STACK), list):
        shown["error"] = {"stack_trace": "\n".join(map(str, record[STACK]))}
    for key, value in record.items():
        if not (key in _ECS or key in _ECS_OTHERWISE or key.startswith("_")):
            _put(shown, key, value)
    return f"{encode(shown)}\n"


def _put(into: dict[str, Any], name: str, value: Any) -> None:
    """Put a value where the dots of its name lead, which must not be where another one is."""
    *parents, last = name.split(".")
    place = into
    for part in parents:
        inner = place.setdefault(part, {})
        if not isinstance(inner, dict):
            place, last = into, name
            break
        place = inner
    if isinstance(value, dict) and isinstance(place.get(last), dict):
        for key, item in value.items():
            _put(place[last], key, item)
        return
    while last in place:
        last = f"{last}_"
    place[last] = value
