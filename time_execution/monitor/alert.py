"""`Alert`, and telling people: the log, Slack and mail, the event, and the application's own callables.

Whoever is told works through alerts of his own on a thread of his own, which is there only while he has any, so that
one who hangs or raises holds nobody else up. What waits for one is bounded; all that goes wrong is counted.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import Protocol

from time_execution.complaint import kind_of
from time_execution.exceptions import ConfigurationError
from time_execution.formats.timestamp import to_iso
from time_execution.guard import Failed, Step, label_of
from time_execution.monitor.threshold import LEVELS, Level, State
from time_execution.pipeline import emit
from time_execution.settings import current
from time_execution.signature import mismatch
from time_execution.types import HOSTNAME, NAME, TIMESTAMP, Metric

NAME_OF_EVENT = "alert"
LABELS = ("metric", "level", "state")
THREAD_NAME = "time-execution-monitor-alert"

_MOST_WAITING = 100
_SEVERITY = {"warning": logging.WARNING, "critical": logging.CRITICAL}
_PARTS = (("d", 86_400), ("h", 3600), ("min", 60))


@dataclass(frozen=True, slots=True)
class Alert:
    """A figure has exceeded its threshold for long enough, or has recovered. Immutable.

    Attributes:
        metric: The figure.
        level: ``warning`` or ``critical``; of what has recovered, the worst that it was.
        state: ``firing`` or ``resolved``.
        observed: The reading that decided.
        threshold: The level's threshold, in the figure's unit.
        duration: For how many seconds it had been exceeded when it fired; how many it took until it recovered.
        since: When that began, in seconds since the epoch.
        message: All of it as one line of English.
    """

    metric: str
    level: Level
    state: State
    observed: float
    threshold: float
    duration: float
    since: float
    message: str

    def as_metric(self) -> Metric:
        """Return the event ``alert`` for the pipeline: ``message, metric, level, state, observed, threshold, …``."""
        fields = {
            NAME: NAME_OF_EVENT,
            **asdict(self),
            "since": to_iso(datetime.fromtimestamp(self.since, timezone.utc)),
        }
        fields |= {HOSTNAME: current().hostname, TIMESTAMP: datetime.now(timezone.utc)}
        return Metric(fields, kind="event", labels=LABELS)


class Notifier(Protocol):
    """What the application is told alerts by: a function or a coroutine function that takes one."""

    def __call__(self, alert: Alert, /) -> object:
        """Tell somebody; on a thread of its own, so it may take its time. What it raises is counted and logged."""
        ...


def worded(metric: str, *, level: Level, state: State, observed: float, bound: float, lasted: float, unit: str) -> str:
    """Return the line that tells an alert.

    Example:
        >>> worded("cpu_percent", level="critical", state="firing", observed=97.25, bound=95, lasted=300, unit="%")
        'critical: cpu_percent is 97.25 %, above 95 % for 5 min'
        >>> worded("queue", level="warning", state="resolved", observed=3, bound=10, lasted=75, unit="")
        'resolved: queue is 3, after 1 min 15 s of a warning at 10'
    """
    suffix = f" {unit}" if unit else ""
    value, threshold = f"{_number(observed)}{suffix}", f"{_number(bound)}{suffix}"
    if state == "firing":
        for_so_long = f" for {_span(lasted)}" if lasted >= 1 else ""
        side = "above" if observed > bound else "below"
        return f"{level}: {metric} is {value}, {side} {threshold}{for_so_long}"
    was = "a warning" if level == "warning" else "being critical"
    return f"resolved: {metric} is {value}, after {_span(lasted)} of {was} at {threshold}"


class Alerts:
    """Tells alerts to everybody concerned, without holding up whoever raises one. Thread-safe, fork-safe."""

    def __init__(self) -> None:
        self._announcing = _Recipient(_announce, level="warning", label="alert")
        self._lock = threading.RLock()
        self._notifiers: list[_Recipient] = []

    def register(self, notifier: Notifier, *, level: Level = "warning") -> None:
        """Have a notifier told from now on; registering it again only changes its level.

        Raises:
            ConfigurationError: When it cannot be called with an alert, or there is no such level.
        """
        if not callable(notifier):
            raise ConfigurationError(f"notifier must be callable with an alert, got {kind_of(notifier)}")
        problem = mismatch(notifier, None)
        if problem is not None:
            raise ConfigurationError(f"notifier cannot be called with an alert: {problem}")
        if level not in LEVELS:
            raise ConfigurationError(f"level must be {' or '.join(LEVELS)}, got {kind_of(level)}")
        with self._lock:
            self.unregister(notifier)
            self._notifiers.append(_Recipient(notifier, level=level, label=label_of(notifier)))

    def unregister(self, notifier: Notifier) -> bool:
        """Tell a notifier nothing more but what waits for it already; says whether it was registered."""
        with self._lock:
            before = len(self._notifiers)
            self._notifiers = [recipient for recipient in self._notifiers if recipient.call != notifier]
            return len(self._notifiers) < before

    def tell(self, alert: Alert) -> None:
        """Hand an alert to everybody concerned and return; never raises, never waits for any of them."""
        self._announcing.offer(alert)
        for recipient in self._notifiers:
            recipient.offer(alert)

    def flush(self, timeout: float) -> bool:
        """Wait until everybody was told; False at the time-out, in seconds."""
        deadline = time.monotonic() + timeout
        return all(recipient.wait(max(0.0, deadline - time.monotonic())) for recipient in self._recipients())

    def stats(self) -> dict[str, dict[str, int]]:
        """Return label -> ``told``, ``failed``, ``dropped`` (too many waited) and ``waiting``; ``alert`` is our own."""
        found: dict[str, dict[str, int]] = {}
        for recipient in self._recipients():
            label, number = recipient.label, 1
            while label in found:
                number += 1
                label = f"{recipient.label}#{number}"
            found[label] = recipient.stats()
        return found

    def after_fork(self) -> None:
        """Forget, in a forked child, what the parent was about to tell; who is told stays."""
        self._lock = threading.RLock()
        for recipient in self._recipients():
            recipient.after_fork()

    def _recipients(self) -> list[_Recipient]:
        return [self._announcing, *self._notifiers]


class _Recipient:
    """Somebody who is told alerts, with those that wait for him.

    Args:
        call: Takes an alert.
        level: The least level to tell, with the recovery from it.
        label: Names him in counters and log lines.
    """

    def __init__(self, call: Callable[[Alert], object], *, level: Level, label: str) -> None:
        self.call = call
        self.label = label
        self._levels = LEVELS[LEVELS.index(level) :]
        self._step = Step(_called(call), kind="hook", label=label, raises=False, told="notifier")
        self._begin()

    def _begin(self) -> None:
        self._counts: Counter[str] = Counter()
        self._waiting: deque[Alert] = deque()
        self._is_working = False
        self._worker = 0
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)

    after_fork = _begin

    def offer(self, alert: Alert) -> None:
        """Queue an alert if it concerns him, and see to it that a thread tells it."""
        if alert.level not in self._levels:
            return
        with self._changed:
            if len(self._waiting) >= _MOST_WAITING:
                self._counts["dropped"] += 1
                return
            self._waiting.append(alert)
            if self._is_working:
                return
            self._is_working = True
            try:
                threading.Thread(target=self._work, name=THREAD_NAME, daemon=True).start()
            except RuntimeError:  # none can be started any more as the interpreter ends, or for want of memory
                self._end()

    def wait(self, timeout: float) -> bool:
        """Wait until nothing waits for him; False at the time-out, and at once where waiting would be in vain.

        That is on his own thread, and in the handler of a signal that came amid `offer`: its thread is not started yet.
        """
        if self._worker == threading.get_ident() or self._lock._is_owned():  # type: ignore[attr-defined]  # noqa: SLF001
            return False
        with self._changed:
            return self._changed.wait_for(lambda: not self._is_working, timeout)

    def stats(self) -> dict[str, int]:
        """Return what became of the alerts."""
        with self._changed:
            counts = self._counts
            outcomes = {outcome: counts[outcome] for outcome in ("told", "failed", "dropped")}
            return outcomes | {"waiting": len(self._waiting)}

    def _work(self) -> None:
        self._worker = threading.get_ident()
        try:
            while (alert := self._next()) is not None:
                self._counts["told" if self._tells(alert) else "failed"] += 1
        except BaseException:  # such as gevent's, which ends the thread; what waits is told with the next alert
            self._counts["failed"] += 1
            self._end()
            raise

    def _tells(self, alert: Alert) -> bool:
        try:
            return not isinstance(self._step.attempt(alert), Failed)
        except SystemExit:  # on a thread of our own, nobody else is meant
            return False

    def _next(self) -> Alert | None:
        """Return the alert to tell; None when there is none, and the thread is no longer counted on."""
        with self._changed:
            if self._waiting:
                return self._waiting.popleft()
            self._end()
            return None

    def _end(self) -> None:
        with self._changed:
            self._is_working, self._worker = False, 0
            self._changed.notify_all()


def _called(call: Callable[[Alert], object]) -> Callable[[Alert], None]:
    """Return what calls a notifier, and awaits what it returns where that is a coroutine."""

    def tell(alert: Alert) -> None:
        answer = call(alert)
        if inspect.iscoroutine(answer):
            asyncio.run(answer)

    return tell


def _announce(alert: Alert) -> None:
    """Tell an alert in all the ways that need no notifier, each on its own account."""
    for label, call in (("alert event", _write), ("alert log", _log), ("alert notice", _notice)):
        Step(call, kind="hook", label=label, raises=False, told="notifier").attempt(alert)


def _write(alert: Alert) -> None:
    emit(alert.as_metric())


def _log(alert: Alert) -> None:
    from time_execution.logs import logger  # noqa: PLC0415 - configures itself at first use

    level = _SEVERITY[alert.level] if alert.state == "firing" else logging.INFO
    logger.log(level, "%s", alert.message, extra={"_noticed": True, "alert": asdict(alert)})


def _notice(alert: Alert) -> None:
    """Have people told by mail, and in Slack of what is critical, if the log is configured for that."""
    from time_execution.logs import notice_backends  # noqa: PLC0415 - as above

    record = alert.as_metric()
    for queue in notice_backends():
        if alert.level == "critical" or not _is_slack(queue.backend):
            queue.enqueue(record)


def _is_slack(backend: object) -> bool:
    module = sys.modules.get("time_execution.backends.slack")  # imported by whoever made the backend
    return module is not None and isinstance(backend, module.SlackBackend)


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _span(seconds: float) -> str:
    """Return the two greatest parts of a span, such as ``1 h 5 min``."""
    rest, parts = round(seconds), []
    for unit, length in (*_PARTS, ("s", 1)):
        count, rest = divmod(rest, length)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2]) or "less than 1 s"
