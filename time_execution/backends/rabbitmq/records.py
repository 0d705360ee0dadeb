"""`RecordsBackend`: the profiler's records as RabbitMQ messages, for consumers that add them up."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from time_execution.backends.rabbitmq.backend import RabbitMQBackend
from time_execution.formats.json import encode

if TYPE_CHECKING:
    from time_execution.types import Metric, Results

JOB = "job"
FIELDS = ("item", "metric", "units", JOB, "method", "labels", "value")
"""What an object of the array holds, and in which order."""


class RecordsBackend(RabbitMQBackend):
    """Send the profiler's records: each message holds those of one job, and has the job as its routing key.

    The metrics hold the fields of a record beside their name; see `time_execution.profiler.types.Record`. Everything
    else is as `RabbitMQBackend` has it.
    """

    def routing_key_of(self, metrics: Sequence[Metric]) -> str:
        """Return the job that the records of a message have in common, as much of it as a routing key may hold."""
        return str(metrics[0].get(JOB, "")).encode(errors="replace")[:255].decode(errors="ignore")

    def write_many(self, metrics: Sequence[Metric]) -> Results:
        """Publish a batch, a message for each stretch of one job; see `RabbitMQBackend.write_many`."""
        return self.write_batches([metrics])

    def write_batches(self, batches: Sequence[Sequence[Metric]]) -> Results:
        """Publish batches; see `RabbitMQBackend.write_batches`."""
        runs = [list(run) for metrics in batches for _, run in groupby(metrics, key=lambda metric: metric.get(JOB))]
        return self._send(runs, write=_records) if runs else None


def _records(metrics: Sequence[Metric], *, timestamp: int) -> str:  # noqa: ARG001 - records have no moment
    found = [encode({field: metric[field] for field in FIELDS if field in metric}) for metric in metrics]
    return f"[{','.join(found)}]"
