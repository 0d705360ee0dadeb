"""`FakeClock`: a time that moves when a test says so, for whatever takes a clock as an argument."""

from __future__ import annotations

import threading
from collections.abc import Callable

_NANOSECONDS = 1_000_000_000


class FakeClock:
    """Two clocks, a monotonic one and the wall's, that stand still until they are advanced.

    Calling it reads the monotonic clock, as ``time.monotonic`` does; the methods stand in for the functions of the
    module `time` of their names. Thread-safe.

    Args:
        start: Reading of the monotonic clock at first, in seconds.
        wall: Reading of the wall clock at first, in seconds since the epoch.

    Example:
        >>> clock = FakeClock()
        >>> clock.advance(1.5)
        >>> clock(), clock.time() - 1_700_000_000
        (1.5, 1.5)
    """

    def __init__(self, start: float = 0.0, wall: float = 1_700_000_000.0) -> None:
        self._lock = threading.Lock()
        self._monotonic = round(start * _NANOSECONDS)
        self._wall = round(wall * _NANOSECONDS)
        self._listeners: list[Callable[[], object]] = []

    def __call__(self) -> float:
        """Return the monotonic clock, in seconds."""
        return self._monotonic / _NANOSECONDS

    monotonic = perf_counter = __call__

    def perf_counter_ns(self) -> int:
        """Return the monotonic clock, in nanoseconds."""
        return self._monotonic

    monotonic_ns = perf_counter_ns

    def time(self) -> float:
        """Return the wall clock, in seconds since the epoch."""
        return self._wall / _NANOSECONDS

    def time_ns(self) -> int:
        """Return the wall clock, in nanoseconds since the epoch."""
        return self._wall

    def advance(self, seconds: float) -> None:
        """Let time pass on both clocks, then call whoever asked for it.

        Raises:
            ValueError: When asked to go back, which no monotonic clock does.
        """
        if seconds < 0:
            raise ValueError("time does not go back; shift_wall() changes the wall clock alone")
        with self._lock:
            self._monotonic += round(seconds * _NANOSECONDS)
            self._wall += round(seconds * _NANOSECONDS)
            listeners = list(self._listeners)
        for listener in listeners:
            listener()

    def shift_wall(self, seconds: float) -> None:
        """Move the wall clock alone, as somebody who sets it does; forward or back."""
        with self._lock:
            self._wall += round(seconds * _NANOSECONDS)

    def on_advance(self, listener: Callable[[], object]) -> None:
        """Call a function after each `advance`: to wake whoever sleeps by the real clock."""
        with self._lock:
            self._listeners.append(listener)
