"""What the requests of this process came to, since it began and within the last minute."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from time_execution.argument_check import check_counts
from time_execution.forking import hold_forks_up
from time_execution.formats.histogram import bucket_of, quantiles

if TYPE_CHECKING:
    from collections.abc import Sequence

    from time_execution.monitor._request_scope import RequestScope

OTHER = "(other)"
"""The route of a request whose route cannot be told, and of those beyond the number that is counted apart."""

FOLD_AT = 256
"""As many requests may wait to be added up; few enough that the one that finds so many loses no millisecond."""

_MILLISECOND = 1_000_000
_SECOND = 1_000_000_000
_SLOT = 5 * _SECOND
_SLOTS = 12
_MINUTE = _SLOT * _SLOTS


class _Figures:
    """Counts and durations of some requests."""

    __slots__ = ("buckets", "count", "errors")

    def __init__(self) -> None:
        self.count = self.errors = 0
        self.buckets: dict[int, int] = {}

    def add(self, bucket: int, *, failed: bool) -> None:
        self.count += 1
        self.errors += failed
        self.buckets[bucket] = self.buckets.get(bucket, 0) + 1


class _Row(_Figures):
    """All requests of one method and route."""

    __slots__ = ("high", "low", "statuses", "total")

    def __init__(self) -> None:
        super().__init__()
        self.total = self.high = 0
        self.low = 1 << 62
        self.statuses: dict[int, int] = {}

    def as_dict(self, method: str, route: str) -> dict[str, Any]:
        p50, p95, p99 = quantiles(self.buckets, 0.5, 0.95, 0.99)
        low, high = self.low / _MILLISECOND, self.high / _MILLISECOND
        return {
            "method": method,
            "route": route,
            "count": self.count,
            "errors": self.errors,
            "error_rate": 100 * self.errors / self.count,
            "min": low,
            "mean": self.total / self.count / _MILLISECOND,
            "max": high,
            # A bucket's estimate may lie a little outside of what there was.
            **{name: min(max(value, low), high) for name, value in (("p50", p50), ("p95", p95), ("p99", p99))},
            "total": self.total / _MILLISECOND,
            "statuses": dict(sorted(self.statuses.items())),
        }


class RequestStatistics:
    """What the requests of this process came to, by method and route; exact counts, estimated percentiles.

    Thread-safe, and no request waits for a lock: each is appended to a queue, and every so many, or whoever asks, adds
    up what is there. A forked child begins at zero. The figures of "the last minute" are those of the last 55 to 60
    seconds.

    Args:
        max_routes: The most pairs of method and route that are counted apart; those beyond are counted as ``(other)``.
        clock: Returns nanoseconds, never going back, as ``time.perf_counter_ns`` does; tests hand in their own.

    Attributes:
        waiting: Requests that ended and are not added up: what is kept of each, and two readings of the clock.
        known: Pairs of method and route that are counted apart.

    Raises:
        ConfigurationError: When `max_routes` is no whole number above 0.
    """

    def __init__(self, *, max_routes: int = 1000, clock: Callable[[], int] = perf_counter_ns) -> None:
        check_counts(max_routes=max_routes)
        self._max_routes = max_routes
        self._clock = clock
        self._begin()
        hold_forks_up(self)

    def _begin(self) -> None:
        self._lock = threading.RLock()
        self.waiting: deque[tuple[RequestScope, int, int]] = deque()
        self._is_adding = False
        self._rows: dict[tuple[str, str], _Row] = {}
        self._slots: dict[int, _Figures] = {}
        self.known: set[tuple[str, str]] = set()
        self._born = self._clock()

    def add_up(self) -> None:
        """Add what waits to the figures, unless another thread is at it. Never waits."""
        if self._lock.acquire(blocking=False):
            try:
                self._add_up()
            finally:
                self._lock.release()

    def route_of(self, method: str, route: str) -> str:
        """Return the name that a route is counted under: its own, or ``(other)`` when there are too many."""
        with self._lock:
            if (method, route) not in self.known and len(self.known) >= self._max_routes:
                return OTHER
            self.known.add((method, route))
        return route

    def routes(self) -> list[dict[str, Any]]:
        """Return a dict for each method and route since the process began, those that took longest in all first.

        Keys: ``method`` and ``route`` (str), ``count``, ``errors`` (int), ``error_rate`` (percent), ``min``, ``mean``,
        ``max``, ``p50``, ``p95``, ``p99``, ``total`` (ms), ``statuses`` (status code -> int). The dicts are the
        caller's own.
        """
        with self._lock:
            self._add_up()
            rows = [row.as_dict(*pair) for pair, row in self._rows.items()]
        return sorted(rows, key=lambda row: -row["total"])

    def rate(self) -> float:
        """Return the requests a second over the last minute, or since the process began when that is less."""
        with self._lock:
            count = sum(figures.count for figures in self._last_minute())
            now = self._clock()
            covered = min(now - self._born, _MINUTE - _SLOT + now % _SLOT)
        return count * _SECOND / max(covered, _SECOND)

    def error_rate(self) -> float | None:
        """Return how many percent of the last minute's requests failed; None when there was none."""
        with self._lock:
            recent = list(self._last_minute())
            count, errors = sum(figures.count for figures in recent), sum(figures.errors for figures in recent)
        return 100 * errors / count if count else None

    def p95(self) -> float | None:
        """Return the 95th percentile of the last minute's durations, in ms; None when there was no request."""
        with self._lock:
            buckets: Counter[int] = Counter()
            for figures in self._last_minute():
                buckets.update(figures.buckets)
        return quantiles(buckets, 0.95)[0] if buckets else None

    def _last_minute(self) -> Iterator[_Figures]:
        """Yield the figures of the slots that are no older; the lock is held."""
        self._add_up()
        oldest = self._clock() // _SLOT - _SLOTS
        return iter([figures for slot, figures in self._slots.items() if slot > oldest])

    def _add_up(self) -> None:
        """Add what waits to the figures; the lock is held. A signal handler that comes here amid it changes nothing."""
        if self._is_adding:
            return
        self._is_adding = True
        try:
            waiting = self.waiting
            for _ in range(len(waiting)):
                scope, started, ended = waiting.popleft()
                self._count(scope, started, ended)
            oldest = self._clock() // _SLOT - _SLOTS
            for slot in [slot for slot in self._slots if slot <= oldest]:
                del self._slots[slot]
        finally:
            self._is_adding = False

    def _count(self, scope: RequestScope, started: int, ended: int) -> None:
        pair = (scope.method, scope.route)
        row = self._rows.get(pair)
        if row is None:
            row = self._rows[pair] = _Row()
        duration, failed = ended - started, scope.error_type is not None
        bucket = bucket_of(duration / _MILLISECOND)
        row.add(bucket, failed=failed)
        row.total += duration
        row.low, row.high = min(row.low, duration), max(row.high, duration)
        row.statuses[scope.status] = row.statuses.get(scope.status, 0) + 1
        slot = ended // _SLOT
        recent = self._slots.get(slot)
        if recent is None:
            recent = self._slots[slot] = _Figures()
        recent.add(bucket, failed=failed)

    def fork_locks(self) -> Sequence[threading.RLock]:
        """Return no lock: the child makes its own."""
        return ()

    def after_fork(self) -> None:
        """Begin at zero in a forked child."""
        self._begin()
