"""Log-bucketed histograms: which bucket a number falls in, and percentiles from the counts of buckets.

A bucket is an integer from 1 to 4095, in the order of the numbers it stands for, so counts can live in any store, and
histograms of the same numbers are merged by adding counts: in whatever order, the result is the same. Each bucket is
`GAMMA` times as wide as the one below, which bounds the relative error of any percentile by `RELATIVE_ERROR`.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil, exp, log

RELATIVE_ERROR = 0.02
"""The most that a percentile is off, as a share of the exact one, for magnitudes from 1e-12 to 1e23."""

GAMMA = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR)
"""The upper bound of each bucket of positive numbers over its lower bound."""

NO_NUMBER = 0
"""Never returned by `bucket_of`: free for rows without a number, where a store wants an integer for each row."""

ZERO = 2048
HIGHEST = 2 * ZERO - 1
# The bucket that ends at 1.0: 700 buckets reach down to 7e-13, the other 1 347 up to 2.5e23.
_ONE = ZERO + 700
_SCALE = 1 / log(GAMMA)


def bucket_of(value: float) -> int:
    """Return the bucket of a finite number; negative numbers mirror the positive ones.

    Magnitudes outside of what the buckets reach count in the outermost ones.

    Raises:
        ValueError: For NaN.
        OverflowError: For an infinity.

    Example:
        >>> [bucket_of(number) for number in (-1.0, 0.0, 0.001, 1.0, 1.03)]
        [1348, 2048, 2576, 2748, 2749]
    """
    if value > 0:
        bucket = _ONE + ceil(log(value) * _SCALE)
        return bucket if ZERO < bucket <= HIGHEST else max(ZERO + 1, min(bucket, HIGHEST))
    if value < 0:
        return 2 * ZERO - bucket_of(-value)
    if value == 0:
        return ZERO
    raise ValueError("NaN belongs to no bucket")


def bounds(bucket: int) -> tuple[float, float]:
    """Return the numbers between which a bucket lies: above the first, up to and with the second.

    For negative numbers it is from and with the first, below the second; for zero both are zero.
    """
    if bucket == ZERO:
        return 0.0, 0.0
    if bucket < ZERO:
        low, high = bounds(2 * ZERO - bucket)
        return -high, -low
    return exp((bucket - 1 - _ONE) / _SCALE), exp((bucket - _ONE) / _SCALE)


def estimate(bucket: int) -> float:
    """Return the number that stands for a bucket: equally far off, in relation, from either end of it."""
    if bucket == ZERO:
        return 0.0
    if bucket < ZERO:
        return -estimate(2 * ZERO - bucket)
    return exp((bucket - _ONE) / _SCALE) * (1 - RELATIVE_ERROR)


def quantiles(counts: Mapping[int, int], *fractions: float) -> list[float]:
    """Return, for each fraction of the numbers counted, an estimate of the smallest number that covers it.

    What is estimated is the nearest-rank percentile: the number at position ``ceil(fraction * count)`` in ascending
    order, the first for a fraction of 0.

    Args:
        counts: How many numbers fell in each bucket; at least one.
        fractions: From 0 to 1, ascending.

    Raises:
        ValueError: When nothing was counted, or the fractions do not ascend within 0 and 1.

    Example:
        >>> counts = {bucket_of(number): 10 for number in range(1, 11)}
        >>> [round(number, 1) for number in quantiles(counts, 0.5, 0.95)]
        [5.1, 10.0]
    """
    total = sum(counts.values())
    if total <= 0:
        raise ValueError("a histogram without a number has no percentiles")
    if list(fractions) != sorted(fractions) or not all(0 <= fraction <= 1 for fraction in fractions):
        raise ValueError("the fractions must ascend within 0 and 1")
    found: list[float] = []
    covered = 0
    buckets = iter(sorted(counts))
    bucket = ZERO
    for fraction in fractions:
        # Rounded first: 0.07 * 100 is 7.000000000000001 in floats, and its rank 7.
        rank = max(1, ceil(round(fraction * total, 6)))
        while covered < rank:
            bucket = next(buckets)
            covered += counts[bucket]
        found.append(estimate(bucket))
    return found
