"""What a record holds, field by field, and how it is made from the metric that the pipeline carries.

A record is what stands in ``timing.log``, ``timing_results.csv`` and ``error.log``: the metric under the names that
readers of those files know.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from time_execution.types import NAME, TIMESTAMP

CALL_ID = "call_id"
FUNCTION = "function"
STARTED = "started"
CPU_MS = "cpu_ms"
MEMORY_CHANGE_BYTES = "memory_change_bytes"
RSS_BYTES = "rss_bytes"
ARGUMENTS = "arguments"
OUTCOME = "outcome"
MESSAGE = "message"
TRACEBACK = "traceback"
# What hooks call it, and reports count as an error.
ERROR_TYPE = "error_type"

OK = "ok"
"""The outcome of a call that raised nothing."""

ERROR_SERIES = "error"
"""The name under which errors go to the backends of the settings."""

TIMING_COLUMNS: Mapping[str, type] = {
    CALL_ID: str,
    FUNCTION: str,
    STARTED: datetime,
    "ended": datetime,
    "wall_ms": float,
    CPU_MS: float,
    MEMORY_CHANGE_BYTES: int,
    RSS_BYTES: int,
    ARGUMENTS: str,
    OUTCOME: str,
}
"""The fields of a timing's record, in order, with their types; the three of resources are None where not tracked."""

ERROR_COLUMNS = (CALL_ID, FUNCTION, "time", "type", MESSAGE, TRACEBACK, ARGUMENTS)
"""The fields of an error's record, in order."""


def timing_record(metric: Mapping[str, Any], value_field: str) -> dict[str, Any]:
    """Return the record of a timed call.

    Args:
        metric: What `Timer` made of it.
        value_field: Where that has its duration.
    """
    get = metric.get
    return {
        CALL_ID: get(CALL_ID),
        FUNCTION: get(NAME),
        STARTED: get(STARTED),
        "ended": get(TIMESTAMP),
        "wall_ms": get(value_field),
        CPU_MS: get(CPU_MS),
        MEMORY_CHANGE_BYTES: get(MEMORY_CHANGE_BYTES),
        RSS_BYTES: get(RSS_BYTES),
        ARGUMENTS: get(ARGUMENTS),
        OUTCOME: get(OUTCOME),
    }


def error_record(metric: Mapping[str, Any]) -> dict[str, Any]:
    """Return the record of an error, from what `ErrorCatcher` made of it."""
    get = metric.get
    return {
        CALL_ID: get(CALL_ID),
        FUNCTION: get(FUNCTION),
        "time": get(TIMESTAMP),
        "type": get(ERROR_TYPE),
        MESSAGE: get(MESSAGE),
        TRACEBACK: get(TRACEBACK),
        ARGUMENTS: get(ARGUMENTS),
    }
