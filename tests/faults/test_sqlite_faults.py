"""Case L7 and its kin: many writers, kills, locks, broken files, full disks, forks; nothing is lost or repeated."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from time_execution import report
from time_execution.backends.sqlite import SQLiteBackend, database
from time_execution.exceptions import BackendDenied, BackendUnavailable
from time_execution.types import Metric

ROOT = Path(__file__).resolve().parents[2]
DEADLINE = 60.0

# Writes batches of numbered metrics, and says after each how many are committed.
WRITER = """
import sys, time
from time_execution.backends.sqlite import SQLiteBackend
from time_execution.types import Metric

path, writer, batches, size, rollup_rows = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])
backend = SQLiteBackend(path, rollup_rows=rollup_rows, busy_timeout=30.0)
for batch in range(batches):
    backend.write_many([
        Metric({"name": f"f{number % 5}", "value": number + 0.5, "hostname": writer, "timestamp": time.time_ns()})
        for number in range(batch * size, (batch + 1) * size)
    ])
    print((batch + 1) * size, flush=True)
backend.close()
assert not backend.corrupted and not backend.rollup_failures, (backend.corrupted, backend.rollup_failures)
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "metrics.db"


def core(name="f", value=1.0):
    return Metric({"name": name, "value": value, "hostname": "h", "timestamp": time.time_ns()})


def start_writer(path, writer, *numbers):
    command = [sys.executable, "-c", WRITER, str(path), str(writer), *map(str, numbers)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)})


def query(path, text):
    connection = sqlite3.connect(path)
    try:
        return connection.execute(text).fetchall()
    finally:
        connection.close()


def assert_consistent(path):
    """The file is sound, and what rollups and the rows past the watermark count is what is there."""
    assert query(path, "PRAGMA integrity_check") == [("ok",)]
    ((watermark,),) = query(path, "SELECT watermark FROM state")
    rolled_up = query(path, f"SELECT count(*), total(value) FROM raw WHERE id <= {watermark}")
    (summed,) = query(path, "SELECT coalesce(sum(calls), 0), total(total) FROM rollup WHERE width = 60")
    assert [summed] == [(rolled_up[0][0], pytest.approx(rolled_up[0][1]))]
    assert query(path, "SELECT coalesce(sum(calls), 0) FROM histogram WHERE width = 60") == [(rolled_up[0][0],)]
    assert sum(row.calls for row in report.read(path)) == query(path, "SELECT count(*) FROM metrics")[0][0]


def test_eight_processes_at_once_lose_and_repeat_nothing(path):
    """Eight writers that create, fill and roll up one file together: every row once, and rollups to the row."""
    writers = [start_writer(path, number, 40, 50, 300) for number in range(8)]
    for writer in writers:
        writer.communicate(timeout=DEADLINE)
    assert [writer.returncode for writer in writers] == [0] * 8
    assert query(path, "SELECT count(*), count(DISTINCT hostname || value) FROM metrics") == [(16_000, 16_000)]
    assert query(path, "SELECT watermark > 8000 FROM state") == [(1,)]
    assert_consistent(path)


def test_readers_see_consistent_figures_while_others_write(path):
    """A report taken at any moment counts each committed row once: never more than a later look at the rows."""
    writers = [start_writer(path, number, 40, 50, 200) for number in range(2)]
    seen = [0]
    while any(writer.poll() is None for writer in writers):
        if path.exists():
            try:
                counted = sum(row.calls for row in report.read(path))
            except report.NotADatabaseError:
                # The file is there before its tables are.
                assert seen == [0]
                continue
            ((there,),) = query(path, "SELECT count(*) FROM raw")
            assert seen[-1] <= counted <= there
            seen.append(counted)
    for writer in writers:
        writer.communicate(timeout=DEADLINE)
    assert sum(row.calls for row in report.read(path)) == 4000
    assert len(seen) > 2


def test_a_killed_writer_leaves_a_sound_file(path):
    """kill -9 at any moment, also in a roll-up: what was acknowledged is there, and rollups fit the rows."""
    acknowledged = 0
    generator = random.Random(20240229)
    for attempt in range(15):
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
    """While another holds the lock for longer than the wait, a batch is to be sent again, and none of it is stored."""
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


def test_a_full_disk_is_unavailable_and_stores_again_when_there_is_room(path):
    """A batch that does not fit is not stored in part; once there is room, the next one is."""
    with SQLiteBackend(path) as backend:
        backend.write_many([core("first")])
        ((pages,),) = query(path, "PRAGMA page_count")
        assert backend._opened
        backend._opened[0].execute(f"PRAGMA max_page_count = {pages + 1}")
        with pytest.raises(BackendUnavailable, match="full"):
            backend.write_many([core(f"n{number}") for number in range(5000)])
        backend.write_many([core("last")])
    assert query(path, "SELECT name FROM metrics") == [("first",), ("last",)]
    assert_consistent(path)


def fill(path, rows=3000):
    with SQLiteBackend(path, rollup_rows=500) as backend:
        backend.write_many([core(f"function_{number % 50}", float(number + 1)) for number in range(rows)])


def overwrite(path, start, content):
    with path.open("r+b") as file:
        file.seek(start)
        file.write(content)


def aside(path):
    return sorted(path.parent.glob("metrics.db.corrupt-*"))


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_text("this is no database, and long enough to be seen as something else " * 20),
        lambda path: overwrite(path, 0, b"\0" * 100),
        lambda path: overwrite(path, 4096, b"\xff" * (path.stat().st_size - 4096)),
        lambda path: os.truncate(path, path.stat().st_size // 2),
        lambda path: os.truncate(path, 1000),
    ],
    ids=["text", "no header", "pages of rubbish", "half a file", "less than a page"],
)
def test_a_broken_file_is_moved_aside_and_counted(path, damage):
    """The broken file keeps its content under another name, and a fresh one takes this batch and the next."""
    fill(path)
    damage(path)
    content = path.read_bytes()
    with SQLiteBackend(path) as backend:
        backend.write_many([core("after")])
        backend.write_many([core("later")])
        assert backend.corrupted == 1
    assert query(path, "SELECT name FROM metrics") == [("after",), ("later",)]
    assert_consistent(path)
    (moved,) = aside(path)
    assert moved.read_bytes() == content


def test_damage_while_open_is_noticed_at_the_latest_when_rolling_up(path):
    """A file that breaks under an open connection is moved aside with its log, and the batch is in the fresh one."""
    fill(path)
    with SQLiteBackend(path, rollup_rows=1) as backend:
        backend.write_many([core("before")])
        assert backend._opened
        backend._opened[0].execute("PRAGMA wal_checkpoint(TRUNCATE)")
        overwrite(path, 4096, b"\xff" * (path.stat().st_size - 4096))
        backend._opened[0].execute("PRAGMA shrink_memory")
        backend.write_many([core("after")])
        assert backend.corrupted == 1
    assert query(path, "SELECT name FROM metrics") == [("after",)]
    assert aside(path)


def test_the_log_of_a_broken_file_is_not_played_into_the_fresh_one(path):
    """A write-ahead log that others still have open goes aside with its database."""
    fill(path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN")
    other.execute("SELECT count(*) FROM raw").fetchone()
    with SQLiteBackend(path, rollup_rows=1) as backend:
        backend.write_many([core("before")])
        backend.close()
        overwrite(path, 4096, b"\xff" * (path.stat().st_size - 4096))
        log = path.with_name("metrics.db-wal").read_bytes()
        backend.write_many([core("after")])
        backend.write_many([core("later")])
        assert backend.corrupted == 1
    other.close()
    assert query(path, "SELECT name FROM metrics") == [("after",), ("later",)]
    assert_consistent(path)
    assert len(log) > 4096
    assert any(file.name.endswith("-wal") for file in aside(path))


@pytest.mark.parametrize("size", [*range(0, 101, 5), 511, 512, 4095, 4096, 5000])
def test_a_file_cut_anywhere_does_not_stop_the_backend(path, size):
    """Whatever is left of a file, metrics are stored; what was not empty is kept beside."""
    fill(path, rows=10)
    os.truncate(path, size)
    with SQLiteBackend(path) as backend:
        backend.write_many([core("after")])
    assert query(path, "SELECT name FROM metrics") == [("after",)]


def store_as_delivery_does(backend):
    """Write two metrics; again when the file was taken from under it, which is an answer that asks for just that."""
    for _ in range(50):
        try:
            return backend.write_many([core(), core()])
        except BackendUnavailable:
            continue
    raise AssertionError("the store never came back")


def test_several_that_find_the_same_file_broken_move_it_once(path):
    """Of eight backends that meet a broken file at once, one moves it, and all their batches are in one fresh file."""
    for _ in range(5):
        for moved in aside(path):
            moved.unlink()
        for suffix in ("", "-wal", "-shm"):
            path.with_name(f"metrics.db{suffix}").unlink(missing_ok=True)
        path.write_bytes(b"rubbish " * 1000)
        backends = [SQLiteBackend(path, busy_timeout=30.0) for _ in range(8)]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(store_as_delivery_does, backends))
        for backend in backends:
            backend.close()
        assert sum(backend.corrupted for backend in backends) == len(aside(path)) == 1
        assert query(path, "SELECT count(*) FROM metrics") == [(16,)]


def test_a_file_that_took_the_broken_ones_place_is_not_moved(path):
    """One that comes too late, and finds a fresh file where the broken one was, leaves it there."""
    fill(path, rows=1)
    broken = database.identity(path)
    assert broken
    path.rename(path.with_name("metrics.db.corrupt-by-another"))
    fill(path, rows=2)
    assert database.set_aside(path, broken) is None
    assert query(path, "SELECT count(*) FROM metrics") == [(2,)]


def test_another_programs_database_is_left_alone(path):
    """A sound database that is not ours is refused, and not changed by a byte."""
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE customers (id)")
    connection.commit()
    connection.close()
    content = path.read_bytes()
    with SQLiteBackend(path) as backend, pytest.raises(BackendDenied, match="another program"):
        backend.write_many([core()])
    assert path.read_bytes() == content
    assert list(path.parent.iterdir()) == [path]


def test_a_later_version_is_left_alone(path):
    """A database of a later schema is refused with a clear message, and not changed by a byte."""
    fill(path, rows=1)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    content = path.read_bytes()
    with SQLiteBackend(path) as backend, pytest.raises(BackendDenied, match="version 99"):
        backend.write_many([core()])
    with pytest.raises(report.NotADatabaseError, match="later release"):
        report.read(path)
    assert path.read_bytes() == content


def test_a_link_planted_after_construction_is_refused(path, tmp_path):
    """A symbolic link that appears before the first metric is not followed."""
    backend = SQLiteBackend(path)
    path.symlink_to(tmp_path / "target.db")
    with pytest.raises(BackendDenied, match="symbolic link"):
        backend.write_many([core()])
    assert not (tmp_path / "target.db").exists()


def test_a_folder_that_went_away_is_unavailable(tmp_path):
    """When the folder vanishes, batches wait; when it is back, they are stored."""
    folder = tmp_path / "data"
    folder.mkdir()
    with SQLiteBackend(folder / "metrics.db") as backend:
        folder.rmdir()
        with pytest.raises(BackendUnavailable):
            backend.write_many([core()])
        folder.mkdir()
        backend.write_many([core()])
    assert query(folder / "metrics.db", "SELECT count(*) FROM metrics") == [(1,)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
def test_parent_and_children_write_through_one_backend(path):
    """Children of a fork open the file themselves, also when it happens inside of a batch of the parent's."""
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
    """An inherited connection that is torn down with a child's interpreter leaves the parent's transactions alone."""
    script = """
import os, sys
from time_execution.backends.sqlite import SQLiteBackend
backend = SQLiteBackend(sys.argv[1])
for number in range(20):
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
    assert query(path, "SELECT name, count(*) FROM metrics GROUP BY name") == [("child", 20), ("parent", 20)]
    assert_consistent(path)


def test_the_message_of_an_unexpected_error_reaches_delivery(path):
    """Errors of the operating system are mapped: refused access waits long, everything else is tried again."""
    assert type(database.backend_error(PermissionError(13, "Permission denied"))) is BackendDenied
    assert type(database.backend_error(OSError(5, "Input/output error"))) is BackendUnavailable
    assert (
        type(database.backend_error(sqlite3.OperationalError("attempt to write a readonly database"))) is BackendDenied
    )
    assert type(database.backend_error(sqlite3.OperationalError("disk I/O error"))) is BackendUnavailable
