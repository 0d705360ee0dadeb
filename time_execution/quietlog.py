"""Log lines about our own trouble: one for each kind in a window, with the count of those held back.

Nothing here may raise, block on a network or recurse: an application's log handler may itself be measured.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

logger = logging.getLogger("time_execution")

_MAX_KINDS = 1000


class QuietLog:
    """Writes at most one line for each kind in each window; thread-safe.

    Args:
        interval: Length of the window, in seconds.
        clock: Returns seconds, never going back.
    """

    def __init__(self, interval: float = 10.0, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.interval = interval
        self._clock = clock
        self._lock = threading.RLock()
        self._last: dict[str, float] = {}
        self._held_back: dict[str, int] = {}
        self._busy = threading.local()

    def tell(
        self, kind: str, message: str, *, through: logging.Logger | logging.LoggerAdapter[Any] | None = None
    ) -> None:
        """Log a message unless one of its kind was logged within the window, or this thread is logging already.

        Args:
            kind: Of which there is one line in a window.
            message: The line.
            through: The logger to write it through; None for this package's own.
        """
        if getattr(self._busy, "now", False):
            return
        with self._lock:
            now = self._clock()
            if now - self._last.get(kind, -self.interval) < self.interval:
                self._held_back[kind] = self._held_back.get(kind, 0) + 1
                return
            if len(self._last) >= _MAX_KINDS:
                self._last.clear()
                self._held_back.clear()
            self._last[kind] = now
            held_back = self._held_back.pop(kind, 0)
        suffix = f" ({held_back} more like this were not logged)" if held_back else ""
        self._busy.now = True
        try:
            # A handler of the application may raise, and there is nobody left to tell.
            with contextlib.suppress(Exception):
                (logger if through is None else through).warning("%s%s", message, suffix)
        finally:
            self._busy.now = False

    def forget(self) -> None:
        """Start every window anew."""
        with self._lock:
            self._last.clear()
            self._held_back.clear()

    def after_fork(self) -> None:
        """Replace the lock: another thread of the parent may have held it."""
        self._lock = threading.RLock()
        self._busy = threading.local()
