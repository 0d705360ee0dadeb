"""How long `SQLiteBackend` keeps what: raw rows, minutes, hours and days, each for as long as was said."""

from __future__ import annotations

import time
from datetime import datetime, timezone

import pytest

from tests.backends.sqlite_rows import FOREVER, core, query
from time_execution import report, sqlite_file
from time_execution.backends.sqlite import SQLiteBackend, database, rollup
from time_execution.backends.sqlite.schema import DAY, HOUR, MINUTE, SECOND

BASE = 1_700_000_000 // DAY * DAY
AGES = {"now": 0, "hour": HOUR, "week": 6.9 * DAY, "8 days": 8 * DAY, "quarter": 89 * DAY, "92 days": 92 * DAY}


def kept(path, **options):
    """Store a metric of each age, let the backend do its work, and return what is left: width -> names."""
    now = time.time()
    with SQLiteBackend(path, rollup_rows=1, rollup_interval=0, **options) as backend:
        for name, age in sorted(AGES.items(), key=lambda item: -item[1]):
            backend.write_many([core(name, timestamp=int((now - age) * SECOND))])
        for _ in range(40):
            backend.write_many([core("now", timestamp=int(now * SECOND))])
        assert backend.stats() == {"corrupted": 0, "rollup_failures": 0}
    found = {0: {name for (name,) in query(path, "SELECT name FROM metrics")}}
    for width in (MINUTE, HOUR, DAY):
        rows = query(path, "SELECT name FROM rollup JOIN names ON names.id = name_id WHERE width = ?", width)
        cells = query(path, "SELECT name FROM histogram JOIN names ON names.id = name_id WHERE width = ?", width)
        found[width] = {name for (name,) in rows}
        assert found[width] == {name for (name,) in cells}
    return found


def test_by_default_a_week_a_quarter_and_for_ever(path):
    """Single metrics and minutes stay for a week, hours for ninety days, days for good; all of it is reported."""
    found = kept(path)
    assert found[0] == found[MINUTE] == {"now", "hour", "week"}
    assert found[HOUR] >= {"week", "8 days", "quarter"}
    assert "92 days" not in found[HOUR]
    assert found[DAY] >= {"8 days", "quarter", "92 days"}
    assert {row.name for row in report.read(path)} == set(AGES)


@pytest.mark.parametrize(
    ("options", "gone"),
    [
        ({}, {}),
        ({"retention": 7 * DAY}, {0: {"8 days", "quarter", "92 days"}}),
        ({"minute_retention": 7 * DAY}, {MINUTE: {"8 days", "quarter", "92 days"}}),
        (
            {"minute_retention": 7 * DAY, "hour_retention": 90 * DAY},
            {MINUTE: {"8 days", "quarter", "92 days"}, HOUR: {"92 days"}},
        ),
        (
            {"minute_retention": 7 * DAY, "hour_retention": 7 * DAY, "day_retention": 90 * DAY},
            {
                MINUTE: {"8 days", "quarter", "92 days"},
                HOUR: {"8 days", "quarter", "92 days"},
                DAY: {"92 days"},
            },
        ),
    ],
    ids=["none", "raw", "minutes", "hours", "days"],
)
def test_each_retention_is_that_of_its_own_rows(path, options, gone):
    """What is kept for ever otherwise goes when its time has come, and nothing else goes with it."""
    everything = kept(path.with_name("all.db"), **FOREVER)
    found = kept(path, **{**FOREVER, **options})
    assert {width: everything[width] - names for width, names in found.items() if everything[width] - names} == gone


@pytest.fixture
def connection(path):
    """Give a connection such as the backend has, outside of a transaction."""
    sqlite_file.create(path)
    connection = database.connect(path, busy_timeout=1.0, max_names=10)
    yield connection
    connection.close()


def test_the_boundary_is_the_moment_itself(path, connection):
    """What is exactly as old as is kept stays, what is a nanosecond older goes."""
    now = BASE + 3 * DAY
    cutoff = (now - HOUR) * SECOND
    with SQLiteBackend(path, **FOREVER) as backend:
        backend.write_many([core(timestamp=cutoff + nanoseconds) for nanoseconds in (-1, 0, 1, 2)])
    rollup.roll_up(connection, max_rows=100, now=now)
    rollup.prune(connection, retention={0: HOUR, MINUTE: None, HOUR: None, DAY: None}, now=now)
    assert [row[0] - cutoff for row in query(path, "SELECT timestamp FROM raw ORDER BY 1")] == [0, 1, 2]


def test_what_was_deleted_once_is_not_asked_for_again(path, connection):
    """Though a row comes late, and more is kept from now on, or the clock goes back."""
    now = BASE + 3 * DAY
    with SQLiteBackend(path, **FOREVER) as backend:
        for minute in range(0, 4 * 24 * 60, 30):
            backend.write_many([core(timestamp=(BASE + minute * 60) * SECOND)])
    rollup.roll_up(connection, max_rows=1000, now=now + DAY)
    kept_from = "SELECT kept_from - ? FROM levels WHERE width = 60"
    rollup.prune(connection, retention={0: None, MINUTE: DAY, HOUR: None, DAY: None}, now=now)
    assert query(path, kept_from, BASE) == [(2 * DAY,)]
    with SQLiteBackend(path, **FOREVER) as backend:
        backend.write_many([core(timestamp=BASE * SECOND)])
    rollup.roll_up(connection, max_rows=1000, now=now + DAY)
    rollup.prune(connection, retention={0: None, MINUTE: 2 * DAY, HOUR: None, DAY: None}, now=now)
    assert query(path, kept_from, BASE) == [(2 * DAY,)]
    halfway = datetime.fromtimestamp(BASE + 90 * 60, timezone.utc)
    assert report.read(path, since=halfway)[0].calls == 4 * 48 - 2
    assert report.read(path, until=halfway)[0].calls == 5


def test_where_minutes_are_gone_a_series_is_by_the_hour(path, connection):
    """The shortest period that is there for all of the range, not for its end only."""
    now = BASE + 3 * DAY
    with SQLiteBackend(path, **FOREVER) as backend:
        backend.write_many([core(timestamp=(BASE + hour * HOUR) * SECOND) for hour in range(73)])
    rollup.roll_up(connection, max_rows=1000, now=now + HOUR)
    rollup.prune(connection, retention={0: None, MINUTE: 2 * HOUR, HOUR: None, DAY: None}, now=now)

    def width(hours):
        start = datetime.fromtimestamp(now - hours * HOUR, timezone.utc)
        points = report.series(path, "shop.pay", since=start)
        assert sum(point.stats.calls for point in points) == hours + 1
        return points[0].seconds

    assert [width(2), width(3)] == [MINUTE, HOUR]


def test_many_small_ranges_go_at_once(path, connection):
    """Rows that were rolled up a few at a time are deleted as quickly as those that were rolled up together."""
    for minute in range(10):
        with SQLiteBackend(path, **FOREVER) as backend:
            backend.write_many([core(timestamp=(BASE + minute * 60) * SECOND) for _ in range(5)])
        rollup.roll_up(connection, max_rows=100, now=BASE + DAY)
    retention = {0: HOUR, MINUTE: None, HOUR: None, DAY: None}
    assert rollup.prune(connection, retention=retention, now=BASE + DAY) == 49
    assert query(path, "SELECT count(*) FROM raw") == [(1,)], "the one at the watermark"


def test_hours_are_filled_a_few_buckets_at_a_time(path, connection):
    """What a step costs is bounded by the histogram, too, which has many entries for few names."""
    with SQLiteBackend(path, **FOREVER) as backend:
        for minute in range(60):
            values = [1.1**power for power in range(50)]
            backend.write_many([core(value=value, timestamp=(BASE + minute * 60) * SECOND) for value in values])
    rollup.roll_up(connection, max_rows=3000, now=BASE + DAY)
    filled = []
    for _ in range(3):
        rollup.roll_up(connection, max_rows=100, now=BASE + DAY)
        filled += [end - BASE for (end,) in query(path, "SELECT filled_until FROM levels WHERE width = 3600")]
    assert filled == [120, 240, 360]


def test_a_row_from_the_future_does_not_make_all_others_late(path, connection):
    """Of a host whose clock is ahead: hours are filled up to the present, and not up to its rows."""
    now = BASE + DAY
    with SQLiteBackend(path, **FOREVER) as backend:
        backend.write_many([core(timestamp=second * SECOND) for second in (BASE, now - 60, now + 10 * DAY)])
    rollup.roll_up(connection, max_rows=100, now=now)
    assert query(path, "SELECT filled_until - ? FROM levels WHERE width > 60", now) == [(0,), (0,)]
    assert report.read(path)[0].calls == 3


def test_numbers_that_come_later_are_the_extremes(path):
    """A minute that began with metrics without a number, in an earlier roll-up, gets its least and greatest value."""
    for value in (None, 4.0, None, 2.0, 8.0, None):
        with SQLiteBackend(path, rollup_rows=1, rollup_interval=0, **FOREVER) as backend:
            backend.write_many([core(value=value)])
    (row,) = report.read(path)
    assert (row.calls, row.min, row.max, row.total) == (6, 2.0, 8.0, 14.0)
    assert query(path, "SELECT low, high, total FROM rollup WHERE width = 60") == [(2.0, 8.0, 14.0)]


def test_metrics_without_a_number_take_no_room_in_histograms(path):
    """They are counted in the sums alone."""
    with SQLiteBackend(path, rollup_rows=1, rollup_interval=0, **FOREVER) as backend:
        backend.write_many([core(value=None), core("other", value=1.0)])
    assert query(path, "SELECT count(*) FROM histogram WHERE width = 60") == [(1,)]
    assert query(path, "SELECT sum(calls) FROM rollup WHERE width = 60") == [(2,)]
