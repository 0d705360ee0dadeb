"""When to alert: one state machine for each threshold, without clock, lock or I/O of its own.

A figure is *exceeded* while it is above the threshold, or below it where it must not fall; a reading at the threshold
itself is not. A level fires when every reading for as long as the duration exceeded it. What fired has recovered at the
first reading at or past the recovery level, so that a figure that flaps around the threshold alerts once.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple, TypeAlias

from time_execution.argument_check import check_seconds, check_switches
from time_execution.complaint import kind_of
from time_execution.exceptions import ConfigurationError

Level: TypeAlias = Literal["warning", "critical"]
State: TypeAlias = Literal["firing", "resolved"]

LEVELS: tuple[Level, ...] = ("warning", "critical")
"""From the least to the worst."""
MARGIN = 0.05
"""The part of the threshold between it and the recovery level, unless that is given."""


class Turn(NamedTuple):
    """What a threshold has to say after a reading.

    Attributes:
        level: The level that fires, or the worst that had fired before it recovered.
        state: ``firing`` or ``resolved``.
        observed: The reading.
        threshold: The threshold of the level.
        duration: For how many seconds it was exceeded: until now when it fires, until its recovery then.
    """

    level: Level
    state: State
    observed: float
    threshold: float
    duration: float


class Threshold:
    """Says when a figure has exceeded its levels for long enough, and when it recovered. Not thread-safe.

    Args:
        metric: The figure.
        warning_threshold: The level of a warning; None for none.
        critical_threshold: The level that is critical; None for none. Beyond that of the warning, if there is one.
        duration: For how many seconds a level must be exceeded before it fires; 0 fires at once.
        recovery: What ends an alert, on the good side of all thresholds, or equal to the first; None for 5 % of the
            first threshold's amount on its good side (76 for 80; 84 with ``below``).
        below: The figure must not fall, rather than not rise.
        patience: How many seconds may pass without a reading before a time of exceeding counts as broken off.

    Attributes:
        level: The level that fires now; None for none.
        observed: The last reading; None before the first.

    Raises:
        ConfigurationError: When an argument is wrong, or no threshold is given.
    """

    __slots__ = (
        "_bounds",
        "_last",
        "_since",
        "_started",
        "below",
        "duration",
        "level",
        "metric",
        "observed",
        "patience",
        "recovery",
    )

    def __init__(
        self,
        metric: str,
        *,
        warning_threshold: float | None = None,
        critical_threshold: float | None = None,
        duration: float = 0.0,
        recovery: float | None = None,
        below: bool = False,
        patience: float = 300.0,
    ) -> None:
        _check_name(metric)
        check_switches(below=below)
        check_seconds(or_zero=True, duration=duration, patience=patience)
        self._bounds = _bounds(warning_threshold, critical_threshold, below=below)
        self.metric = metric
        self.duration = float(duration)
        self.below = below
        self.patience = patience
        self.recovery = _recovery(recovery, next(iter(self._bounds.values())), below=below)
        self.level: Level | None = None
        self.observed: float | None = None
        self._since: dict[Level, float] = {}
        self._started = 0.0
        self._last: float | None = None

    def update(self, value: float | None, now: float) -> Turn | None:
        """Take a reading, and return what there is to say after it, if anything.

        Args:
            value: The reading; None, or what is no number, is a missing one, which neither fires nor recovers.
            now: When it was taken, in seconds of a clock that never goes back.
        """
        if value is None or math.isnan(value):
            return None
        if self._last is not None and now - self._last > self.patience:
            self._since.clear()
        self._last, self.observed = now, value
        for level, bound in self._bounds.items():
            if value < bound if self.below else value > bound:
                self._since.setdefault(level, now)
            else:
                self._since.pop(level, None)
        if self.level is not None and self._is_recovered(value):
            return self._resolve(self.level, value, now)
        return self._fire(value, now)

    def adopt(self, before: Threshold) -> None:
        """Take over what an earlier threshold of the same figure has fired, so that its recovery is told."""
        self.level, self._started = before.level, before._started
        self._last = before._last

    def reset(self) -> None:
        """Forget all readings and what has fired."""
        self.level = self._last = self.observed = None
        self._since.clear()

    def described(self) -> dict[str, object]:
        """Return ``metric``, ``level``, ``observed``, ``thresholds`` (level -> number) and the options."""
        return {
            "metric": self.metric,
            "level": self.level,
            "observed": self.observed,
            "thresholds": dict(self._bounds),
            "duration": self.duration,
            "recovery": self.recovery,
            "below": self.below,
        }

    def _is_recovered(self, value: float) -> bool:
        return value >= self.recovery if self.below else value <= self.recovery

    def _fire(self, value: float, now: float) -> Turn | None:
        """Fire the worst level that was exceeded for long enough, unless one as bad has fired."""
        for level in reversed(LEVELS):
            if level == self.level:
                return None
            since = self._since.get(level)
            if since is not None and now - since >= self.duration:
                if self.level is None:
                    self._started = since
                self.level = level
                return Turn(level, "firing", value, self._bounds[level], now - since)
        return None

    def _resolve(self, level: Level, value: float, now: float) -> Turn:
        self.level = None
        bound = self._bounds.get(level, next(iter(self._bounds.values())))  # one adopted may be of a level of its own
        return Turn(level, "resolved", value, bound, now - self._started)


def _bounds(warning: float | None, critical: float | None, *, below: bool) -> dict[Level, float]:
    """Return the thresholds that are given, the least bad first."""
    given = {"warning_threshold": warning, "critical_threshold": critical}
    for name, bound in given.items():
        if bound is not None:
            _check_number(name, bound)
    if warning is None and critical is None:
        raise ConfigurationError("warning_threshold or critical_threshold must be given")
    if warning is not None and critical is not None and not (critical < warning if below else critical > warning):
        raise ConfigurationError(f"critical_threshold must be {'below' if below else 'above'} warning_threshold")
    levels: tuple[tuple[Level, float | None], ...] = (("warning", warning), ("critical", critical))
    return {level: float(bound) for level, bound in levels if bound is not None}


def _recovery(given: float | None, first: float, *, below: bool) -> float:
    if given is None:
        return first + MARGIN * abs(first) if below else first - MARGIN * abs(first)
    _check_number("recovery", given)
    if given < first if below else given > first:
        raise ConfigurationError(f"recovery must not be {'below' if below else 'above'} the first threshold")
    return float(given)


def _check_name(metric: object) -> None:
    if not isinstance(metric, str) or not metric:
        got = "an empty str" if metric == "" else kind_of(metric)
        raise ConfigurationError(f"metric must be the name of a figure, got {got}")


def _check_number(name: str, value: object) -> None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value):  # type: ignore[arg-type]
        raise ConfigurationError(f"{name} must be a finite number, got {kind_of(value)}")
