"""What metrics may hold, at its worst: names, keys and values that every backend has to survive."""

from __future__ import annotations

import enum
import math
import threading
import uuid
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

HOSTILE_NAMES = (
    "",
    " ",
    "a\r\nb",
    "a\x00b",
    "\x1b[31mred\x1b[0m",
    "\u202eright to left",
    "😀 émoji",
    "\"double\" 'single' `back`",
    "a,b;c\td",
    "a=b{c}[d]",
    "a\u2028b\u2029c\u0085d\rlone",
    "\ud800 lone surrogate",
    "=1+1",
    "@cmd",
    "'quoted",
    "back\\slash",
    "../../etc/passwd",
    "'; DROP TABLE raw; --",
    "<script>alert(1)</script>",
    "x" * 1000,
)
"""Names that a backend keeps apart and gives back as they were, or changes in a way that it documents."""

HOSTILE_KEYS = ("self", "cls", "name_", "metrics", "kind", "a b", "a=b", "", "\u2028", "$float", "\ud800", "=1+1")
"""Names of fields; ``self`` is one that a method with keyword arguments cannot take."""


class TouchedError(Exception):
    """Code of a user's class was run."""


def touch(*_args: Any, **_kwargs: Any) -> Any:
    """Raise; stands in for every method of a hostile class.

    Raises:
        TouchedError: Always.
    """
    raise TouchedError


class Colour(enum.Enum):
    """A plain enumeration."""

    RED = "red"
    BLUE = 3


@dataclass
class Point:
    """A plain dataclass with a field that its author keeps out of sight."""

    x: int
    y: float
    secret: str = field(default="hunter2", repr=False)


@dataclass(slots=True)
class Slotted:
    """A dataclass without an instance dict."""

    left: Any
    right: Any


_METHODS = """
    __repr__ __str__ __eq__ __ne__ __lt__ __hash__ __iter__ __next__ __len__ __bool__ __getitem__ __contains__
    __format__ __int__ __float__ __index__ __bytes__ __fspath__ __reduce_ex__ __getattribute__ __sizeof__
    keys items values get copy decode isoformat tzinfo utcoffset total_seconds value name
""".split()  # noqa: SIM905 - a list of forty names fills forty lines


def hostile_class(*bases: type) -> Any:
    """Return a class that extends the bases, and in which all methods raise `TouchedError`."""
    return type("Hostile", bases, {**dict.fromkeys(_METHODS, touch), "__class__": property(touch)})


def hostile_dict() -> Any:
    """Return a dict with an item in which all methods raise."""
    value = dict.__new__(hostile_class(dict))
    dict.__init__(value, a=1)
    return value


def cyclic() -> dict[str, Any]:
    """Return a dict that contains itself, also by way of a list."""
    value: dict[str, Any] = {"name": "loop"}
    value["self"] = value
    value["list"] = [value]
    return value


def nested(depth: int) -> dict[str, Any]:
    """Return a dict of so many levels."""
    top: dict[str, Any] = {}
    level = top
    for _ in range(depth):
        level["next"] = level = {}
    return top


def hostile_values() -> dict[str, Any]:
    """Return values by a short name, for reading only; each may be handed to any backend."""
    return {
        "lock": threading.Lock(),
        "class": threading.Thread,
        "lambda": lambda: None,
        "iterator": iter([1]),
        "cycle": cyclic(),
        "object that raises": object.__new__(hostile_class()),
        "dict that raises": hostile_dict(),
        "str that raises": str.__new__(hostile_class(str), "text"),
        "bytes": b"abc",
        "bytes, not UTF-8": b"\xff\xfe\x00",
        "Decimal": Decimal("12.5"),
        "Decimal NaN": Decimal("sNaN"),
        "Decimal beyond floats": Decimal("1E+400"),
        "Fraction": Fraction(1, 3),
        "set": {3, 1, 2},
        "mixed set": {1, "a", None},
        "Enum": Colour.RED,
        "dataclass": Point(1, 2.5),
        "slots": Slotted("a", [1]),
        "UUID": uuid.UUID(int=5),
        "path": Path("a/b"),
        **_moments(),
        "complex": 1 + 2j,
        "lone surrogate": "a\ud800b",
        "surrogate pair": "\ud83d\ude00",
        "NaN": math.nan,
        "inf": math.inf,
        "-inf": -math.inf,
        "-0.0": -0.0,
        "10**400": 10**400,
        "2**64": 2**64,
        "bool": True,
        "None": None,
        "negative": -1.5,
        "int keys": {1: "a", "1": "b", None: "c", (1, 2): "d"},
        **_huge_values(),
    }


def _moments() -> dict[str, Any]:
    return {
        "datetime": datetime(2024, 2, 29, 12, 0, 0, 123456, tzinfo=timezone.utc),
        "naive datetime": datetime(2024, 2, 29, 12),  # noqa: DTZ001 - the case
        "earliest datetime": datetime.min.replace(tzinfo=timezone(timedelta(hours=5))),
        "date": date(2024, 2, 29),
        "time": time(12, 30),
        "timedelta": timedelta(minutes=1),
    }


@cache
def _huge_values() -> dict[str, Any]:
    """Return those that take long to make; made once, for nobody changes them."""
    return {
        "deep": nested(10_000),
        "million digits": 1 << 4_000_000,
        "10 MB text": "x" * 10_485_760,
        "1 M items": list(range(1_000_000)),
    }
