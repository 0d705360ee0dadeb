"""Figures that a busy machine can only make worse, taken until one is good enough."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

_ATTEMPTS = 12
_PAUSE = 0.25
_REFERENCE = 0.0009
"""Seconds that `_work` takes where bounds in seconds were set: CPython 3.11, two processors, nothing else to do."""


def least(measure: Callable[[], float], bound: float) -> float:
    """Return the least of a few attempts, and stop at the first that keeps the bound.

    Noise makes such a figure worse, never better, while a slip of the code makes every attempt worse. Noise comes in
    stretches, so a moment is let pass after an attempt that fails.
    """
    found = []
    for _ in range(_ATTEMPTS):
        found.append(measure())
        if found[-1] <= bound:
            break
        time.sleep(_PAUSE)
    return min(found)


def least_time(measure: Callable[[], float], bound: float) -> float:
    """Do what `least` does for a time, in any unit, counted in the time of the machine that its bound was set on.

    Machines differ, and so do the hours of one that is shared: what takes half as much again at that very moment, when
    plain Python does so as well, has kept its bound.
    """

    def counted() -> float:
        before = slowness()
        return measure() / max(before, slowness())

    return least(counted, bound)


def on_this_python(bound: float) -> float:
    """Return a bound of a cost that was set on CPython 3.11: on others, where costs differ otherwise, a fifth more."""
    return bound if sys.version_info[:2] == (3, 11) else 1.2 * bound


def slowness() -> float:
    """Return how many times what it took there a fixed piece of work takes here and now; 1.0 at least."""
    return max(1.0, min(_seconds_of_work() for _ in range(5)) / _REFERENCE)


def _seconds_of_work() -> float:
    started = time.perf_counter()
    found = {}
    for number in range(5000):
        found[number % 100] = (number, str(number))
    return time.perf_counter() - started
