"""Where the marks of an axis go, and what stands at them: round numbers, round moments. Pure functions."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from math import ceil, floor, log10
from typing import NamedTuple

_MOST_MARKS, _USUAL_MARKS = 8, 6
_FEW_DECADES, _MANY_DECADES = 1.7, 7.0
_SECONDS = (1, 2, 5, 10, 15, 30)
_STEPS = tuple(
    timedelta(seconds=seconds)
    for seconds in (
        *(round(number * 10.0**power, 6) for power in range(-6, 0) for number in (1, 2, 5)),
        *(each * 1 for each in _SECONDS),
        *(each * 60 for each in _SECONDS),
        *(each * 3600 for each in (1, 2, 3, 6, 12)),
        *(each * 86_400 for each in (1, 2, 7, 14, 30, 91, 365, 3650)),
    )
)
_SECOND, _MINUTE, _DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(days=1)
_MILLISECOND, _MICROSECOND = timedelta(milliseconds=1), timedelta(microseconds=1)
_UNITS = (("day", _DAY), ("h", timedelta(hours=1)), ("min", _MINUTE), ("s", _SECOND), ("ms", _MILLISECOND))


class Mark(NamedTuple):
    """A mark of an axis.

    Attributes:
        place: Where it is, from 0 at the beginning of the axis to 1 at its end.
        text: What stands there.
    """

    place: float
    text: str


def height_of(highest: float) -> float:
    """Return the number that a plot ends with whose highest column is this: the next round one.

    Example:
        >>> [height_of(number) for number in (0, 1, 3, 7, 12, 480)]
        [1, 1, 3.0, 8.0, 20.0, 500.0]
    """
    if highest <= 1:
        return 1
    power = 10.0 ** floor(log10(highest))
    return next(number * power for number in (1, 2, 3, 4, 5, 6, 8, 10) if number * power >= highest)


def heights(top: float, text: Callable[[int], str]) -> list[Mark]:
    """Return marks at nothing, the middle, where that is a whole number, and the top."""
    numbers = [0, top / 2, top] if top % 2 == 0 else [0, top]
    return [Mark(number / top, text(round(number))) for number in numbers]


def decades(low: float, high: float, text: Callable[[float], str]) -> list[Mark]:
    """Return marks at round numbers on a logarithmic axis; none where that does not begin above zero.

    Example:
        >>> [(round(mark.place, 2), mark.text) for mark in decades(0.5, 200.0, lambda number: f"{number:g} ms")]
        [(0.12, '1 ms'), (0.5, '10 ms'), (0.88, '100 ms')]
    """
    if not 0 < low < high:
        return []
    span = log10(high / low)
    factors = (1, 2, 5) if span < _FEW_DECADES else (1,)
    every = 1 if span < _MANY_DECADES else ceil(span / _MANY_DECADES) + 1
    found = []
    for power in range(floor(log10(low)), ceil(log10(high)) + 1):
        if power % every == 0:
            numbers = [factor * 10.0**power for factor in factors]
            found += [Mark(log10(number / low) / span, text(number)) for number in numbers if low <= number <= high]
    return found


def round_step(length: timedelta, most: int, *, multiple_of: timedelta = _MICROSECOND) -> timedelta:
    """Return the shortest round time of which a length has no more than so many, or a few more at the ends.

    Args:
        length: What is divided.
        most: The most parts.
        multiple_of: What the step is to be a multiple of.
    """
    fitting = (each for each in _STEPS if length / each <= most and not each % multiple_of)
    return next(fitting, max(multiple_of, _STEPS[-1] * -(-length // (_STEPS[-1] * most))))


def step_text(step: timedelta) -> str:
    """Return a round time as briefly as can be.

    Example:
        >>> [step_text(timedelta(seconds=number)) for number in (0.00005, 0.2, 5, 900, 21600, 86400, 604800)]
        ['50 µs', '200 ms', '5 s', '15 min', '6 h', 'day', '7 days']
    """
    for unit, length in _UNITS:
        if step >= length and not step % length:
            number = step // length
            if unit == "day":
                return unit if number == 1 else f"{number} days"
            return f"{number} {unit}"
    return f"{step // _MICROSECOND} µs"


def decade_choices(low: float, high: float, text: Callable[[float], str]) -> list[list[Mark]]:
    """Return marks as `decades` does, and ever fewer of them."""
    marks = decades(low, high, text)
    tens = [mark for mark in marks if mark.text.lstrip("-0.")[:1] == "1"]
    return [marks, *([tens[::every] for every in range(1, len(tens) + 1)] or [marks[::every] for every in (2, 3, 4)])]


def moment_choices(start: datetime, length: timedelta) -> list[list[Mark]]:
    """Return marks as `moments` does, and ever fewer of them, at rounder moments."""
    found = (moments(start, length, most) for most in range(_MOST_MARKS, 0, -1))
    return [marks for marks in found if marks] or [[Mark(0.0, _moment_text(start.astimezone(), _MILLISECOND))]]


def moments(start: datetime, length: timedelta, most: int = _USUAL_MARKS) -> list[Mark]:
    """Return marks at round moments of local time, `most` or one more of them."""
    step = next((each for each in _STEPS if length / each <= most), _STEPS[-1])
    local = start.astimezone()
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
    # Of days, those count that are whole steps from the first day of all.
    origin = midnight - timedelta(days=midnight.toordinal() % step.days) if step >= _DAY else midnight
    moment = origin + step * -((origin - local) // step)
    marks = []
    while moment <= local + length:
        marks.append(Mark((moment - local) / length, _moment_text(moment, step)))
        moment += step
    return marks


def _moment_text(moment: datetime, step: timedelta) -> str:
    if step >= _DAY:
        return f"{moment:%Y-%m-%d}"
    if moment.time() == moment.time().min:
        return f"{moment:%b %d}"
    if step >= _MINUTE:
        return f"{moment:%H:%M}"
    if step >= _SECOND:
        return f"{moment:%H:%M:%S}"
    return moment.time().isoformat("milliseconds" if step >= _MILLISECOND else "microseconds")
