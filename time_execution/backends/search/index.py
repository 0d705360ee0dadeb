"""Which index a metric goes to: its name made of configuration and the metric's own moment, and of nothing else."""

from __future__ import annotations

import re
import time
from contextlib import suppress
from datetime import datetime
from string import Formatter

from time_execution.exceptions import ConfigurationError
from time_execution.formats.timestamp import to_datetime, to_nanoseconds

DAILY = "{index}-{date:%Y.%m.%d}"
"""The pattern of upstream, and ours by default: an index a day, in UTC."""

_HOUR = 3_600_000_000_000
# Numbers only, so that the name is lawful in every locale, and none finer than the hour, by which names are kept.
_DATE = re.compile(r"(?:[^%]|%[YymdHjGVUW])+")
# https://www.elastic.co/guide/en/elasticsearch/reference/current/indices-create-index.html#indices-create-api-path-params
_UNLAWFUL = re.compile(r'[\\/*?"<>|\s,#:\x00-\x1f]|^[-_+]|^\.\.?$')
_MAX_BYTES = 255
_MAX_KNOWN = 1000


class IndexNames:
    """Names indices by a pattern; thread-safe.

    Args:
        index: What ``{index}`` stands for.
        pattern: With ``{index}`` and ``{date:…}``, the latter in numeric codes of `strftime` down to the hour.

    Attributes:
        wildcard: A pattern in the server's terms that all the names match.

    Raises:
        ConfigurationError: When the pattern holds anything else, or gives a name that no index may have.

    Example:
        >>> names = IndexNames("metrics", "{index}-{date:%Y.%m}")
        >>> names.at(1_700_000_000_000_000_000), names.wildcard
        ('metrics-2023.11', 'metrics-*')
    """

    def __init__(self, index: str, pattern: str = DAILY) -> None:
        for key, value in (("index", index), ("index_pattern", pattern)):
            if not isinstance(value, str):
                raise ConfigurationError(f"{key} must be a text, not {type(value).__name__}")
        self._index = index
        self._pattern = pattern
        self._known: dict[int, str] = {}
        self.wildcard = "".join(_parts(index, pattern))
        _check_name(self._name(time.time_ns()))

    def at(self, timestamp: object) -> str:
        """Return the index for a metric of this moment: nanoseconds or ISO 8601 text; the present one for any other."""
        hour = (timestamp if type(timestamp) is int else _nanoseconds(timestamp)) // _HOUR
        name = self._known.get(hour)
        if name is None:
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            name = self._known[hour] = self._name(hour * _HOUR)
        return name

    def _name(self, nanoseconds: int) -> str:
        try:
            moment = to_datetime(nanoseconds)
        except OverflowError:  # beyond the calendar
            moment = to_datetime(time.time_ns())
        return self._pattern.format(index=self._index, date=moment)


def _parts(index: str, pattern: str) -> list[str]:
    """Return the pattern's parts, with ``*`` in the place of dates; refuse what must not be in it."""
    wanted = "index_pattern is made of {index}, {date:%Y.%m.%d} and plain text"
    try:
        fields = list(Formatter().parse(pattern))
    except ValueError as exc:
        raise ConfigurationError(f"{wanted}; its braces do not match") from exc
    parts = []
    for text, field, form, conversion in fields:
        parts.append(text)
        if field == "index" and not form and not conversion:
            parts.append(index)
        elif field == "date" and form and not conversion and "%" in form and _DATE.fullmatch(form):
            parts.append("*")
        elif field is not None:
            raise ConfigurationError(f"{wanted}; a date's codes are among %Y %y %m %d %H %j %G %V %U %W")
    return parts


def _check_name(name: str) -> None:
    if not name or name != name.lower() or _UNLAWFUL.search(name) or len(name.encode()) > _MAX_BYTES:
        raise ConfigurationError(
            "index and index_pattern must give a name that an index may have: lower case, no space, none of "
            f'\\ / * ? " < > | , # :, not beginning with - _ or +, {_MAX_BYTES} bytes at most'
        )


def _nanoseconds(timestamp: object) -> int:
    if isinstance(timestamp, str):
        with suppress(ValueError, OverflowError):  # no moment at all: it counts as now
            return to_nanoseconds(datetime.fromisoformat(timestamp.replace("Z", "+00:00")))
    return time.time_ns()
