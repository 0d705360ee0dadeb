"""How rows come from the journal into the Parquet file: when, in what pieces, and what readers see meanwhile."""

from __future__ import annotations

import math
import threading
import tracemalloc
from collections import Counter

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
from tests.child import printed_by
from tests.faults.harness import in_threads
from time_execution.backends.files import ParquetBackend
from time_execution.backends.files.parquet import backend as module
from time_execution.backends.files.parquet import store, table
from time_execution.backends.threaded import ThreadedBackend

# ---- when ------------------------------------------------------------------------------------------------------------


def test_rows_wait_no_longer_than_the_interval(path, clock):
    """With the batch that comes after it, or when the worker has nothing to do; not before."""
    backend = ParquetBackend(path, NARROW, merge_interval=60.0)
    backend.write("a", value=1)
    clock.advance(59)
    backend.idle()
    backend.write("b", value=1)
    assert files_in(path.parent) == ["metrics.parquet.journal"]
    clock.advance(1)
    backend.idle()
    assert (files_in(path.parent), names_in(path)) == (["metrics.parquet"], ["a", "b"])
    backend.write("c", value=1)
    clock.advance(60)
    backend.write("d", value=1)
    assert files_in(path.parent) == ["metrics.parquet"]
    assert [row["name"] for row in merged_rows(path)] == ["a", "b", "c", "d"]
    assert backend.stats()["merges"] == 2


def test_a_worker_without_work_merges(path):
    """Behind a queue, what came last is in the file after the interval, though nothing comes any more."""
    merged = threading.Event()
    backend = ParquetBackend(path, NARROW, merge_interval=0.01)
    with ThreadedBackend(backend, bulk_timeout=0.01, queue_timeout=0.05) as queue:
        queue.write("a", value=1)
        for _ in range(1000):
            if path.exists():
                merged.set()
                break
            merged.wait(0.01)
    assert merged.is_set()


def test_a_large_journal_is_merged_at_once(path, monkeypatch):
    """However young it is, it does not outgrow the file, nor a few MiB."""
    monkeypatch.setattr(module, "_MIN_JOURNAL", 5000)
    backend = ParquetBackend(path, NARROW, merge_interval=1000.0)
    largest = 0
    for number in range(200):
        backend.bulk_write([{"name": f"{number}-{row}", "value": row} for row in range(20)])
        largest = max([file.stat().st_size for file in path.parent.glob("*.journal")], default=0)
        assert largest < max(5000, path.stat().st_size if path.exists() else 0)
    assert 3 < backend.stats()["merges"] < 100
    assert len(rows_in(path)) == 4000


def test_a_large_file_is_not_written_anew_all_the_time(path, clock, monkeypatch):
    """A file of several times 60 MiB waits in proportion to its size."""
    backend = ParquetBackend(path, NARROW, merge_interval=60.0)
    backend.write("a", value=1)
    assert backend.flush()
    backend.write("b", value=1)
    monkeypatch.setattr(backend._store, "sizes", lambda: (100, 200 << 20))
    clock.advance(199)
    backend.idle()
    assert backend.stats()["merges"] == 1
    clock.advance(1)
    backend.idle()
    assert backend.stats()["merges"] == 2


def test_a_backend_that_wrote_nothing_makes_no_file(path):
    """Closing, flushing and idling leave the folder as it is."""
    with ParquetBackend(path) as backend:
        backend.idle()
        assert backend.flush() is True
        backend.write_many([])
    assert files_in(path.parent) == []


def test_what_cannot_be_merged_is_tried_again_after_a_while(path, clock, monkeypatch):
    """A merge that fails is no error of the batch that brought it about, is counted, and is not tried with each."""
    monkeypatch.setattr(module, "_MIN_JOURNAL", 1)
    backend = ParquetBackend(path, NARROW, merge_interval=60.0)

    def full(*_args, **_options):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("time_execution.backends.files.parquet.store.write", full)
        for _ in range(5):
            backend.write("a", value=1)
        assert backend.stats()["merge_failures"] == 1
    clock.advance(60)
    backend.idle()
    assert backend.stats() == {"merges": 1, "merge_failures": 1, "unfit_values": 0, "damaged_lines": 0}
    assert len(merged_rows(path)) == 5


def test_nobody_waits_for_somebody_else_who_merges(path, clock):
    """A batch is stored while another process merges; who asks for it by flush waits as long as is said."""
    backend, other = ParquetBackend(path, NARROW), ParquetBackend(path, NARROW)
    other.write("a", value=1)
    journal = path.with_name("metrics.parquet.journal")
    journal.rename(path.with_name("metrics.parquet.merging"))
    with other._store._merging.held() as held:
        assert held >= 0
        backend.write("b", value=1)
        clock.advance(60)
        backend.write("c", value=1)
        assert backend.flush(0.0) is False
        assert names_in(path) == ["a", "b", "c"]
    assert backend.stats()["merge_failures"] == 0
    assert backend.flush(0.0) is True
    assert [row["name"] for row in merged_rows(path)] == ["a", "b", "c"]


def test_a_flush_waits_for_no_longer_than_it_was_told(path, clock, monkeypatch):
    """What waiting for one who merges has taken is no more there when another one comes between."""
    backend, waits = ParquetBackend(path, NARROW), []
    finish = backend._store._finish

    def wait(timeout):
        waits.append(timeout)
        clock.advance(7)
        finish(timeout)

    monkeypatch.setattr(backend._store, "_finish", wait)
    for timeout in (10, 5, None):
        backend.write("a", value=1)
        assert backend.flush(timeout)
    assert waits == [10, 3, 5, 0, math.inf, math.inf]


def test_others_append_while_somebody_merges(path, monkeypatch):
    """However long a merge takes, it holds up no batch of another process, and a reader sees all rows meanwhile."""
    backend, other = ParquetBackend(path, NARROW), ParquetBackend(path, NARROW)
    backend.write("a", value=1)
    entered, go_on = threading.Event(), threading.Event()
    real = store.write

    def wait(*args, **options):
        entered.set()
        assert go_on.wait(30)
        real(*args, **options)

    monkeypatch.setattr(store, "write", wait)
    thread = threading.Thread(target=backend.flush)
    thread.start()
    try:
        assert entered.wait(30)
        other._store._journal._lock_timeout = 0.5
        other.write("b", value=1)
        assert names_in(path) == ["a", "b"]
    finally:
        go_on.set()
        thread.join(30)
    assert [row["name"] for row in merged_rows(path)] == ["a"]
    assert names_in(path) == ["a", "b"]


AT_THE_END = """
from time_execution import settings, write_metric

settings.configure(backends=[{url!r}])
write_metric("a", value=1)
"""


def test_a_process_merges_at_its_end_where_pandas_is_installed(path):
    """pyarrow imports pandas with its first array, which nobody can once the interpreter is on its way out."""
    pytest.importorskip("pandas")
    assert printed_by(AT_THE_END.format(url=f"parquet:///{path}")) == []
    assert files_in(path.parent) == ["metrics.parquet"]
    assert [row["name"] for row in merged_rows(path)] == ["a"]


# ---- in what pieces --------------------------------------------------------------------------------------------------


def test_many_merges_do_not_make_many_row_groups(path):
    """Small row groups are gathered, whole ones are as large as they may be, and the order stays."""
    backend = ParquetBackend(path, NARROW)
    for number in range(30):
        backend.bulk_write([{"name": f"{number}", "value": row} for row in range(5000)])
        assert backend.flush()
    metadata = parquet.read_metadata(path)
    sizes = [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]
    assert sum(sizes) == 150_000
    assert len(sizes) <= 4
    assert max(sizes) <= 64 * 1024
    rows = merged_rows(path)
    assert [(row["name"], row["value"]) for row in rows[::777]] == [
        (str(place // 5000), float(place % 5000)) for place in range(0, 150_000, 777)
    ]


def test_row_groups_are_bounded_in_bytes(path, monkeypatch):
    """Rows of long texts are written before there are as many as of short ones."""
    monkeypatch.setattr(table, "_GROUP_BYTES", 200_000)
    with ParquetBackend(path, {"text": str}) as backend:
        for _ in range(40):
            backend.bulk_write([{"text": "x" * 1000} for _ in range(100)])
    metadata = parquet.read_metadata(path)
    assert metadata.num_rows == 4000
    assert max(metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)) <= 4096 + 100


def test_merging_takes_a_bounded_amount_of_memory(path):
    """Neither the journal nor the file is in memory as a whole."""
    backend = ParquetBackend(path, NARROW, merge_interval=1000.0)
    backend.write("first", value=1)
    assert backend.flush()  # pyarrow loads parts of itself when they are first used
    backend._not_before = float("inf")
    for number in range(100):
        backend.bulk_write([{"name": f"{number}-{row}" + "x" * 100, "value": row} for row in range(2000)])
    journal = path.with_name("metrics.parquet.journal").stat().st_size
    assert journal > 20_000_000
    arrow = pa.total_allocated_bytes()
    tracemalloc.start()
    try:
        assert backend.flush()
        python = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert python < journal / 4
    assert pa.total_allocated_bytes() <= arrow + 1_000_000
    assert parquet.read_metadata(path).num_rows == 200_001


def test_threads_share_a_backend(path, monkeypatch):
    """Eight threads that write, and merge all the time: each row once."""
    monkeypatch.setattr(module, "_MIN_JOURNAL", 2000)
    backend = ParquetBackend(path, NARROW)

    def work(thread):
        for number in range(100):
            backend.bulk_write([{"name": f"{thread}-{number}-{row}", "value": row} for row in range(5)])
        return backend.flush()

    assert in_threads(8, work) == [True] * 8
    counts = Counter(row["name"] for row in merged_rows(path))
    assert (len(counts), set(counts.values())) == (4000, {1})
    assert files_in(path.parent) == ["metrics.parquet"]


def test_many_move_one_file_aside_together(path):
    """Whoever comes first moves what is not ours, and what is ours by then stays: no row is lost, and no file."""
    path.write_bytes(b"precious")
    backends = [ParquetBackend(path, move_aside=True) for _ in range(8)]
    together = threading.Barrier(len(backends))

    def write(number, backend):
        together.wait(20)
        backend.write(f"row {number}", value=1)
        assert backend.flush(20)

    threads = [threading.Thread(target=write, args=each) for each in enumerate(backends)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(row["name"] for row in merged_rows(path)) == [f"row {number}" for number in range(8)]
    assert files_in(path.parent) == ["metrics.parquet", "metrics.parquet.before-1"]
    assert path.with_name("metrics.parquet.before-1").read_bytes() == b"precious"


def test_what_somebody_else_moved_meanwhile_is_not_moved_again(path):
    """Between finding a file that is not ours and having its turn, another process may have begun one that is."""
    late, moved = ParquetBackend(path, move_aside=True)._store, []
    late._move_aside(moved.append)
    with ParquetBackend(path) as backend:
        backend.write("a", value=1)
    late._move_aside(moved.append)
    assert moved == []
    assert [row["name"] for row in merged_rows(path)] == ["a"]
