"""What stands in one line or row of a file, as the metric that it tells of; files and stores are not known here."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from time_execution.backends.sqlite.schema import LATEST
from time_execution.formats.timestamp import to_nanoseconds
from time_execution.types import HOSTNAME, NAME, TIMESTAMP, VALUE, Metric

CALL_ID = "call_id"
FUNCTION = "function"
STARTED = "started"
ENDED = "ended"
WALL_MS = "wall_ms"
CPU_MS = "cpu_ms"
MEMORY_CHANGE_BYTES = "memory_change_bytes"
RSS_BYTES = "rss_bytes"
ARGUMENTS = "arguments"
FAILED_AT = "time"
ERROR_TYPE = "error_type"

OUTCOME = "outcome"
FINE = "ok"

# Told by the other fields, or too long to be kept for each failed call.
_LEFT_OUT = (STARTED, "traceback")
_MAX_MINUTES = 100_000
_ISO_LENGTH = len("2024-05-01T12:00:00.000000Z")
_END_OF_MINUTE = "60000000"
_minutes: dict[str, int] = {}


def is_timing(record: Mapping[str, Any]) -> bool:
    """Whether a record is one of `Timer`."""
    return WALL_MS in record and FUNCTION in record


def is_failure(record: Mapping[str, Any]) -> bool:
    """Whether a record is one of `ErrorCatcher`."""
    return FUNCTION in record and FAILED_AT in record and "type" in record


def metric_of(record: dict[str, Any], *, otherwise: int, value_field: str = VALUE) -> Metric | None:
    """Return the metric of a record, of which it is made; None for one that is no metric.

    Args:
        record: The fields as they were read; its own afterwards no more.
        otherwise: The moment of a metric that has none, in nanoseconds since the epoch.
        value_field: The field whose number is the value, besides ``value``.
    """
    if is_timing(record):
        return _of_timing(record)
    if is_failure(record):
        return _of_failure(record)
    name, moment = record.get(NAME), record.get(TIMESTAMP)
    nanoseconds = otherwise if moment is None else nanoseconds_of(moment)
    if type(name) is not str or nanoseconds is None:
        return None
    record[TIMESTAMP] = nanoseconds
    if VALUE not in record and value_field not in record:
        return Metric(record, kind="event")
    # What `write_metric` writes has no host unless somebody gives it one; all that is measured has.
    return Metric(record, kind="value" if record.get(HOSTNAME) is None else "timing")


def _of_timing(record: dict[str, Any]) -> Metric | None:
    name, value, moment = record.pop(FUNCTION), record.pop(WALL_MS), nanoseconds_of(record.pop(ENDED, None))
    if type(name) is not str or moment is None or (type(value) is not float and type(value) is not int):
        return None
    # No call takes less than no time.
    if value < 0:
        return None
    for field in _LEFT_OUT:
        record.pop(field, None)
    outcome = record.pop(OUTCOME, None)
    if outcome is not None and outcome != FINE:
        record[ERROR_TYPE] = outcome
    record[NAME], record[VALUE], record[TIMESTAMP] = name, value, moment
    return Metric(record)


def _of_failure(record: dict[str, Any]) -> Metric | None:
    name, moment = record.pop(FUNCTION), nanoseconds_of(record.pop(FAILED_AT))
    if type(name) is not str or moment is None:
        return None
    for field in _LEFT_OUT:
        record.pop(field, None)
    record[ERROR_TYPE] = record.pop("type") or "Exception"
    record[NAME], record[TIMESTAMP] = name, moment
    return Metric(record)


def nanoseconds_of(moment: object) -> int | None:
    """Return ISO 8601 text, UTC unless it names a zone, or a datetime in nanoseconds since the epoch; else None.

    Example:
        >>> nanoseconds_of("1970-01-01T00:00:01.000002Z"), nanoseconds_of("yesterday")
        (1000002000, None)
    """
    if type(moment) is str:
        # Most lines of a file are of a minute that was met before.
        minute = _minutes.get(moment[:17])
        if minute is not None and len(moment) == _ISO_LENGTH and moment[19] == "." and moment[26] == "Z":
            digits = moment[17:19] + moment[20:26]
            if digits.isdecimal() and digits < _END_OF_MINUTE:
                return minute + int(digits) * 1000
        return _parsed(moment)
    if not isinstance(moment, datetime):
        return None
    nanoseconds = to_nanoseconds(moment)
    return nanoseconds if 0 <= nanoseconds <= LATEST else None


def _parsed(text: str) -> int | None:
    try:
        # Before Python 3.11, ``Z`` is not understood.
        moment = datetime.fromisoformat(f"{text[:-1]}+00:00" if text[-1:] in {"Z", "z"} else text)
        nanoseconds = to_nanoseconds(moment)
    except (ValueError, OverflowError):
        return None
    if not 0 <= nanoseconds <= LATEST:
        return None
    if len(text) == _ISO_LENGTH and text.endswith("Z"):
        if len(_minutes) >= _MAX_MINUTES:
            _minutes.clear()
        _minutes[text[:17]] = nanoseconds - (moment.second * 1_000_000 + moment.microsecond) * 1000
    return nanoseconds
