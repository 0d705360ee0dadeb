"""Moments in the three shapes they have here: integer nanoseconds, aware datetime, ISO 8601 text.

Nanoseconds since the epoch are what the pipeline carries; `datetime` is what users see; text is what goes on the wire.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone

from time_execution.types import TIMESTAMP, Metric

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MICROSECOND = timedelta(microseconds=1)
_EXACT = (1 << 33) * 1_000_000
_FIRST_MOMENT = datetime.min.replace(tzinfo=timezone.utc)
_LAST_MOMENT = datetime.max.replace(tzinfo=timezone.utc)


def to_datetime(nanoseconds: int) -> datetime:
    """Return the aware UTC datetime of a moment, cut (not rounded) to microseconds.

    Exact, though by way of a float: up to the year 2242 two neighbouring floats are less than half a microsecond
    apart, so the nearest microsecond is the one meant; it takes a third of the time of adding a `timedelta`.
    """
    microseconds = nanoseconds // 1000
    if 0 <= microseconds < _EXACT:
        return datetime.fromtimestamp(microseconds / 1_000_000, timezone.utc)
    return _EPOCH + timedelta(microseconds=microseconds)


def to_nanoseconds(moment: datetime) -> int:
    """Return a moment as integer nanoseconds since the epoch; a naive datetime is taken as UTC."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return (moment - _EPOCH) // _MICROSECOND * 1000


def to_iso(moment: datetime | int) -> str:
    """Return ISO 8601 with six digits of microseconds and ``Z``, as documents carry it.

    Example:
        >>> to_iso(1_700_000_000_000_001_999)
        '2023-11-14T22:13:20.000001Z'
    """
    if isinstance(moment, int):
        moment = to_datetime(moment)
    elif moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    # Not strftime, which leaves years before 1000 without their zeros.
    return moment.astimezone(timezone.utc).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def with_datetimes(metrics: Sequence[Metric]) -> Sequence[Metric]:
    """Turn the timestamps of metrics into datetimes, in place; return the metrics."""
    for metric in metrics:
        timestamp = metric.get(TIMESTAMP)
        if type(timestamp) is int:
            metric[TIMESTAMP] = _moment(timestamp)
    return metrics


def with_nanoseconds(metrics: Sequence[Metric]) -> Sequence[Metric]:
    """Turn the timestamps of metrics into nanoseconds, in place; return the metrics."""
    for metric in metrics:
        timestamp = metric.get(TIMESTAMP)
        if isinstance(timestamp, datetime):
            metric[TIMESTAMP] = to_nanoseconds(timestamp)
    return metrics


def _moment(nanoseconds: int) -> datetime:
    """Return the datetime of a moment, the nearest that there is for one beyond the calendar."""
    try:
        return to_datetime(nanoseconds)
    except OverflowError:
        return _FIRST_MOMENT if nanoseconds < 0 else _LAST_MOMENT
