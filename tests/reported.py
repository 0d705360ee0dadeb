"""What reports are asked about: metrics at moments of a day long gone, stored for ever."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from time_execution.backends.sqlite import SQLiteBackend
from time_execution.backends.sqlite.schema import DAY, SECOND
from time_execution.types import Metric

BASE = 1_700_000_000 // DAY * DAY
FOREVER: dict[str, Any] = {"retention": None, "minute_retention": None, "hour_retention": None}


def moment(second):
    return datetime.fromtimestamp(BASE + second, timezone.utc)


def metric(name, value, second=0, **fields):
    timestamp = int((BASE + second) * SECOND)
    return Metric({"name": name, "value": value, "hostname": "h", "timestamp": timestamp, **fields})


def kept(kind, name, value, unit=None):
    return Metric({"name": name, "value": value, "timestamp": BASE * SECOND}, kind=kind, unit=unit)


def write(path, metrics, **options):
    with SQLiteBackend(path, **{**FOREVER, **options}) as backend:
        backend.write_many(metrics)
    return path
