"""From a `logging.LogRecord` to a record as `time_execution.formats.log_line` describes it, on the calling thread."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from functools import lru_cache
from itertools import islice
from typing import Any

from time_execution.formats.log_line import (
    ABSENT,
    ENVIRONMENT,
    EXCEPTION,
    FUNCTION,
    LEVEL,
    LEVEL_NUMBER,
    LINE,
    LOGGER,
    MESSAGE,
    MODULE,
    NAME_OF_RECORDS,
    NOTICED,
    PROCESS_ID,
    REQUEST_ID,
    SPAN_ID,
    STACK,
    TEMPLATE,
    THREAD_ID,
    TRACE_ID,
)
from time_execution.formats.redaction import REDACTOR
from time_execution.formats.snapshot import MAX_TEXT, TRUNCATED, snapshot, snapshot_metric
from time_execution.guard import Failed, Step
from time_execution.hooks.request_id import get_request_id
from time_execution.logs.context import TRACE_OF
from time_execution.logs.exception_text import NO_TEXT, lines_of, told
from time_execution.types import NAME, TIMESTAMP, Metric

_SECOND = 1_000_000_000
_LONGEST_NAME = 256
_MOST_PLACES = 10_000
_FEW = 32
_WORD = 1 << 63
_VALUE_BYTES = 32
_new_metric = Metric.__new__  # its constructor in Python would cost as much as the rest
_redact_text = REDACTOR.redact_text
_MESSAGE_OF = Step(
    lambda source: str.__str__(source.getMessage()), kind="hook", label="message of a line", raises=False
)
_TEMPLATE_OF = Step(lambda source: str.__str__(str(source.msg)), kind="hook", label="text of a line", raises=False)
_IDS = (REQUEST_ID, TRACE_ID, SPAN_ID)
_OURS = frozenset((
    *(NAME, TIMESTAMP, LEVEL, LOGGER, MESSAGE, MODULE, FUNCTION, LINE, PROCESS_ID, THREAD_ID, ENVIRONMENT, EXCEPTION),
    *(STACK, REQUEST_ID, TRACE_ID, SPAN_ID, TRUNCATED),
))  # fmt: skip


@lru_cache(maxsize=1)
def _attributes() -> tuple[frozenset[str], int, str]:
    """Return the attributes that each line has, how many, and the last of them."""
    plain = vars(logging.LogRecord("", 0, "", 0, "", (), None))
    # Others leave these behind.
    left = {"message", "asctime", "taskName", "exc_text"}
    return frozenset(plain) | left, len(plain), next(reversed(plain))


class RecordMaker:
    """Makes records under one set of options. Thread-safe; runs no code but what `logging` would run.

    What the records of one place in the code have in common is kept.

    Args:
        environment: What records have under that name.
        private: Fields that begin with ``_``, and the attributes of a line that they hold.
    """

    def __init__(self, environment: str, private: Mapping[str, str]) -> None:
        self._environment = environment
        self._private = tuple(private.items())
        self._standard, self._count, self._last = _attributes()
        self._templates: dict[tuple[Any, ...], tuple[dict[str, Any], int]] = {}

    def __call__(self, source: logging.LogRecord) -> tuple[Metric, int]:
        """Return the record of a line, and about how many bytes it takes.

        A message that cannot be made, since its arguments do not fit or are broken, is told by its text without them,
        and counted; so is what an exception says of itself. Secrets are masked, texts cut at 16 384 characters.
        """
        attributes = source.__dict__
        text = source.msg
        if source.args or type(text) is not str:
            text = _message(source)
        text = _redact_text(text, max_text=MAX_TEXT)
        level: Any = source.levelno
        place = (source.name, source.levelname, level, source.pathname, source.module, source.funcName, source.lineno)
        try:
            template, size = self._templates[place]
        except (KeyError, TypeError):
            template, size = self._template(place)
        record = _new_metric(Metric)
        record.update(template)
        record.kind = "event"
        record[TIMESTAMP] = int(source.created * _SECOND)
        record[MESSAGE] = text
        record[PROCESS_ID] = source.process
        record[THREAD_ID] = source.thread
        request_id = get_request_id()
        if request_id is not None:
            record[REQUEST_ID] = request_id
        ids = TRACE_OF.attempt()
        if type(ids) is dict:
            record.update(ids)
        known, size = len(template), size + text.__sizeof__() if size else 0
        if level >= logging.ERROR or source.exc_info or source.exc_text or source.stack_info or self._private:
            self._add_more(source, record)
        if len(attributes) != self._count or next(reversed(attributes)) != self._last:
            self._add_extra(attributes, record)
        if len(record) != known and size:
            more = _plain_size(islice(record.items(), known, None))
            size = size + more if more and size + more <= MAX_TEXT else 0
        is_plain = size and type(record[PROCESS_ID]) is type(record[THREAD_ID]) is int
        return (record, size) if is_plain else snapshot_metric(record)

    def _template(self, place: tuple[Any, ...]) -> tuple[dict[str, Any], int]:
        """Return what the records of one place in the code have in common, and its size; 0 where it is not plain."""
        name, level_name, level, _, module, function, line = place
        template = {
            NAME: NAME_OF_RECORDS,
            TIMESTAMP: 0,
            LEVEL: level_name,
            LOGGER: _name(name),
            MESSAGE: "",
            MODULE: module,
            FUNCTION: function,
            LINE: line,
            PROCESS_ID: 0,
            THREAD_ID: 0,
            ENVIRONMENT: self._environment,
            LEVEL_NUMBER: level,
        }
        if not all(type(value) in {str, int} for value in template.values()):
            return template, 0
        found = template, snapshot_metric(template)[1]
        if len(self._templates) >= _MOST_PLACES:
            self._templates.clear()
        self._templates[place] = found
        return found

    def _add_more(self, source: logging.LogRecord, record: Metric) -> None:
        """Add what only some records have, but for the extra fields."""
        attributes: Any = source.__dict__
        for field, attribute in self._private:
            record[field] = attributes.get(attribute)
        if source.levelno >= logging.ERROR:
            record[TEMPLATE] = _template(source)
        if source.exc_info or source.exc_text or source.stack_info:
            _add_exception(source, record)

    def _add_extra(self, attributes: dict[Any, Any], fields: dict[Any, Any]) -> None:
        """Add what the caller gave besides; what is there already is never overwritten."""
        extra = {key: value for key, value in attributes.items() if key not in self._standard}
        for name in _IDS:  # of `ContextFilter`
            if name in extra and type(extra[name]) is str and extra[name] == fields.get(name, ABSENT):
                del extra[name]
        if NOTICED in extra:
            fields[NOTICED] = extra.pop(NOTICED) is True
        if not _is_plain(extra):
            extra = snapshot(extra)
        for key, value in REDACTOR.redact(extra, max_text=MAX_TEXT).items():
            name = key
            while name in _OURS or name in fields or name.startswith("_"):
                name = f"{name.lstrip('_') or 'extra'}_"
            fields[name] = value


def _plain_size(fields: Iterable[tuple[str, Any]]) -> int:
    """Return about how many bytes fields take that may be kept as they are; 0 for any others.

    What an exception tells is plain, and as long as it is short need not be copied once more.
    """
    size = 0
    for key, value in fields:
        kind = type(value)
        size += len(key) + _VALUE_BYTES
        if kind is str:
            size += value.__sizeof__()
        elif key == EXCEPTION:
            texts = (value["type"], value["message"], *value["traceback"])
            size += sum(map(str.__sizeof__, texts)) + _VALUE_BYTES * len(texts)
        elif not (kind is float or kind is bool or value is None or (kind is int and -_WORD < value < _WORD)):
            return 0
    return size


def _is_plain(extra: dict[Any, Any]) -> bool:
    """Whether fields need no copy in plain values, as most do not."""
    if len(extra) > _FEW:
        return False
    for key, value in extra.items():
        kind = type(value)
        if not (kind is str or kind is int or kind is float or kind is bool or value is None):
            return False
        if type(key) is not str or len(key) > _LONGEST_NAME:
            return False
    return True


def _message(source: logging.LogRecord) -> str:
    """Return a line's text with its arguments, which is their own code."""
    found = _MESSAGE_OF.attempt(source)
    if type(found) is not Failed:
        return str(found)
    return f"{_raw(source)} [its arguments failed: {found.error}]"


def _template(source: logging.LogRecord) -> str:
    """Return a line's text without its arguments."""
    return _redact_text(_raw(source), max_text=_LONGEST_NAME)


def _raw(source: logging.LogRecord) -> str:
    text = source.msg if type(source.msg) is str else _TEMPLATE_OF.attempt(source)
    return NO_TEXT if type(text) is Failed else text


def _add_exception(source: logging.LogRecord, fields: dict[Any, Any]) -> None:
    exception = exception_of(source)
    if exception is not None:
        fields[EXCEPTION] = told(exception)
    stack = source.stack_info or (source.exc_text if exception is None else None)
    if isinstance(stack, str):
        fields[STACK] = lines_of(stack)


def exception_of(source: logging.LogRecord) -> BaseException | None:
    """Return the exception of a line, if it has one."""
    info: Any = source.exc_info
    if isinstance(info, BaseException):
        return info
    found = info[1] if isinstance(info, tuple) and len(info) > 1 else None
    return found if isinstance(found, BaseException) else None


def _name(name: Any) -> str:
    return _clean(name) if type(name) is str and len(name) <= _LONGEST_NAME else _redact_text(str(name), max_text=256)


@lru_cache(maxsize=1024)
def _clean(name: str) -> str:
    return _redact_text(name)
