"""Looking for spools that processes left behind, again and again: what it costs, and what it must leave alone."""

from __future__ import annotations

import os
import sqlite3
import threading
from pathlib import Path

import pytest

from tests.faults.spools import run_child
from tests.spool.rows import files, metrics, waiting
from time_execution.delivery._spool_rows import RowFile
from time_execution.delivery.spool import Spool

DEADLINE = 30.0
OPEN_FILES = Path("/proc/self/fd")
posix = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks need POSIX")


def leave_behind(open_store, count, *, first=0):
    """Leave files with one row each, which is their number."""
    for number in range(first, first + count):
        store = open_store()
        store.append(metrics(number))
        store.close()


def test_a_search_that_finds_nothing_opens_no_database(open_store, tmp_path, monkeypatch):
    """Beside living owners a claim is a listing and a try at each lock, and it changes nothing."""
    owners = [open_store() for _ in range(3)]
    for number, store in enumerate(owners):
        store.append(metrics(number))
    before = sorted((path.name, path.stat().st_mtime_ns) for path in (tmp_path / "spool").iterdir())

    def opened(*_, **__):
        raise AssertionError("a database was opened")

    monkeypatch.setattr(RowFile, "__init__", opened)
    assert [owners[0].claim() for _ in range(100)] == [0] * 100
    assert sorted((path.name, path.stat().st_mtime_ns) for path in (tmp_path / "spool").iterdir()) == before
    assert not owners[0].news


def test_a_claim_with_files_in_hand_looks_for_no_more(open_store):
    """What was claimed is moved before anything else is read."""
    leave_behind(open_store, 2)
    heir = open_store()
    assert heir.claim() == 2
    leave_behind(open_store, 1, first=2)
    assert heir.claim() == 2
    assert heir.adopt() == 3


@pytest.mark.skipif(not OPEN_FILES.exists(), reason="needs /proc")
def test_few_of_many_files_are_held_open(open_store):
    """However many files were left behind, a claim takes few descriptors of the process; adopting takes over all."""
    leave_behind(open_store, 40)
    heir = open_store()
    before = len([*OPEN_FILES.iterdir()])
    assert heir.claim() == 16
    assert len([*OPEN_FILES.iterdir()]) - before <= 4 * 16
    assert heir.adopt() == 40
    assert sorted(waiting(heir)) == list(range(40))


def test_the_oldest_and_the_newest_come_first(open_store):
    """A kill amid adoption leaves rows twice, in one of the oldest files and in one of the newest."""
    leave_behind(open_store, 40)
    heir = open_store()
    heir.claim()
    heir.adopt(limit=16)
    assert waiting(heir) == [*range(8), *range(32, 40)]


def test_a_store_never_adopts_its_own_file(open_store, tmp_path):
    """Not even when somebody who tidied up has removed its lock."""
    store = open_store()
    store.append(metrics(1, 2, 3))
    for lock in files(tmp_path / "spool", "*.lock"):
        lock.unlink()
    assert (store.claim(), store.adopt()) == (0, 0)
    assert waiting(store) == [1, 2, 3]
    assert not store.dropped


@posix
def test_reading_a_lock_file_gives_nothing_away(open_store, tmp_path):
    """An owner that opens and closes its own files, as by copying the folder, goes on owning them."""
    store = open_store()
    store.append(metrics(1))
    for path in (tmp_path / "spool").glob("*.lock"):
        path.read_bytes()

    def adopt(send):
        send(Spool(tmp_path / "spool").open("backend").adopt())

    assert run_child(adopt) == [0]
    assert waiting(store) == [1]


def test_searches_at_once_share_without_doubles(open_store):
    """Threads that claim and adopt at the same time, for one store or for several, take each row once."""
    leave_behind(open_store, 30)
    heirs = [open_store(), open_store()]
    start = threading.Barrier(6)

    def adopt(heir):
        start.wait(DEADLINE)
        for _ in range(20):
            heir.claim()
            heir.adopt(limit=3)

    threads = [threading.Thread(target=adopt, args=(heirs[number % 2],)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
    assert sorted(waiting(heirs[0]) + waiting(heirs[1])) == list(range(30))
    assert [heir.duplicates for heir in heirs] == [0, 0]


def test_what_is_left_alone_is_told_once(open_store, tmp_path):
    """A file that is not ours is found at every search, and is no news after the first."""
    folder = tmp_path / "spool"
    folder.mkdir(0o700)
    connection = sqlite3.connect(folder / "backend.1.0123456789abcdef01234567.db")
    connection.execute("CREATE TABLE theirs(x)")
    connection.close()
    store = open_store()
    assert [store.claim() for _ in range(5)] == [0] * 5
    assert len(store.news) == 1


@posix
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_fork_waits_until_no_orphan_is_being_read(open_store, monkeypatch):
    """A child forked while another thread is inside SQLite inherits its mutexes held, and hangs at its first row."""
    leave_behind(open_store, 1)
    heir = open_store()
    reached, never = threading.Event(), threading.Event()
    reading = []

    def read(_):
        reading.append(True)
        reached.set()
        never.wait(0.2)
        reading.clear()
        return True

    monkeypatch.setattr(RowFile, "is_sound", read)
    thread = threading.Thread(target=heir.claim)
    thread.start()
    assert reached.wait(DEADLINE)
    pid = os.fork()
    if not pid:
        os._exit(len(reading))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    thread.join(DEADLINE)
    assert heir.adopt() == 1


@posix
def test_a_system_without_locks_is_told_and_not_tried_for_ever(open_store, monkeypatch):
    """Where a file system grants no locks the spool refuses rows, and says why."""
    import fcntl

    def unsupported(*_):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    store = open_store()
    assert store.append(metrics(1)) == 0
    assert store.degraded
    assert "No locks available" in store.last_error


@posix
def test_a_lock_that_its_owner_removes_as_it_is_taken_is_not_had(open_store, tmp_path, monkeypatch):
    """What was locked then is no longer the file of that name: another could be made, and locked, beside it."""
    import fcntl

    leave_behind(open_store, 1)
    lock = files(tmp_path / "spool", "*.lock")[0]
    flock = fcntl.flock

    def remove_and_lock(descriptor, how):
        lock.unlink(missing_ok=True)
        flock(descriptor, how)

    heir = open_store()
    with monkeypatch.context() as patched:
        patched.setattr(fcntl, "flock", remove_and_lock)
        assert heir.claim() == 0
    assert heir.adopt() == 1
