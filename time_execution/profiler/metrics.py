"""The instruments: one class for each type of metric that Prometheus knows, and the two that the profiler brings along.

An operation makes a record, which waits in the tree of the profiled call that is under way, and a metric, which goes
down the pipeline at once. A wrong value or set of labels is logged and counted, and nothing of it is recorded.
"""

from __future__ import annotations

import math
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from time_execution.exceptions import ConfigurationError
from time_execution.forking import on_fork
from time_execution.formats.snapshot import snapshot, snapshot_fields
from time_execution.guard import is_from_signal
from time_execution.profiler._instrument import ERROR_RAISED, MetricWrapper, is_a, names_of, shown
from time_execution.types import VALUE, Kind

if TYPE_CHECKING:
    from time_execution.profiler.types import Labels, LoggerLike

__all__ = [
    "Counter",
    "Enum",
    "Gauge",
    "Histogram",
    "Info",
    "MetricWrapper",
    "ResponseSize",
    "Summary",
    "TimeProfiler",
]

_MAX_LEVELS = 10_000
# One for all gauges, for a lock of each would have to be replaced in each forked child.
_changing_level = threading.RLock()


class Histogram(MetricWrapper):
    """Values of which the distribution is wanted."""

    metric: ClassVar[str] = "histogram"

    def observe(self, value: float, labels: Labels | None = None, *, label_values: Labels | None = None) -> None:
        """Record a value.

        Args:
            value: A finite number.
            labels: A value for each label of the metric.
            label_values: The older name of `labels`.
        """
        self._number("observe", value, labels, label_values)


class Summary(Histogram):
    """Values of which count and sum are wanted."""

    metric: ClassVar[str] = "summary"


class Counter(MetricWrapper):
    """A number that only rises."""

    metric: ClassVar[str] = "counter"
    kind: ClassVar[Kind] = "counter"

    def inc(self, value: float = 1, labels: Labels | None = None, *, label_values: Labels | None = None) -> None:
        """Record by how much it rises: a finite number of at least 0; labels as `Histogram.observe` takes them."""
        self._number("inc", value, labels, label_values, least=0)


class Gauge(MetricWrapper):
    """A number that rises and falls.

    Records hold what was done; the pipeline gets the level that follows, which begins at 0 in each process, for up to
    10 000 sets of labels.
    """

    metric: ClassVar[str] = "gauge"
    kind: ClassVar[Kind] = "gauge"

    def inc(self, value: float = 1, labels: Labels | None = None, *, label_values: Labels | None = None) -> None:
        """Record by how much it rises: a finite number of at least 0; labels as `Histogram.observe` takes them."""
        self._number("inc", value, labels, label_values, least=0)

    def dec(self, value: float = 1, labels: Labels | None = None, *, label_values: Labels | None = None) -> None:
        """Record by how much it falls: a finite number of at least 0; labels as `Histogram.observe` takes them."""
        self._number("dec", value, labels, label_values, least=0)

    def set(self, value: float, labels: Labels | None = None, *, label_values: Labels | None = None) -> None:
        """Record where it is: a finite number; labels as `Histogram.observe` takes them."""
        self._number("set", value, labels, label_values)

    def set_to_current_time(self, labels: Labels | None = None, *, label_values: Labels | None = None) -> None:
        """Record the time as where it is, in seconds since the epoch."""
        self._number("set", time.time(), labels, label_values)

    def _fields(self, operation: str, value: Any, labels: Mapping[str, Any]) -> dict[str, Any]:
        level = self._level_after(operation, value, labels)
        return {} if level is None else {VALUE: level}

    def _level_after(self, operation: str, value: float, labels: Mapping[str, Any]) -> float | None:
        """Return where it is after an operation; None when that is no number, or known of too many sets of labels."""
        on_fork(_after_fork)
        key = tuple(sorted(item for item in labels.items() if item[0] != ERROR_RAISED))
        with _changing_level:
            levels: dict[tuple[tuple[str, Any], ...], float] = vars(self).setdefault("_levels", {})
            if key not in levels and len(levels) >= _MAX_LEVELS:
                return None
            before = 0 if operation == "set" else levels.get(key, 0)
            level = before - value if operation == "dec" else before + value
            if not math.isfinite(level):
                return None
            levels[key] = level
            return level


class Info(MetricWrapper):
    """Texts about the program, such as its version. In the pipeline an event, the texts in its field ``info``."""

    metric: ClassVar[str] = "info"
    kind: ClassVar[Kind] = "event"

    def __init__(
        self,
        name: str,
        job: str,
        units: str | None = None,
        labels: Iterable[str] | None = None,
        logger: LoggerLike | str | None = None,
    ) -> None:
        super().__init__(name, job, "info" if units is None else units, labels, logger)

    def info(self, value: dict[str, Any], labels: Labels | None = None, *, label_values: Labels | None = None) -> None:
        """Record a dict, of which a copy of plain values is kept; labels as `Histogram.observe` takes them."""
        if is_a(value, dict):
            self._store("info", snapshot_fields(value)[0], labels, label_values)
        else:
            self._store("info", None, labels, label_values, fault=f"takes a dict, not {shown(value)}")

    info_ = info

    def _fields(self, operation: str, value: Any, labels: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG002 - as the base
        return {"info": value}


class Enum(MetricWrapper):
    """Which of some states the program is in. In the pipeline an event, the state in its field ``state``.

    Args:
        name: As for every metric.
        job: As for every metric.
        states: The names of the states; at least one.
        units: As for every metric.
        labels: As for every metric.
        logger: As for every metric.

    Raises:
        ConfigurationError: When there are no states, or they are no texts.
    """

    metric: ClassVar[str] = "enum"
    kind: ClassVar[Kind] = "event"

    def __init__(  # noqa: PLR0917 - in the order that older programs use
        self,
        name: str,
        job: str,
        states: Iterable[str] | None = None,
        units: str | None = None,
        labels: Iterable[str] | None = None,
        logger: LoggerLike | str | None = None,
    ) -> None:
        super().__init__(name, job, "enum" if units is None else units, labels, logger)
        self.states = names_of(states, "Enum: states")
        if not self.states:
            raise ConfigurationError("Enum: states must name at least one state")

    def state(self, value: str, labels: Labels | None = None, *, label_values: Labels | None = None) -> None:
        """Record a state, which is one of `states`; labels as `Histogram.observe` takes them."""
        state = snapshot(value) if is_a(value, str) else None
        fault = None if state in self.states else f"takes one of its states: {', '.join(sorted(self.states))}"
        self._store("state", state, labels, label_values, fault=fault)

    def _fields(self, operation: str, value: Any, labels: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG002 - as the base
        return {"state": value}


class TimeProfiler(Histogram):
    """How long calls take, in milliseconds; the profiler itself observes it."""

    def __init__(
        self, name: str, job: str, labels: Iterable[str] | None = None, logger: LoggerLike | str | None = None
    ) -> None:
        super().__init__(name, job, "mS", labels, logger)


class ResponseSize(Histogram):
    """How large what calls return is, in bytes; the profiler itself observes it."""

    def __init__(
        self, name: str, job: str, labels: Iterable[str] | None = None, logger: LoggerLike | str | None = None
    ) -> None:
        super().__init__(name, job, "B", labels, logger)

    def rec(self, value: object, labels: Labels | None = None, *, label_values: Labels | None = None) -> None:
        """Record the size of a response itself, without what it refers to."""
        try:
            size = float(sys.getsizeof(value))
        except Exception as exc:
            if is_from_signal(exc):
                raise
            fault = f"cannot tell the size of {shown(value)}: {type(exc).__name__}"
            self._store("observe", None, labels, label_values, fault=fault)
        else:
            self._store("observe", size, labels, label_values)


def _after_fork() -> None:
    """Let a forked child go on from where gauges were; another thread of the parent may have held the lock."""
    global _changing_level  # noqa: PLW0603 - one for all gauges
    _changing_level = threading.RLock()
