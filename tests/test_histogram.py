"""Log-bucketed histograms: order, bounds, merging, and how far percentiles may be off."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from time_execution.formats.histogram import (
    GAMMA,
    HIGHEST,
    NO_NUMBER,
    RELATIVE_ERROR,
    ZERO,
    bounds,
    bucket_of,
    estimate,
    quantiles,
)

finite = st.floats(allow_nan=False, allow_infinity=False)
within_reach = st.one_of(
    st.just(0.0),
    st.floats(min_value=1e-12, max_value=1e23),
    st.floats(min_value=-1e23, max_value=-1e-12),
    st.integers(min_value=-(10**18), max_value=10**18),
)
# Logarithms are rounded: a number on the edge of a bucket may fall on either side.
TOLERANCE = 1e-9


def nearest_rank(numbers, percent):
    """Return the exact percentile that `quantiles` estimates, reckoned in integers."""
    rank = max(1, -(-percent * len(numbers) // 100))
    return sorted(numbers)[rank - 1]


@given(finite)
def test_any_finite_number_has_a_bucket(number):
    """Every finite float, subnormal or huge, falls in a bucket that fits into 12 bits and is not the free one."""
    assert NO_NUMBER < bucket_of(number) <= HIGHEST < 4096


@given(st.lists(finite, min_size=2, max_size=2))
def test_buckets_are_in_the_order_of_their_numbers(numbers):
    """A greater number never falls in a lower bucket."""
    low, high = sorted(numbers)
    assert bucket_of(low) <= bucket_of(high)


@given(within_reach)
def test_a_number_lies_within_the_bounds_of_its_bucket(number):
    """The bounds of a number's bucket enclose it, but for rounding at the very edge."""
    low, high = bounds(bucket_of(number))
    slack = abs(number) * TOLERANCE
    assert low - slack <= number <= high + slack


def test_buckets_leave_no_gap_and_do_not_overlap():
    """Each begins where the one below ends, and is wider by the same factor."""
    for bucket in range(ZERO + 2, HIGHEST + 1):
        low, high = bounds(bucket)
        assert low == bounds(bucket - 1)[1]
        assert high / low == pytest.approx(GAMMA)
        assert bounds(2 * ZERO - bucket) == (-high, -low)


def test_what_files_hold_keeps_its_meaning():
    """Counts of buckets are stored for years: the bucket of a number must never change."""
    numbers = (-1e30, -1.0, -5e-324, 0.0, 5e-324, 1e-6, 0.001, 1.0, 1.03, 1000.0, 86_400_000.0, 1e30)
    assert [bucket_of(number) for number in numbers] == [
        *(1, 1348, 2047, 2048, 2049),
        *(2403, 2576, 2748, 2749, 2921, 3205, 4095),
    ]


@given(within_reach)
def test_the_estimate_is_as_close_as_promised(number):
    """The number that stands for a bucket is off by no more than the relative error."""
    assert abs(estimate(bucket_of(number)) - number) <= abs(number) * (RELATIVE_ERROR + TOLERANCE)


@given(finite)
def test_negative_numbers_mirror_positive_ones(number):
    """A number and its negative are equally far from zero's bucket, on either side."""
    assert bucket_of(number) - ZERO == ZERO - bucket_of(-number)


@pytest.mark.parametrize(
    ("number", "error"), [(math.nan, ValueError), (math.inf, OverflowError), (-math.inf, OverflowError)]
)
def test_what_is_not_finite_is_refused(number, error):
    """NaN and the infinities raise, so that a caller cannot count them by mistake."""
    with pytest.raises(error):
        bucket_of(number)


@given(st.lists(within_reach, min_size=1, max_size=200), st.lists(st.integers(0, 100), min_size=1, max_size=5))
def test_percentiles_are_within_the_stated_error(numbers, percents):
    """Any percentile of any numbers is within the relative error of the exact nearest-rank one."""
    percents.sort()
    counts = Counter(map(bucket_of, numbers))
    for percent, found in zip(percents, quantiles(counts, *(percent / 100 for percent in percents)), strict=True):
        exact = nearest_rank(numbers, percent)
        assert abs(found - exact) <= abs(exact) * (RELATIVE_ERROR + TOLERANCE)


@given(st.lists(st.lists(within_reach, max_size=30), min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_merging_is_addition_in_any_order(parts, random):
    """Histograms of parts, added up in any order and grouping, are the histogram of everything."""
    whole = Counter(bucket_of(number) for part in parts for number in part)
    waiting = [Counter(map(bucket_of, part)) for part in parts]
    while len(waiting) > 1:
        left = waiting.pop(random.randrange(len(waiting)))
        right = waiting.pop(random.randrange(len(waiting)))
        waiting.append(left + right)
    assert waiting[0] == whole


@pytest.mark.parametrize("count", [1, 3, 7, 19, 100, 1000])
def test_ranks_do_not_suffer_from_float_rounding(count):
    """The p-th percentile of n numbers is the one at rank ceil(p * n / 100), for every whole percent."""
    numbers = [1.1**power for power in range(count)] if count < 1000 else [1.05**power for power in range(count)]
    counts = Counter(map(bucket_of, numbers))
    for percent in range(101):
        (found,) = quantiles(counts, percent / 100)
        assert found == pytest.approx(nearest_rank(numbers, percent), rel=RELATIVE_ERROR + TOLERANCE)


@pytest.mark.parametrize("fractions", [(0.9, 0.5), (-0.1,), (1.1,), (math.nan,)])
def test_fractions_must_ascend_within_their_range(fractions):
    """Fractions out of order or out of range are refused."""
    with pytest.raises(ValueError, match="ascend"):
        quantiles({ZERO: 1}, *fractions)


def test_an_empty_histogram_has_no_percentiles():
    """Asking for a percentile of nothing raises instead of inventing a number."""
    with pytest.raises(ValueError, match="without a number"):
        quantiles({}, 0.5)
