"""Marks of axes: at round places, few, and where their numbers are."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from itertools import pairwise
from math import log10

import pytest
from hypothesis import given
from hypothesis import strategies as st

from time_execution.cli.axis import decades, height_of, heights, moments

NOON = datetime(2024, 5, 1, 12, 0, tzinfo=timezone.utc)


@pytest.fixture(autouse=True)
def _in_utc(in_process):
    """Let local time be UTC."""


@given(st.integers(0, 10**12))
def test_a_plot_ends_at_a_round_number_not_far_above(highest):
    """One or two digits and zeros, at most twice the highest."""
    top = height_of(highest)
    assert max(1, highest) <= top <= max(1, 2 * highest)
    assert f"{top:.0f}".rstrip("0") in {"1", "2", "3", "4", "5", "6", "8"}


def test_heights_are_whole_numbers():
    """Half way up there is a mark only where half of it is whole."""
    assert heights(4, str) == [(0.0, "0"), (0.5, "2"), (1.0, "4")]
    assert heights(1, str) == [(0.0, "0"), (1.0, "1")]


@given(st.floats(1e-9, 1e9), st.floats(1.05, 1e15))
def test_decades_are_where_their_numbers_are(low, ratio):
    """On the logarithmic scale, ascending, and few enough to be read."""
    high = low * ratio
    found = decades(low, high, repr)
    assert len(found) <= 9
    assert all(before.place < after.place for before, after in pairwise(found))
    for place, text in found:
        assert 0 <= place <= 1
        assert low * (high / low) ** place == pytest.approx(float(text))
        assert f"{float(text):e}"[0] in "125"
    if ratio > 20 and ratio < 1e7:
        assert len(found) >= log10(ratio) - 1


def test_without_a_beginning_above_zero_there_are_no_decades():
    """A logarithmic scale has none."""
    assert decades(0.0, 5.0, repr) == decades(-1.0, 5.0, repr) == decades(2.0, 2.0, repr) == []


@pytest.mark.parametrize(
    ("start", "length", "texts"),
    [
        (
            NOON,
            timedelta(seconds=60),
            ["12:00:00", "12:00:10", "12:00:20", "12:00:30", "12:00:40", "12:00:50", "12:01:00"],
        ),
        (NOON + timedelta(seconds=1), timedelta(seconds=100), ["12:00:30", "12:01:00", "12:01:30"]),
        (
            NOON,
            timedelta(milliseconds=4),
            ["12:00:00.000", "12:00:00.001", "12:00:00.002", "12:00:00.003", "12:00:00.004"],
        ),
        (NOON, timedelta(hours=3), ["12:00", "12:30", "13:00", "13:30", "14:00", "14:30", "15:00"]),
        (NOON, timedelta(days=1), ["12:00", "18:00", "May 02", "06:00", "12:00"]),
        (NOON, timedelta(days=4), ["2024-05-02", "2024-05-03", "2024-05-04", "2024-05-05"]),
    ],
)
def test_moments_are_round(start, length, texts):
    """In the zone of whoever looks; a midnight has its day."""
    assert [mark.text for mark in moments(start, length)] == texts


@given(st.integers(0, 10**9), st.integers(1, 4 * 10**14))
def test_moments_are_in_order_and_few(second, microseconds):
    """From a moment after the beginning to the end, for microseconds as for years."""
    found = moments(NOON + timedelta(seconds=second), timedelta(microseconds=microseconds))
    assert len(found) <= 12
    assert all(0 <= mark.place <= 1 for mark in found)
    assert all(before.place < after.place for before, after in pairwise(found))
