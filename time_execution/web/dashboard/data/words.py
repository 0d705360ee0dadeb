"""Numbers as sentences say them: three figures, with their unit."""

from __future__ import annotations

_LONGEST_NAME = 80
_LEAST_PERCENT = 0.01
_HUNDRED = 100
_UNITS = ((1e3, "s", 1e3), (1.0, "ms", 1.0), (0.0, "µs", 1e-3))
_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86_400.0


def duration(milliseconds: float) -> str:
    """Return a duration, such as ``312 ms``.

    Example:
        >>> duration(1240.4), duration(312.04), duration(0.0482)
        ('1.24 s', '312 ms', '48.2 µs')
    """
    for least, unit, scale in _UNITS:
        if milliseconds >= least:
            return f"{figures(milliseconds / scale)} {unit}"
    return f"{figures(milliseconds)} ms"


def percent(number: float) -> str:
    """Return a share of a hundred, such as ``6.2 %``."""
    return f"{figures(number)} %" if number >= _LEAST_PERCENT or number == 0 else f"under {_LEAST_PERCENT} %"


def count(number: int, thing: str, things: str = "") -> str:
    """Return how many things there are, such as ``1,240 metrics``.

    Example:
        >>> count(1, "metric"), count(1240, "metric"), count(2, "process", "processes")
        ('1 metric', '1,240 metrics', '2 processes')
    """
    return f"{number:,} {thing if number == 1 else things or f'{thing}s'}"


def figures(number: float) -> str:
    """Return a number with two or three figures, and no digits that say nothing.

    Example:
        >>> [figures(number) for number in (1234.5, 312.04, 6.25, 0.0482, 3.0)]
        ['1,234', '312', '6.25', '0.0482', '3']
    """
    return f"{number:,.0f}" if abs(number) >= _HUNDRED else f"{float(f'{number:.3g}'):g}"


def ago(seconds: float) -> str:
    """Return how long something is past, such as ``12 minutes``.

    Example:
        >>> ago(50.0), ago(61.0), ago(7300.0), ago(200_000.0)
        ('50 seconds', '1 minute', '2 hours', '2 days')
    """
    for unit, thing in ((_DAY, "day"), (_HOUR, "hour"), (_MINUTE, "minute")):
        if seconds >= unit:
            return count(int(seconds // unit), thing)
    return count(max(0, int(seconds)), "second")


def several(names: list[str], most: int = 3) -> str:
    """Return names in a row, the first few of many.

    Example:
        >>> several(["a"]), several(["a", "b"]), several(["a", "b", "c", "d", "e"])
        ('a', 'a and b', 'a, b, c and 2 more')
    """
    shown = [short(name) for name in names[:most]]
    if len(names) > most:
        return f"{', '.join(shown)} and {len(names) - most} more"
    return " and ".join(filter(None, (", ".join(shown[:-1]), shown[-1]))) if shown else ""


def short(name: str) -> str:
    """Return a name, of a long one its end, which tells most."""
    return name if len(name) <= _LONGEST_NAME else f"…{name[1 - _LONGEST_NAME :]}"
