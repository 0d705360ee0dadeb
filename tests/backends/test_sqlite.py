"""`SQLiteBackend`: what is stored and how, rollups that miss and repeat nothing, and what it makes of odd input."""

from __future__ import annotations

import json
import math
import os
import sqlite3
import stat
import threading
import time
from datetime import datetime, timezone
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.strategies import metrics
from time_execution import report
from time_execution.backends.base import batch_sender
from time_execution.backends.sqlite import SQLiteBackend, rollup
from time_execution.backends.sqlite.schema import DAY, HOUR, MINUTE, SECOND
from time_execution.exceptions import BackendUnavailable, ConfigurationError
from time_execution.testing.hostile import HOSTILE_KEYS, HOSTILE_NAMES, hostile_values
from time_execution.types import Metric

NOW = 1_700_000_000 * SECOND
FOREVER: dict[str, Any] = {"retention": None, "minute_retention": None, "hour_retention": None}
COLUMNS = "name, value, hostname, timestamp, fields"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "metrics.db"


@pytest.fixture
def backend(path):
    with SQLiteBackend(path, **FOREVER) as backend:
        yield backend


def core(name="shop.pay", value=1.5, timestamp=NOW, **fields):
    return Metric({"name": name, "value": value, "hostname": "web-1", "timestamp": timestamp, **fields})


def query(path, text, *values):
    connection = sqlite3.connect(path)
    try:
        return connection.execute(text, values).fetchall()
    finally:
        connection.close()


def stored(path):
    return query(path, f"SELECT {COLUMNS} FROM metrics")


def move(path):
    for suffix in ("-wal", "-shm", ""):
        path.with_name(f"metrics.db{suffix}").rename(path.with_name(f"moved.db{suffix}"))


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


class TestStoring:
    def test_a_core_metric_is_a_row_of_columns_alone(self, backend, path):
        """Core fields go to their columns, and fields is NULL when there is nothing else."""
        backend.write_many([core()])
        assert stored(path) == [("shop.pay", 1.5, "web-1", NOW, None)]

    def test_other_fields_are_one_json_object(self, backend, path):
        """What is not a core field is kept as JSON, with its types."""
        fields = {"origin": "api", "status_code": 200, "ok": True, "none": None, "ratio": 0.5, "tags": ["a"], "ü": '"'}
        backend.write_many([core(**fields)])
        ((*_, text),) = stored(path)
        assert json.loads(text) == fields

    def test_plain_and_nested_fields_are_written_alike(self, backend, path):
        """Scalars take a shorter way to JSON than containers do, and come out the same."""
        scalars = {
            "text": 'a"\\\u2028é😀\x00',
            "int": -(2**63),
            "big": 2**63 - 1,
            "float": 1e-300,
            "yes": True,
            "no": None,
        }
        backend.write_many([core(), core(**scalars), core(**scalars, nested={})])
        plain, nested = (json.loads(text) for *_, text in stored(path)[1:])
        assert nested.pop("nested") == {}
        assert plain == nested == scalars

    def test_a_batch_is_committed_and_in_order_when_the_call_returns(self, backend, path):
        """Another connection sees a whole batch, in its order, whatever its length."""
        for length in (1, 24, 25, 26, 500):
            backend.write_many([core(value=float(number + 1)) for number in range(length)])
            assert [value for _, value, *_ in stored(path)[-length:]] == [float(n + 1) for n in range(length)]

    def test_write_and_bulk_write_store_too(self, backend, path):
        """The two methods that follow from the batch one reach the table; bulk_write takes plain dicts."""
        backend.write("a", value=1, timestamp=datetime(2024, 1, 1, tzinfo=timezone.utc))
        backend.bulk_write([{"name": "b", "value": 2.0, "timestamp": NOW}])
        assert [row[:4] for row in stored(path)] == [("a", 1, None, 1_704_067_200 * SECOND), ("b", 2.0, None, NOW)]

    def test_delivery_hands_over_nanoseconds(self, backend, path):
        """The batch sender leaves integer nanoseconds as they are, to the last digit."""
        batch_sender(backend)([core(timestamp=NOW + 123)])
        assert stored(path)[0][3] == NOW + 123

    def test_the_metric_handed_in_is_not_changed(self, backend):
        """Storing neither adds to nor takes from the caller's dict."""
        metric = core(value=math.nan, tags=[1])
        before = dict(metric)
        backend.write_many([metric])
        assert dict(metric) == before

    def test_a_missing_timestamp_is_the_present(self, backend, path):
        """A metric without a timestamp is stamped when it is stored."""
        before = time.time_ns()
        backend.write_many([Metric({"name": "a", "value": 1.0})])
        assert before <= stored(path)[0][3] <= time.time_ns()

    def test_a_renamed_duration_can_be_the_value(self, path):
        """With value_field, the number of that field is the value, and reports see it."""
        with SQLiteBackend(path, value_field="duration") as backend:
            backend.write_many(
                [Metric({"name": "a", "duration": 2.5, "hostname": "h", "timestamp": NOW, "value": "x"})]
            )
        assert stored(path) == [("a", 2.5, "h", NOW, '{"value":"x"}')]
        assert report.read(path)[0].total == 2.5

    def test_many_threads_share_a_backend(self, backend, path):
        """Eight threads writing at once through one backend lose and repeat nothing."""
        threads = [
            threading.Thread(target=lambda n=n: [backend.write("t", value=n * 100 + i) for i in range(50)])
            for n in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(row[1] for row in stored(path)) == sorted(n * 100 + i for n in range(8) for i in range(50))


class TestOddInput:
    @pytest.mark.parametrize(
        ("value", "column", "kept"),
        [
            (7, 7, None),
            (2**63 - 1, 2**63 - 1, None),
            (2**64, float(2**64), '{"value":"18446744073709551616"}'),
            (10**400, None, json.dumps({"value": str(10**400)}, separators=(",", ":"))),
            (True, 1.0, '{"value":true}'),
            (math.nan, None, '{"value":null}'),
            (math.inf, None, '{"value":null}'),
            ("fast", None, '{"value":"fast"}'),
            (None, None, '{"value":null}'),
            (-0.0, 0.0, None),
            (-2.5, -2.5, None),
            (0.0, 0.0, None),
            (5e-324, 5e-324, None),
        ],
        ids=repr,
    )
    def test_what_is_no_plain_number_is_kept_in_fields(self, backend, path, value, column, kept):
        """A value that its column cannot hold as it is stays in fields; the column has the nearest number, or NULL."""
        backend.write_many([core()])
        backend.write_many([core(value=value)])
        _, (_, found, _, _, fields) = stored(path)
        assert (found, fields) == (column, kept)

    @pytest.mark.parametrize("kind", sorted(hostile_values()))
    def test_one_hostile_value_costs_its_neighbours_nothing(self, backend, path, kind):
        """Whatever stands in a field, as the value, name, host or timestamp: every metric of the batch is stored."""
        hostile = hostile_values()[kind]
        odd = [core(field=hostile), *(core(**{field: hostile}) for field in ("name", "value", "hostname", "timestamp"))]
        backend.write_many([core()])
        backend.write_many([core("before"), *odd, core("after")])
        rows = stored(path)[1:]
        assert len(rows) == 7
        assert (rows[0][0], rows[-1][0]) == ("before", "after")
        for *_, fields in rows:
            json.loads(fields or "{}", parse_constant=pytest.fail)

    @pytest.mark.parametrize("name", HOSTILE_NAMES, ids=ascii)
    def test_names_come_back_as_they_were(self, backend, path, name):
        """Any name that is UTF-8 is stored as it is; one that is not, in an escaped form beside the original."""
        backend.write_many([core(name), core(name)])
        for found, *_, fields in stored(path):
            assert found == name or json.loads(fields)["name"] == name
        assert report.read(path)[0].calls == 2

    def test_a_name_that_is_no_text_is_kept_beside_its_text(self, backend, path):
        """None and numbers as names are told apart from texts by what stays in fields."""
        backend.write_many([core(None), core(5), core("None"), core("5")])
        assert [(row[0], row[4]) for row in stored(path)] == [
            ("None", '{"name":null}'),
            ("5", '{"name":5}'),
            ("None", None),
            ("5", None),
        ]

    @pytest.mark.parametrize("timestamp", [-1, 1.7e9, "now", True, 2**63 - 1, None, 10**30])
    def test_an_impossible_timestamp_becomes_the_present(self, backend, path, timestamp):
        """A timestamp that no row can have is kept in fields, and the row is stamped anew."""
        backend.write_many([core()])
        before = time.time_ns()
        backend.write_many([core(timestamp=timestamp)])
        assert stored(path)[1][3] >= before
        assert "timestamp" in json.loads(stored(path)[1][4])

    @pytest.mark.parametrize("key", HOSTILE_KEYS, ids=ascii)
    def test_field_names_of_any_kind_come_back(self, backend, path, key):
        """A field's name is only a key of the JSON object, whatever it looks like."""
        backend.write_many([core(), core(**{key: 1})])
        assert json.loads(stored(path)[1][4]) == {key: 1}

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.lists(metrics(), min_size=1, max_size=30))
    def test_any_batch_is_stored_whole(self, tmp_path_factory, batch):
        """Whatever metrics a batch consists of, there are as many rows, and the report counts them all."""
        path = tmp_path_factory.mktemp("any") / "metrics.db"
        with SQLiteBackend(path, retention=None, rollup_rows=10) as backend:
            backend.write_many(batch)
        assert len(stored(path)) == len(batch)
        assert sum(row.calls for row in report.read(path)) == len(batch)


class TestErrors:
    @pytest.mark.parametrize("field", ["exception", "error", "error_type"])
    def test_a_field_of_an_error_counts_one(self, backend, path, field):
        """A metric with a non-empty error field is an error, one with an empty one is not."""
        batch = [core(**{field: value}) for value in ("ValueError", {"a": 1}, True, None, "", False)]
        backend.write_many([*batch, core()])
        assert [row[0] for row in query(path, "SELECT error FROM raw")] == [1, 1, 1, 0, 0, 0, 0]
        assert report.read(path)[0].errors == 3
        roll_up(path)
        assert report.read(path)[0].errors == 3


class TestOpening:
    def test_constructing_opens_nothing(self, backend, path):
        """There is no file before the first metric."""
        assert not path.exists()

    def test_files_are_their_owners_only(self, backend, path):
        """With umask 000, the database and its companions are still 0600."""
        before = os.umask(0)
        try:
            backend.write_many([core()])
            files = list(path.parent.iterdir())
            modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in files}
        finally:
            os.umask(before)
        assert modes == {"metrics.db": 0o600, "metrics.db-wal": 0o600, "metrics.db-shm": 0o600}

    def test_a_relative_path_is_taken_when_constructing(self, tmp_path, monkeypatch):
        """Changing the folder later does not move the database."""
        monkeypatch.chdir(tmp_path)
        backend = SQLiteBackend("metrics.db")
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        with backend:
            backend.write_many([core()])
        assert (tmp_path / "metrics.db").exists()

    def test_close_is_idempotent_and_a_later_metric_opens_again(self, backend, path):
        """Closing twice is nothing special, and nothing is lost by closing too early."""
        backend.write_many([core()])
        backend.close()
        backend.close()
        assert not path.with_name("metrics.db-wal").exists()
        backend.write_many([core()])
        assert len(stored(path)) == 2

    def test_a_removed_file_is_begun_anew(self, backend, path):
        """After the file was deleted or moved away, the next batch is in a new one."""
        backend.write_many([core("old")])
        move(path)
        backend.write_many([core("new")])
        assert [row[0] for row in stored(path)] == ["new"]

    def test_a_file_that_goes_away_during_a_batch_is_begun_anew(self, backend, path, monkeypatch):
        """A batch that was committed to a file no longer at its path is stored once more, where readers look."""

        def remove_and_insert(connection, rows):
            if path.stat().st_ino == inode:
                move(path)
            original(connection, rows)

        from time_execution.backends.sqlite import backend as module
        from time_execution.backends.sqlite import rows as rows_module

        backend.write_many([core("old")])
        inode = path.stat().st_ino
        original = rows_module.insert
        monkeypatch.setattr(module, "insert", remove_and_insert)
        backend.write_many([core("new")])
        assert [row[0] for row in stored(path)] == ["new"]

    def test_a_batch_from_within_is_turned_away(self, backend, path, monkeypatch):
        """A metric that a finalizer or log handler writes while a batch is stored neither hangs nor breaks it."""
        seen = []

        def write_within(connection, rows):
            with pytest.raises(BackendUnavailable):
                backend.write("inner")
            backend.close()
            seen.append(len(rows))
            original(connection, rows)

        from time_execution.backends.sqlite import backend as module
        from time_execution.backends.sqlite import rows as rows_module

        original = rows_module.insert
        monkeypatch.setattr(module, "insert", write_within)
        backend.write_many([core()])
        assert (seen, len(stored(path))) == ([1], 1)

    def test_a_url_names_relative_and_absolute_files(self):
        """Three slashes begin a relative path, four an absolute one, and none is the default."""
        paths = [
            SQLiteBackend.options_from_url(urlsplit(url))
            for url in ("sqlite:///a/metrics.db", "sqlite:////var/metrics.db", "sqlite://metrics.db", "sqlite://")
        ]
        assert paths == [{"path": "a/metrics.db"}, {"path": "/var/metrics.db"}, {"path": "metrics.db"}, {}]


class TestConfiguration:
    @pytest.mark.parametrize(
        ("options", "named"),
        [
            ({"retention": "7d"}, "retention must be a number of seconds, not str"),
            ({"retention": -1}, "retention must be at least 0"),
            ({"minute_retention": math.nan}, "minute_retention"),
            ({"minute_retention": 100, "hour_retention": 10}, "hour_retention"),
            ({"hour_retention": None, "day_retention": 10}, "day_retention"),
            ({"rollup_rows": 0}, "rollup_rows must be at least 1"),
            ({"rollup_rows": 1.5}, "rollup_rows must be an int, not float"),
            ({"rollup_interval": True}, "rollup_interval must be a number of seconds, not bool"),
            ({"busy_timeout": None}, "busy_timeout"),
            ({"max_names": 1 << 24}, "max_names"),
            ({"value_field": 5}, "value_field must be a str, not int"),
        ],
    )
    def test_a_wrong_option_is_named_at_once(self, path, options, named):
        """A wrong type or range fails when constructing, naming the option and the type."""
        with pytest.raises(ConfigurationError, match=named):
            SQLiteBackend(path, **options)

    @pytest.mark.parametrize("wrong", ["", ":memory:", "a\0b", "missing/metrics.db", ".", 5, None])
    def test_a_wrong_path_is_refused_at_once(self, tmp_path, monkeypatch, wrong):
        """A path that cannot lead to a file fails when constructing."""
        monkeypatch.chdir(tmp_path)
        with pytest.raises(ConfigurationError, match="path"):
            SQLiteBackend(wrong)

    def test_a_symbolic_link_is_refused(self, tmp_path):
        """A link, also one that leads nowhere yet, is refused when constructing: another may have planted it."""
        link = tmp_path / "metrics.db"
        link.symlink_to(tmp_path / "target.db")
        with pytest.raises(ConfigurationError, match="symbolic link"):
            SQLiteBackend(link)
        assert not (tmp_path / "target.db").exists()


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
    @settings(max_examples=80, deadline=None)
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
            assert (len(stored(path)), backend.rollup_failures) == (1, 1)
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
