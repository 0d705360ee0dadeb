"""`MemoryBackend`: keeps metrics in a list, for tests and for a look from inside the process."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, ClassVar

from time_execution.argument_check import check_counts
from time_execution.backends.base import BaseMetricsBackend
from time_execution.formats.snapshot import snapshot_fields
from time_execution.formats.timestamp import to_datetime
from time_execution.types import NAME, TIMESTAMP, Metric


class MemoryBackend(BaseMetricsBackend):
    """Keep metrics in memory, each as the snapshot that other stores would have written.

    Thread-safe and fork-safe: a child process goes on with a copy of its own.

    Args:
        maxlen: Keep so many metrics, the latest; None for all.

    Attributes:
        metrics: A dict for each metric (a `Metric`, with its attributes), in the order of arrival, with a
            ``timestamp`` (aware UTC datetime) in each. May be read and changed at will.

    Raises:
        ConfigurationError: When `maxlen` is no positive int.

    Example:
        >>> backend = MemoryBackend()
        >>> backend.write("cpu.load.1m", value=0.25)
        >>> backend.names, backend.metrics[0]["value"]
        (['cpu.load.1m'], 0.25)
    """

    repr_fields: ClassVar[tuple[str, ...]] = ("maxlen",)

    def __init__(self, *, maxlen: int | None = None) -> None:
        if maxlen is not None:
            check_counts(maxlen=maxlen)
        self.maxlen = maxlen
        self.metrics: list[Metric] = []

    @property
    def names(self) -> list[Any]:
        """The name of each metric, in the order of arrival."""
        return [metric.get(NAME) for metric in self.metrics]

    def clear(self) -> None:
        """Forget all metrics."""
        self.metrics.clear()

    def write_many(self, metrics: Sequence[Metric]) -> None:
        """Keep a batch; never fails."""
        # Each of the two changes to the list is one step, in which no other thread can come between.
        self.metrics.extend([_kept(metric) for metric in metrics])
        if self.maxlen is not None:
            del self.metrics[: -self.maxlen]


def _kept(metric: Metric) -> Metric:
    fields, _ = snapshot_fields(metric)
    moment = fields.setdefault(TIMESTAMP, time.time_ns())
    if type(moment) is int:
        try:
            fields[TIMESTAMP] = to_datetime(moment)
        except OverflowError:
            fields[TIMESTAMP] = moment  # no moment of any calendar; kept as it was written
    return Metric(fields, kind=metric.kind, unit=metric.unit, id=metric.id, labels=metric.labels)
