"""Metrics about delivery itself, out of what ``time_execution.stats()`` returns.

Each process adds to the store what has changed since it looked last, so that the totals of several processes, and of
those that are gone, come about as for any other counter.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

from time_execution.backends.prometheus.mapping import text_of
from time_execution.backends.prometheus.tally import OWN_PREFIX, WHOLE, Cell, Labels, Series, Tally

_INTERVAL = 1.0
_NUMBERS = {
    "offered": ("counter", "records"),
    "delivered": ("counter", "delivered"),
    "retries": ("counter", "export_failures"),
    "pending": ("gauge", "queue_length"),
    "spooled": ("gauge", "spooled"),
}


class DeliveryStats:
    """Turns the accounting of this process's deliveries into tallies. Not thread-safe.

    Args:
        source: Returns what ``time_execution.stats()`` does.
    """

    def __init__(self, source: Callable[[], Mapping[str, Any]]) -> None:
        self._source = source
        self.after_fork()

    def after_fork(self) -> None:
        """Begin afresh in a forked child, where the accounting does as well."""
        self._told: dict[Series, float] = {}
        self._found: dict[Series, float] = {}
        self._next_look = 0.0

    def news(self) -> Tally:
        """Return what has changed since what was `told`, looking once a second at most."""
        tally = Tally()
        if time.monotonic() < self._next_look:
            return tally
        self._next_look = time.monotonic() + _INTERVAL
        self._found = _numbers(self._source())
        for series in self._told:
            if series[0] == "gauge":  # of a backend that is gone nothing waits any more
                self._found.setdefault(series, 0.0)
        for series, number in self._found.items():
            before = self._told.get(series, 0.0)
            if number == before:
                continue
            # A backend of the same label that was configured since counts from 0.
            change = number - before if series[0] == "counter" and number > before else number
            tally.absorb(series, {WHOLE: Cell(1, change, time.time_ns())})
        return tally

    def told(self) -> None:
        """Remember that the news are in the store."""
        self._told = self._found


def _numbers(stats: Mapping[str, Any]) -> dict[Series, float]:
    numbers: dict[Series, float] = defaultdict(float)
    for label, counted in stats.get("backends", {}).items():
        backend: Labels = (("backend", text_of(label)),)
        for key, (kind, name) in _NUMBERS.items():
            if key in counted:
                numbers[kind, f"{OWN_PREFIX}{name}", backend] += counted[key]
        for key in ("dropped", "rejected"):
            for reason, count in counted.get(key, {}).items():
                labels = (*backend, ("reason", text_of(reason)))
                numbers["counter", f"{OWN_PREFIX}dropped", labels] += count
    for kind, errors in stats.get("errors", {}).items():
        numbers["counter", f"{OWN_PREFIX}errors", (("kind", text_of(kind)),)] += sum(errors.values())
    return numbers
