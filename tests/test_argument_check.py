"""What constructors ask of their arguments: which numbers are taken, and what is said of the others."""

from __future__ import annotations

import math
import re

import pytest

from time_execution.argument_check import (
    check_counts,
    check_ports,
    check_seconds,
    check_switches,
    check_timeouts,
    check_use,
)
from time_execution.exceptions import ConfigurationError

NO_NUMBERS = ["5", "hunter2", None, True, [5], 1j]


@pytest.mark.parametrize(
    ("check", "taken", "refused", "words"),
    [
        (
            check_timeouts,
            [1, 0.001, 86_399],
            [0, -1, 86_400, math.nan, math.inf],
            "seconds above 0, and less than a day",
        ),
        (check_seconds, [1, 0.001, 1e9], [0, -0.5, math.nan, math.inf], "seconds above 0"),
        (lambda a: check_seconds(or_zero=True, a=a), [0, 0.0, 5], [-1, math.nan, math.inf], "seconds, 0 or more"),
        (check_counts, [1, 10**30], [0, -1, 1.0, 1.5], "a whole number of at least 1"),
        (lambda a: check_counts(least=0, a=a), [0, 1], [-1, 0.0], "a whole number of at least 0"),
        (check_ports, [1, 65_535], [0, 65_536, 80.0], "a whole number from 1 to 65535"),
        (check_switches, [True, False], [0, 1, 0.0], "true or false"),
    ],
)
def test_what_is_taken_and_what_is_refused(check, taken, refused, words):
    """Numbers within the range and no others; the message names the argument and shows numbers, but never a text."""
    for value in taken:
        check(a=value)
    for value in refused + [value for value in NO_NUMBERS if value not in taken]:
        shown = value if type(value) in {int, float} else type(value).__name__
        with pytest.raises(ConfigurationError, match=rf"^a must be .*{words}, got {re.escape(str(shown))}$"):
            check(a=value)


def test_the_first_of_several_that_is_wrong_is_named():
    """Those before it are right."""
    with pytest.raises(ConfigurationError, match=r"^second must be"):
        check_timeouts(first=1, second=0, third="x")


def test_what_nothing_would_read_is_refused():
    """Whatever its value, unless it was not given; the value is not shown."""
    check_use("without port", address=None, token=None)
    for value in ("hunter2", "", 0, False):
        with pytest.raises(ConfigurationError, match=r"^token is of no use without port$"):
            check_use("without port", address=None, token=value)
