"""The latest errors of each group, read again only when there are new ones."""

from __future__ import annotations

import hashlib
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

from time_execution.backends.sqlite.schema import LATEST, SECOND
from time_execution.report._calls import calls_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from time_execution.report import Call
    from time_execution.report._view import View
    from time_execution.web.dashboard.data.reading import Which

_CALLS = 10
_MOST_KEPT = 1_000
_MOST_TRACEBACK = 8_000
_MOST_MESSAGE = 1_000
# Where there is no index, as in a file that this release never wrote to.
_LOOKED_AT = 250_000

_HAS_INDEX = "SELECT 1 FROM sqlite_master WHERE type = 'index' AND name = 'raw_errors'"
_AFTER = "SELECT coalesce(min(first_id), :waiting) - 1 FROM chunks WHERE newest >= :since"
_UPTO = "SELECT coalesce(max(last_id), 0) FROM chunks WHERE oldest < :until"
_LATEST = """SELECT id FROM raw WHERE name_id = :name_id AND error = 1 AND id > :after AND id <= :upto
AND timestamp >= :since AND timestamp < :until ORDER BY id DESC LIMIT :limit"""


class Errors(NamedTuple):
    """What the latest errors of a group tell.

    Attributes:
        message: Of the latest.
        traceback: Of the latest that has one; "" without.
        calls: The latest: ``time``, ``request_id``, ``route``, ``method``, ``message``.
    """

    message: str
    traceback: str
    calls: list[dict[str, Any]]


class LatestErrors:
    """Reads the latest errors of groups, and keeps them until there are more. Thread-safe."""

    def __init__(self) -> None:
        self.after_fork()

    def after_fork(self) -> None:
        """Begin anew in a forked child."""
        self._lock = threading.Lock()
        self._known: dict[tuple[object, ...], Errors] = {}

    def read(
        self, view: View, file: Which | None, wanted: Mapping[int, tuple[int, int]], *, start: int, until: int | None
    ) -> dict[int, Errors]:
        """Return the latest errors of some series in a range.

        Args:
            view: The database.
            file: Which file that is.
            wanted: Id of the series -> what changes with each new error.
            start: Where the range begins, in seconds.
            until: Where it ends; None for no end.
        """
        found: dict[int, Errors] = {}
        bounds: dict[str, int] | None = None
        for key, mark in wanted.items():
            known = self._known.get((file, key, mark, start, until))
            if known is None:
                bounds = bounds or _bounds(view, start * SECOND, LATEST + 1 if until is None else until * SECOND)
                ids = [each for (each,) in view.connection.execute(_LATEST, {**bounds, "name_id": key})]
                known = _errors(sorted(calls_of(view, ids), key=lambda call: -call.timestamp))
                with self._lock:
                    while len(self._known) >= _MOST_KEPT:
                        del self._known[next(iter(self._known))]
                    self._known[file, key, mark, start, until] = known
            found[key] = known
        return found


def group_id(kind: str, place: str) -> str:
    """Return what names a group in a link, the same wherever it is stored.

    Example:
        >>> group_id("ValueError", "shop.save") == group_id("ValueError", "shop.save") != group_id("ValueError", "")
        True
    """
    return hashlib.sha256(f"{kind}\0{place}".encode("utf-8", "replace")).hexdigest()[:12]


def _bounds(view: View, since: int, until: int) -> dict[str, int]:
    """Return between which ids rows of a range of time are stored."""
    waiting = view.watermark + 1
    (after,) = view.connection.execute(_AFTER, {"waiting": waiting, "since": since}).fetchone()
    (upto,) = view.connection.execute(_UPTO, {"until": until}).fetchone()
    newest = view.newest_id()
    if newest >= waiting:
        # When these are from, nothing but they themselves can tell.
        after, upto = min(after, waiting - 1), newest
    if view.connection.execute(_HAS_INDEX).fetchone() is None:
        after = max(after, newest - _LOOKED_AT)
    return {"after": after, "upto": upto, "since": since, "until": until, "limit": _CALLS}


def _errors(calls: Sequence[Call]) -> Errors:
    message = _text(calls[0].fields.get("message")) if calls else ""
    tracebacks: Iterable[str] = (_text(call.fields.get("traceback"), _MOST_TRACEBACK) for call in calls)
    return Errors(message, next(filter(None, tracebacks), ""), [_call(call) for call in calls])


def _call(call: Call) -> dict[str, Any]:
    fields = {key: _text(call.fields.get(key)) or None for key in ("request_id", "route", "method")}
    return {"time": call.timestamp / SECOND, **fields, "message": _text(call.fields.get("message"))}


def _text(value: Any, most: int = _MOST_MESSAGE) -> str:
    """Return a text, of a long one its beginning and its end, which tell most of a traceback."""
    if isinstance(value, list):
        value = "".join(map(str, value))
    text = "" if value is None else str(value)
    return text if len(text) <= most else f"{text[: most // 4]}\n…\n{text[-3 * most // 4 :]}"
