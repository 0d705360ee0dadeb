"""What is known of one check: a state machine that is told what came of each run, and when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from time_execution.formats.health import DEGRADED, HEALTHY, UNHEALTHY
from time_execution.formats.timestamp import to_iso
from time_execution.monitor.checks.check import Check
from time_execution.monitor.health_outcome import FAILED, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from time_execution.monitor.health_attempt import Attempt

_STALE_INTERVALS = 3


class Change(NamedTuple):
    """What one run made of a check.

    Attributes:
        name: Of the check.
        before: The status before the run; None before the first.
        status: The status since.
        outcome: What came of the run.
        failures: How many runs in a row have failed.
        duration_ms: How long it took, or has taken as yet.
        moment: When it ended, in nanoseconds since the epoch.
    """

    name: str
    before: str | None
    status: str
    outcome: Outcome
    failures: int
    duration_ms: float
    moment: int


class HealthRecord:
    """A check with what came of its runs. Not thread-safe: `HealthChecks` holds its lock around each call.

    Args:
        name: Of the check.
        check: What is called.
        timeout: The longest that a run may take, in seconds.
        critical: Whether the whole goes by it.
        interval: Run every so many seconds; None for the common interval.

    Attributes:
        attempt: The latest run; None before the first.
        asked: When that began, or was last waited for in vain, by the monotonic clock; None before the first.
    """

    def __init__(
        self,
        name: str,
        check: Check | Callable[[], Any],
        *,
        timeout: float,
        critical: bool,
        interval: float | None,
    ) -> None:
        self.name = name
        self.check = check
        self.timeout = timeout
        self.attempt: Attempt | None = None
        self.asked: float | None = None
        self._interval = interval
        self._known: float | None = None
        self._shown: dict[str, Any] = {
            "status": DEGRADED,
            "since": None,
            "time": None,
            "duration_ms": None,
            "failures": 0,
            "output": "it has not run yet",
            "critical": critical,
            "type": check.kind if isinstance(check, Check) else "callable",
        }

    def apply(self, outcome: Outcome, *, threshold: int, took: float, now: float, moment: int) -> Change:
        """Take in what came of a run, and return what that makes of the check.

        Args:
            outcome: What came of it.
            threshold: So many failures in a row make it unhealthy.
            took: How long the run took, in seconds.
            now: When it ended, by the monotonic clock.
            moment: The same in nanoseconds since the epoch.
        """
        shown = self._shown
        before = None if self._known is None else shown["status"]
        failures = shown["failures"] + 1 if outcome.status == FAILED else 0
        status: str = outcome.status
        if failures:
            status = UNHEALTHY if failures >= threshold else DEGRADED
        change = Change(self.name, before, status, outcome, failures, round(took * 1000.0, 3), moment)
        time = to_iso(moment)
        self._shown = {
            **shown,
            "status": status,
            "since": time if status != before else shown["since"],
            "time": time,
            "duration_ms": change.duration_ms,
            "failures": failures,
            "output": outcome.output,
        }
        self._observe(outcome)
        self._known = now
        return change

    def _observe(self, outcome: Outcome) -> None:
        for key in ("observed_value", "observed_unit"):
            self._shown.pop(key, None)
        if outcome.observed_value is not None:
            self._shown |= {"observed_value": outcome.observed_value, "observed_unit": outcome.observed_unit}

    def is_due(self, now: float, interval: float | None, max_age: float | None) -> bool:
        """Whether it should be run now, and is not running.

        Args:
            now: By the monotonic clock.
            interval: The common interval, in seconds.
            max_age: If it was not run within so many seconds; None for its interval.
        """
        if self.attempt is not None and self.attempt.is_awaited(now):
            return False
        if max_age is not None:
            return self.asked is None or now - self.asked >= max_age
        left = self.due_in(now, interval)
        return left is not None and left <= 0

    def due_in(self, now: float, interval: float | None) -> float | None:
        """Return in how many seconds it is due, 0 for at once; None for never."""
        interval = interval if self._interval is None else self._interval
        if interval is None:
            return None
        return 0.0 if self.asked is None else max(0.0, self.asked + interval - now)

    def shown(self, now: float, interval: float | None) -> dict[str, Any]:
        """Return what a report says of it; see `HealthChecks.report`.

        Args:
            now: By the monotonic clock.
            interval: The common interval, in seconds.
        """
        shown = self._shown.copy()
        age = self._age_when_stale(now, interval)
        if age is not None:
            shown["status"] = DEGRADED if shown["status"] == HEALTHY else shown["status"]
            shown["output"] = f"last run {age:.0f} s ago{': ' if shown['output'] else ''}{shown['output']}"
        return shown

    def _age_when_stale(self, now: float, interval: float | None) -> float | None:
        interval = interval if self._interval is None else self._interval
        if interval is None or self._known is None:
            return None
        age = now - self._known
        return age if age > _STALE_INTERVALS * interval + self.timeout else None
