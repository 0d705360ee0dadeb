"""Figures that a busy machine can only make worse, taken until one is good enough."""

from __future__ import annotations

import time
from collections.abc import Callable

_ATTEMPTS = 12
_PAUSE = 0.25


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
