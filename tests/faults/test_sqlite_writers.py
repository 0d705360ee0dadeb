"""Many writers, kills, locks and forks: nothing that SQLite took is lost or repeated. Case L7."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys

import pytest

from tests.faults.stores import DEADLINE, ROOT, assert_consistent, core, query, start_writer
from time_execution import report
from time_execution.backends.sqlite import SQLiteBackend
from time_execution.exceptions import BackendUnavailable


def test_eight_processes_at_once_lose_and_repeat_nothing(path):
    """Eight writers that create, fill and roll up one file together: every row once, and rollups to the row (L7)."""
    writers = [start_writer(path, number, 40, 50, 300) for number in range(8)]
    for writer in writers:
        writer.communicate(timeout=DEADLINE)
    assert [writer.returncode for writer in writers] == [0] * 8
    assert query(path, "SELECT count(*), count(DISTINCT hostname || value) FROM metrics") == [(16_000, 16_000)]
    assert query(path, "SELECT watermark > 8000 FROM state") == [(1,)]
    assert_consistent(path)


def test_readers_see_consistent_figures_while_others_write(path):
    """A report taken at any moment counts each committed row once: never more than a later look at the rows (L7)."""
    writers = [start_writer(path, number, 40, 50, 200) for number in range(2)]
    seen = [0]
    while any(writer.poll() is None for writer in writers):
        try:
            counted = sum(row.calls for row in report.read(path))
        except report.DatabaseError:
            assert seen == [0]  # neither is the file there from the start, nor are its tables
            continue
        ((there,),) = query(path, "SELECT count(*) FROM raw")
        assert seen[-1] <= counted <= there
        seen.append(counted)
    for writer in writers:
        writer.communicate(timeout=DEADLINE)
    assert sum(row.calls for row in report.read(path)) == 4000
    assert len(seen) > 2


def test_a_killed_writer_leaves_a_sound_file(path):
    """kill -9 at any moment, also in a roll-up: what was acknowledged is there, and rollups fit the rows (L7)."""
    acknowledged = 0
    generator = random.Random(20240229)
    for attempt in range(8):
        writer = start_writer(path, attempt, 100_000, 20, 60)
        stop_at = 20 * generator.randrange(1, 40)
        last = 0
        for line in writer.stdout:
            last = int(line)
            if last >= stop_at:
                break
        writer.send_signal(signal.SIGKILL)
        rest = writer.stdout.read().splitlines()
        writer.communicate(timeout=DEADLINE)
        last = int(rest[-1]) if rest else last
        ((there,),) = query(path, f"SELECT count(*) FROM metrics WHERE hostname = '{attempt}'")
        # The batch after the last acknowledgement may have been committed, and no more than that.
        assert there in {last, last + 20}
        acknowledged += last
    assert query(path, "SELECT count(*) FROM metrics")[0][0] >= acknowledged > 0
    with SQLiteBackend(path, rollup_rows=1) as backend:
        backend.write_many([core()])
    assert_consistent(path)


def test_a_locked_database_is_unavailable_and_takes_the_batch_later(path):
    """While another holds the lock for too long, a batch is to be sent again, and none of it is stored (L7)."""
    with SQLiteBackend(path, busy_timeout=0.01) as backend:
        backend.write_many([core("first")])
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(BackendUnavailable, match="locked"):
            backend.write_many([core("second")])
        with pytest.raises(BackendUnavailable, match="locked"):
            backend.write_many([core("third")])
        other.execute("ROLLBACK")
        other.close()
        backend.write_many([core("fourth")])
    assert query(path, "SELECT name FROM metrics") == [("first",), ("fourth",)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
def test_parent_and_children_write_through_one_backend(path):
    """Children of a fork open the file themselves, also when it happens inside of a batch of the parent's (L7)."""
    backend = SQLiteBackend(path, busy_timeout=30.0)
    backend.write_many([core("parent")])
    children = []
    for number in range(20):
        if number % 2:
            # As if another thread were storing at the moment of the fork.
            backend._locks[os.getpid()].acquire()
            backend._is_busy = True
        child = os.fork()
        if child == 0:
            status = 1
            try:
                inherited = backend._opened
                backend.write_many([core("child")])
                status = int(backend._opened is inherited)
                backend.close()
            finally:
                os._exit(status)
        if number % 2:
            backend._is_busy = False
            backend._locks[os.getpid()].release()
        backend.write_many([core("parent")])
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 20
    backend.close()
    assert query(path, "SELECT name, count(*) FROM metrics GROUP BY name") == [("child", 20), ("parent", 21)]
    assert_consistent(path)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_child_that_ends_normally_harms_no_parent(path):
    """An inherited connection that ends with a child's interpreter leaves the parent's transactions alone (L7)."""
    script = """
import os, sys
from time_execution.backends.sqlite import SQLiteBackend
backend = SQLiteBackend(sys.argv[1])
for number in range(10):
    backend.write("parent", value=number)
    if os.fork() == 0:
        backend.after_fork()
        backend.write("child", value=number)
        sys.exit()
    os.wait()
backend.close()
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", script, str(path)], check=True, timeout=DEADLINE, env=environment)
    assert query(path, "SELECT name, count(*) FROM metrics GROUP BY name") == [("child", 10), ("parent", 10)]
    assert_consistent(path)
