"""`HealthChecks`: what is asked whether it works, all at once, each with a time-out, and what came of it last."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from time_execution.argument_check import check_counts, check_seconds, check_switches, check_timeouts
from time_execution.exceptions import ConfigurationError
from time_execution.forking import on_fork
from time_execution.formats.health import overall
from time_execution.formats.timestamp import to_iso
from time_execution.guard import Step
from time_execution.monitor.checks.check import Check
from time_execution.monitor.checks.url import check_of
from time_execution.monitor.health_attempt import Attempt, attempted
from time_execution.monitor.health_outcome import Outcome, outcome_of_exception
from time_execution.monitor.health_record import HealthRecord
from time_execution.monitor.health_telling import tell

__all__ = ["HealthChecks"]

_MAX_NAME = 200
_NANOSECONDS = 1_000_000_000
_THREAD_NAME = "time-execution-health"

AnyCheck = Check | Callable[[], Any] | str
"""What can be registered: a check of ours, any callable without arguments, ``async def`` ones too, or a URL."""


class HealthChecks:
    """Runs checks at the same time, each on a daemon thread of its own, and keeps what came of each last.

    A check works when it returns None or True, or ``"healthy"``. It fails when it returns False or ``"unhealthy"``,
    raises anything, returns what nobody understands, or outlasts its time-out: then it is left behind, never started
    again before it ended, and fails once more for each further time-out. ``"degraded"`` is neither. A dict says more:
    ``{"status": "degraded", "output": "…", "observedValue": 17, "observedUnit": "jobs"}``. An ``async def`` check runs
    in an event loop of its own, and is cancelled at its time-out.

    A check that failed less often in a row than the threshold is degraded, then it is unhealthy. What it says, and what
    it raises, is cut, and the secrets in it are masked, before it is kept.

    After each run the pipeline gets the gauge ``health.check`` for each check that ran: its ``value`` is how long it
    took, in ms; ``service``, ``status``, ``output`` and, when it failed, ``error_type``. A change of a check's status
    is logged, a repetition is not.

    Thread-safe and fork-safe: a forked child knows the results, and all its checks are due.

    Args:
        threshold: So many failures in a row make a check unhealthy.
        interval: A check is due every so many seconds, unless it has an interval of its own; None when nobody runs
            them regularly.
        clock: Returns seconds, never going back.
        wall: Returns the wall clock's seconds since the epoch.

    Raises:
        ConfigurationError: When an argument is wrong.

    Example:
        >>> checks = HealthChecks()
        >>> checks.register("queue", lambda: {"status": "healthy", "output": "17 jobs wait"}, critical=False)
        >>> report = checks.run()
        >>> report["status"], report["checks"]["queue"]["output"]
        ('healthy', '17 jobs wait')
    """

    def __init__(
        self,
        *,
        threshold: int = 3,
        interval: float | None = 60.0,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._clock = clock
        self._wall = wall
        self.configure(threshold=threshold, interval=interval)
        self._records: dict[str, HealthRecord] = {}
        self._changed = threading.Condition()
        _track(self)

    def configure(self, *, threshold: int, interval: float | None) -> None:
        """Change what the constructor was given; results stay.

        Raises:
            ConfigurationError: When an argument is wrong; nothing is changed then.
        """
        check_counts(threshold=threshold)
        if interval is not None:
            check_seconds(interval=interval)
        self._threshold = threshold
        self._interval = interval

    def register(
        self, name: str, check: AnyCheck, *, timeout: float = 5.0, critical: bool = True, interval: float | None = None
    ) -> None:
        """Add a check, in the place of one that has the name; runs nothing.

        Args:
            name: What reports, metrics and log lines call it.
            check: A callable without arguments, or a URL as `check_of` takes it.
            timeout: The longest that it may take, in seconds.
            critical: Whether the whole is unhealthy when it is; otherwise the whole is degraded.
            interval: It is due every so many seconds; None for the common interval.

        Raises:
            ConfigurationError: When an argument is wrong.
            MissingExtraError: When the check of a URL needs a client that is not installed.
        """
        _check_name(name)
        check_timeouts(timeout=timeout)
        check_switches(critical=critical)
        if interval is not None:
            check_seconds(interval=interval)
        record = HealthRecord(name, _called(check), timeout=timeout, critical=critical, interval=interval)
        with self._changed:
            self._records[name] = record

    def unregister(self, name: str) -> bool:
        """Forget a check and its results; returns whether there was one. One that runs is left to end."""
        with self._changed:
            return self._records.pop(name, None) is not None

    def names(self) -> list[str]:
        """Return the names of the checks that are registered."""
        with self._changed:
            return list(self._records)

    def run(self, names: Iterable[str] | None = None, *, max_age: float = 0.0) -> dict[str, Any]:
        """Run checks now, wait for them, and return the report of all.

        Blocks for as long as the slowest of them, and no longer than the longest time-out. A check that another thread
        runs at this moment is waited for, and not run twice.

        Args:
            names: Which; None for all.
            max_age: Leave out those that were run within so many seconds.

        Raises:
            ConfigurationError: When there is no check of a name.
        """
        self._run(self._wanted(names), max_age)
        return self.report()

    def report(self, *, max_age: float | None = None) -> dict[str, Any]:
        """Return what came of each check when it was last run; never waits for one.

        A check that has not run yet is degraded, and so is one that was healthy when it was last run, if that is longer
        ago than three intervals.

        Args:
            max_age: See to it that those are run again, in the background, that were not run within so many seconds;
                None leaves that to whoever runs them.

        Returns:
            ``status`` (``healthy``, ``degraded`` or ``unhealthy``), ``time`` (ISO 8601 in UTC), and ``checks``: name ->
            dict of ``status``; ``since``, when it took that status, and ``time``, when it was last run (ISO 8601, None
            before the first run); ``duration_ms`` (float, or None); ``failures``, how many in a row (int); ``output``
            (str); ``critical`` (bool); ``type`` (``database``, ``redis``, ``http``, ``tcp`` or ``callable``); and, of a
            check that observed something, ``observed_value`` and ``observed_unit``. It belongs to the caller.
        """
        if max_age is not None:
            self.refresh(max_age=max_age)
        with self._changed:
            now = self._clock()
            checks = {name: record.shown(now, self._interval) for name, record in self._records.items()}
        return {"status": overall(checks), "time": to_iso(self._moment()), "checks": checks}

    def refresh(self, *, max_age: float | None = None) -> bool:
        """Begin to run checks in the background, if it is time for any; never blocks. Returns whether it began.

        Args:
            max_age: Run those that were not run within so many seconds; None for those that are due.
        """
        with self._changed:
            now = self._clock()
            due = [record for record in self._records.values() if record.is_due(now, self._interval, max_age)]
            for record in due:
                record.asked = now  # so that nobody else takes it for due
        if not due:
            return False
        try:
            threading.Thread(target=self._run, args=(due, 0.0), name=_THREAD_NAME, daemon=True).start()
        except RuntimeError:  # there are too many threads, or the interpreter ends: when they are due again
            return False
        return True

    def next_due(self) -> float | None:
        """Return in how many seconds the next check is due, 0 for at once; None when none ever is."""
        with self._changed:
            now = self._clock()
            left = [record.due_in(now, self._interval) for record in self._records.values()]
        return min((seconds for seconds in left if seconds is not None), default=None)

    def _wanted(self, names: Iterable[str] | None) -> list[HealthRecord]:
        with self._changed:
            if names is None:
                return list(self._records.values())
            wanted = list(dict.fromkeys([names] if isinstance(names, str) else names))
            unknown = [name for name in wanted if name not in self._records]
            if unknown:
                known = ", ".join(self._records) or "none"
                raise ConfigurationError(f"there is no health check {unknown[0]!r}; there are: {known}")
            return [self._records[name] for name in wanted]

    def _run(self, records: Sequence[HealthRecord], max_age: float) -> None:
        open_ = [(record, attempt) for record in records if (attempt := self._begin(record, max_age)) is not None]
        while open_:
            awaited = self._wait([attempt for _, attempt in open_])
            for record, attempt in open_:
                if attempt not in awaited:
                    self._settle(record, attempt)
            open_ = [(record, attempt) for record, attempt in open_ if attempt in awaited]

    def _begin(self, record: HealthRecord, max_age: float) -> Attempt | None:
        """Start a check on its thread and return its run; the one that is going on, if there is one; None if fresh."""
        with self._changed:
            now = self._clock()
            latest = record.attempt
            if latest is not None and latest.is_running:
                if not latest.is_awaited(now):
                    record.asked = now
                return latest
            if latest is not None and now - latest.started < max_age:
                return None
            record.asked = now
            attempt = record.attempt = Attempt(now, record.timeout)
        name = f"{_THREAD_NAME}-{record.name}"
        try:
            threading.Thread(target=self._work, args=(record, attempt), name=name, daemon=True).start()
        except RuntimeError as exc:  # there are too many threads, or the interpreter ends
            self._end(attempt, outcome_of_exception(exc))
        return attempt

    def _work(self, record: HealthRecord, attempt: Attempt) -> None:
        self._end(attempt, attempted(record.check, record.timeout))

    def _end(self, attempt: Attempt, outcome: Outcome) -> None:
        with self._changed:
            attempt.end(outcome, self._clock())
            self._changed.notify_all()

    def _wait(self, attempts: Sequence[Attempt]) -> set[Attempt]:
        """Wait until one of some runs has ended, or its time is over, and return the others."""
        with self._changed:
            while True:
                now = self._clock()
                awaited = {attempt for attempt in attempts if attempt.is_awaited(now)}
                if len(awaited) < len(attempts):
                    return awaited
                self._changed.wait(min(attempt.deadline - now for attempt in attempts))

    def _settle(self, record: HealthRecord, attempt: Attempt) -> None:
        """Take in what came of a run, unless another thread did, and tell the others."""
        with self._changed:
            now = self._clock()
            result = attempt.result(now)
            if result is None:
                return
            outcome, took = result
            change = record.apply(outcome, threshold=self._threshold, took=took, now=now, moment=self._moment())
            is_left_behind = attempt.is_running
            is_known = self._records.get(record.name) is record
        if is_left_behind and isinstance(record.check, Check):
            Step(record.check.abandon, kind="hook", label=record.name, told="health check", raises=False).attempt()
        if is_known:
            tell(change)

    def _moment(self) -> int:
        return round(self._wall() * _NANOSECONDS)

    def after_fork(self) -> None:
        """Begin afresh in a forked child: no check runs there, all are due, and no lock is held."""
        self._changed = threading.Condition()
        for record in self._records.values():
            record.attempt = record.asked = None


def _check_name(name: Any) -> None:
    if not isinstance(name, str) or not name.strip() or len(name) > _MAX_NAME or not name.isprintable():
        raise ConfigurationError(f"name must be a printable text of at most {_MAX_NAME} characters")


def _called(check: Any) -> Check | Callable[[], Any]:
    """Return what to call for a check."""
    if isinstance(check, str):
        return check_of(check)
    if isinstance(check, type):
        raise ConfigurationError(f"check must be a callable or a URL, not the class {check.__name__}: make one of it")
    if not callable(check):
        raise ConfigurationError(f"check must be a callable or a URL, not {type(check).__name__}")
    called: Callable[[], Any] = check
    return called


_living: dict[int, weakref.ref[HealthChecks]] = {}


def _track(checks: HealthChecks) -> None:
    """Tell it of forks, for as long as it lives."""
    key, known = id(checks), _living
    known[key] = weakref.ref(checks, lambda _: known.pop(key, None))
    on_fork(_after_fork)


def _after_fork() -> None:
    for checks in [reference() for reference in list(_living.values())]:
        if checks is not None:
            checks.after_fork()
