"""What one batch pays for rolling up, deleting and shrinking the file is bounded; later ones do the rest."""

from __future__ import annotations

import sqlite3
import time
from datetime import datetime, timezone
from itertools import pairwise

import pytest

from time_execution import report, sqlite_file
from time_execution.backends.sqlite import SQLiteBackend, database, rollup
from time_execution.backends.sqlite.schema import DAY, HOUR, MINUTE, SECOND
from time_execution.types import Metric

BASE = 1_700_000_000 // DAY * DAY
NEVER = 1e9


@pytest.fixture
def connection(path):
    """Give a connection such as the backend has, outside of a transaction."""
    sqlite_file.create(path)
    connection = database.connect(path, busy_timeout=1.0, max_names=10_000)
    yield connection
    connection.close()


def metric(second, *, name="shop.pay", value=1.5, **fields):
    return Metric({"name": name, "value": value, "hostname": "web-1", "timestamp": second * SECOND, **fields})


def write(path, metrics, **options):
    with SQLiteBackend(
        path, **{"rollup_rows": 1 << 40, "rollup_interval": NEVER, "retention": None, **options}
    ) as backend:
        backend.write_many(metrics)


def one(connection, query, *values):
    return connection.execute(query, values).fetchone()[0]


def ask(path, query, *values):
    connection = sqlite3.connect(path)
    try:
        return one(connection, query, *values)
    finally:
        connection.close()


def counted(path, **options):
    return sum(row.calls for row in report.read(path, **options))


class TestRollUp:
    """A backlog, however it came about, is rolled up bit by bit."""

    def test_one_batch_takes_a_bounded_part_of_a_backlog(self, path):
        """Each batch rolls up about `rollup_rows`, until all is rolled up, and the report is right at any moment."""
        write(path, [metric(BASE + n) for n in range(1000)])
        marks = [0]
        with SQLiteBackend(path, rollup_rows=80, rollup_interval=NEVER, retention=None) as backend:
            for batch in range(14):
                backend.write_many([metric(BASE + 1000 + n) for n in range(10)])
                marks.append(ask(path, "SELECT watermark FROM state"))
                assert counted(path) == 1000 + 10 * (batch + 1)
        assert max(later - earlier for earlier, later in pairwise(marks)) == 80 + 2 * 10
        assert marks[-1] > 1060

    def test_batches_larger_than_a_roll_up_do_not_leave_it_behind(self, path):
        """More rows in a batch than are rolled up at a time do not let the backlog grow."""
        with SQLiteBackend(path, rollup_rows=80, rollup_interval=NEVER, retention=None) as backend:
            for batch in range(10):
                backend.write_many([metric(BASE + batch * 60 + n % 60) for n in range(700)])
                assert ask(path, "SELECT max(id) - (SELECT watermark FROM state) FROM raw") == 0

    def test_what_was_not_finished_goes_on_without_waiting_for_the_interval(self, path):
        """After a batch that did much, the next look does the rest, though few rows came since."""
        now = time.time_ns() // SECOND
        write(path, [metric(now - 7200, value=float(n + 1)) for n in range(200)])
        with SQLiteBackend(path, rollup_rows=160, rollup_interval=NEVER, retention=3600) as backend:
            for _ in range(2):
                backend.write_many([metric(now) for _ in range(20)])
                assert counted(path) == ask(path, "SELECT max(id) FROM raw")
            assert ask(path, "SELECT count(*) FROM raw WHERE timestamp < ?", now * SECOND) < 200

    def test_values_that_hardly_differ_keep_their_extremes(self, path):
        """Values of one minute that share a bucket of the histogram are told apart by least, greatest and sum."""
        values = [100.02, 100.01, 100.03, 100.02]
        write(path, [metric(BASE, value=value) for value in values], rollup_rows=1)
        assert ask(path, "SELECT count(*) FROM histogram WHERE width = 60") == 1
        (row,) = report.read(path)
        assert (row.min, row.max, row.calls) == (100.01, 100.03, 4)
        assert row.total == pytest.approx(sum(values))

    def test_hours_are_filled_a_few_entries_at_a_time(self, path, connection):
        """Each step adds so many entries of the finer level to the wider, whole periods, and no report ever differs."""
        names = [f"f{n}" for n in range(10)]
        write(path, [metric(BASE + minute * 60, name=name) for minute in range(180) for name in names])
        assert rollup.roll_up(connection, max_rows=1800, now=time.time()) == 1800
        filled = [0]
        while filled[-1] != one(connection, "SELECT filled_until FROM levels WHERE width = ?", HOUR) or len(filled) < 2:
            filled.append(one(connection, "SELECT filled_until FROM levels WHERE width = ?", HOUR))
            with sqlite_file.transaction(connection):
                rollup.roll_up(connection, max_rows=20, now=time.time())
            assert counted(path) == 1800
            halves = [{"since": moment(BASE + 90 * 60)}, {"until": moment(BASE + 90 * 60)}]
            assert [counted(path, **bounds) for bounds in halves] == [900, 900]
        assert [end - BASE for end in filled[2:5]] == [120, 240, 360]
        assert filled[-1] - BASE > 165 * 60
        assert one(connection, "SELECT sum(calls) FROM rollup WHERE width = ?", HOUR) == (filled[-1] - BASE) // 60 * 10

    def test_one_period_is_the_least_that_is_filled(self, path, connection):
        """A minute with more entries than there is room for does not stop the hours from being filled."""
        write(path, [metric(BASE + minute * 60, name=f"f{n}") for minute in range(20) for n in range(10)])
        rollup.roll_up(connection, max_rows=200, now=time.time())
        for _ in range(3):
            rollup.roll_up(connection, max_rows=1, now=time.time())
        assert one(connection, "SELECT filled_until FROM levels WHERE width = ?", HOUR) - BASE == 180


def moment(second):
    return datetime.fromtimestamp(second, timezone.utc)


class TestPrune:
    """Deleting is done in parts, too, and loses nothing that should stay."""

    def test_a_long_range_of_ids_is_deleted_in_parts(self, path, connection):
        """Of rows that were rolled up together, each step deletes a few; those that are not expired are still found."""
        now = time.time_ns() // SECOND
        write(path, [metric(now if n % 10 == 0 else now - 7200, value=float(n + 1)) for n in range(1000)])
        rollup.roll_up(connection, max_rows=1000, now=now)
        left = [1000]
        while len(left) < 2 or left[-1] < left[-2]:
            rollup.prune(connection, retention={0: 3600, MINUTE: None, HOUR: None, DAY: None}, now=now, max_rows=150)
            left.append(one(connection, "SELECT count(*) FROM raw"))
        assert max(earlier - later for earlier, later in pairwise(left)) == 135
        assert left[-1] == 100 + 1  # and the row at the watermark
        assert [call.value for call in report.slowest(path, "shop.pay", limit=100, since=moment(now - 1))] == [
            991.0 - 10 * n for n in range(100)
        ]
        assert counted(path) == 1000

    def test_rollups_are_deleted_by_whole_periods_in_parts(self, path, connection):
        """Minutes go a few at a time, each at once with its histogram, and reports know their calls all the while."""
        write(path, [metric(BASE + minute * 60, name=f"f{n}") for minute in range(180) for n in range(10)])
        rollup.roll_up(connection, max_rows=1 << 40, now=time.time())
        retention = {0: None, MINUTE: 0, HOUR: None, DAY: None}
        deleted = []
        while not deleted or deleted[-1]:
            deleted.append(rollup.prune(connection, retention=retention, now=time.time(), max_rows=50))
            minutes = "SELECT start, count(*) FROM {} WHERE width = 60 GROUP BY 1 ORDER BY 1"
            cells, sums = (connection.execute(minutes.format(table)).fetchall() for table in ("histogram", "rollup"))
            assert cells == sums
            assert {count for _, count in sums} == {10}
            assert counted(path) == 1800
        assert set(deleted) == {100, 0}

    @pytest.mark.parametrize("retention", [1e13, float("inf")])
    def test_keeping_for_longer_than_there_is_time_is_keeping_for_ever(self, path, retention):
        """Retentions beyond what integers of nanoseconds tell delete nothing, and fail nothing."""
        options = dict.fromkeys(("minute_retention", "hour_retention", "day_retention"), retention)
        with SQLiteBackend(path, rollup_rows=1, retention=retention, **options) as backend:
            for _ in range(2):
                backend.write_many([metric(BASE)])
            assert backend.rollup_failures == 0
        assert counted(path) == ask(path, "SELECT count(*) FROM raw") == 2

    def test_no_other_step_is_done_by_a_batch_that_rolled_up_much(self, path, monkeypatch):
        """Rolling up a full share, deleting and shrinking are paid for by different batches."""
        steps: list[str] = []

        def prune(*_, **__):
            steps.append("prune")
            return rollup.MOST_PRUNED

        def shrink(_):
            steps.append("shrink")
            return False

        monkeypatch.setattr(rollup, "prune", prune)
        monkeypatch.setattr(database, "shrink", shrink)
        with SQLiteBackend(path, rollup_rows=80, rollup_interval=NEVER) as backend:
            backend.write_many([metric(BASE) for _ in range(79)])
            backend.write_many([metric(BASE) for _ in range(20)])
            assert steps == []
            backend.write_many([metric(BASE) for _ in range(10)])
            assert steps == ["prune"]
            monkeypatch.setattr(rollup, "prune", lambda *_, **__: 0)
            backend.write_many([metric(BASE) for _ in range(10)])
            assert steps == ["prune", "shrink"]


class TestShrink:
    """A file whose metrics expired gives their room back."""

    TEXT = "x" * 2000

    def pages(self, path):
        return ask(path, "PRAGMA page_count"), ask(path, "PRAGMA freelist_count")

    def fill(self, path, rows):
        old = time.time_ns() // SECOND - 7200
        write(path, [metric(old, text=self.TEXT) for _ in range(rows)], rollup_rows=1)
        return path.stat().st_size

    def test_the_file_shrinks_after_retention(self, path):
        """With the metrics goes most of the file, a bounded number of pages with each batch."""
        before = self.fill(path, 6000)
        sizes = []
        with SQLiteBackend(path, rollup_rows=8, rollup_interval=NEVER, retention=3600) as backend:
            while len(sizes) < 3 or sizes[-1] != sizes[-3] or self.pages(path)[1] > 1000:
                backend.write_many([metric(time.time_ns() // SECOND, text=self.TEXT)] * 400)
                sizes.append(self.pages(path)[0])
                assert len(sizes) < 60
        pages, free = self.pages(path)
        assert counted(path) == 6000 + 400 * len(sizes)
        assert free <= max(pages / 4, 256) + 1
        drops = [earlier - later for earlier, later in pairwise(sizes) if later < earlier]
        assert drops
        assert max(drops) <= 512 + 8  # what SQLite itself keeps about pages goes with them
        assert before > 2000 * 6000

    def test_an_emptied_file_keeps_a_megabyte_at_most(self, path):
        """Nothing but the expired was in it: the file itself is small in the end."""
        before = self.fill(path, 6000)
        with SQLiteBackend(path, rollup_rows=1, rollup_interval=NEVER, retention=0) as backend:
            for _ in range(20 + 6000 // rollup.MOST_PRUNED + before // 4096 // 512):
                backend.write_many([metric(time.time_ns() // SECOND - 1)])
        assert before > 12_000_000
        assert path.stat().st_size < 1_600_000

    def test_what_a_steady_flow_uses_again_is_left(self, path, connection):
        """While no more than a quarter of the file is free, nothing is given back."""
        self.fill(path, 6000)
        connection.execute("DELETE FROM raw WHERE id <= 1200")
        pages, free = self.pages(path)
        assert pages / 8 < free < pages / 4
        assert not database.shrink(connection)
        assert self.pages(path) == (pages, free)

    def test_a_file_that_cannot_shrink_is_left_alone(self, path):
        """Someone else made the file without incremental vacuum: it is not tried again and again."""
        with sqlite3.connect(path) as connection:
            connection.execute("PRAGMA auto_vacuum = NONE")
            connection.execute("CREATE TABLE large (text)")
            connection.execute("INSERT INTO large VALUES (?)", ("x" * 8_000_000,))
            connection.execute("DELETE FROM large")
        connection.isolation_level = None
        assert self.pages(path)[1] > 1000
        assert not database.shrink(connection)
        connection.close()
