"""What people are told of a record: a title and some lines, without secrets; and how Slack and mail show them.

A record is a line of a log, an alert, an ``error`` event, or any other metric, of plain values as queues hand it over.
Pure functions, no I/O; records are not changed, and whatever is in them, a notice is short.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from hashlib import blake2b
from typing import Any, NamedTuple

from time_execution.formats.json import encode_value
from time_execution.formats.redaction import REDACTOR
from time_execution.formats.timestamp import to_iso
from time_execution.notice_limit import OTHERS, Summary
from time_execution.types import NAME, TIMESTAMP, VALUE

ALERT, LOG = "alert", "log"
"""The names of the records that are no metrics of the application's."""

MAX_TITLE = 150
MAX_LINE = 400
MAX_LINES = 60
MAX_SLACK = 4000
"""Characters of a message's text; Slack asks for no more."""

_MAX_TRACEBACK = 30
_MAX_FIELDS = 20
_MAX_SUMMARIES = 20
_MAX_TEMPLATE = 500
_MAX_SCANNED = 20_000
_MINUTE = 60
_WORD = 1 << 63
# What has a line of its own, or is told by the title.
_TOLD = frozenset({
    *(NAME, TIMESTAMP, "level", "logger", "message", "module", "function", "line", "environment", "exception"),
    *("traceback", "place", "error_type", "type"),
})  # fmt: skip
# Control characters, what breaks lines or turns their direction, and halves of characters; not tab and line feed.
_ODD = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_NUMBER = re.compile(r"\d+")
_FRAME = re.compile(r'File "([^"\n]{1,300})", line \d+, in ([^\n]{1,200})')
_SLACK = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


class Notice(NamedTuple):
    """What people are told.

    Attributes:
        title: One line of at most 150 characters.
        lines: At most 60, of at most 400 characters each.
        fingerprint: The kind of what happened, the same each time it happens.
    """

    title: str
    lines: tuple[str, ...]
    fingerprint: str


class Mail(NamedTuple):
    """A notice as mail shows it.

    Attributes:
        subject: Without line breaks and control characters.
        body: With line feeds between its lines, and one at its end.
    """

    subject: str
    body: str


def notice(record: Mapping[str, Any]) -> Notice:
    """Return what people are told of a record.

    Example:
        >>> found = notice({"name": "log", "level": "CRITICAL", "logger": "shop", "message": "No stock", "order": 7})
        >>> found.title, found.lines
        ('CRITICAL shop: No stock', ('order: 7',))
    """
    safe = REDACTOR.redact(dict(record))
    lines = [_cut(line, MAX_LINE) for text in _texts(safe) for line in _lines_of(text)]
    if len(lines) > MAX_LINES:
        lines[MAX_LINES - 1 :] = ["…"]
    return Notice(_title(safe), tuple(lines), fingerprint_of(record))


def title_of(record: Mapping[str, Any]) -> str:
    """Return the title of a record's notice."""
    names = ("level", "logger", "environment", "message", "exception", "error_type", "type", "place", VALUE)
    return _title(REDACTOR.redact({name: record[name] for name in (NAME, *names) if name in record}))


def fingerprint_of(record: Mapping[str, Any]) -> str:
    """Return the fingerprint of a record's notice: 32 hexadecimal digits, the same for all that is of one kind.

    Of an exception the kind is its type and where it was raised, of another line its text without numbers and where it
    was logged, line numbers aside. An alert is of no other's kind: what was over may not hide what came again.
    """
    parts: tuple[Any, ...]
    kind, raised_at = _exception_of(record)[0], _place(record)
    if record.get(NAME) == ALERT:
        parts = (ALERT, *(record.get(key) for key in ("metric", "level", "state", "since", TIMESTAMP)))
    elif kind:
        parts = ("exception", kind, raised_at)
    else:
        template = record.get("_template", record.get("message", record.get(NAME)))
        parts = (record.get("logger"), _NUMBER.sub("#", _text(template)[:_MAX_TEMPLATE]), raised_at)
    text = "\0".join(map(_text, parts))
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def summary_notice(summaries: Sequence[Summary], *, now: float) -> Notice:
    """Return what people are told of notices that were held back.

    Args:
        summaries: Those of `NoticeLimit.due`, at least one.
        now: The present moment, by the clock that they have their moments from, in seconds.

    Example:
        >>> summary_notice([Summary("…", "CRITICAL shop: No stock", 9999, 0.0)], now=300.0)[:2]
        ('9999 more messages in the last 5 min', ('9999 times: CRITICAL shop: No stock',))
    """
    total = sum(summary.suppressed for summary in summaries)
    since = min(summary.since for summary in summaries)
    lines = [f"{each.suppressed} times: {_cut(_plain(each.title), MAX_TITLE)}" for each in summaries[:_MAX_SUMMARIES]]
    rest = summaries[_MAX_SUMMARIES:]
    if rest:
        lines.append(f"{sum(each.suppressed for each in rest)} times: {len(rest)} other kinds")
    title = f"{total} more message{'s' * (total != 1)} in the last {_span(now - since)}"
    return Notice(title, tuple(lines), OTHERS)


def slack_text(told: Notice, *, max_chars: int = MAX_SLACK) -> str:
    r"""Return the text of a message to Slack: mentions and links in it are shown as they are written, and do nothing.

    ``&``, ``<`` and ``>`` are escaped, as https://docs.slack.dev/messaging/formatting-message-text says.

    Args:
        told: The notice.
        max_chars: The most characters, at least 800; what is beyond is left out, by whole lines.

    Example:
        >>> slack_text(Notice("<!channel> R&D", ("<https://example.org|here>",), ""))
        '&lt;!channel&gt; R&amp;D\n&lt;https://example.org|here&gt;'
    """
    shown = [_plain(line).translate(_SLACK) for line in (told.title, *told.lines)]
    kept: list[str] = []
    size = 0
    for line in shown:
        size += len(line) + 1
        if size > max_chars - 2:
            kept.append("…")
            break
        kept.append(line)
    return "\n".join(kept)


def mail_of(told: Notice) -> Mail:
    r"""Return the subject and the body of a mail.

    Example:
        >>> mail_of(Notice("No stock\nBcc: all@example.org", ("line: 7",), ""))
        Mail(subject='No stock\\nBcc: all@example.org', body='No stock\\nBcc: all@example.org\n\nline: 7\n')
    """
    subject = _plain(told.title).replace("\n", r"\n").replace("\t", " ")
    lines = [subject, "", *map(_plain, told.lines)] if told.lines else [subject]
    return Mail(subject, "\n".join(lines) + "\n")


def _title(record: Mapping[str, Any]) -> str:
    first = _text(record.get("message")).strip().partition("\n")[0].rstrip("\r")
    kind = _text(_exception_of(record)[0])
    name = _text(record.get(NAME))
    if name == ALERT:
        shown = f"ALERT {first}"
    elif "level" in record:
        where = f" {_text(record['logger'])}" if record.get("logger") else ""
        environment = f" ({_text(record['environment'])})" if record.get("environment") else ""
        shown = f"{_text(record['level'])}{where}{environment}: {first}"
        shown += f" ({kind})" if kind and kind not in first else ""
    elif kind:
        place = f" at {_text(record['place'])}" if record.get("place") else ""
        shown = f"{name}: {kind}{place}: {first}" if first else f"{name}: {kind}{place}"
    else:
        shown = f"{name}: {first or _text(record.get(VALUE))}"
    return _cut(_plain(shown.replace("\n", " ").replace("\t", " ")), MAX_TITLE)


def _texts(record: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is told beside the title; any of it may hold several lines."""
    message = _text(record.get("message")).strip()
    if _plain(message) not in _title(record):
        yield message
    for label, text in (("in", _origin(record)), ("at", _moment(record.get(TIMESTAMP)))):
        if text:
            yield f"{label}: {text}"
    hidden = _TOLD if record.get(NAME) in (LOG, ALERT) or "level" in record else _TOLD - {NAME}
    shown = [key for key in record if key not in hidden and not key.startswith("_")]
    yield from (f"{_plain(key)}: {_cut(_text(record[key]), MAX_LINE)}" for key in shown[:_MAX_FIELDS])
    if len(shown) > _MAX_FIELDS:
        yield f"… and {len(shown) - _MAX_FIELDS} more fields"
    kind, said, traceback = _exception_of(record)
    if any(traceback):
        yield ""
        if len(traceback) > _MAX_TRACEBACK:
            yield "…"
        yield from traceback[-_MAX_TRACEBACK:]
    elif kind:
        yield f"{_text(kind)}: {_text(said)}"


def _origin(record: Mapping[str, Any]) -> str:
    """Return where a line was logged, or an error raised."""
    place, line = record.get("place"), record.get("line")
    found = _text(place) if place else ".".join(_text(record[key]) for key in ("module", "function") if record.get(key))
    return found if line is None else f"{found}, line {_text(line)}" if found else ""


def _exception_of(record: Mapping[str, Any]) -> tuple[Any, Any, list[str]]:
    """Return type, message and lines of the traceback; of what is no exception, nothing."""
    found = record.get("exception")
    if isinstance(found, dict):
        kind, said, traceback = (dict.get(found, key) for key in ("type", "message", "traceback"))
    else:
        kind, said = record.get("error_type", record.get("type")), record.get("message")
        traceback = record.get("traceback")
    if isinstance(traceback, list):
        text = "\n".join(_text(line).removesuffix("\n") for line in list.__iter__(traceback))
    else:
        text = _text(traceback)
    return kind, said, _lines_of(text)


def _place(record: Mapping[str, Any]) -> str:
    """Return where an exception was raised, or a line logged, without line numbers, which change with every release."""
    if record.get("place"):
        return _NUMBER.sub("#", _text(record["place"])[:_MAX_TEMPLATE])
    traceback = "\n".join(_exception_of(record)[2])
    frames = _FRAME.findall(traceback[-_MAX_SCANNED:])
    return " ".join(frames[-1]) if frames else f"{_text(record.get('module'))} {_text(record.get('function'))}"


def _moment(timestamp: Any) -> str:
    if isinstance(timestamp, datetime):
        return to_iso(timestamp)
    return to_iso(timestamp) if type(timestamp) is int and abs(timestamp) < _WORD else ""


def _text(value: Any) -> str:
    """Return a text as it is, and any other value as JSON; runs no code of the value's class."""
    if isinstance(value, str):
        return str.__str__(value)
    return "" if value is None else encode_value(value)


def _lines_of(text: str) -> list[str]:
    text = text.replace("\r\n", "\n").rstrip("\n")
    return [_plain(line) for line in text.split("\n")]


def _plain(text: str) -> str:
    """Return a text in which what a terminal, a mail reader or Slack would act on is shown by its escape."""
    return _ODD.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


def _cut(text: str, size: int) -> str:
    return text if len(text) <= size else f"{text[: size - 1]}…"


def _span(seconds: float) -> str:
    """Return a time as people say it, rounded up."""
    minutes = -(-seconds // _MINUTE)
    return f"{max(1, round(seconds))} s" if seconds < 2 * _MINUTE else f"{minutes:g} min"
