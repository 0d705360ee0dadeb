"""Work that one thread does at a time, and that no thread begins while it is in the middle of it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator


class Turn:
    """Whose turn it is; who has it and asks again, through a signal or a finalizer, is refused. Thread-safe."""

    def __init__(self) -> None:
        # Reentrant, so that such a thread gets to know instead of waiting for itself.
        self._lock = threading.RLock()
        self._is_taken = False

    @contextlib.contextmanager
    def take(self, timeout: float | None = None) -> Iterator[bool]:
        """Give whether it is this thread's turn until the end of the block; waits for other threads.

        Args:
            timeout: The longest wait, in seconds; None for any.
        """
        if not self._lock.acquire(timeout=-1 if timeout is None else max(0.0, timeout)):
            yield False
            return
        try:
            if self._is_taken:
                yield False
                return
            self._is_taken = True
            try:
                yield True
            finally:
                self._is_taken = False
        finally:
            self._lock.release()
