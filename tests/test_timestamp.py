"""Moments as nanoseconds, datetimes and text: exact in all of the calendar, and UTC whatever the machine's zone is."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from time_execution.formats.json import nanoseconds_text
from time_execution.formats.timestamp import to_datetime, to_iso, to_nanoseconds

UTC = timezone.utc
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIRST = datetime.min.replace(tzinfo=UTC)
LAST = datetime.max.replace(tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
CALENDAR = st.integers((FIRST - EPOCH) // MICROSECOND * 1000, (LAST - EPOCH) // MICROSECOND * 1000 + 999)


@given(CALENDAR)
@example(2**33 * 10**9 + 1000)
@example(10**10 * 10**9 + 123_457_000)
@example(250_000_000_000 * 10**9 + 999_999_000)
@example(-1)
def test_any_moment_of_the_calendar_is_exact_to_the_microsecond(nanoseconds):
    """From the year 1 to 9999, cut and not rounded, there and back."""
    moment = to_datetime(nanoseconds)
    assert moment == EPOCH + nanoseconds // 1000 * MICROSECOND
    assert moment.tzinfo is UTC
    assert to_nanoseconds(moment) == nanoseconds // 1000 * 1000
    assert to_iso(nanoseconds) == to_iso(moment) == nanoseconds_text(nanoseconds)
    assert datetime.strptime(to_iso(nanoseconds), "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC) == moment


@pytest.mark.parametrize("nanoseconds", [-(10**20), 10**21, -(10**23), 10**23, -(10**30), 10**30])
def test_a_moment_beyond_the_calendar_is_an_overflow(nanoseconds):
    """One kind of error for both ends and any distance, which callers know how to take."""
    with pytest.raises(OverflowError):
        to_datetime(nanoseconds)
    assert nanoseconds_text(nanoseconds) == nanoseconds


@pytest.mark.usefixtures("far_from_utc")
def test_a_naive_datetime_is_utc_in_any_zone():
    """What has no zone means UTC, and not what the machine's clock shows."""
    naive = NOON.replace(tzinfo=None)
    assert to_nanoseconds(naive) == to_nanoseconds(NOON) == 1_714_564_800 * 10**9
    assert to_iso(naive) == "2024-05-01T12:00:00.000000Z"
    assert to_datetime(1_714_564_800 * 10**9) == NOON


def test_another_zone_becomes_utc():
    """The text is that of the same moment."""
    assert to_iso(NOON.astimezone(timezone(timedelta(hours=2, minutes=30)))) == "2024-05-01T12:00:00.000000Z"


def test_years_have_four_digits():
    """Texts of moments sort as the moments do."""
    assert to_iso(FIRST) == "0001-01-01T00:00:00.000000Z"
    assert to_iso(LAST) == "9999-12-31T23:59:59.999999Z"
