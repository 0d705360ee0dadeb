"""What an instrumented function refers to: where its readings of the clock go, and the metric they become.

A `TracedFunction` is a constant in the code of its function, which has no other way to reach anything of ours.
"""

from __future__ import annotations

import sys
import threading
from _thread import get_ident
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter_ns as clock
from typing import TYPE_CHECKING, Any

from time_execution.delivery.channel import Channel
from time_execution.hooks.exception import ERROR_TYPE, qualified_name
from time_execution.types import HOSTNAME, NAME, TIMESTAMP, VALUE, Metric

if TYPE_CHECKING:
    from collections.abc import Callable

# How generators and iterators end is no failure.
_ORDINARY_ENDS = (GeneratorExit, StopIteration, StopAsyncIteration)


class Pauses:
    """When this package compiled what the program imports, which is none of the program's time. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ends: list[int] = []
        self._totals = [0]
        self.last = 0

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count what runs inside as a pause."""
        began = clock()
        try:
            yield
        finally:
            with self._lock:
                self.last = clock()
                # In this order, since the worker reads both without the lock: no end is without its total.
                self._totals.append(self._totals[-1] + self.last - began)
                self._ends.append(self.last)

    def within(self, started: int, ended: int) -> int:
        """Return how many nanoseconds of a span were pauses."""
        first, last = bisect_left(self._ends, started), bisect_right(self._ends, ended)
        return min(self._totals[last] - self._totals[first], ended - started)


class TracedFunction:
    """A measured function. Thread-safe.

    Args:
        name: Its fully qualified name.
        hostname: Stored with each metric.
        channel: Takes the readings.
        pauses: Taken off the duration.

    Attributes:
        clock: Returns the reading with which a call begins.
        end: Leaves the readings of a call, given the first.
    """

    __slots__ = ("_channel", "_failures", "_pauses", "_template", "clock", "end")

    def __init__(self, name: str, hostname: str, channel: Channel, pauses: Pauses) -> None:
        self._template: dict[str, Any] = {NAME: name, VALUE: 0.0, HOSTNAME: hostname}
        self._channel = channel
        self._pauses = pauses
        self._failures: dict[type[BaseException], FailedCalls] = {}
        self.clock = clock
        self.end = _recorder(self, channel)

    def metric(self, started: int, ended: int, wall_offset: int) -> Metric:
        """Return the metric of a call; see `types.Draft`."""
        metric = Metric(self._template)
        # All pauses of the past ended before most calls begin.
        pauses = self._pauses.within(started, ended) if started < self._pauses.last else 0
        metric[VALUE] = (ended - started - pauses) / 1e6
        metric[TIMESTAMP] = ended + wall_offset
        return metric

    def fail(self, started: int) -> int:
        """Leave the readings of a call that ends with the exception being handled; returns 0, as nothing is left."""
        ended = clock()
        kind = sys.exc_info()[0]
        draft: TracedFunction | FailedCalls = self
        if kind is not None and not issubclass(kind, _ORDINARY_ENDS):
            draft = self._failures.get(kind) or self._failures.setdefault(kind, FailedCalls(self, qualified_name(kind)))
        self._channel.admit((draft, started, ended))
        return 0

    def span(self) -> TracedCall:
        """Return a context manager for one call of a function that looks at its own local variables."""
        return TracedCall(self)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle, as part of a function's code, as a series whose calls are not measured: there is no worker there."""
        return _silent, (self._template[NAME],)


class TracedCall:
    """One call of a function, measured without a local variable in it; costs twice as much."""

    __slots__ = ("_series", "_started")

    def __init__(self, series: TracedFunction) -> None:
        self._series = series

    def __enter__(self) -> None:
        """Begin the call."""
        self._started = clock()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """End it."""
        if kind is None:
            self._series.end(self._started)
        else:
            self._series.fail(self._started)


class FailedCalls:
    """The calls of a function that ended with one kind of exception."""

    __slots__ = ("_error_type", "_series")

    def __init__(self, series: TracedFunction, error_type: str) -> None:
        self._series = series
        self._error_type = error_type

    def metric(self, started: int, ended: int, wall_offset: int) -> Metric:
        """Return the metric of a call; see `types.Draft`."""
        metric = self._series.metric(started, ended, wall_offset)
        metric[ERROR_TYPE] = self._error_type
        return metric


def _recorder(series: TracedFunction, channel: Channel) -> Callable[[int], None]:
    """Return what leaves the readings of a call, as quickly as can be: see `Channel` for the comparison."""
    queue, append, admit = channel.queue, channel.append, channel.admit

    def end(started: int) -> None:
        ended = clock()
        if len(queue) < channel.attention and get_ident() != channel.owner:
            append((series, started, ended))
        else:
            admit((series, started, ended))

    return end


def _silent(name: str) -> TracedFunction:
    channel = Channel(max_items=1)
    with channel.lock:
        channel.close()
    return TracedFunction(name, "", channel, Pauses())
