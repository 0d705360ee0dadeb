"""The journal of a Parquet file: what it survives, and what readers of both see."""

from __future__ import annotations

import json
import threading
from datetime import date, datetime, timezone

import pytest

pytest.importorskip("pyarrow", reason="it is not installed")

import pyarrow as pa
from pyarrow import parquet

from tests.backends.parquet_files import (  # noqa: F401 - fixtures are asked for by name
    NARROW,
    clock_fixture,
    files_in,
    merged_rows,
    names_in,
    path_fixture,
    rows_in,
)
from time_execution.backends.files import ParquetBackend, open_rows
from time_execution.backends.files.parquet import reading
from time_execution.exceptions import BackendRejected, DatabaseError, DatabaseMissingError, NotADatabaseError

# ---- the journal -----------------------------------------------------------------------------------------------------


def test_a_torn_journal_costs_the_torn_batch_alone(path):
    """What a killed process left of its line, which nobody was told is stored, is passed over and counted."""
    backend = ParquetBackend(path, NARROW)
    backend.write("a", value=1)
    journal = path.with_name("metrics.parquet.journal")
    with journal.open("ab") as file:
        file.write(b'[["torn')
    assert names_in(path) == ["a"]
    backend.write("b", value=1)
    assert names_in(path) == ["a", "b"]
    assert backend.flush()
    assert [row["name"] for row in merged_rows(path)] == ["a", "b"]
    assert backend.stats()["damaged_lines"] == 1


@pytest.mark.parametrize(
    "line",
    [
        b"{}",
        b"[]",
        b"[[]]",
        b'[["x"],[1],[2]]',
        b'[["x"],[1,2]]',
        b"[[1],[1]]",
        b'[["x"],["y"]]',
        b"\xff",
        b"[" * 100_000,
    ],
)
def test_a_damaged_line_harms_no_other(path, line):
    """Bits that rot cost the rows of one batch."""
    backend = ParquetBackend(path, NARROW)
    backend.write("a", value=1)
    with path.with_name("metrics.parquet.journal").open("ab") as file:
        file.write(line + b"\n")
    backend.write("b", value=1)
    assert names_in(path) == ["a", "b"]
    assert backend.flush()
    assert [row["name"] for row in merged_rows(path)] == ["a", "b"]
    assert backend.stats()["damaged_lines"] == 1


def test_a_torn_first_line_is_completed(path):
    """A process killed in the midst of the first write of all leaves a journal that goes on."""
    first = ParquetBackend(path, NARROW)
    first.write("a", value=1)
    journal = path.with_name("metrics.parquet.journal")
    header = journal.read_bytes().split(b"\n")[0] + b"\n"
    ids = set()
    for kept in range(len(header)):
        journal.write_bytes(header[:kept])
        with open_rows(path) as rows:
            assert list(rows) == []
        backend = ParquetBackend(path, NARROW)
        if kept % 2:
            backend.write("b", value=1)
            found = json.loads(journal.read_bytes().split(b"\n")[0])
            assert found["columns"] == {"name": "str", "value": "float"}
            ids.add(found["journal"])
            assert names_in(path) == ["b"]
        assert backend.flush()
        assert files_in(path.parent) == (["metrics.parquet"] if kept % 2 else [])
        path.unlink(missing_ok=True)
    assert len(ids) > 20


def test_a_foreign_journal_is_left_alone(path):
    """Something else at the journal's path is neither written to nor removed."""
    journal = path.with_name("metrics.parquet.journal")
    journal.write_bytes(b"precious\n" * 100)
    backend = ParquetBackend(path, NARROW)
    with pytest.raises(BackendRejected, match="another header"):
        backend.write("a", value=1)
    assert backend.flush() is False
    assert [file.read_bytes() for file in path.parent.iterdir()] == [b"precious\n" * 100]
    with pytest.raises(NotADatabaseError), open_rows(path) as rows:
        list(rows)


# ---- reading ---------------------------------------------------------------------------------------------------------


def test_a_reader_sees_each_row_once_while_others_merge(path):
    """However files are renamed meanwhile, a look has all rows that were stored before it, and none twice."""
    backend = ParquetBackend(path, NARROW)
    stored = 0
    done = threading.Event()

    def write():
        nonlocal stored
        while not done.is_set():
            backend.write(str(stored), value=stored)
            stored += 1
            if stored % 2:
                backend.flush()

    thread = threading.Thread(target=write)
    thread.start()
    try:
        looks = 0
        while looks < 300 and thread.is_alive():
            before = stored
            if not before:
                continue
            found = names_in(path)
            assert found == [str(number) for number in range(len(found))]
            assert len(found) >= before
            looks += 1
    finally:
        done.set()
        thread.join(30)
    assert looks == 300


def test_a_reader_that_is_overtaken_looks_again(path, monkeypatch):
    """When files move between opening one and the next, the look is repeated, so that no row is missed."""
    backend = ParquetBackend(path, NARROW)
    for name in "abcd":
        backend.write(name, value=1)
        backend.flush() if name != "d" else None
    real, turns = reading.opened, []

    def overtaken(each, stack):
        turns.append(None)
        if len(turns) in {2, 3, 6}:
            assert backend.flush()
            backend.write(str(len(turns)), value=1)
        return real(each, stack)

    monkeypatch.setattr(reading, "opened", overtaken)
    assert names_in(path) == ["a", "b", "c", "d", "2", "3", "6"]
    assert len(turns) > 6
    monkeypatch.setattr(reading, "_is_at", lambda *_: False)
    with pytest.raises(DatabaseError, match="again and again"):
        names_in(path)


def test_any_parquet_file_can_be_read(path):
    """Also one of other writers, with other types."""
    moments = pa.array([1_500, None], pa.timestamp("ns"))
    parquet.write_table(pa.table({"a": [1, None], "b": ["x", "y"], "moment": moments, "list": [[1], []]}), path)
    first, second = rows_in(path)
    assert first["moment"].isoformat() == "1970-01-01T00:00:00.000001+00:00"
    assert (first["a"], first["b"], first["list"]) == (1, "x", [1])
    assert second == {"a": None, "b": "y", "moment": None, "list": []}


def test_what_cannot_be_read_is_told(path):
    """There is nothing, it is something else, or it breaks off in the middle."""
    with pytest.raises(DatabaseMissingError, match="no such file"), open_rows(path):
        pass
    path.write_bytes(b"something else")
    with pytest.raises(NotADatabaseError, match="is no Parquet file"), open_rows(path) as rows:
        list(rows)
    path.unlink()
    path.mkdir()
    with pytest.raises(DatabaseError, match="cannot be read"), open_rows(path) as rows:
        list(rows)


def test_a_reader_that_stops_early_leaves_nothing_open(path):
    """Files are closed at the end of the block, whatever was read of them."""
    backend = ParquetBackend(path, {"moment": datetime})
    backend.write("a", moment=0)
    backend.flush()
    backend.write("b", moment=1_000)
    with open_rows(path) as rows:
        assert next(rows)["moment"].isoformat() == "1970-01-01T00:00:00+00:00"
    with open_rows(path):
        pass


@pytest.mark.parametrize(
    ("kind", "value", "read"),
    [
        (pa.timestamp("us", "UTC"), 10**18, None),
        (pa.timestamp("us"), -(10**17), None),
        (pa.timestamp("s"), 10**14, None),  # which microseconds of 64 bits cannot hold either
        (pa.timestamp("s"), -1, datetime(1969, 12, 31, 23, 59, 59, tzinfo=timezone.utc)),
        (pa.timestamp("ms", "Europe/Amsterdam"), 1001, datetime(1970, 1, 1, 0, 0, 1, 1000, tzinfo=timezone.utc)),
        (pa.timestamp("ns"), 1999, datetime(1970, 1, 1, 0, 0, 0, 1, tzinfo=timezone.utc)),
        (pa.date32(), 10**8, None),
        (pa.date32(), 1, date(1970, 1, 2)),
        (pa.list_(pa.date32()), [10**8], None),
    ],
    ids=str,
)
def test_values_of_others_are_read_or_none(path, kind, value, read):
    """What another program wrote is read row by row, whatever it holds; a value beyond Python's harms no other one."""
    parquet.write_table(pa.table({"n": [1, 2, 3], "x": pa.array([value, None, value], kind)}), path)
    assert rows_in(path) == [{"n": 1, "x": read}, {"n": 2, "x": None}, {"n": 3, "x": read}]
