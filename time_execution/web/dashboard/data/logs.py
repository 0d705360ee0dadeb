"""The log: its lines, newest first, searched and followed."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from time_execution.web.dashboard.data.log_lines import Backward, Cursor, Forward, Line
from time_execution.web.dashboard.data.log_record import LEVELS, Wanted, read
from time_execution.web.dashboard.data.query import MOST_LINES, QueryError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from time_execution.web.dashboard.data.log_file import LogFile
    from time_execution.web.dashboard.data.query import Query
    from time_execution.web.dashboard.data.store import Store

EMPTY: dict[str, Any] = {"lines": [], "older": None, "newer": None, "files": []}

_DEFAULT_LINES = 100


def data(store: Store, query: Query) -> dict[str, Any]:
    """Return lines of the structured log, newest first, that match ``level``, ``q`` and ``request_id``.

    Without a cursor the newest, with ``before`` those older than it, with ``after`` those newer than it. Reads a
    bounded part of the files: ``lines`` may be fewer than asked for, or none, with ``older`` set, or a ``newer`` that
    differs from ``after``: there is more to search.

    Returns:
        ``lines`` (list of ``time``, ``level``, ``logger``, ``message``, ``request_id``, ``fields`` (all else),
        ``exception`` (``type``, ``message``, ``traceback``: list of lines; or None), ``cursor``), ``older`` (cursor to
        go on with, None at the end), ``newer`` (cursor to follow with, None without a line), ``files`` (names),
        ``lost``: whether the file of ``after`` is not there any more, and these are the newest lines.

    Raises:
        QueryError: When a cursor is none of ours, a level is none, or the file is not among ``files``.
    """
    wanted = Wanted(_level(query.level), query.q, query.request_id)
    before, after = (Cursor.parse(text) if text else None for text in (query.before, query.after))
    if before is not None and after is not None:
        raise QueryError("Either before or after may be given, not both.")
    names = [] if store.log_folder is None else store.log_folder.names()
    if query.file and query.file not in names:
        raise QueryError("There is no such log file.")
    if store.log_folder is None or not names:
        return {}
    limit = min(query.limit, MOST_LINES) if query.has_limit else _DEFAULT_LINES
    with store.log_folder.lock, ExitStack() as stack:
        files = store.log_folder.opened(query.file or names[0], stack)
        found = _newer(files, after, wanted, limit) if after is not None else _older(files, before, wanted, limit)
    return {**found, "files": names}


def _level(text: str) -> str:
    level = text.upper()
    if level and level not in LEVELS:
        raise QueryError(f"level must be one of {', '.join(LEVELS)}.")
    return level


def _older(files: Sequence[LogFile], before: Cursor | None, wanted: Wanted, limit: int) -> dict[str, Any]:
    """Return the lines before a place, or the newest ones."""
    backward = Backward(files, before, wanted.may_match)
    lines: list[dict[str, Any]] = []
    for line in backward:
        shown = _shown(line, wanted)
        if shown is not None:
            lines.append(shown)
            if len(lines) == limit:
                break
    newer = before or backward.newest
    return {
        "lines": lines,
        "older": None if backward.older is None else str(backward.older),
        "newer": None if newer is None else str(newer),
    }


def _newer(files: Sequence[LogFile], after: Cursor, wanted: Wanted, limit: int) -> dict[str, Any]:
    """Return the lines after a place, as many as there may be; the newest ones when that place is lost."""
    forward = Forward(files, after, wanted.may_match)
    if forward.is_lost:
        return {**_older(files, None, wanted, limit), "lost": True}
    lines: list[dict[str, Any]] = []
    for line in forward:
        shown = _shown(line, wanted)
        if shown is not None:
            lines.append(shown)
            if len(lines) == limit:
                break
    return {"lines": lines[::-1], "older": str(after), "newer": str(forward.newer), "lost": False}


def _shown(line: Line, wanted: Wanted) -> dict[str, Any] | None:
    """Return a line as the page shows it; None when it is not wanted."""
    shown = read(line.text)
    return {**shown, "cursor": str(line.cursor)} if wanted.matches(shown) else None
