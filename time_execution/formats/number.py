"""Numbers for stores that take numbers only."""

from __future__ import annotations

import math
from typing import Any

from time_execution.formats.snapshot import snapshot
from time_execution.types import VALUE, Metric

_WORD = 1 << 64


def number_field(metric: Metric, value_field: str) -> str:
    """Return the field that holds a metric's number.

    That of a timing is `value_field`, as `settings.duration_field` has it. A number written by hand is under ``value``
    whatever durations are called; where there is no such field, the other one counts.

    Example:
        >>> number_field(Metric({"ms": 5.0, "value": 1}), "ms"), number_field(Metric({"value": 1}, kind="gauge"), "ms")
        ('ms', 'value')
    """
    first, second = (value_field, VALUE) if metric.kind == "timing" else (VALUE, value_field)
    return first if first in metric else second


def finite_number(value: Any) -> int | float | None:
    """Return the number that a value stands for, or None for what is none, NaN, or infinite.

    True counts as 1, a `Decimal` and its like as a float, an integer beyond 64 bits too; a text is no number. Runs no
    code of the value.

    Example:
        >>> finite_number(1.5), finite_number(True), finite_number(float("inf")), finite_number("1")
        (1.5, 1, None, None)
    """
    kind = type(value)
    if kind is float:
        return value if math.isfinite(value) else None
    if kind is not int:
        value = snapshot(value)
        if type(value) is float:
            return finite_number(value)
        if not isinstance(value, int):
            return None
    if -_WORD < value < _WORD:
        return int(value)
    try:
        return float(value)
    except OverflowError:
        return None
