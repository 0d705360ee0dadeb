"""A sampler's thread that does what is due when a test says so, and nothing at any other moment."""

from __future__ import annotations

import queue

from time_execution.monitor.sampler import Sampler, _Run
from time_execution.testing.clock import FakeClock

PATIENCE = 20.0


class Steps:
    """Moves a clock, and waits until the thread has done what is due by then and sleeps again.

    For the first run of one sampler: the thread sleeps once before, and once after each time it was woken.

    Args:
        monkeypatch: Pytest's.

    Attributes:
        clock: The clock to give to the sampler.
    """

    def __init__(self, monkeypatch):
        self.clock = FakeClock()
        self._slept = queue.SimpleQueue()
        self._sleeps = self._wakes = 0
        wake = Sampler.wake

        def sleep(run, seconds):
            self._slept.put(seconds)
            run.mail.get()  # however long that takes: only the fake clock counts

        def count(sampler):
            self._wakes += sampler._run is not None
            wake(sampler)

        monkeypatch.setattr(_Run, "sleep", sleep)
        monkeypatch.setattr(Sampler, "wake", count)

    def settle(self):
        """Wait until the thread sleeps, with nothing left to wake it; return the seconds it means to."""
        seconds = None
        while self._sleeps <= self._wakes:
            seconds = self._slept.get(timeout=PATIENCE)
            self._sleeps += 1
        return seconds

    def step(self, sampler, seconds):
        """Let time pass, and let the thread of a sampler, or of a monitor, do what is due."""
        self.settle()
        self.clock.advance(seconds)
        sampler.wake()
        return self.settle()
