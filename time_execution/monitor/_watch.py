"""`Watch`: the thresholds that are registered, what is read held against them, and the alerts that come of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from time_execution.complaint import suggestion
from time_execution.exceptions import ConfigurationError
from time_execution.formats.number import finite_number
from time_execution.monitor.alert import Alert, worded
from time_execution.monitor.system import FIGURES
from time_execution.quietlog import QuietLog

if TYPE_CHECKING:
    from time_execution.monitor.requests import RequestStatistics
    from time_execution.monitor.threshold import Threshold, Turn

INTERVAL = 10.0
"""Seconds from one look at the figures of requests, and at observed ones, to the next."""

REQUEST_FIGURES = {"request_error_rate": "%", "request_p95": "ms", "request_rate": "/s"}
"""The figures of the requests of the last minute, with their units."""

KNOWN = (*FIGURES, *REQUEST_FIGURES)
"""The figures that the monitor reads itself."""

STANDS_FOR = 300.0
"""For how many seconds a figure that was observed stands, unless it is observed again."""

_SHORTEST_PATIENCE = 30.0
_MISSED = 3


class Watch:
    """Knows at most one threshold for each figure and direction. Thread-safe; fork-safe once `after_fork` was called.

    Args:
        tell: Takes an alert, at once.
        clock: Returns seconds, never going back.
        wall: Returns seconds since the epoch.
    """

    def __init__(self, tell: Callable[[Alert], None], *, clock: Callable[[], float], wall: Callable[[], float]) -> None:
        self._tell = tell
        self._clock = clock
        self._wall = wall
        self._lock = threading.RLock()
        # Replaced and never changed, so that one who only looks needs no lock.
        self._thresholds: dict[str, dict[bool, Threshold]] = {}
        self._standing: dict[str, tuple[float, float]] = {}
        self._log = QuietLog()

    def register(self, threshold: Threshold, *, sample_interval: float) -> None:
        """Add a threshold, in the place of one of the same figure and direction; what that has fired is taken over.

        Raises:
            ConfigurationError: When it is for ``timestamp``, which a sample has and which is no figure.
        """
        if threshold.metric == "timestamp":
            raise ConfigurationError("metric must be the name of a figure, which timestamp is not")
        metric, direction = threshold.metric, threshold.below
        if metric not in KNOWN and (meant := suggestion(metric, KNOWN)):
            self._log.tell(metric, f"monitor: {metric!r} is read only when the application observes it{meant}")
        threshold.patience = _patience(metric, sample_interval)
        with self._lock:
            others = self._thresholds.get(metric, {})
            if direction in others:
                threshold.adopt(others[direction])
            self._thresholds = self._thresholds | {metric: others | {direction: threshold}}

    def unregister(self, metric: str, *, below: bool) -> bool:
        """Forget a threshold, and what it has fired; says whether there was one."""
        with self._lock:
            found = dict(self._thresholds.get(metric, {}))
            was_there = found.pop(below, None) is not None
            left = {name: others for name, others in self._thresholds.items() if name != metric}
            self._thresholds = left | ({metric: found} if found else {})
            if not found:
                self._standing.pop(metric, None)
            return was_there

    def wait_for_samples(self, sample_interval: float) -> None:
        """Take note of the seconds from one sample to the next, by which a missing one is told from none at all."""
        with self._lock:
            for threshold in self._all():
                threshold.patience = _patience(threshold.metric, sample_interval)

    def described(self) -> list[dict[str, Any]]:
        """Return what each threshold says of itself."""
        with self._lock:
            return [threshold.described() for threshold in self._all()]

    def judge(self, metric: str, value: float | None) -> None:
        """Hold a reading against the thresholds of its figure; None is a missing one."""
        found = self._thresholds.get(metric)
        if not found:
            return
        with self._lock:  # also while alerts are handed over, so that they keep their order
            for threshold in found.values():
                turn = threshold.update(value, self._clock())
                if turn is not None:
                    self._tell(self._alert(metric, turn))

    def observe(self, metric: object, value: object) -> None:
        """Hold a number of the application's against the thresholds of that name; never raises."""
        if not isinstance(metric, str) or metric not in self._thresholds:
            return
        number = finite_number(value)
        with self._lock:
            if number is None:
                self._standing.pop(metric, None)
            else:
                self._standing[metric] = number, self._clock()
            self.judge(metric, number)

    def judge_others(self, requests: RequestStatistics | None) -> None:
        """Hold the figures that no sample has against their thresholds: requests', and observed ones that stand.

        Args:
            requests: Where requests are counted; None where there are none.
        """
        for metric in self._thresholds:
            if metric in REQUEST_FIGURES:
                read = getattr(requests, metric.removeprefix("request_"), None)
                self.judge(metric, None if read is None else read())
                continue
            with self._lock:
                value, since = self._standing.get(metric, (None, 0.0))
                if value is not None and self._clock() - since <= STANDS_FOR:
                    self.judge(metric, value)

    def after_fork(self) -> None:
        """Forget, in a forked child, what was read and fired; what is registered stays."""
        self._lock = threading.RLock()
        self._log.after_fork()
        self._standing.clear()
        for threshold in self._all():
            threshold.reset()

    def _all(self) -> Iterator[Threshold]:
        for found in self._thresholds.values():
            yield from found.values()

    def _alert(self, metric: str, turn: Turn) -> Alert:
        level, state, observed, bound, lasted = turn
        unit = FIGURES[metric].unit if metric in FIGURES else REQUEST_FIGURES.get(metric, "")
        message = worded(metric, level=level, state=state, observed=observed, bound=bound, lasted=lasted, unit=unit)
        return Alert(metric, level, state, observed, bound, lasted, self._wall() - lasted, message)


def _patience(metric: str, sample_interval: float) -> float:
    """Return for how many seconds readings may be missing: two in a row, or as long as what is observed stands."""
    if metric in FIGURES:
        return max(_SHORTEST_PATIENCE, _MISSED * sample_interval)
    return max(_SHORTEST_PATIENCE, _MISSED * INTERVAL) if metric in REQUEST_FIGURES else STANDS_FOR
