"""Gives the points of one series that share a moment moments of their own, the same ones however often they are sent.

InfluxDB knows a point by its series and its timestamp: of two that share both, the later one replaces the other. What
is sent again, after an answer that was lost, must replace; what merely happened in the same nanosecond must not.
"""

from __future__ import annotations

from itertools import islice
from typing import Any, TypeVar

_MOST_OWNERS = 40_000
_MOST_SHARED = 10_000
_Key = TypeVar("_Key")


class Moments:
    """Remembers which metric has which moment, for the last 20 000 points at least.

    A metric that comes with a moment of its series which another one has gets the next that is free, and gets the same
    one when it comes again: metrics are known by their ids. A metric without an id, which nobody sends again by itself,
    is a new one each time. Thread-safe, since it does one atomic operation of a dict at a time; a forked child may go
    on with its parent's.
    """

    def __init__(self) -> None:
        self._owners: dict[int, object] = {}
        self._moved: dict[object, int] = {}
        self._later: dict[int, int] = {}

    def place(self, series: str, moment: int, id: str | None) -> int:  # noqa: A002 - the field's standard name
        """Return the moment at which a metric is to be written, in the unit of `moment`.

        Args:
            series: The measurement with its tags.
            moment: When it happened.
            id: Of the metric.
        """
        # Two series whose keys clash by chance cost one of their points a nanosecond, and nothing else.
        own = id or object()
        owner = self._owners.setdefault(hash(series) ^ moment, own)
        return moment if owner is own or owner == own else self._next(hash(series), moment, own)

    def _next(self, key: int, moment: int, own: object) -> int:
        found = self._moved.get(own)
        if found is None:
            passed = []
            while self._owners.setdefault(key ^ moment, own) is not own:
                passed.append(key ^ moment)
                moment = self._later.get(key ^ moment, moment + 1)
            # So that nobody has to go through the same row of moments again. They come last in what is remembered, so
            # that those that are still being shared are the last to be forgotten.
            for each in passed:
                self._later.pop(each, None)
                self._later[each] = moment + 1
            self._moved[own] = found = moment
        return found

    def forget_old(self) -> None:
        """Forget the oldest of what is remembered when it has become much; cheap enough to call before each batch."""
        for key in _oldest_half(self._later, most=_MOST_SHARED):
            self._later.pop(key, None)
        for own in _oldest_half(self._moved, most=_MOST_OWNERS):
            self._moved.pop(own, None)
        for key in _oldest_half(self._owners, most=_MOST_OWNERS):
            # A moment that many share stays taken, or the next of them would replace the first.
            if key not in self._later:
                self._owners.pop(key, None)


def _oldest_half(known: dict[_Key, Any], *, most: int) -> list[_Key]:
    """Return the keys to forget when there are more than so many."""
    return list(islice(known, len(known) - most // 2)) if len(known) > most else []
