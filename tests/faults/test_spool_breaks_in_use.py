"""Spool files that break while a process works with them: case D14."""

from __future__ import annotations

import shutil
import sqlite3

from tests.faults.children import posix
from tests.faults.spools import ROWS, drain, metric, open_store

pytestmark = posix


def overwrite(path, start, size):
    with path.open("r+b") as file:
        file.seek(start)
        file.write(b"\xff" * size)


def test_a_file_that_breaks_while_in_use_is_replaced(tmp_path):
    """A process whose file is damaged goes on in a new one with all that can be read, and counts the rest (D14)."""
    store = open_store(tmp_path)
    store.append([metric(n) for n in range(2000)])
    handed_out = store.peek(10)
    path = next(tmp_path.glob("*.db"))
    # As another program's stray writes would; what SQLite holds in memory must not hide them.
    store._file._rows._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    store._file._rows._connection.execute("PRAGMA cache_size = 0")
    overwrite(path, path.stat().st_size // 2, 4096 * 8)
    assert store.append([metric(n) for n in range(2000, 4000)]) in {0, 2000}
    while store.delete([key for key, _ in handed_out]):
        pass
    taken = 4000 if len(store) > 2000 else 2000
    found = drain(store)
    assert store.corrupt_files == 1
    assert found == sorted(found)
    assert 1000 < len(found) < taken
    assert len(found) + 10 + store.dropped["spool_corrupt"] == taken
    assert len(list(tmp_path.glob("*.corrupt"))) == 1
    assert store.append([metric(9999)]) == 1
    assert drain(store) == [9999]
    store.close()


def test_rows_lost_while_handed_out_are_counted_once(tmp_path, monkeypatch):
    """A row that went down with its file while it was being sent is delivered or lost, never both (D14)."""
    for is_delivered in (True, False):
        store = open_store(tmp_path / str(is_delivered))
        store.append([metric(n) for n in range(10)])
        keys = [key for key, _ in store.peek(4)]
        with monkeypatch.context() as patched:
            patched.setattr("time_execution.delivery._spool_rows.RowFile.salvage", lambda *_, **__: iter(()))
            patched.setattr("time_execution.delivery._spool_rows.RowFile.is_in_place", lambda _: False)
            store._file._replace(store._file._rows, "was lost")
        assert (len(store), dict(store.dropped)) == (4, {"spool_corrupt": 6})
        delivered = store.delete(keys) if is_delivered else 0
        assert store.peek(10) == []
        assert (len(store), store.bytes) == (0, 0)
        assert delivered + store.dropped["spool_corrupt"] == 10
        store.close()


def test_an_orphan_that_breaks_on_the_way_is_salvaged(whole, tmp_path, monkeypatch):
    """Damage that shows only while rows are moved costs what it hits; the rest arrives, once (D14)."""
    target = tmp_path / "spool"
    shutil.copytree(whole, target)
    from time_execution.delivery._spool_rows import RowFile

    page = RowFile.page

    def break_later(self, after, limit):
        if after >= 20:
            raise sqlite3.DatabaseError("database disk image is malformed")
        return page(self, after, limit)

    store = open_store(target)
    with monkeypatch.context() as patched:
        patched.setattr(RowFile, "page", break_later)
        while store.adopt(limit=10):
            pass
    assert drain(store) == list(range(ROWS))
    assert (store.corrupt_files, len(list(target.glob("*.corrupt")))) == (1, 1)
    store.close()


def test_rows_that_a_broken_orphan_does_not_give_up_are_sent_once(whole, tmp_path, monkeypatch):
    """What was taken over before the damage showed, and delivered meanwhile, is not read out a second time (D14)."""
    target = tmp_path / "spool"
    shutil.copytree(whole, target)
    store = open_store(target)
    assert store.claim() == 1

    def broken(_):
        raise sqlite3.DatabaseError("database disk image is malformed")

    monkeypatch.setattr(store._orphans[0]._rows, "delete", broken)
    assert store.adopt(limit=10) == 10
    assert drain(store) == list(range(10))
    assert store.adopt() == ROWS - 10
    assert drain(store) == list(range(10, ROWS))
    assert store.corrupt_files == 1
    store.close()


def test_a_dropped_table_is_damage_too(tmp_path):
    """A file whose table somebody dropped is replaced like any broken one (D14)."""
    store = open_store(tmp_path)
    store.append([metric(1)])
    connection = sqlite3.connect(next(tmp_path.glob("*.db")))
    connection.execute("DROP TABLE q")
    connection.close()
    assert store.append([metric(2)]) == 1
    assert drain(store) == [2]
    assert (store.corrupt_files, dict(store.dropped)) == (1, {"spool_corrupt": 1})
    store.close()
