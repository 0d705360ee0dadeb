"""What names and values a tracker takes; whatever it does not is refused at once, with what to do instead."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from time_execution.tracker.line import Scalar

_RESERVED = frozenset({"latencies", "metrics", "repeats"})
REFUSED = _RESERVED | {""}
# An integer of more digits has no text in a Python that limits conversions as far as it can be limited.
_MAX_BITS = 2048
WORD = 1 << 63
_MAX_MILLISECONDS = 10.0**12


def plain_name(name: Any, where: str) -> str:
    """Return a name as a plain text.

    Raises:
        TypeError: When it is no text.
        ValueError: When it is empty.
    """
    if not isinstance(name, str):
        raise TypeError(f"{where}: the name must be a str, not {_kind(name)}; give it a text such as 'orders'")
    if not name:
        raise ValueError(f"{where}: the name must not be empty; give it a text such as 'orders'")
    return str.__str__(name)


def free_name(name: Any, where: str) -> str:
    """Return the name of a metric or an identifier as a plain text.

    Raises:
        TypeError: When it is no text.
        ValueError: When it is empty, or one that the line itself has.
    """
    plain = plain_name(name, where)
    if plain in _RESERVED:
        raise ValueError(f"{where}: the line has a {plain!r} of its own; choose another name")
    return plain


def plain_value(value: Any, where: str) -> Scalar:
    """Return a value as a plain bool, int, float or str; a subclass such as an enumeration's member loses its class.

    NaN and the infinities, which JSON has no form for, become None.

    Raises:
        TypeError: When it is none of these.
        ValueError: When it is an integer of more than 2048 bits.
    """
    kind = type(value)
    if kind is bool or kind is str or (kind is int and -WORD < value < WORD):
        return value  # type: ignore[no-any-return]  # the most of them
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, float):
        plain = float.__float__(value)
        return plain if math.isfinite(plain) else None
    if not isinstance(value, int):
        raise TypeError(
            f"{where}: the value must be a bool, int, float or str, not {_kind(value)}; "
            "convert it first, for instance by str() or float()"
        )
    plain_int = int.__int__(value)
    if plain_int.bit_length() > _MAX_BITS:
        raise ValueError(f"{where}: the value is an int of more than {_MAX_BITS} bits; give it as a str or a float")
    return plain_int


def nanoseconds(value: Any, where: str) -> int:
    """Return a duration that was given in milliseconds, in nanoseconds.

    Raises:
        TypeError: When it is no number.
        ValueError: When it is negative, not finite, or longer than 30 years.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{where}: the value must be a number of milliseconds, not {_kind(value)}")
    if not 0 <= value <= _MAX_MILLISECONDS:
        raise ValueError(f"{where}: the value must be a number of milliseconds from 0 to 10**12")
    # Three decimals are what a line shows; half a nanosecond more keeps a float such as 0.001 from being cut below it.
    return round(value * 1_000_000)


def _kind(value: Any) -> str:
    return "None" if value is None else type(value).__name__
