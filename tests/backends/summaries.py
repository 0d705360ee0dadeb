"""What tests of the aggregate backend share: a clock, metrics of its present, a store that keeps moments whole."""

from __future__ import annotations

from tests.closed_after import closed_after
from tests.faults.harness import FaultBackend
from time_execution.backends.aggregate import AggregateBackend
from time_execution.types import Metric

SECOND = 1_000_000_000
NOON = 1_700_000_000 * SECOND  # a full interval of ten seconds begins here
MILLISECOND = 1_000_000


class Clock:
    """A clock that only a test moves, in nanoseconds since the epoch."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> int:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += int(seconds * SECOND)


class Exact(FaultBackend):
    """Keeps moments to the nanosecond."""

    wants_nanoseconds = True


def aggregates(store, clock):
    """Give a function that makes aggregates in front of a store, closed at the end of a ``with`` block."""
    return closed_after(lambda inner=store, **options: AggregateBackend(inner, clock=clock, **options), timeout=1.0)


def call(name="a", value=1.0, *, kind="timing", unit=None, **fields):
    """Return a metric; without a timestamp, it is of the present."""
    return Metric({"name": name, "value": value, **fields}, kind=kind, unit=unit)


def nanoseconds(moment):
    """Return a datetime of microseconds as nanoseconds."""
    return round(moment.timestamp() * 1_000_000) * 1000
