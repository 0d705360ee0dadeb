"""SQLite files that are broken, full, somebody else's, or gone: case L7."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.faults.stores import assert_consistent, core, query
from time_execution import report, sqlite_file
from time_execution.backends.sqlite import SQLiteBackend, database
from time_execution.exceptions import BackendDenied, BackendUnavailable


def test_a_full_disk_is_unavailable_and_stores_again_when_there_is_room(path):
    """A batch that does not fit is not stored in part; once there is room, the next one is (L7)."""
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
    """The broken file keeps its content under another name, and a fresh one takes this batch and the next (L7)."""
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
    """A file that breaks under an open connection is moved aside with its log; the batch is in the fresh one (L7)."""
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
    """A write-ahead log that others still have open goes aside with its database (L7)."""
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
    """Whatever is left of a file, metrics are stored; what was not empty is kept beside (L7)."""
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
    """Of eight backends that meet a broken file at once, one moves it, and all write to one fresh file (L7)."""
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


def test_a_file_is_not_moved_while_another_opens_it(path, monkeypatch):
    """Whoever took the broken file and the companions of the next would cut the memory of those who use them (L7)."""
    locks = []

    def is_free(kind):
        descriptor = os.open(path.parent, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            os.close(descriptor)
        return True

    set_up, identity = database._set_up, sqlite_file.identity
    monkeypatch.setattr(
        database,
        "_set_up",
        lambda *args, **options: (locks.append(is_free(fcntl.LOCK_EX)), set_up(*args, **options))[1],
    )
    fill(path, rows=1)
    assert locks == [False]
    monkeypatch.setattr(sqlite_file, "identity", lambda file: (locks.append(is_free(fcntl.LOCK_SH)), identity(file))[1])
    assert sqlite_file.set_aside(path, identity(path)) is not None
    assert locks == [False, False]
    assert is_free(fcntl.LOCK_EX)


def test_a_file_that_took_the_broken_ones_place_is_not_moved(path):
    """One that comes too late, and finds a fresh file where the broken one was, leaves it there (L7)."""
    fill(path, rows=1)
    broken = sqlite_file.identity(path)
    assert broken
    path.rename(path.with_name("metrics.db.corrupt-by-another"))
    fill(path, rows=2)
    assert sqlite_file.set_aside(path, broken) is None
    assert query(path, "SELECT count(*) FROM metrics") == [(2,)]


def test_another_programs_database_is_left_alone(path):
    """A sound database that is not ours is refused, and not changed by a byte (L7)."""
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
    """A database of a later schema is refused with a clear message, and not changed by a byte (L7)."""
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
    """A symbolic link that appears before the first metric is not followed (L7)."""
    backend = SQLiteBackend(path)
    path.symlink_to(tmp_path / "target.db")
    with pytest.raises(BackendDenied, match="symbolic link"):
        backend.write_many([core()])
    assert not (tmp_path / "target.db").exists()


def test_a_folder_that_went_away_is_made_anew(tmp_path):
    """When the folder vanishes, the next batch has a new one (L7)."""
    folder = tmp_path / "data"
    folder.mkdir()
    with SQLiteBackend(folder / "metrics.db") as backend:
        folder.rmdir()
        backend.write_many([core()])
        backend.write_many([core()])
    assert query(folder / "metrics.db", "SELECT count(*) FROM metrics") == [(2,)]


def test_the_message_of_an_unexpected_error_reaches_delivery(path):
    """Errors of the operating system are mapped: refused access waits long, everything else is tried again (L7)."""
    assert type(sqlite_file.backend_error(PermissionError(13, "Permission denied"))) is BackendDenied
    assert type(sqlite_file.backend_error(OSError(5, "Input/output error"))) is BackendUnavailable
    assert (
        type(sqlite_file.backend_error(sqlite3.OperationalError("attempt to write a readonly database")))
        is BackendDenied
    )
    assert type(sqlite_file.backend_error(sqlite3.OperationalError("disk I/O error"))) is BackendUnavailable
