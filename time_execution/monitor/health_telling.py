"""Tells others what came of checks: the pipeline of every run, the log of changes only."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import TYPE_CHECKING, Any

from time_execution import logs
from time_execution.formats.health import HEALTHY
from time_execution.formats.timestamp import to_datetime
from time_execution.guard import Step
from time_execution.pipeline import emit
from time_execution.settings import current
from time_execution.types import HOSTNAME, NAME, ORIGIN, TIMESTAMP, VALUE, Metric

if TYPE_CHECKING:
    from time_execution.monitor.health_record import Change

HEALTH_METRIC = "health.check"
HEALTH_LABELS = ("service",)


def tell(change: Change) -> None:
    """Hand the gauge of a run to the backends in force here, and log the change of status, if it is one.

    Raises nothing, unless ``settings.raise_errors`` is set.
    """
    emit(_metric(change))
    if change.status != (change.before or HEALTHY):
        Step(_log, kind="backend", label="health", told="log", raises=False).attempt(change)


def _metric(change: Change) -> Metric:
    snapshot = current()
    moment: datetime = to_datetime(change.moment)
    fields: dict[str, Any] = {
        NAME: HEALTH_METRIC,
        VALUE: change.duration_ms,
        HOSTNAME: snapshot.hostname,
        TIMESTAMP: moment,
        "service": change.name,
        "status": change.status,
        "output": change.outcome.output,
    }
    if change.outcome.error_type is not None:
        fields["error_type"] = change.outcome.error_type
    if snapshot.values.origin is not None:
        fields[ORIGIN] = snapshot.values.origin
    return Metric(fields, kind="gauge", unit="ms", labels=HEALTH_LABELS)


def _log(change: Change) -> None:
    output = f": {change.outcome.output}" if change.outcome.output else ""
    logs.get_logger().log(
        logging.INFO if change.status == HEALTHY else logging.WARNING,
        "Health check %s is %s, it was %s%s",
        change.name,
        change.status,
        change.before or "not run before",
        output,
        extra={"service": change.name, "status": change.status, "failures": change.failures},
    )
