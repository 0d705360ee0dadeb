"""A line of a structured log, flat or in the Elastic Common Schema: as the page shows it, and whether it is wanted."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from time_execution.web.dashboard.data.detail import as_json, cut
from time_execution.web.dashboard.data.processes import seconds_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
"""The levels that lines are filtered by, in ascending order."""

_OTHER_NAMES = {"WARN": "WARNING", "FATAL": "CRITICAL"}
_MOST_FIELDS = 60
_MOST_FRAMES = 200
_DEEPEST = 4
# What every encoder of JSON writes as it is.
_PLAIN = re.compile(r"[A-Za-z0-9 _.:;,@()\[\]{}#%*+!?$|~^-]*")
# Letters that are such ones when their case does not count, such as those of "straße", written by their numbers.
_FOLDED = re.compile(rb"\\u(?:00df|01(?:30|49|7f|f0)|1e9[6-9ae]|212a|fb0[0-6])")
# What stands between the names of fields in fields, and their values, where a line shows them, but not where it is
# written.
_BETWEEN = re.compile(r"[=.]")

_FLAT = {"time": "timestamp", "level": "level", "logger": "logger", "message": "message", "request_id": "request_id"}
_ECS = {
    "time": "@timestamp",
    "level": "log.level",
    "logger": "log.logger",
    "message": "message",
    "request_id": "http.request.id",
}
_ECS_VERSION = "ecs"


class Wanted:
    """Which lines are wanted.

    Args:
        level: The least level; "" for all.
        q: What they contain, in whatever case, a field as ``name=value``; "" for all.
        request_id: Of which request they tell; "" for all.
    """

    def __init__(self, level: str, q: str, request_id: str) -> None:
        self._least = LEVELS.index(level) if level else -1
        self._q = q.casefold()
        self._request_id = request_id
        # What must stand in a line as it is written, lest it be understood for nothing.
        self._levels = [name.lower().encode() for name in (*LEVELS[self._least :], *_OTHER_NAMES)] if level else []
        parts = [part for part in (*_BETWEEN.split(self._q), request_id.casefold()) if part]
        self._plain = [part for part in parts if _PLAIN.fullmatch(part)]
        self._others = [part for part in parts if not _PLAIN.fullmatch(part)]

    def may_match(self, line: bytes) -> bool:
        """Say whether a line may be wanted, at a hundredth of the price of understanding it."""
        lowered = line.lower()
        if self._levels and not any(level in lowered for level in self._levels):
            return False
        missing = [part for part in self._plain if part.encode() not in lowered]
        if missing and line.isascii() and not _FOLDED.search(lowered):
            return False
        if b"\\" in line:
            missing = [] if _FOLDED.search(lowered) else missing
        else:
            missing += self._others
        text = line.decode("utf-8", "replace").casefold() if missing else ""
        return all(part in text for part in missing)

    def matches(self, shown: Mapping[str, Any]) -> bool:
        """Say whether a line that `read` has understood is wanted."""
        if _rank(shown["level"]) < self._least:
            return False
        if self._request_id and shown["request_id"] != self._request_id:
            return False
        return not self._q or any(self._q in text.casefold() for text in _texts(shown))


def read(line: bytes) -> dict[str, Any]:
    """Return what a line says: ``time``, ``level``, ``logger``, ``message``, ``request_id``, ``fields``, ``exception``.

    What is no JSON object is a message without a level. Long texts are cut.
    """
    text = line.decode("utf-8", "replace")
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        record = None
    if not isinstance(record, dict):
        empty = {"time": None, "level": "", "logger": "", "message": cut(text), "request_id": None}
        return {**empty, "fields": {}, "exception": None}
    is_ecs = "@timestamp" in record
    values = {name: _take(record, path) for name, path in (_ECS if is_ecs else _FLAT).items()}
    exception = _exception(_take(record, "error" if is_ecs else "exception"))
    if is_ecs:
        _take(record, _ECS_VERSION)
        _take(record, "ecs.version")
    return {
        "time": None if values["time"] is None else seconds_of(values["time"]),
        "level": _level(values["level"]),
        "logger": _text(values["logger"]),
        "message": _text(values["message"]),
        "request_id": None if values["request_id"] is None else _text(values["request_id"]),
        "fields": {name: cut(value) for name, value in list(_flat(record))[:_MOST_FIELDS]},
        "exception": exception,
    }


def _take(record: dict[str, Any], path: str) -> Any:
    """Take a value out of a record, whose name is written with dots or by objects in objects."""
    if path in record:
        return record.pop(path)
    first, _, rest = path.partition(".")
    inner = record.get(first)
    if not rest or not isinstance(inner, dict):
        return None
    value = _take(inner, rest)
    if not inner:
        del record[first]
    return value


def _level(level: Any) -> str:
    text = _text(level).upper()
    return _OTHER_NAMES.get(text, text)


def _rank(level: str) -> int:
    """Return where a level stands; -1 for one that is none of `LEVELS`."""
    return LEVELS.index(level) if level in LEVELS else -1


def _exception(told: Any) -> dict[str, Any] | None:
    """Return ``type``, ``message`` and ``traceback``, a list of lines; None without an exception."""
    if not isinstance(told, dict):
        return None
    frames = told.get("traceback", told.get("stack_trace")) or []
    if isinstance(frames, str):
        frames = frames.split("\n")
    lines = [_text(frame).rstrip("\n") for frame in frames] if isinstance(frames, list) else []
    if len(lines) > _MOST_FRAMES:
        lines = [*lines[: _MOST_FRAMES // 4], "…", *lines[-3 * _MOST_FRAMES // 4 :]]
    return {"type": _text(told.get("type")), "message": _text(told.get("message")), "traceback": lines}


def _flat(record: Mapping[str, Any], prefix: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Give what is left of a record, objects in objects by names with dots."""
    for name, value in record.items():
        if isinstance(value, dict) and value and depth < _DEEPEST:
            yield from _flat(value, f"{prefix}{name}.", depth + 1)
        else:
            yield f"{prefix}{name}", value


def _text(value: Any) -> str:
    return "" if value is None else str(cut(value if isinstance(value, str) else as_json(value)))


def _texts(shown: Mapping[str, Any]) -> Iterator[str]:
    """Give what is searched: what stands there to be read, fields as ``name=value``."""
    for name in ("message", "level", "logger", "request_id"):
        yield shown[name] or ""
    for name, value in shown["fields"].items():
        yield f"{name}={value if isinstance(value, str) else as_json(value)}"
    exception = shown["exception"]
    if exception is not None:
        yield exception["type"]
        yield exception["message"]
        yield "\n".join(exception["traceback"])
