"""`SQLiteBackend`: what is stored and how, what it makes of odd input, and when it opens its file."""

from __future__ import annotations

import json
import math
import os
import stat
import threading
import time
from datetime import datetime, timezone
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.backends.sqlite_rows import NOW, core, stored
from tests.strategies import metrics
from time_execution import report
from time_execution.backends.base import batch_sender
from time_execution.backends.sqlite import SQLiteBackend
from time_execution.backends.sqlite.schema import SECOND
from time_execution.exceptions import BackendUnavailable, ConfigurationError
from time_execution.testing.hostile import HOSTILE_KEYS, HOSTILE_NAMES, hostile_values
from time_execution.types import Metric


def move(path):
    for suffix in ("-wal", "-shm", ""):
        path.with_name(f"metrics.db{suffix}").rename(path.with_name(f"moved.db{suffix}"))


class TestStoring:
    """Metrics come back as they were written."""

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
            "no": False,
            "none": None,
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
    """Values and names that no column was made for."""

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

    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.lists(metrics(), min_size=1, max_size=15))
    def test_any_batch_is_stored_whole(self, tmp_path_factory, batch):
        """Whatever metrics a batch consists of, there are as many rows, and the report counts them all."""
        path = tmp_path_factory.mktemp("any") / "metrics.db"
        with SQLiteBackend(path, retention=None, rollup_rows=5) as backend:
            backend.write_many(batch)
        assert len(stored(path)) == len(batch)
        assert sum(row.calls for row in report.read(path)) == len(batch)


class TestOpening:
    """Files that are missing, foreign, or not made yet."""

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
    """Arguments are checked when the backend is made."""

    @pytest.mark.parametrize(
        ("options", "named"),
        [
            ({"retention": "7d"}, "retention must be a number of seconds, 0 or more, got str"),
            ({"retention": -1}, "retention must be a number of seconds, 0 or more, got -1"),
            ({"minute_retention": math.nan}, "minute_retention"),
            ({"minute_retention": 100, "hour_retention": 10}, "hour_retention"),
            ({"hour_retention": None, "day_retention": 10}, "day_retention"),
            ({"rollup_rows": 0}, "rollup_rows must be a whole number of at least 1"),
            ({"rollup_rows": 1.5}, "rollup_rows must be a whole number of at least 1, got 1.5"),
            ({"rollup_interval": True}, "rollup_interval must be a number of seconds, 0 or more, got bool"),
            ({"busy_timeout": None}, "busy_timeout"),
            ({"max_names": 1 << 24}, "max_names must be at most"),
            ({"value_field": 5}, "value_field must be a str, not int"),
        ],
    )
    def test_a_wrong_option_is_named_at_once(self, path, options, named):
        """A wrong type or range fails when constructing, naming the option and the type."""
        with pytest.raises(ConfigurationError, match=named):
            SQLiteBackend(path, **options)

    @pytest.mark.parametrize("wrong", ["", ":memory:", "a\0b", ".", 5, None])
    def test_a_wrong_path_is_refused_at_once(self, tmp_path, monkeypatch, wrong):
        """A path that cannot lead to a file fails when constructing."""
        monkeypatch.chdir(tmp_path)
        with pytest.raises(ConfigurationError, match="path"):
            SQLiteBackend(wrong)

    def test_missing_folders_are_made_with_the_first_metric(self, tmp_path):
        """For their owner only, and not before: a folder may be mounted later."""
        path = tmp_path / "new" / "deeper" / "metrics.db"
        with SQLiteBackend(path) as backend:
            assert list(tmp_path.iterdir()) == []
            backend.write("a", value=1)
        assert path.exists()
        assert [path.parents[n].stat().st_mode & 0o777 for n in (0, 1)] == [0o700, 0o700]

    def test_a_symbolic_link_is_refused(self, tmp_path):
        """A link, also one that leads nowhere yet, is refused when constructing: another may have planted it."""
        link = tmp_path / "metrics.db"
        link.symlink_to(tmp_path / "target.db")
        with pytest.raises(ConfigurationError, match="symbolic link"):
            SQLiteBackend(link)
        assert not (tmp_path / "target.db").exists()
