"""What people type and read at the command line: spans, moments, bounds, and numbers with their units."""

from __future__ import annotations

import argparse
from datetime import datetime, timedelta, timezone

import pytest

from time_execution.cli.bounds import seconds, whole
from time_execution.cli.moments import moment
from time_execution.cli.numbers import duration, plural, quantity, short_count, times

UTC = timezone.utc
NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("90s", timedelta(seconds=90)),
        ("15m", timedelta(minutes=15)),
        ("1.5h", timedelta(minutes=90)),
        ("7d", timedelta(days=7)),
        ("2w", timedelta(days=14)),
        (" 0.5 d ", timedelta(hours=12)),
    ],
)
def test_a_span_counts_back_from_now(text, span):
    """Seconds, minutes, hours, days and weeks, whole or not."""
    before = datetime.now(UTC)
    found = moment(text)
    assert before - span <= found <= datetime.now(UTC) - span
    assert found.tzinfo is UTC


@pytest.mark.usefixtures("far_from_utc")
@pytest.mark.parametrize(
    "text",
    [
        "2024-05-01T12:00:00Z",
        "2024-05-01T12:00:00z",
        "2024-05-01T14:00+02:00",
        "2024-05-01T17:30",
        " 2024-05-01 17:30 ",
    ],
)
def test_a_time_without_a_zone_is_local(text):
    """As a clock on the wall shows it; one with a zone is taken at its word."""
    assert moment(text) == NOON


@pytest.mark.parametrize(
    "text",
    ["", "soon", "1y", "-1h", "h", "1h30m", "2024-13-01", "99999999999w", "9" * 400 + "d", "0001-01-01T00:00+14:00"],
)
def test_what_is_no_moment_is_wrong_usage(text):
    """Also a moment before all calendars."""
    with pytest.raises(argparse.ArgumentTypeError, match="neither a time span such as"):
        moment(text)


def test_whole_numbers_have_bounds():
    """Both bounds are taken, nothing beyond them is."""
    assert [whole(0)("0"), whole(0)("99999"), whole(1, 5)("1"), whole(1, 5)(" 5 ")] == [0, 99999, 1, 5]
    for parse, text, said in (
        (whole(0), "-1", "of 0 or more"),
        (whole(1, 5), "0", "from 1 to 5"),
        (whole(1, 5), "6", "from 1 to 5"),
        (whole(1, 5), "2.0", "from 1 to 5"),
        (whole(1, 5), "", "from 1 to 5"),
    ):
        with pytest.raises(argparse.ArgumentTypeError, match=said):
            parse(text)


def test_seconds_have_bounds():
    """Both bounds are taken; neither NaN nor an infinity is a number of seconds."""
    parse = seconds(0.05, 3600)
    assert [parse("0.05"), parse("3600"), parse("1e1")] == [0.05, 3600.0, 10.0]
    for text in ("0.049", "3600.1", "nan", "inf", "-inf", "-1", "fast", ""):
        with pytest.raises(argparse.ArgumentTypeError, match=r"no number of seconds from 0\.05 to 3600"):
            parse(text)


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (0, "0 ns"),
        (0.0, "0 ns"),
        (-0.0, "0 ns"),
        (119_400.0, "119 s"),
        (119_600.0, "1.99 min"),
        (120_500.0, "2.01 min"),
        (-61_000.0, "-61.0 s"),
        (119.4 * 60_000, "119 min"),
        (121 * 60_000.0, "2.02 h"),
        (float("inf"), "inf h"),
        (None, "-"),
    ],
)
def test_durations_have_a_unit_that_fits(milliseconds, text):
    """Up to two of the next, the smaller unit says more."""
    assert duration(milliseconds) == text


def test_counts_and_quantities_at_their_edges():
    """Where separators end and suffixes begin."""
    assert [short_count(number) for number in (9_999, 10_000, -10_000)] == ["9,999", "10.0 k", "-10.0 k"]
    assert [quantity(number) for number in (999.5, 999_999, 1e6, 9.99e14, 1e15)] == [
        "1e+03",
        "999,999",
        "1.00 M",
        "999 T",
        "1e+15",
    ]
    assert [plural(0, "call"), plural(1, "call"), plural(2, "call")] == ["0 calls", "1 call", "2 calls"]
    assert [times(0), times(1), times(2)] == ["0 times", "once", "2 times"]
