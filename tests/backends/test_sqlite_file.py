"""The file of `SQLiteBackend` while it is written to: moved away, found broken late, left with work to do."""

from __future__ import annotations

import os
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.backends.sqlite_rows import FOREVER, core, query, stored
from time_execution import sqlite_file
from time_execution.backends.sqlite import SQLiteBackend, database, rollup, rows
from time_execution.backends.sqlite import backend as module
from time_execution.exceptions import BackendDenied, BackendUnavailable
from time_execution.types import Metric


@pytest.fixture
def clock(monkeypatch):
    """Let the backend's steps be due when the test says so."""
    now = SimpleNamespace(seconds=0.0)
    monkeypatch.setattr(module, "time", SimpleNamespace(time=time.time, monotonic=lambda: now.seconds))
    return now


def watermark(path):
    return query(path, "SELECT watermark FROM state")[0][0]


def test_a_batch_is_not_written_to_a_file_that_was_moved_away(backend, path):
    """Whoever archives a file finds in it what was stored until then, and a later batch in the next one only."""
    backend.write_many([core("old")])
    for suffix in ("-wal", "-shm", ""):
        path.with_name(f"metrics.db{suffix}").rename(path.with_name(f"moved.db{suffix}"))
    backend.write_many([core("new")])
    assert [row[0] for row in stored(path)] == ["new"]
    assert [row[0] for row in stored(path.with_name("moved.db"))] == ["old"]


@pytest.mark.skipif(sys.platform == "win32", reason="folders cannot be locked")
@pytest.mark.parametrize("is_broken", [False, True])
def test_a_lock_on_the_folder_holds_nobody_up_for_ever(path, is_broken, monkeypatch):
    """Whoever keeps it, as a backup may: the batch is told to wait, and stored when the folder is free again."""
    import fcntl

    if is_broken:  # the store's own time-out is for opening it
        monkeypatch.setattr(sqlite_file, "_LONGEST_WAIT", 0.1)
        path.write_bytes(b"no database, and longer than the header of one" * 100)
    holder = os.open(path.parent, os.O_RDONLY)
    fcntl.flock(holder, fcntl.LOCK_SH if is_broken else fcntl.LOCK_EX)
    began = time.monotonic()
    with SQLiteBackend(path, busy_timeout=0.1) as backend:
        with pytest.raises(BackendUnavailable, match="another process holds a lock on the folder"):
            backend.write_many([core("late")])
        assert time.monotonic() - began < 3.0
        os.close(holder)
        backend.write_many([core("late")])
    assert [row[0] for row in stored(path)] == ["late"]


def test_damage_that_a_roll_up_finds_costs_no_metric(path, monkeypatch):
    """The file is moved aside as any broken one, and the batch that met it is in the fresh one."""
    roll_up, calls = rollup.roll_up, []

    def find_damage(*args, **options):
        calls.append(args)
        if len(calls) == 1:
            raise sqlite3.DatabaseError("database disk image is malformed")
        return roll_up(*args, **options)

    with SQLiteBackend(path, rollup_rows=1, **FOREVER) as backend:
        monkeypatch.setattr(rollup, "roll_up", find_damage)
        backend.write_many([core("met it")])
        assert (backend.corrupted, backend.rollup_failures) == (1, 0)
        assert backend.stats() == {"corrupted": 1, "rollup_failures": 0}
    assert [row[0] for row in stored(path)] == ["met it"]
    assert len(list(path.parent.glob("metrics.db.corrupt-*"))) >= 1


def test_what_was_left_to_do_goes_on_a_second_later(path, clock):
    """With next to no traffic, a backlog is not put off for as long as the interval."""
    with SQLiteBackend(path, rollup_rows=1 << 30, **FOREVER) as backend:
        backend.write_many([core() for _ in range(200)])
    with SQLiteBackend(path, rollup_rows=80, rollup_interval=60, **FOREVER) as backend:
        for seconds, expected in (
            (59.0, 0),
            (60.0, 84),
            (60.5, 84),
            (61.0, 168),
            (62.0, 205),
            (121.0, 205),
            (122.0, 207),
        ):
            clock.seconds = seconds
            backend.write_many([core()])
            assert watermark(path) == expected, clock.seconds


def test_an_error_of_a_file_that_was_moved_away_is_no_error(backend, path, monkeypatch):
    """SQLite refuses to write to a file without its name; the batch is stored where readers look."""
    insert, calls = module.insert, []

    def refuse(connection, batch):
        calls.append(batch)
        if len(calls) == 1:
            for suffix in ("-wal", "-shm", ""):
                path.with_name(f"metrics.db{suffix}").rename(path.with_name(f"moved.db{suffix}"))
            raise sqlite3.OperationalError("attempt to write a readonly database")
        insert(connection, batch)

    backend.write_many([core("old")])
    monkeypatch.setattr(module, "insert", refuse)
    backend.write_many([core("new")])
    assert [row[0] for row in stored(path)] == ["new"]
    assert [row[0] for row in stored(path.with_name("moved.db"))] == ["old"]


@pytest.mark.parametrize("pragma", ["application_id = 5", "user_version = 7"])
def test_a_database_of_another_program_without_a_table_is_left_alone(path, pragma):
    """Its mark is enough to tell that somebody is going to use it."""
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA {pragma}")
    connection.close()
    content = path.read_bytes()
    assert content
    with SQLiteBackend(path) as backend, pytest.raises(BackendDenied, match="another program"):
        backend.write_many([core()])
    assert path.read_bytes() == content


def test_what_a_connection_is_set_to(path):
    """A log that survives a kill, no wait for the disk at each commit, sorting in memory, a file that can shrink."""
    sqlite_file.create(path)
    connection = database.connect(path, busy_timeout=2.5, max_names=10)
    pragmas = ("journal_mode", "synchronous", "temp_store", "auto_vacuum", "busy_timeout")
    found = {pragma: connection.execute(f"PRAGMA {pragma}").fetchone()[0] for pragma in pragmas}
    connection.close()
    assert found == {"journal_mode": "wal", "synchronous": 1, "temp_store": 2, "auto_vacuum": 2, "busy_timeout": 2500}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes")
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_is_refused(path, make):
    """A pipe or folder that took the path since the backend was made is neither opened nor waited for."""
    backend = SQLiteBackend(path)
    make(path)
    with pytest.raises(BackendDenied, match="not a file"):
        backend.write_many([core()])


def test_a_broken_file_goes_aside_with_all_that_belongs_to_it(path):
    """Whatever SQLite left beside it would be taken for the fresh file's."""
    names = ["metrics.db", "metrics.db-wal", "metrics.db-shm", "metrics.db-journal"]
    for name in names:
        path.with_name(name).write_text(name)
    broken = sqlite_file.identity(path)
    assert broken is not None
    target = sqlite_file.set_aside(path, broken)
    assert target is not None
    assert {file.name: file.read_text() for file in path.parent.iterdir()} == {
        name.replace("metrics.db", target.name): name for name in names
    }


@pytest.mark.parametrize(
    ("exc", "kind"),
    [
        (sqlite3.OperationalError("attempt to write a readonly database"), BackendDenied),
        (sqlite3.OperationalError("unsupported file format"), BackendDenied),
        (sqlite3.OperationalError("access permission denied"), BackendDenied),
        (sqlite3.OperationalError("database is locked"), BackendUnavailable),
        (sqlite3.OperationalError("database or disk is full"), BackendUnavailable),
        (sqlite3.OperationalError("unable to open database file"), BackendUnavailable),
        (PermissionError(13, "Permission denied"), BackendDenied),
        (IsADirectoryError(21, "Is a directory"), BackendDenied),
        (OSError(28, "No space left on device"), BackendUnavailable),
    ],
    ids=str,
)
def test_errors_tell_whether_waiting_helps(exc, kind):
    """What will be refused tomorrow as well is not tried again at once; the message is the system's own."""
    found = sqlite_file.backend_error(exc)
    assert type(found) is kind
    assert str(found) == (exc.strerror if isinstance(exc, OSError) else str(exc))


def test_a_file_that_is_not_there_is_not_made_by_opening(path):
    """It would be readable for others: only `create` makes one."""
    with pytest.raises(sqlite3.OperationalError, match="unable to open"):
        database.connect(path, busy_timeout=0.0, max_names=10)
    assert list(path.parent.iterdir()) == []


def test_a_file_that_is_moved_while_it_is_made_is_made_again(path, monkeypatch):
    """Another process may find it broken, or a hand remove it, before we have looked at it."""
    lstat, calls = Path.lstat, []

    def vanish(self):
        calls.append(self)
        if len(calls) == 1:
            self.unlink()
        return lstat(self)

    monkeypatch.setattr(Path, "lstat", vanish)
    assert sqlite_file.create(path) == sqlite_file.identity(path)
    assert len(calls) == 2


def test_shrinking_says_whether_there_is_more_to_do(path):
    """Until next to nothing is left that could be given back."""
    sqlite_file.create(path)
    connection = database.connect(path, busy_timeout=1.0, max_names=10)
    connection.execute("CREATE TABLE large (text)")
    connection.execute("INSERT INTO large VALUES (?)", ("x" * 4096 * 2000,))
    connection.execute("DROP TABLE large")
    pages, more = [], True
    while more:
        pages.append(connection.execute("PRAGMA page_count").fetchone()[0])
        with sqlite_file.transaction(connection):
            more = database.shrink(connection)
    connection.close()
    assert pages[0] > 2000
    assert 3 <= len(pages) <= 5


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
def test_a_child_does_not_close_what_it_inherited(backend, path):
    """Closing a connection of the parent's, though only by collecting it, would meddle with the parent's file."""
    backend.write_many([core()])
    opened = backend._opened
    child = os.fork()
    if child == 0:
        status = 1
        try:
            backend.after_fork()
            status = int(backend._opened is not None or all(kept is not opened for kept in module._inherited))
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert backend._opened is opened


def test_a_host_that_another_process_adds_at_the_same_moment_is_one(backend, path):
    """Whoever comes second takes the id that there is by then."""
    backend.write_many([core()])
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(rows._ADD_HOST, ("web-1",))
        connection.execute(rows._ADD_HOST, ("web-2",))
    backend.write_many([Metric({**core(), "hostname": "web-2"})])
    assert query(path, "SELECT hostname FROM hosts ORDER BY 1") == [("web-1",), ("web-2",)]
    assert [row[2] for row in stored(path)] == ["web-1", "web-2"]


def test_names_that_are_remembered_are_bounded(backend, path, monkeypatch):
    """A program that makes up names does not fill the memory, and each name keeps its id."""
    monkeypatch.setattr(rows, "_MAX_CACHED", 3)
    for _ in range(2):
        backend.write_many([core(f"f{number}") for number in range(10)])
    assert backend._opened is not None
    assert len(backend._opened[1]._names) <= 3
    assert query(path, "SELECT count(*) FROM names WHERE id > 1") == [(10,)]
    assert [row[0] for row in stored(path)] == [f"f{number}" for number in range(10)] * 2


def test_plain_fields_have_a_bound_too(backend, path):
    """The short way to JSON does not lead past the most that a metric may hold."""
    backend.write_many([core()])
    backend.write_many([core(note="x" * 100_000), core(**{f"f{n}": "x" * 1000 for n in range(100)})])
    for *_, fields in stored(path)[1:]:
        assert len(fields) < 70_000
        assert "…[cut, " in fields or '"truncated":true' in fields


def test_a_number_written_by_hand_is_the_value_whatever_durations_are_called(path):
    """A renamed duration is looked for first, and what has none has its number where it always is."""
    with SQLiteBackend(path, value_field="duration") as backend:
        backend.write("by.hand", value=3)
        backend.write_many([Metric({"name": "timed", "duration": 2.5, "value": "x", "timestamp": 0})])
    assert [row[:2] for row in stored(path)] == [("by.hand", 3), ("timed", 2.5)]
