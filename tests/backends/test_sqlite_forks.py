"""Forks while a batch is being stored: SQLite's locks are copied as they are, and no child can replace them."""

from __future__ import annotations

import os
import threading

import pytest

from time_execution import forking
from time_execution.backends.sqlite import SQLiteBackend

DEADLINE = 30.0

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="forks need POSIX"),
    pytest.mark.filterwarnings("ignore:This process:DeprecationWarning"),
]


def held_up(backend, monkeypatch, pause):
    """Let a batch be stored until it is allowed to end, or the pause is over; return its thread and what it says."""
    reached, go_on, storing = threading.Event(), threading.Event(), []

    def store(_):
        storing.append(True)
        reached.set()
        go_on.wait(pause)
        storing.clear()

    monkeypatch.setattr(backend, "_attempt", store)
    thread = threading.Thread(target=backend.write, args=("a",), kwargs={"value": 1})
    thread.start()
    assert reached.wait(DEADLINE)
    return thread, go_on, storing


def exit_status_of_child(status):
    """Fork a child that ends at once, with a status that it works out first."""
    child = os.fork()
    if not child:
        os._exit(status())
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_fork_waits_until_no_batch_is_being_stored(tmp_path, monkeypatch):
    """A child that was forked amid one would find the file locked by a connection that nobody can close."""
    thread, _, storing = held_up(SQLiteBackend(tmp_path / "metrics.db"), monkeypatch, 0.2)
    assert exit_status_of_child(lambda: len(storing)) == 0
    thread.join(DEADLINE)


def test_a_fork_does_not_wait_for_ever(tmp_path, monkeypatch):
    """A store that waits for another process holds a fork up for a moment only, and goes on in the parent."""
    monkeypatch.setattr(forking, "_LONGEST_WAIT", 0.01)
    thread, go_on, storing = held_up(SQLiteBackend(tmp_path / "metrics.db"), monkeypatch, DEADLINE)
    assert exit_status_of_child(lambda: len(storing)) == 1
    go_on.set()
    thread.join(DEADLINE)
    assert not thread.is_alive()


def test_a_child_has_a_lock_of_its_own(tmp_path):
    """The fork took the parent's lock, which is given back in the parent alone; both go on storing."""
    backend = SQLiteBackend(tmp_path / "metrics.db")
    backend.write("parent", value=1)

    def store():
        backend.write("child", value=2)
        return 0

    assert exit_status_of_child(store) == 0
    backend.write("parent", value=3)
    backend.close()
