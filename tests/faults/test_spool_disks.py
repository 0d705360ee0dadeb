"""Disks that are full, broken or read-only under the spool: case D15."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import sqlite3
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.children import posix
from tests.faults.harness import FakeClock
from tests.faults.spools import drain, metric, number_of, open_store, run_child
from time_execution.delivery.spool import Spool
from time_execution.exceptions import ConfigurationError

pytestmark = posix


@contextmanager
def limited_files(size):
    """Let no file of this process grow beyond a size, as a full disk would."""
    import resource

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_survived_and_recovered_from(tmp_path):
    """When files cannot grow, rows are refused, none acknowledged is lost, and with space it goes on (D15)."""

    def work(send):
        clock = FakeClock()
        store = Spool(tmp_path, clock=clock).open("backend")
        number = 0
        taken: list[int] = []

        def offer():
            nonlocal number
            number += 50
            batch = range(number - 50, number)
            stored = store.append([metric(n) for n in batch])
            assert stored in {0, 50}
            taken.extend(batch[:stored])
            return stored

        assert offer()
        with limited_files(200_000):
            while offer():
                assert number < 100_000
            assert store.degraded
            assert store.last_error
            clock.now += 29
            assert not offer()
            clock.now += 2
            assert not offer(), "the disk is still full"
            peeked = store.peek(20)
            assert store.degraded, "reading says nothing about space"
            # What was delivered is not seen again, though the disk may not take the deletion.
            assert store.delete([key for key, _ in peeked]) == 20
            assert [number_of(row) for _, row in store.peek(1)] == taken[20:21]
        clock.now += 31
        assert offer()
        assert not store.degraded
        assert len(store) == len(taken) - 20
        assert drain(store) == taken[20:]
        assert not store.dropped
        store.close()
        send(len(taken))

    assert run_child(work)[0] > 100


def test_a_disk_full_from_the_start_is_recovered_from(tmp_path):
    """A file that cannot even be made leaves nothing behind, and is made once there is space (D15)."""

    def work(send):
        clock = FakeClock()
        store = Spool(tmp_path / "spool", clock=clock).open("backend")
        with limited_files(2000):
            assert store.append([metric(1)]) == 0
            assert store.degraded
        assert list((tmp_path / "spool").iterdir()) == []
        clock.now += 31
        assert store.append([metric(1)]) == 1
        assert drain(store) == [1]
        store.close()
        send(1)

    assert run_child(work) == [1]


def test_sqlite_saying_full_is_survived(tmp_path):
    """SQLite's own word for a full disk refuses the batch whole and keeps the rest (D15)."""
    clock = FakeClock()
    store = Spool(tmp_path, clock=clock).open("backend")
    store.append([metric(n) for n in range(10)])
    rows = store._file._rows
    assert rows
    connection = rows._connection
    connection.execute("PRAGMA max_page_count = 1")
    assert store.append([metric(n) for n in range(10, 500)]) == 0
    assert "full" in str(store.last_error)
    assert len(store) == 10
    connection.execute("PRAGMA max_page_count = 1000000")
    clock.now += 30
    assert store.append([metric(n) for n in range(10, 500)]) == 490
    assert drain(store) == list(range(500))
    store.close()


def test_deletions_that_the_disk_refused_are_made_up_for(tmp_path, monkeypatch):
    """Rows delivered while the disk was full are taken out of the file as soon as it lets us (D15)."""
    clock = FakeClock()
    store = Spool(tmp_path, clock=clock).open("backend")
    store.append([metric(n) for n in range(10)])
    page = store.peek(5)

    def refuse(*_):
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr("time_execution.delivery._spool_rows.RowFile.delete", refuse)
    assert store.delete([key for key, _ in page]) == 5
    assert store.delete([key for key, _ in page]) == 0
    assert (len(store), store.degraded) == (5, True)
    monkeypatch.undo()
    clock.now += 31
    store.close()
    heir = open_store(tmp_path)
    assert heir.adopt() == 5
    assert drain(heir) == [5, 6, 7, 8, 9]
    heir.close()


def test_a_read_only_folder_is_survived_and_recovered_from():
    """Where nothing can be written rows are refused; once it can be, it goes on without a restart (D15)."""
    folder = Path(tempfile.mkdtemp())

    def work(send):
        if os.getuid() == 0:
            os.chown(folder, 65534, 65534)
            os.setresuid(65534, 65534, 65534)
        clock = FakeClock()
        store = Spool(folder, clock=clock).open("backend")
        folder.chmod(0o500)
        with pytest.raises(ConfigurationError, match="no permission"):
            Spool(folder)
        assert store.append([metric(1)]) == 0
        assert "PermissionError" in str(store.last_error)
        assert (store.degraded, store.peek(1), store.adopt()) == (True, [], 0)
        folder.chmod(0o700)
        assert store.append([metric(1)]) == 0
        clock.now += 31
        assert store.append([metric(1)]) == 1
        assert not store.degraded
        drain(store)
        store.close()
        send(1)

    try:
        assert run_child(work) == [1]
    finally:
        shutil.rmtree(folder)


def test_an_error_of_the_system_reaches_no_caller(tmp_path, monkeypatch):
    """ENOSPC at any step of making the file is counted and told, never raised (D15)."""

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    for step in ("make_folder", "take_lock", "RowFile"):
        store = open_store(tmp_path / step)
        with monkeypatch.context() as patched:
            patched.setattr(f"time_execution.delivery._spool_owned.{step}", full)
            assert store.append([metric(1)]) == 0
        assert "No space left" in str(store.last_error)
        assert "trying again" in store.news[-1]
        assert not (tmp_path / step).exists() or list((tmp_path / step).iterdir()) == []
        store.close()


def test_a_disk_full_amid_the_rescue_keeps_the_old_file(tmp_path, monkeypatch):
    """A broken file that cannot be copied for want of space stays until there is some; nothing is lost (D14, D15)."""
    clock = FakeClock()
    store = Spool(tmp_path, clock=clock).open("backend")
    store.append([metric(n) for n in range(10)])

    def full(*_):
        raise sqlite3.OperationalError("database or disk is full")

    def broken(*_):
        raise sqlite3.DatabaseError("database disk image is malformed")

    with monkeypatch.context() as patched:
        patched.setattr(store._file, "_rescue", full)
        patched.setattr("time_execution.delivery._spool_rows.RowFile.insert", broken)
        assert store.append([metric(10)]) == 0
    assert (store.degraded, store.corrupt_files, len(list(tmp_path.glob("*.db")))) == (True, 0, 1)
    clock.now += 31
    assert store.append([metric(10)]) == 1
    assert drain(store) == list(range(11))
    store.close()


def test_a_child_asks_a_disk_that_refused_its_parent(tmp_path, monkeypatch):
    """What the parent was refused a moment ago says nothing of the child, which begins afresh (D15, P5)."""

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    store = open_store(tmp_path)
    with monkeypatch.context() as patched:
        assert store.append([metric(0)]) == 1
        patched.setattr("time_execution.delivery._spool_rows.RowFile.insert", full)
        assert store.append([metric(1)]) == 0
    assert store.degraded

    def child(send):
        send(store.degraded, store.append([metric(2)]), len(store))
        store.close()

    assert run_child(child) == [0, 1, 1]
    assert store.degraded
    store.close()
