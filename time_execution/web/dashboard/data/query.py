"""What a request for data asks: a range of time and filters, checked and bounded before anything is read."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from time_execution.backends.sqlite.schema import DAY, HOUR, MINUTE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Length(NamedTuple):
    """A range that ends now.

    Attributes:
        seconds: How long it is.
        unit: What its beginning is moved back to a multiple of.
        step: Between two points of a plot.
    """

    seconds: int
    unit: int
    step: int


RANGES: Mapping[str, Length] = {
    "5m": Length(5 * MINUTE, MINUTE, 10),
    "1h": Length(HOUR, MINUTE, MINUTE),
    "24h": Length(DAY, HOUR, 5 * MINUTE),
    "7d": Length(7 * DAY, HOUR, HOUR),
}

DEFAULT_RANGE = "1h"
CUSTOM = "custom"
LONGEST = 400 * DAY
"""The longest range of one's own, in seconds."""

# Of a longer one, hours answer; beyond that, days do.
_OF_MINUTES = 2 * DAY
_OF_HOURS = 60 * DAY
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440, 2880)

MOST_ROWS = 1_000
MOST_POINTS = 300
MOST_LINES = 500
_MOST_TEXT = 2_000
_END = 1 << 33


class QueryError(ValueError):
    """A request asks for what cannot be answered; the message is a sentence for who asked, and repeats no value."""


@dataclass(frozen=True, slots=True)
class Range:
    """A range of time, in seconds since the epoch.

    Attributes:
        start: Its first second: where a minute, an hour or a day begins, by its length.
        end: Its end; the present moment where it ends now.
        until: The end where it is past, and so does not move on: where a minute, an hour or a day ends; else None.
        label: ``5m``, ``1h``, ``24h``, ``7d`` or ``custom``.
        unit: What its ends are multiples of, in seconds.
        step: Between two points of a plot, in seconds.
        seconds: How long it is, where it moves on with the present.
    """

    start: int
    end: float
    until: int | None
    label: str
    unit: int
    step: int
    seconds: int = 0

    @classmethod
    def latest(cls, length: Length, now: float, label: str) -> Range:
        """Return a range that ends now."""
        start = _moved_back(now, length.seconds, length.unit)
        return cls(start, now, None, label, length.unit, length.step, length.seconds)

    def start_at(self, now: float) -> int:
        """Return where the range begins at another moment."""
        if self.label == CUSTOM:
            return self.start
        return _moved_back(now, self.seconds, self.unit)

    @property
    def key(self) -> tuple[object, ...]:
        """What tells this range from any other; the same as long as it moves on with the present."""
        return (self.label, self.start, self.until) if self.label == CUSTOM else (self.label,)


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked for.

    Attributes:
        now: The present moment, in seconds since the epoch.
        range: Which time.
        q: Part of a name or a text, in any case; "" for all.
        limit: The most rows or lines.
        has_limit: Whether `limit` was asked for.
        name: The function that its page is about.
        method: That of a route, such as ``GET``.
        route: The template of the route that its page is about.
        level: The least level of log lines; "" for all.
        request_id: The request whose log lines are wanted; "" for all.
        file: The log file to read, as the listing names it; "" for the one that was written to last.
        before: A cursor: lines older than it are wanted.
        after: A cursor: lines newer than it are wanted.
        deadline: When to answer with what is loaded by then, on the clock of `time.monotonic`.
    """

    now: float
    range: Range
    q: str = ""
    limit: int = MOST_ROWS
    has_limit: bool = False
    name: str = ""
    method: str = ""
    route: str = ""
    level: str = ""
    request_id: str = ""
    file: str = ""
    before: str = ""
    after: str = ""
    deadline: float = math.inf

    @classmethod
    def parse(cls, parameters: Mapping[str, Sequence[str] | str], *, now: float | None = None) -> Query:
        """Read the parameters of a request; unknown ones are passed over, and of several with one name the last counts.

        Args:
            parameters: Name -> values, or one value, decoded; not changed.
            now: Seconds since the epoch; None asks the clock.

        Raises:
            QueryError: When a value cannot be meant: an unknown range, a number that is none, an end before its start.
        """
        now = time.time() if now is None else now
        texts = {name: _last(values) for name, values in parameters.items()}
        query = cls(now=now, range=_range(texts, now), limit=_limit(texts), has_limit="limit" in texts)
        others: dict[str, Any] = {name: _text(texts, name) for name in _TEXTS}
        return replace(query, **others)

    @property
    def key(self) -> tuple[object, ...]:
        """What tells this question from any other; the present moment does not."""
        return (*self.range.key, *(getattr(self, name) for name in _TEXTS), self.limit, self.has_limit)


_TEXTS = ("q", "name", "method", "route", "level", "request_id", "file", "before", "after")


def _last(values: Sequence[str] | str) -> str:
    if isinstance(values, str):
        return values
    return values[-1] if values else ""


def _text(texts: Mapping[str, str], name: str) -> str:
    text = texts.get(name, "")
    if len(text) > _MOST_TEXT:
        raise QueryError(f"{name} is longer than {_MOST_TEXT:,} characters.")
    return text


def _limit(texts: Mapping[str, str]) -> int:
    text = texts.get("limit", "")
    if not text:
        return MOST_ROWS
    number = _number("limit", text)
    if number < 1:
        raise QueryError("limit must be 1 at least.")
    return int(min(number, MOST_ROWS))


def _range(texts: Mapping[str, str], now: float) -> Range:
    label, since, until = (texts.get(name, "") for name in ("range", "from", "to"))
    if since or until:
        if label not in {"", CUSTOM}:
            raise QueryError("Either range or from and to may be given, not both.")
        return _custom(since, until, now)
    label = label or DEFAULT_RANGE
    if label not in RANGES:
        raise QueryError(f"range must be one of {', '.join(RANGES)}; from and to ask for any other.")
    return Range.latest(RANGES[label], now, label)


def _custom(since: str, until: str, now: float) -> Range:
    if not since:
        raise QueryError("from is missing: the first moment, in UNIX seconds.")
    start, end = _number("from", since), _number("to", until) if until else now
    if not 0 <= start < _END or not 0 <= end < _END:
        raise QueryError("from and to must be UNIX seconds, from 1970 to 2242.")
    if start >= end:
        raise QueryError("from must lie before to.")
    if end - start > LONGEST:
        raise QueryError(f"At most {LONGEST // DAY} days can be shown at once.")
    return _widened(start, end, now)


def _widened(start: float, end: float, now: float) -> Range:
    """Return a range with its ends where periods begin, so long ones that their number stays bounded."""
    unit = MINUTE if end - start <= _OF_MINUTES else HOUR if end - start <= _OF_HOURS else DAY
    first, last = math.floor(start / unit) * unit, math.ceil(end / unit) * unit
    steps = (step * MINUTE for step in _STEPS if step * MINUTE % unit == 0)
    step = next(step for step in steps if (last - first) / step <= MOST_POINTS)
    return Range(first, min(last, now), None if last >= now else last, CUSTOM, unit, step)


def _moved_back(now: float, seconds: int, unit: int) -> int:
    """Return the second so long ago, or the last before it at which a unit begins."""
    return int(now - seconds) // unit * unit


def _number(name: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise QueryError(f"{name} must be a number.")
    return number
