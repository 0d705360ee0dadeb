"""Numbers as people read them: three significant figures with a unit, counts with separators."""

from __future__ import annotations

_UNITS = (("ns", 1e-6), ("µs", 1e-3), ("ms", 1.0), ("s", 1e3), ("min", 6e4), ("h", 3.6e6))
"""Each unit and how many milliseconds it has."""

# Up to two minutes and two hours, the smaller unit says more.
_UNTIL = {"ns": 1e3, "µs": 1e3, "ms": 1e3, "s": 120.0, "min": 120.0, "h": float("inf")}
_FIGURES = 3
_SCALES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_BYTES = ("B", "KiB", "MiB", "GiB", "TiB")
# From a thousand on, the next unit takes fewer letters.
_THOUSAND, _KIBI = 1000.0, 1024.0
_EXACT_BELOW = 10_000
_WHOLE, _LARGE = 1e3, 1e6


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


def quantity(number: float | None, unit: str | None = None) -> str:
    """Return a number of any kind with its unit, if it has one; a duration when the unit is ``ms``.

    Example:
        >>> [quantity(number, "jobs") for number in (3.0, 0.25, 12345.6, -0.0000123, None)]
        ['3 jobs', '0.25 jobs', '12,346 jobs', '-1.23e-05 jobs', '-']
        >>> quantity(0.25), quantity(1.2e9, "B"), quantity(1240, "ms")
        ('0.25', '1.20 G B', '1.24 s')
    """
    if unit == "ms" or number is None:
        return duration(number)
    size = abs(number)
    is_plain = size < _LARGE and (size >= _WHOLE or number == int(number))
    text = f"{number:,.0f}" if is_plain else _scaled(number) if size >= _LARGE else f"{number:.{_FIGURES}g}"
    return f"{text} {unit}" if unit else text


def size(number: float | None) -> str:
    """Return a number of bytes with its unit, a multiple of 1 024; a dash when there is none.

    Example:
        >>> [size(number) for number in (0, 512, 4096, -1_572_864, 999.9 * 1024, 5e12, None)]
        ['0 B', '512 B', '4.00 KiB', '-1.50 MiB', '0.98 MiB', '4.55 TiB', '-']
    """
    if number is None:
        return "-"
    scaled = abs(number)
    unit = _BYTES[0]
    for unit in _BYTES:
        if float(_three_figures(scaled)) < _THOUSAND or unit == _BYTES[-1]:
            break
        scaled /= _KIBI
    text = f"{scaled:.0f}" if unit == _BYTES[0] else _three_figures(scaled)
    return f"{'-' if number < 0 and float(text) else ''}{text} {unit}"


def change(number: float | None) -> str:
    """Return by how many bytes something grew or shrank, with its sign; a dash when that is not known.

    Example:
        >>> [change(number) for number in (4096, -4096, 0, None)]
        ['+4.00 KiB', '-4.00 KiB', '0 B', '-']
    """
    text = size(number)
    return f"+{text}" if number is not None and number > 0 and text[0] != "0" else text


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
    return _scaled(number)


def plural(number: int, thing: str) -> str:
    """Return a count with what is counted.

    Example:
        >>> plural(1, "call"), plural(1500, "call")
        ('1 call', '1,500 calls')
    """
    return f"{count(number)} {thing}{'' if number == 1 else 's'}"


def times(number: int) -> str:
    """Return how often.

    Example:
        >>> times(1), times(1500)
        ('once', '1,500 times')
    """
    return "once" if number == 1 else f"{count(number)} times"


def _scaled(number: float) -> str:
    """Return a number from a thousand on with a suffix, one beyond all suffixes with an exponent."""
    scale, suffix = next(each for each in _SCALES if float(_three_figures(abs(number) / each[0])) >= 1)
    if abs(number) / scale >= _WHOLE:
        return f"{number:.{_FIGURES}g}"
    return f"{_three_figures(number / scale)} {suffix}"


def _three_figures(number: float) -> str:
    """Return a number with three significant figures, never in scientific notation."""
    if number >= 10 ** (_FIGURES - 1) - 0.5:
        return f"{number:.0f}"
    for decimals in (1, 2):
        text = f"{number:.{decimals}f}"
        if len(text.lstrip("-").replace(".", "").lstrip("0")) >= _FIGURES or decimals == _FIGURES - 1:
            return text
    return f"{number:.2f}"
