"""Numbers for stores that take numbers only."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction

import pytest

from tests.strategies import same
from time_execution.formats.number import finite_number
from time_execution.testing.hostile import Colour, hostile_values


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1.5, 1.5),
        (-0.0, -0.0),
        (0, 0),
        (-3, -3),
        (2**64 - 1, 2**64 - 1),
        (2**64, float(2**64)),
        (-(2**64), -float(2**64)),
        (10**400, None),
        (1 << 4_000_000, None),
        (True, 1),
        (False, 0),
        (Decimal("12.5"), 12.5),
        (Fraction(1, 4), None),
        (Colour.BLUE, 3),
        (math.nan, None),
        (math.inf, None),
        (-math.inf, None),
        (Decimal("1E+400"), None),
        ("1", None),
        (None, None),
        ([1], None),
    ],
)
def test_what_counts_as_a_number(value, expected):
    """A plain finite number, or nothing."""
    found = finite_number(value)
    assert same(found, expected)


@pytest.mark.parametrize("name", list(hostile_values()))
def test_no_value_fails(name):
    """Case B3: whatever stands where the number should be."""
    found = finite_number(hostile_values()[name])
    assert found is None or (type(found) in {int, float} and math.isfinite(found))
