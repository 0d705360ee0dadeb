"""Several processes and forks with one spool folder: cases D16, P4 and P5."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from tests.faults.children import posix
from tests.faults.spools import DEADLINE, ROWS, drain, ended, in_child, metric, open_store, received, run_child
from time_execution.delivery.spool import inspect_folder

pytestmark = posix


def test_processes_do_not_touch_each_others_files(tmp_path):
    """While its owner lives, a file is adopted by nobody; once it is gone, by one (D16)."""
    store = open_store(tmp_path)
    store.append([metric(n) for n in range(10)])

    def adopt(send):
        other = open_store(tmp_path)
        other.append([metric(100)])
        send(other.adopt())
        other.close()

    assert run_child(adopt) == [0]
    store.close()
    heir = open_store(tmp_path)
    assert heir.adopt() == 11
    heir.close()


def test_heirs_that_race_share_without_doubles(tmp_path):
    """Many processes that adopt at once take each row exactly once among them (D16)."""
    for part in range(12):
        store = open_store(tmp_path)
        store.append([metric(n) for n in range(part * 100, (part + 1) * 100)])
        store.close()

    def adopt(send):
        store = open_store(tmp_path)
        for _ in range(3):
            store.adopt()
        found = drain(store)
        send(*found)
        store.close()

    children = [in_child(adopt) for _ in range(6)]
    found = [number for _, reader in children for number in received(reader)]
    assert [ended(pid) for pid, _ in children] == [0] * 6
    rest = open_store(tmp_path)
    rest.adopt()
    assert sorted(found + drain(rest)) == list(range(1200))
    rest.close()


def test_a_child_has_a_spool_of_its_own(tmp_path):
    """After a fork the child sees none of the parent's rows and writes to its own file; both go on (P5)."""
    store = open_store(tmp_path)
    store.append([metric(n) for n in range(5)])
    assert store.claim() == 0

    def child(send):
        send(len(store), len(store.peek(5)), store.adopt())
        store.append([metric(50)])
        send(*drain(store))
        store.append([metric(51)])
        send(len(inspect_folder(tmp_path)))
        store.close()

    assert run_child(child) == [0, 0, 0, 50, 2]
    assert inspect_folder(tmp_path)[0].has_owner, "the child's exit must not have dropped the parent's lock"
    assert store.adopt() == 1
    assert drain(store) == [0, 1, 2, 3, 4, 51]
    store.close()


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
def test_a_child_never_closes_the_parents_connection(tmp_path):
    """Closing it would wait for SQLite's mutex, which a thread of the parent may hold, and may remove its log (P5)."""
    store = open_store(tmp_path)
    store.append([metric(1)])
    database = os.path.realpath(next(tmp_path.glob("*.db")))

    def child(send):
        store.append([metric(2)])
        gc.collect()
        targets = [os.path.realpath(entry) for entry in Path("/proc/self/fd").iterdir()]
        send(targets.count(database))
        store.close()

    assert run_child(child) == [1]
    store.close()


@pytest.mark.parametrize("in_hand", [False, True], ids=["its own", "claimed"])
def test_a_child_that_outlives_its_killed_parent_holds_none_of_its_files(tmp_path, in_hand):
    """What the parent owned, or was about to take over, can be adopted as soon as the parent is gone (D16, P5)."""
    if in_hand:
        store = open_store(tmp_path)
        store.append([metric(n) for n in range(10)])
        store.close()

    def parent(send):
        store = open_store(tmp_path)
        assert store.claim() == in_hand
        assert in_hand or store.append([metric(n) for n in range(10)])
        if not os.fork():
            send(os.getpid())
        signal.pause()

    pid, reader = in_child(parent)
    (survivor,) = struct.unpack("q", os.read(reader, 8))
    try:
        os.kill(pid, signal.SIGKILL)
        assert ended(pid) == -signal.SIGKILL
        heir = open_store(tmp_path)
        assert heir.adopt() == 10
        heir.close()
    finally:
        os.kill(survivor, signal.SIGKILL)
        os.close(reader)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
def test_a_child_never_closes_a_connection_to_what_its_parent_claimed(whole, tmp_path):
    """A file that the parent is taking over is as much the parent's as its own (P5)."""
    target = tmp_path / "spool"
    shutil.copytree(whole, target)
    store = open_store(target)
    assert store.claim() == 1
    database = os.path.realpath(next(target.glob("*.db")))

    def child(send):
        gc.collect()
        send(
            len(store._orphans), [os.path.realpath(entry) for entry in Path("/proc/self/fd").iterdir()].count(database)
        )

    assert run_child(child) == [0, 1]
    assert store.adopt() == ROWS
    store.close()


def test_a_child_forked_in_the_midst_of_a_call_has_a_spool_all_the_same(tmp_path):
    """A signal handler may fork while its own thread is inside the store (P4)."""
    store = open_store(tmp_path)
    store.append([metric(1)])

    def child(send):
        send(store.append([metric(2)]), len(store))
        store.close()

    with store._entered():
        assert run_child(child) == [1, 1]
    assert (store.adopt(), len(store)) == (1, 2)
    store.close()


FORKS = """
    import os, signal, sys, threading
    from time_execution.delivery.spool import Spool
    from time_execution.types import Metric
    store = Spool(sys.argv[1]).open("b")
    done = threading.Event()
    def produce(k):
        number = 0
        while not done.is_set():
            number += 1
            store.append([Metric({"name": "p"}, id=f"p-{os.getpid()}-{k}-{number}")])
            if number % 50 == 0:
                store.delete([key for key, _ in store.peek(100)])
    threads = [threading.Thread(target=produce, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(int(sys.argv[2])):
        pid = os.fork()
        if not pid:
            signal.alarm(20)
            for number in range(20):
                assert store.append([Metric({"name": "c"}, id=f"c-{os.getpid()}-{number}")]) == 1
            assert len(store.peek(100)) == 20
            sys.exit(0)  # through the interpreter's whole end, which closes what it destroys
        if os.waitpid(pid, 0)[1]:
            done.set()
            sys.exit("a child failed")
    done.set()
    for thread in threads:
        thread.join()
    assert store.append([Metric({"name": "p"}, id="last")]) == 1
    assert store.corrupt_files == 0 and not store.dropped and not store.degraded
    store.adopt()
    children = [m for _, m in store.peek(1000000) if m["name"] == "c"]
    while page := store.peek(500):
        children += [m for _, m in page if m["name"] == "c"]
        store.delete([key for key, _ in page])
    print(len({m.id for m in children}))
    store.close()
"""


@pytest.mark.timeout(300)
@pytest.mark.parametrize("forks", [10, pytest.param(200, marks=pytest.mark.slow)])
def test_forks_amid_writes_neither_hang_nor_lose(tmp_path, forks):
    """Forked while four threads write, every child keeps its own rows and ends; the parent's file is whole (P4)."""
    script = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(FORKS), str(tmp_path / "s"), str(forks)]
    ran = subprocess.run(script, capture_output=True, text=True, timeout=250, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert int(ran.stdout) == forks * 20


def test_claimed_files_are_let_go(whole, tmp_path):
    """Files that were locked for adoption are free again after close, and untouched by a fork (P5)."""
    target = tmp_path / "spool"
    shutil.copytree(whole, target)
    store = open_store(target)
    assert store.adopt(limit=10) == 10

    def child(send):
        send(len(store), store.adopt(), store.append([metric(1)]))
        store.close()

    assert run_child(child) == [0, 0, 1]
    assert store.adopt(limit=10) == 10
    store.close()
    heir = open_store(target)
    assert heir.adopt() == ROWS
    assert sorted(drain(heir)) == sorted([*range(ROWS)])
    heir.close()


def test_a_busy_orphan_is_left_for_later(whole, tmp_path):
    """A file that somebody else is writing to is not adopted now, and not lost (D16)."""
    target = tmp_path / "spool"
    shutil.copytree(whole, target)
    connection = sqlite3.connect(next(target.glob("*.db")), isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    store = open_store(target)
    assert store.adopt(limit=10) == 0
    assert any("left alone" in line for line in store.news)
    connection.execute("ROLLBACK")
    assert store.adopt(limit=10) == 10
    # From here on rows may arrive that cannot be deleted where they came from: they count, once.
    connection.execute("BEGIN IMMEDIATE")
    moved = store.adopt(limit=10)
    connection.execute("ROLLBACK")
    connection.close()
    assert moved == 10
    assert store.adopt() == ROWS - 20
    assert sorted(drain(store)) == list(range(ROWS))
    store.close()


def slow_check():
    """Return a check of files that waits, the event that says it was reached, and the one that lets it go on."""
    reached, go_on = threading.Event(), threading.Event()

    def check(_):
        reached.set()
        assert go_on.wait(DEADLINE)
        return True

    return check, reached, go_on


def test_concurrent_calls_do_not_wait_for_the_check_of_orphans(whole, tmp_path, monkeypatch):
    """While files left behind are read from end to end, rows can be appended (D16)."""
    target = tmp_path / "spool"
    shutil.copytree(whole, target)
    check, reached, go_on = slow_check()
    monkeypatch.setattr("time_execution.delivery._spool_rows.RowFile.is_sound", check)
    store = open_store(target)
    thread = threading.Thread(target=store.claim)
    thread.start()
    assert reached.wait(DEADLINE)
    assert store.append([metric(500)]) == 1
    go_on.set()
    thread.join(DEADLINE)
    assert store.adopt() == ROWS
    store.close()


def test_files_that_were_being_checked_as_the_store_closed_are_let_go(whole, tmp_path, monkeypatch):
    """A claim that comes too late keeps no lock, though the process and its store live on (D16)."""
    target = tmp_path / "spool"
    shutil.copytree(whole, target)
    check, reached, go_on = slow_check()
    store = open_store(target)
    with monkeypatch.context() as patched:
        patched.setattr("time_execution.delivery._spool_rows.RowFile.is_sound", check)
        thread = threading.Thread(target=store.claim)
        thread.start()
        assert reached.wait(DEADLINE)
        store.close()
        go_on.set()
        thread.join(DEADLINE)
    heir = open_store(target)
    assert heir.adopt() == ROWS
    heir.close()
