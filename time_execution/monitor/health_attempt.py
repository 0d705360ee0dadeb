"""One run of a check, which may hang: it has a thread of its own, and nobody waits for it longer than its time-out."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from time_execution.monitor.checks.check import Check
from time_execution.monitor.health_outcome import FAILED, Outcome, failure, outcome_of, outcome_of_exception


class Attempt:
    """A run of a check that has begun. Not thread-safe: `HealthChecks` holds its lock around each call.

    Args:
        now: By the monotonic clock.
        timeout: Wait for it no longer than so many seconds.
    """

    __slots__ = ("_count_again", "_outcome", "_took", "deadline", "started", "timeout")

    def __init__(self, now: float, timeout: float) -> None:
        self.started = now
        self.timeout = timeout
        self.deadline = now + timeout
        self._count_again: float | None = None
        self._outcome: Outcome | None = None
        self._took = 0.0

    @property
    def is_running(self) -> bool:
        """Whether it has not ended, so that another run would be a second thread for the same check."""
        return self._outcome is None

    def is_awaited(self, now: float) -> bool:
        """Whether it has not ended, and its time is not over."""
        return self.is_running and now < self.deadline

    def end(self, outcome: Outcome, now: float) -> None:
        """Take in what came of it."""
        self._outcome = outcome
        self._took = now - self.started

    def result(self, now: float) -> tuple[Outcome, float] | None:
        """Return what came of it and how many seconds it took, once; of one that hangs, once for each time-out.

        None when that was asked before, or when it runs and has time left.
        """
        if self._count_again is not None and (now < self._count_again or not self.is_running):
            return None
        if self._outcome is None:
            return self._overdue(now)
        self._count_again = now
        late = self._took > self.timeout and self._outcome.status != FAILED
        outcome = failure(f"it took {self._took:.3g} s, longer than {self.timeout:g} s", "TimeoutError")
        return outcome if late else self._outcome, self._took

    def _overdue(self, now: float) -> tuple[Outcome, float] | None:
        if now < self.deadline:
            return None
        took = now - self.started
        again = "" if self._count_again is None else f", and runs for {took:.0f} s now: not started again until it ends"
        self._count_again = now + self.timeout
        return _too_late(self.timeout, again), took


def attempted(check: Check | Callable[[], Any], timeout: float) -> Outcome:
    """Run a check, and return what came of it; raises nothing.

    Args:
        check: What is called. Should it return an awaitable, a loop of its own runs that until the time is over.
        timeout: In seconds.
    """
    try:
        if isinstance(check, Check):
            return check.probe(timeout)
        returned = check()
        return outcome_of(asyncio.run(_awaited(returned, timeout)) if inspect.isawaitable(returned) else returned)
    except BaseException as exc:  # noqa: BLE001 - nothing that a check raises, SystemExit too, is anybody else's
        return outcome_of_exception(exc)


async def _awaited(returned: Awaitable[Any], timeout: float) -> Any:
    task = asyncio.ensure_future(returned)
    done, _ = await asyncio.wait({task}, timeout=timeout)
    # What has not ended is cancelled by the loop that ends.
    return task.result() if done else _too_late(timeout)


def _too_late(timeout: float, more: str = "") -> Outcome:
    return failure(f"no answer within {timeout:g} s{more}", "TimeoutError")
