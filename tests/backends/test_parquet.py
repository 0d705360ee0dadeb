"""`ParquetBackend`: the columns, what values become under them, and what may be at the path."""

from __future__ import annotations

import json
import math
import os
import stat
import subprocess
import sys
import textwrap
from datetime import datetime, timedelta, timezone
from urllib.parse import urlsplit

import pytest

pytest.importorskip("pyarrow", reason="it is not installed")

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from tests.backends.line_files import ENVIRONMENT
from tests.backends.parquet_files import files_in, merged_rows, path_fixture, rows_in  # noqa: F401 - a fixture
from time_execution import settings, shutdown, write_metric
from time_execution.backends.files import ParquetBackend
from time_execution.backends.files.parquet.columns import COLUMNS, Columns
from time_execution.backends.files.parquet.journal import line_of
from time_execution.backends.files.parquet.table import schema_of
from time_execution.exceptions import BackendDenied, BackendRejected, ConfigurationError
from time_execution.types import Metric

MOMENT = datetime(2024, 2, 29, 12, 0, 0, 123456, tzinfo=timezone.utc)
FIRST = datetime.min.replace(tzinfo=timezone.utc)
LAST = datetime.max.replace(tzinfo=timezone.utc)
EVERY = {"text": str, "whole": int, "number": float, "truth": bool, "moment": datetime}
TIMER = {
    "call_id": str,
    "function": str,
    "started": datetime,
    "ended": datetime,
    "wall_ms": float,
    "cpu_ms": float,
    "memory_change_bytes": int,
    "rss_bytes": int,
    "arguments": str,
    "outcome": str,
}


def test_other_readers_find_the_types_that_are_documented(path):
    """The schema is what programs rely on: microseconds in UTC, texts, doubles."""
    with ParquetBackend(path) as backend:
        backend.write("a", value=1, timestamp=MOMENT, hostname="h", status=200)
    found = parquet.read_schema(path)
    assert found.names == ["timestamp", "name", "value", "hostname", "origin", "fields"]
    moment, text = pa.timestamp("us", "UTC"), pa.string()
    assert found.types == [moment, text, pa.float64(), text, text, text]
    (row,) = merged_rows(path)
    assert row["timestamp"] == MOMENT
    assert (row["name"], row["value"], row["hostname"], row["origin"]) == ("a", 1.0, "h", None)
    assert row["fields"] == '{"status":200}'


def test_a_timers_columns_are_kept_in_order_with_their_types(path):
    """Columns of one's own, without one for the rest: what has no column is left out."""
    record = {
        "call_id": "c",
        "function": "shop.checkout",
        "started": MOMENT,
        "ended": MOMENT + timedelta(microseconds=1),
        "wall_ms": 1.5,
        "cpu_ms": 0.5,
        "memory_change_bytes": -4096,
        "rss_bytes": 1 << 40,
        "arguments": "x=5, y=10",
        "outcome": "ok",
    }
    with ParquetBackend(path, TIMER) as backend:
        backend.write_many([Metric({**record, "name": "elsewhere"}), Metric({"function": "b", "cpu_ms": None})])
    first, second = merged_rows(path)
    assert first == record
    assert list(first) == list(TIMER)
    assert second == dict.fromkeys(TIMER) | {"function": "b"}
    assert backend.stats()["unfit_values"] == 0
    assert rows_in(path) == [first, second]


@pytest.mark.parametrize(
    ("column", "value", "stored"),
    [
        ("text", "", ""),
        ("text", "a\0b", "a\0b"),
        ("text", "\ud800x", "\\ud800x"),
        ("text", 5, "5"),
        ("text", [1, {"a": None}], '[1,{"a":null}]'),
        ("text", MOMENT, "2024-02-29T12:00:00.123456Z"),
        ("whole", -(1 << 63), -(1 << 63)),
        ("whole", (1 << 63) - 1, (1 << 63) - 1),
        ("number", 3, 3.0),
        ("number", -0.0, -0.0),
        ("number", math.nan, None),
        ("number", math.inf, None),
        ("number", 5e-324, 5e-324),
        ("truth", False, False),
        ("moment", MOMENT.replace(tzinfo=None), MOMENT),
        ("moment", MOMENT.astimezone(timezone(timedelta(hours=5))), MOMENT),
        ("moment", 1_709_208_000_123_456_789, MOMENT),
        ("moment", FIRST, FIRST),
        ("moment", LAST, LAST),
    ],
)
def test_a_value_that_fits_is_kept(path, column, value, stored):
    """Texts take anything, numbers are finite, moments are in UTC; before merging and after."""
    backend = ParquetBackend(path, EVERY)
    backend.write_many([Metric({column: value})])
    for _ in range(2):
        (row,) = rows_in(path)
        assert row == dict.fromkeys(EVERY) | {column: stored}
        assert type(row[column]) is type(stored)
        assert backend.flush()
    assert backend.stats()["unfit_values"] == 0


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("whole", 1 << 63),
        ("whole", 1.0),
        ("whole", True),
        ("whole", "1"),
        ("number", True),
        ("number", 10**400),
        ("number", "1.5"),
        ("truth", 1),
        ("moment", "2024-02-29"),
        ("moment", 1.5),
        ("moment", 10**30),
    ],
)
def test_a_value_that_does_not_fit_harms_no_neighbour(tmp_path, column, value):
    """It goes to the rest where there is a column for that; else it is left out, and counted."""
    metrics = [Metric({"text": "a"}), Metric({"text": "b", column: value}), Metric({"text": "c"})]
    with ParquetBackend(tmp_path / "narrow.parquet", EVERY) as narrow:
        narrow.write_many(metrics)
    rows = merged_rows(narrow.path)
    assert [row["text"] for row in rows] == ["a", "b", "c"]
    assert rows[1] == dict.fromkeys(EVERY) | {"text": "b"}
    assert narrow.stats()["unfit_values"] == 1
    with ParquetBackend(tmp_path / "wide.parquet", {**EVERY, "fields": str}) as wide:
        wide.write_many(metrics)
    rest = json.loads(merged_rows(wide.path)[1]["fields"])
    assert rest[column] == (value if type(value) is not int or abs(value) < 1 << 64 else str(value))
    assert wide.stats()["unfit_values"] == 0


def test_a_field_named_as_the_rest_is_part_of_it(path):
    """The column for the rest holds nothing but JSON objects."""
    with ParquetBackend(path, {"name": str, "fields": str}) as backend:
        backend.write_many([Metric({"name": "a", "fields": 1, "timestamp": 0})])
    (row,) = merged_rows(path)
    assert json.loads(row["fields"]) == {"fields": 1, "timestamp": "1970-01-01T00:00:00.000000Z"}


_SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.datetimes(timezones=st.just(timezone.utc))
)
_VALUES = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)


@given(st.lists(st.dictionaries(st.sampled_from([*EVERY, "other"]), _VALUES), min_size=1, max_size=5))
def test_any_fields_become_cells_that_parquet_takes(metrics):
    """Whatever the fields hold, each column's cells are JSON of the journal, and an array of the column's type."""
    columns = Columns({**EVERY, "fields": str})
    cells, unfit = columns.cells([Metric(fields) for fields in metrics], 0)
    assert unfit == 0
    back = json.loads(line_of(cells))
    assert [len(column) for column in back] == [len(metrics)] * 6
    for column, field in zip(back, schema_of(columns.kinds), strict=True):
        pa.array(column, field.type)


# ---- what may be at the path -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"precious", b"PAR1" + b"\0" * 100 + b"PAR1", "columns", "cut"])
def test_a_file_that_is_not_ours_is_left_alone(path, content):
    """Neither a file of something else nor one of other columns is written to, nor is anything put beside it."""
    if content == "columns":
        parquet.write_table(pa.table({"precious": [1]}), path)
    elif content == "cut":
        with ParquetBackend(path) as backend:
            backend.write("a", value=1)
        os.truncate(path, path.stat().st_size - 1)
    else:
        path.write_bytes(content)
    before = path.read_bytes()
    backend = ParquetBackend(path)
    for _ in range(2):
        with pytest.raises(BackendRejected, match="is not written to: it is"):
            backend.write("a", value=1)
    assert backend.flush() is True  # there is nothing to merge
    assert path.read_bytes() == before
    assert files_in(path.parent) == [path.name]


@pytest.mark.parametrize("content", [b"precious", "columns"])
def test_a_file_that_is_not_ours_is_moved_aside(path, caplog, content):
    """Where that is asked for, it is kept under a name that was free, once, and one line says so."""
    if content == "columns":
        parquet.write_table(pa.table({"precious": [1]}), path)
    else:
        path.write_bytes(content)
    before = path.read_bytes()
    backend = ParquetBackend(path, move_aside=True)
    backend.write("a", value=1)
    assert backend.flush()
    assert [row["name"] for row in merged_rows(path)] == ["a"]
    assert path.with_name("metrics.parquet.before-1").read_bytes() == before
    assert files_in(path.parent) == ["metrics.parquet", "metrics.parquet.before-1"]
    (told,) = [record.getMessage() for record in caplog.records]
    assert told.endswith("moved to metrics.parquet.before-1, and a new one is begun")
    path.write_bytes(before)
    with pytest.raises(BackendRejected, match="is not written to: it is"):
        backend.write("b", value=1)
    assert path.read_bytes() == before


def test_a_file_that_is_ours_is_not_moved_aside(path):
    """Rows of an earlier process stay where they are."""
    for name in ("a", "b"):
        with ParquetBackend(path, move_aside=True) as backend:
            backend.write(name, value=1)
    assert [row["name"] for row in merged_rows(path)] == ["a", "b"]
    assert files_in(path.parent) == ["metrics.parquet"]


def test_a_file_that_is_replaced_while_rows_wait_is_left_alone(path):
    """What others put at the path since the last batch is found before it is overwritten, and the rows wait on."""
    backend = ParquetBackend(path)
    backend.write("a", value=1)
    path.write_bytes(b"precious")
    assert backend.flush() is False
    backend.close()
    assert path.read_bytes() == b"precious"
    assert backend.stats()["merge_failures"] == 2
    path.unlink()
    assert backend.flush() is True
    assert [row["name"] for row in merged_rows(path)] == ["a"]
    assert files_in(path.parent) == [path.name]


def test_a_damaged_file_is_left_alone(path):
    """Where pages are broken, merging fails as often as it is tried, loses nothing, and is not tried all the time."""
    backend = ParquetBackend(path, merge_interval=1000.0)
    backend.bulk_write([{"name": f"{number}" * 50, "value": number} for number in range(100)])
    assert backend.flush()
    content = bytearray(path.read_bytes())
    content[4:400] = bytes(396)
    path.write_bytes(content)
    backend.write("a", value=1)
    assert backend.flush() is False
    backend.write("b", value=1)
    assert path.read_bytes() == content
    assert files_in(path.parent) == [f"metrics.parquet{suffix}" for suffix in ("", ".journal", ".merging")]
    path.unlink()
    assert backend.flush()
    assert [row["name"] for row in merged_rows(path)] == ["a", "b"]


def test_a_journal_of_other_columns_is_refused(path):
    """Two programs that disagree about the columns of one file never mix their rows."""
    ParquetBackend(path).write("a", value=1)
    before = path.with_name("metrics.parquet.journal").read_bytes()
    other = ParquetBackend(path, {"name": str, "value": float})
    with pytest.raises(BackendRejected, match="another header"):
        other.write("b", value=1)
    assert other.flush() is False
    assert [row["name"] for row in rows_in(path)] == ["a"]
    assert before in {file.read_bytes() for file in path.parent.iterdir()}


@pytest.mark.parametrize("name", ["metrics.parquet", "metrics.parquet.journal"])
def test_a_symbolic_link_is_refused(path, tmp_path, name):
    """Case S11: a link planted where a file goes is not followed, neither at first nor later."""
    target = tmp_path / "target"
    target.write_bytes(b"precious")
    backend = ParquetBackend(path)
    (tmp_path / name).symlink_to(target)
    with pytest.raises(BackendDenied, match="cannot be written to"):
        backend.write("a", value=1)
    assert target.read_bytes() == b"precious"
    with pytest.raises(ConfigurationError, match="not a symbolic link"):
        ParquetBackend(path)


def test_files_are_the_owners_alone(tmp_path):
    """Case S11: 0600 and 0700 whatever the umask, of the journal and of the file."""
    path = tmp_path / "one" / "two" / "metrics.parquet"
    before = os.umask(0)
    try:
        backend = ParquetBackend(path)
        backend.write("a", value=1)
        assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {0o600}
        backend.flush()
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o640)
    backend.write("b", value=1)
    backend.flush()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640  # whom the owner lets read it may still
    assert [stat.S_IMODE(folder.stat().st_mode) for folder in (path.parent, path.parent.parent)] == [0o700] * 2


# ---- configuration ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "columns",
    [
        {},
        [],
        "name",
        ["name"],
        {"name": "str"},
        {"name": list},
        {"name": []},
        {1: str},
        {"": str},
        {"a\nb": str},
        {"fields": int},
    ],
)
def test_wrong_columns_are_refused(path, columns):
    """Case B9 for the columns."""
    with pytest.raises(ConfigurationError, match="columns"):
        ParquetBackend(path, columns)


@pytest.mark.parametrize("seconds", [0, -1, "60", None, math.inf, math.nan])
def test_a_wrong_interval_is_refused(path, seconds):
    """Case B9 for the interval."""
    with pytest.raises(ConfigurationError, match="merge_interval must be a number of seconds"):
        ParquetBackend(path, merge_interval=seconds)


def test_a_url_has_a_path_and_an_interval(tmp_path):
    """Configured by URL it is behind a queue, and merged when that is shut down."""
    path = tmp_path / "by url.parquet"
    settings.configure(backends=[f"parquet:///{path}?merge_interval=5".replace(" ", "%20")])
    write_metric("cpu.load", value=0.25)
    shutdown()
    assert [row["name"] for row in merged_rows(path)] == ["cpu.load"]
    assert ParquetBackend.options_from_url(urlsplit("parquet://")) == {}
    assert ParquetBackend.options_from_url(urlsplit("parquet:///a.parquet")) == {"path": "a.parquet"}


def test_its_default_columns_are_those_of_csv():
    """Who changes the ending of a file finds the same columns."""
    from time_execution.backends.files import csv

    assert tuple(COLUMNS) == csv.COLUMNS


def test_only_parquet_needs_pyarrow(tmp_path):
    """Without it, lines and rows are written all the same, and the error of a Parquet file names the extra."""
    program = """
        import sys
        sys.modules["pyarrow"] = None
        from time_execution.backends.files import CSVBackend, JSONLinesBackend
        JSONLinesBackend(sys.argv[1]).write("a", value=1)
        from time_execution.exceptions import MissingExtraError
        from time_execution.backends.registry import load
        for ask in (lambda: load("parquet"), lambda: __import__("time_execution.backends.files.parquet")):
            try:
                ask()
            except MissingExtraError as exc:
                print(exc)
        from time_execution.backends import files
        print(hasattr(files, "nothing"))
    """
    command = [sys.executable, "-c", textwrap.dedent(program), str(tmp_path / "metrics.jsonl")]
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    first, second, last = done.stdout.splitlines()
    assert first == second == "pyarrow is not installed: pip install 'timeexecution[parquet]'"
    assert last == "False"
