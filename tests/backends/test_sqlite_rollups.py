"""Rollups and retention of `SQLiteBackend`: nothing is missed, counted twice, or deleted too soon."""

from __future__ import annotations

import math
import sqlite3
import time
from datetime import datetime, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.backends.sqlite_rows import FOREVER, core, query, stored
from time_execution import report
from time_execution.backends.sqlite import SQLiteBackend, rollup
from time_execution.backends.sqlite.schema import DAY, HOUR, MINUTE, SECOND


def roll_up(path, *, max_rows=1 << 40, now=None):
    """Do what the backend does when enough has been written, at a moment of the test's choice."""
    with SQLiteBackend(path) as opener:
        opener.write_many([])
        with opener._exclusively():
            assert opener._opened
            connection, _ = opener._opened
            connection.execute("BEGIN IMMEDIATE")
            passed = rollup.roll_up(connection, max_rows=max_rows, now=now or time.time())
            connection.execute("COMMIT")
    return passed


class TestErrors:
    """A call that failed counts as one."""

    @pytest.mark.parametrize("field", ["exception", "error", "error_type"])
    def test_a_field_of_an_error_counts_one(self, backend, path, field):
        """A metric with a non-empty error field is an error, one with an empty one is not."""
        batch = [core(**{field: value}) for value in ("ValueError", {"a": 1}, True, None, "", False)]
        backend.write_many([*batch, core()])
        assert [row[0] for row in query(path, "SELECT error FROM raw")] == [1, 1, 1, 0, 0, 0, 0]
        assert report.read(path)[0].errors == 3
        roll_up(path)
        assert report.read(path)[0].errors == 3


def exact(rows):
    """Return calls, errors, total, min and max of each name, added up in Python."""
    found: dict[str, list[tuple[float, bool]]] = {}
    for name, value, _, error in rows:
        found.setdefault(name, []).append((value, error))
    return {
        name: (
            len(pairs),
            sum(error for _, error in pairs),
            pytest.approx(math.fsum(value for value, _ in pairs)),
            min(value for value, _ in pairs),
            max(value for value, _ in pairs),
        )
        for name, pairs in found.items()
    }


def reported(path, **options):
    return {row.name: (row.calls, row.errors, row.total, row.min, row.max) for row in report.read(path, **options)}


# Whole seconds within five days, so that all widths have ends in the range, with many rows in the same minutes.
BASE = 1_700_000_000 // DAY * DAY
seconds = st.one_of(st.integers(0, 5 * DAY), st.integers(0, 3).map(lambda minute: 2 * DAY + minute * 60))
row_lists = st.lists(
    st.tuples(st.sampled_from("abc"), st.floats(0.001, 1e4), seconds, st.booleans()), min_size=1, max_size=40
)


class TestRollups:
    """Minutes, hours and days hold what the raw rows held."""

    @settings(max_examples=40, deadline=None)
    @given(st.lists(row_lists, min_size=1, max_size=5), st.data())
    def test_reports_are_exact_however_rows_and_roll_ups_interleave(self, tmp_path_factory, batches, data):
        """Counts, errors, sums and extremes equal those of all rows, in any range, also with late rows."""
        path = tmp_path_factory.mktemp("rollup") / "metrics.db"
        written = []
        for batch in batches:
            with SQLiteBackend(path, **FOREVER) as backend:
                backend.write_many(
                    [
                        core(name, value, (BASE + second) * SECOND, error="x" if error else "")
                        for name, value, second, error in batch
                    ]
                )
            written += batch
            roll_up(path, max_rows=data.draw(st.integers(0, 60)))
            assert reported(path) == exact(written)
            since, until = sorted(data.draw(st.tuples(seconds, seconds)))
            low, high = since // 60 * 60, -(-until // 60) * 60
            bounds = {
                "since": datetime.fromtimestamp(BASE + since, timezone.utc),
                "until": datetime.fromtimestamp(BASE + until, timezone.utc),
            }
            assert reported(path, **bounds) == exact([row for row in written if low <= row[2] < high])

    def test_every_row_is_rolled_up_once(self, backend, path):
        """The watermark passes each row once, and the counts of every filled width are the raw count."""
        for day in range(3):
            backend.write_many([core(timestamp=(BASE + day * DAY + n) * SECOND) for n in range(100)])
            assert roll_up(path) == 100
            assert roll_up(path) == 0
        counts = dict(query(path, "SELECT width, sum(calls) FROM histogram GROUP BY width"))
        filled = dict(query(path, "SELECT width, filled_until - ? FROM levels", BASE))
        assert counts[MINUTE] == 300
        assert (counts[HOUR], counts[DAY]) == (260, 200)
        assert (filled[HOUR], filled[DAY]) == (2 * DAY + 60, 2 * DAY)

    def test_a_late_row_moves_the_first_and_the_last_minute(self, path):
        """Hours and days that were filled before know of a row before their first and of one after their last."""
        for seconds in ([30 * 60, 3 * DAY], [10 * 60, 20 * 60], [50 * 60, 40 * 60]):
            with SQLiteBackend(path, **FOREVER) as backend:
                backend.write_many([core(timestamp=(BASE + second) * SECOND) for second in seconds])
            roll_up(path)
            roll_up(path)
        times = "SELECT width, first - ?, last - ? FROM rollup WHERE start = ? AND width > 60 ORDER BY width"
        assert query(path, times, BASE, BASE, BASE) == [(HOUR, 600, 3000), (DAY, 600, 3000)]
        (row,) = report.read(path, until=datetime.fromtimestamp(BASE + DAY, timezone.utc))
        assert [moment.timestamp() - BASE for moment in (row.first_seen, row.last_seen)] == [600, 3000]
        assert row.calls == 5

    def test_enough_rows_are_rolled_up_while_writing(self, path):
        """The backend itself rolls up when enough metrics are waiting."""
        with SQLiteBackend(path, rollup_rows=100, rollup_interval=1e9) as backend:
            backend.write_many([core(timestamp=time.time_ns()) for _ in range(99)])
            assert query(path, "SELECT watermark FROM state") == [(0,)]
            backend.write_many([core(timestamp=time.time_ns()) for _ in range(20)])
            assert query(path, "SELECT watermark FROM state") == [(119,)]

    def test_few_rows_are_rolled_up_after_a_while(self, path):
        """With little traffic, what is waiting is rolled up after the interval."""
        with SQLiteBackend(path, rollup_interval=0) as backend:
            backend.write_many([core(timestamp=time.time_ns())])
        assert query(path, "SELECT watermark FROM state") == [(1,)]

    def test_a_failing_roll_up_does_not_fail_the_batch(self, path, monkeypatch):
        """The batch is stored whatever becomes of the roll-up, which is counted and made up for later."""
        with SQLiteBackend(path, rollup_rows=1) as backend:
            with monkeypatch.context() as patched:
                patched.setattr(
                    rollup, "roll_up", lambda *_, **__: (_ for _ in ()).throw(sqlite3.OperationalError("no"))
                )
                backend.write_many([core(timestamp=time.time_ns())])
            assert (len(stored(path)), backend.rollup_failures, backend.stats()["rollup_failures"]) == (1, 1, 1)
            backend.write_many([core(timestamp=time.time_ns())])
        assert query(path, "SELECT watermark FROM state") == [(2,)]

    def test_names_beyond_the_bound_are_counted_together(self, path):
        """Rollups know so many names and one for the rest, while each raw row keeps its own."""
        with SQLiteBackend(path, max_names=10, retention=None) as backend:
            backend.write_many([core(f"f{n}") for n in range(50)])
        before = reported(path)
        roll_up(path)
        assert reported(path) == before
        assert len(before) == 10
        assert before["__overflow__"][0] == 41
        assert len({row[0] for row in stored(path)}) == 50


class TestRetention:
    """What is old goes, after it was rolled up."""

    def test_expired_rows_go_after_they_are_rolled_up(self, path):
        """Raw rows older than the retention are deleted, younger ones stay, and the report knows both."""
        now = time.time_ns()
        with SQLiteBackend(path, retention=3600, rollup_rows=1) as backend:
            backend.write_many([core("old", timestamp=now - 7200 * SECOND), core("new", timestamp=now)])
            backend.write_many([core("new", timestamp=now)])
        assert {row[0] for row in stored(path)} == {"new"}
        assert {name: row[0] for name, row in reported(path).items()} == {"old": 1, "new": 2}

    def test_ids_never_come_back(self, path):
        """Though everything has expired, new rows get new ids and are rolled up as well."""
        with SQLiteBackend(path, retention=0, rollup_rows=1) as backend:
            for number in range(1, 20):
                backend.write_many([core(timestamp=time.time_ns() - SECOND)])
                assert query(path, "SELECT watermark, (SELECT count(*) FROM raw) FROM state") == [(number, 1)]
        assert report.read(path)[0].calls == 19

    def test_a_row_from_the_future_does_not_keep_the_others(self, path):
        """A host whose clock is ahead does not stop expired rows around its own from being deleted."""
        now = time.time_ns()
        with SQLiteBackend(path, retention=3600, rollup_rows=1) as backend:
            for _ in range(5):
                backend.write_many(
                    [core("future", timestamp=now + 10**6 * SECOND), core("old", timestamp=now - 10**13)]
                )
            for _ in range(5):
                backend.write_many([core("now", timestamp=now)])
        assert {row[0] for row in stored(path)} == {"future", "now"}

    def test_rollups_expire_width_by_width(self, path):
        """Minutes go before hours, hours before days; what is left answers, with the range widened to it."""
        day = 40
        now = (BASE + day * DAY) * 1.0
        with SQLiteBackend(path, retention=None) as backend:
            backend.write_many([core(timestamp=(BASE + second) * SECOND) for second in range(0, day * DAY, 1800)])
        roll_up(path, now=now)
        retention = {0: None, MINUTE: 2 * DAY, HOUR: 10 * DAY, DAY: None}
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute("PRAGMA synchronous = OFF")  # a thousand commits, and no crash to survive
        for _ in range(day * 24):
            rollup.prune(connection, retention=retention, now=now)
        counts = dict(connection.execute("SELECT width, sum(calls) FROM rollup GROUP BY width"))
        connection.close()
        assert counts[MINUTE] == 2 * 48
        assert 9 * 48 < counts[HOUR] <= 10 * 48
        assert reported(path)["shop.pay"][0] == day * 48

        def calls(since, until):
            bounds = (datetime.fromtimestamp(BASE + second, timezone.utc) for second in (since, until))
            return reported(path, **dict(zip(("since", "until"), bounds, strict=True)))["shop.pay"][0]

        noon = 12 * HOUR
        assert calls(5 * DAY + noon, 5 * DAY + noon + 60) == 48
        assert calls(35 * DAY + noon, 35 * DAY + noon + 60) == 2
        assert calls(39 * DAY + noon, 39 * DAY + noon + 60) == 1
        assert calls(5 * DAY + noon, 39 * DAY + noon + 60) == 34 * 48 + 24 + 1

    def test_what_wider_periods_lack_is_not_deleted(self, path):
        """Minutes that are not in the hours yet stay, however old."""
        with SQLiteBackend(path, retention=None) as backend:
            backend.write_many([core(timestamp=BASE * SECOND), core(timestamp=(BASE + 60) * SECOND)])
        roll_up(path)
        connection = sqlite3.connect(path, isolation_level=None)
        rollup.prune(connection, retention={0: None, MINUTE: 0, HOUR: 0, DAY: None}, now=time.time())
        connection.close()
        assert reported(path)["shop.pay"][0] == 2
