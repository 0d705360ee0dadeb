"""`Losses`: how many metrics were lost lately, told from counters that only grow."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_LATELY = 600.0
_MOST = 700


class Losses:
    """Remembers for ten minutes how many metrics each queue had lost when somebody looked. Thread-safe."""

    def __init__(self) -> None:
        self.after_fork()

    def after_fork(self) -> None:
        """Begin anew in a forked child."""
        self._lock = threading.Lock()
        self._seen: deque[tuple[float, dict[str, int]]] = deque(maxlen=_MOST)

    def lately(self, now: float, lost: Mapping[str, int]) -> dict[str, int]:
        """Return how many were lost since the earliest look of the last ten minutes; those only that lost any.

        What is seen for the first time counts from then on.

        Args:
            now: The present moment, in seconds since the epoch.
            lost: Which queue -> how many it has lost in all.
        """
        with self._lock:
            if self._seen and now < self._seen[-1][0]:
                self._seen.clear()  # the clock was set back
            while self._seen and self._seen[0][0] < now - _LATELY:
                self._seen.popleft()
            first: dict[str, int] = {}
            for _, seen in reversed(self._seen):
                first |= seen
            if not self._seen or now - self._seen[-1][0] >= 1.0:
                self._seen.append((now, dict(lost)))
            new = {queue: number - first.get(queue, number) for queue, number in lost.items()}
            return {queue: number for queue, number in new.items() if number > 0}
