"""A thread kept ready, for a producer that is made when no thread starts any more."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue


class SpareThread:
    """A daemon that waits to be told what to run, runs it, and ends.

    From version 3.12 on, Python may start no thread once the program has ended, though what is queued is still sent.
    """

    def __init__(self) -> None:
        self._work: SimpleQueue[Callable[[], object]] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="time-execution-kafka", daemon=True)
        self._thread.start()

    def replace(self, thread: threading.Thread) -> None:
        """Run what a thread would have run that could not be started, and answer for it from now on."""
        thread.join, thread.is_alive = self._thread.join, self._thread.is_alive  # type: ignore[method-assign]
        self._work.put(thread.run)

    def release(self) -> None:
        """Let it end, when it is not wanted, or once it has run what it was told."""
        self._work.put(_nothing)

    def _run(self) -> None:
        self._work.get()()


def _nothing() -> None:
    """Do nothing, for a thread that is not wanted."""
