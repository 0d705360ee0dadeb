"""A Parquet file that many processes write to and merge, some of them killed: each row once. Cases L1 and L2."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import random
import signal
import threading
import time
from collections import Counter

import pytest

pytest.importorskip("pyarrow", reason="it is not installed")

from pyarrow import parquet

from tests.backends.parquet_files import files_in, merged_rows, names_in
from tests.faults.children import posix
from tests.faults.crashes import is_killed_at
from tests.forked import exit_code, start_in_a_child
from time_execution import forking
from time_execution.backends.files import ParquetBackend
from time_execution.backends.files.parquet import backend as module
from time_execution.backends.files.parquet import table
from time_execution.backends.files.parquet.inside import Inside, inside
from time_execution.backends.threaded import ThreadedBackend
from time_execution.exceptions import DatabaseError

pytestmark = posix

PROCESSES = 8
ROWS = 5000
COLUMNS = {"name": str, "value": float}


def write_rows(path, label, begin):
    """Write numbered rows behind a queue, merging often; the body of a process."""
    module._MIN_JOURNAL = 50_000
    begin.wait(60)
    with ThreadedBackend(ParquetBackend(path, COLUMNS), bulk_size=100, bulk_timeout=0.02) as queue:
        for number in range(ROWS):
            queue.write(f"{label}-{number}", value=number)
        assert queue.flush(60)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_eight_processes_write_each_row_once(tmp_path, method):
    """40 000 rows of 40 000, all of them in the Parquet file once the processes have ended (L1)."""
    path = tmp_path / "metrics.parquet"
    context = multiprocessing.get_context(method)
    begin = context.Barrier(PROCESSES)
    processes = [context.Process(target=write_rows, args=(path, label, begin)) for label in range(PROCESSES)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(90)
    assert [process.exitcode for process in processes] == [0] * PROCESSES
    counts = Counter(row["name"] for row in merged_rows(path))
    assert set(counts.values()) == {1}
    assert len(counts) == PROCESSES * ROWS
    assert files_in(tmp_path) == ["metrics.parquet"]


def test_children_forked_while_a_thread_merges_write_and_merge_too(tmp_path):
    """Neither locks of ours nor anything in pyarrow is left held in a child (L1, P4)."""
    path = tmp_path / "metrics.parquet"
    backend = ParquetBackend(path, COLUMNS)
    backend.bulk_write([{"name": f"base-{row}", "value": row} for row in range(20_000)])
    done = threading.Event()
    written = []

    def merge():
        while not done.wait(0.005):  # else it would take the lock again before anybody else looks
            backend.write(f"parent-{len(written)}", value=1)
            written.append(None)
            assert backend.flush()

    def work(number):
        backend.write(f"child-{number}", value=1)
        assert backend.flush(20)

    thread = threading.Thread(target=merge)
    thread.start()
    codes = [exit_code(start_in_a_child(lambda number=number: work(number))) for number in range(40)]
    done.set()
    thread.join(30)
    assert codes == [0] * 40
    counts = Counter(row["name"] for row in merged_rows(path))
    assert set(counts.values()) == {1}
    assert len(counts) == 20_000 + len(written) + 40


def test_a_fork_waits_until_nobody_is_inside_pyarrow():
    """Locks of its allocator that another thread holds at that moment would hang in the child for ever (P4)."""
    watched, entered = Inside(), threading.Event()
    watched.watch()
    left = []

    def be_inside():
        with watched.entered():
            entered.set()
            time.sleep(0.2)
            left.append(time.monotonic())

    def work():
        assert left
        with watched.entered():
            assert not watched.is_lost

    thread = threading.Thread(target=be_inside)
    thread.start()
    assert entered.wait(10)
    assert exit_code(start_in_a_child(work)) == 0
    thread.join(10)
    with watched.entered():
        assert not watched.is_lost


class Watched:
    """A module of pyarrow, of which parts may be asked for only by who is inside."""

    def __init__(self, module):
        self._module = module
        self.asked = Counter()

    def __getattr__(self, name):
        if name in {"RecordBatch", "Table", "ParquetFile", "ParquetWriter", "array"}:
            assert inside._depth > 0, name
            self.asked[name] += 1
        return getattr(self._module, name)


def test_pyarrow_is_entered_by_nobody_who_does_not_say_so(tmp_path, monkeypatch):
    """Writing, merging and reading go to it one by one, so that no fork comes between (P4)."""
    arrow, of_parquet = Watched(table.pa), Watched(table.parquet)
    monkeypatch.setattr(table, "pa", arrow)
    monkeypatch.setattr(table, "parquet", of_parquet)
    backend = ParquetBackend(tmp_path / "metrics.parquet", COLUMNS)
    for name in ("a", "b"):
        backend.write(name, value=1)
        assert backend.flush()
    backend.write("c", value=1)
    assert names_in(backend.path) == ["a", "b", "c"]
    assert set(arrow.asked | of_parquet.asked) == {"RecordBatch", "Table", "ParquetFile", "ParquetWriter", "array"}


def test_a_child_that_was_forked_while_somebody_was_inside_leaves_merging_to_others(tmp_path, monkeypatch):
    """A fork waits for a second at most; then the rows of the child stay in the journal, for others to merge (P4)."""
    monkeypatch.setattr(forking, "_LONGEST_WAIT", 0.05)
    path = tmp_path / "metrics.parquet"
    backend = ParquetBackend(path, COLUMNS)
    backend.write("before", value=1)
    assert backend.flush()
    entered, go_on = threading.Event(), threading.Event()

    def be_inside():
        with inside.entered():
            entered.set()
            assert go_on.wait(30)

    def work():
        assert inside.is_lost
        backend.write("child", value=1)
        assert backend.flush() is False
        backend.close()
        assert backend.stats()["merge_failures"] == 2
        with pytest.raises(DatabaseError, match="cannot be read"):
            names_in(path)

    thread = threading.Thread(target=be_inside)
    thread.start()
    try:
        assert entered.wait(10)
        assert exit_code(start_in_a_child(work)) == 0
    finally:
        go_on.set()
        thread.join(10)
    assert names_in(path) == ["before", "child"]
    assert backend.flush()
    assert [row["name"] for row in merged_rows(path)] == ["before", "child"]


def test_a_kill_at_any_step_of_merging_loses_and_doubles_nothing(tmp_path):
    """Killed before each step that touches a file: a reader has each row once, then and after the next merge (L2)."""
    for step in itertools.count():
        path = tmp_path / str(step) / "metrics.parquet"
        backend = ParquetBackend(path, COLUMNS)
        backend.write("a", value=1)
        assert backend.flush()
        backend.write("b", value=1)

        def amid(backend=backend):
            backend.write("amid", value=1)
            assert backend.flush()

        is_killed = is_killed_at(step, amid)
        there = names_in(path)
        assert there in (["a", "b"], ["a", "b", "amid"])
        backend.write("c", value=1)
        assert names_in(path) == [*there, "c"]
        if step % 2:
            backend.write("d", value=1)  # which others do, too, before somebody merges
        assert backend.flush()
        expected = [*there, "c", *(["d"] if step % 2 else [])]
        assert [row["name"] for row in merged_rows(path)] == names_in(path) == expected
        assert files_in(path.parent) == ["metrics.parquet"]
        if not is_killed:
            break
    assert step >= 12


def write_and_merge(path, label, told):
    """Write batches and merge until killed; the body of a child."""
    backend = ParquetBackend(path, COLUMNS)
    for batch in itertools.count():
        backend.bulk_write([{"name": f"{label}-{batch}-{row}", "value": row} for row in range(20)])
        told.write_text(str(batch + 1))
        if batch % 3 == 0:
            backend.flush()


def test_killed_processes_lose_and_double_nothing(tmp_path):
    """Of four that merge all the time one is killed, 20 times: others go on, what was stored is there once (L2)."""
    path = tmp_path / "table" / "metrics.parquet"
    generator = random.Random(2026)
    base = ParquetBackend(path, COLUMNS)
    base.bulk_write([{"name": f"base-0-{row}", "value": row} for row in range(30_000)])  # so that merging takes a while
    assert base.flush()
    told = {}

    def start(label):
        told[label] = tmp_path / f"told-{label}"
        told[label].write_text("0")
        return label, start_in_a_child(lambda: write_and_merge(path, label, told[label]), longest=100)

    living = [start(label) for label in range(4)]
    try:
        for kill in range(20):
            before = stored_by(told, living)
            deadline = time.monotonic() + 30
            while any(now <= then for now, then in zip(stored_by(told, living), before, strict=True)):
                assert time.monotonic() < deadline, "somebody waits for what the killed left"
                time.sleep(0.001)
            time.sleep(generator.random() * 0.05)
            _, victim = living.pop(generator.randrange(4))
            kill_child(victim)
            living.append(start(4 + kill))
    finally:
        for _, pid in living:
            kill_child(pid)
    assert base.flush()
    counts = Counter(row["name"] for row in merged_rows(path))
    assert set(counts.values()) == {1}
    expected = {
        f"{label}-{batch}-{row}"
        for label, file in told.items()
        for batch in range(int(file.read_text() or 0))
        for row in range(20)
    }
    assert expected <= set(counts)
    assert files_in(path.parent) == ["metrics.parquet"]
    assert parquet.read_metadata(path).num_row_groups < 10


def stored_by(told, living):
    """Return how many batches each has stored; a file that is being written counts for nothing."""
    return [int(told[label].read_text() or 0) for label, _ in living]


def kill_child(pid):
    os.kill(pid, signal.SIGKILL)
    assert exit_code(pid) == -signal.SIGKILL
