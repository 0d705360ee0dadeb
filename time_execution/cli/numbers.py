"""Numbers as people read them: three significant figures with a unit, counts with separators."""

from __future__ import annotations

_UNITS = (("ns", 1e-6), ("µs", 1e-3), ("ms", 1.0), ("s", 1e3), ("min", 6e4), ("h", 3.6e6))
"""Each unit and how many milliseconds it has."""

# Up to two minutes and two hours, the smaller unit says more.
_UNTIL = {"ns": 1e3, "µs": 1e3, "ms": 1e3, "s": 120.0, "min": 120.0, "h": float("inf")}
_FIGURES = 3
_SCALES = ((1e9, "G"), (1e6, "M"), (1e3, "k"))
_EXACT_BELOW = 10_000


def duration(milliseconds: float | None) -> str:
    """Return a duration with its unit; a dash when there is none.

    Example:
        >>> [duration(number) for number in (1240.0, 312.4, 0.0481, 0.00012, 999.9996, 0.0, None)]
        ['1.24 s', '312 ms', '48.1 µs', '120 ns', '1.00 s', '0 ns', '-']
    """
    if milliseconds is None:
        return "-"
    if milliseconds == 0:
        return "0 ns"
    size = abs(milliseconds)
    for unit, length in _UNITS:
        figures = _three_figures(size / length)
        if float(figures) < _UNTIL[unit]:
            return f"{'-' if milliseconds < 0 else ''}{figures} {unit}"
    return f"{milliseconds / _UNITS[-1][1]:.3g} h"


def count(number: int) -> str:
    """Return a whole number with separators.

    Example:
        >>> count(1234567)
        '1,234,567'
    """
    return f"{number:,}"


def short_count(number: int) -> str:
    """Return a whole number, from ten thousand on with three figures and a suffix.

    Example:
        >>> [short_count(number) for number in (999, 9999, 12_345, 1_200_000)]
        ['999', '9,999', '12.3 k', '1.20 M']
    """
    if abs(number) < _EXACT_BELOW:
        return count(number)
    scale, suffix = next(each for each in _SCALES if float(_three_figures(abs(number) / each[0])) >= 1)
    return f"{_three_figures(number / scale)} {suffix}"


def plural(number: int, thing: str) -> str:
    """Return a count with what is counted.

    Example:
        >>> plural(1, "call"), plural(1500, "call")
        ('1 call', '1,500 calls')
    """
    return f"{count(number)} {thing}{'' if number == 1 else 's'}"


def _three_figures(number: float) -> str:
    """Return a number with three significant figures, never in scientific notation."""
    if number >= 10 ** (_FIGURES - 1) - 0.5:
        return f"{number:.0f}"
    for decimals in (1, 2):
        text = f"{number:.{decimals}f}"
        if len(text.lstrip("-").replace(".", "").lstrip("0")) >= _FIGURES or decimals == _FIGURES - 1:
            return text
    return f"{number:.2f}"
