"""What a spool takes over from those that are gone, and what it leaves to those that live."""

from __future__ import annotations

import sqlite3

from tests.spool.rows import abandon, files, ids, metrics, waiting
from time_execution.delivery._spool_rows import RowFile
from time_execution.delivery.spool import inspect_folder


def test_a_later_store_adopts_what_was_left(open_store, tmp_path):
    """Rows outlive a closed store, in order, and their files go once they are taken over."""
    for start in (0, 10):
        store = open_store()
        store.append(metrics(*range(start, start + 10)))
        store.close()
    store = open_store()
    assert store.adopt() == 20
    assert waiting(store) == list(range(20))
    assert len(files(tmp_path / "spool")) == 1
    assert store.adopt() == 0


def test_adoption_can_go_step_by_step(open_store):
    """A limit takes over so many rows at a time, losing and repeating none."""
    store = open_store()
    store.append(metrics(*range(25)))
    store.close()
    store = open_store()
    assert store.claim() == 1
    steps = []
    while moved := store.adopt(limit=10):
        steps.append(moved)
    assert steps == [10, 10, 5]
    assert waiting(store) == list(range(25))


def test_what_finds_no_room_is_left_for_later(open_store):
    """Adopting never pushes rows out: beyond the bound they stay in their file until there is room."""
    old = open_store(max_bytes=1 << 20)
    old.append(metrics(*range(2000)))
    old.close()
    store = open_store(max_bytes=256 << 10)
    first = store.adopt()
    assert 500 <= first < 2000
    assert store.adopt() == 0
    assert not store.dropped
    seen = []
    while page := store.peek(500):
        seen += ids(row for _, row in page)
        store.delete([key for key, _ in page])
        store.adopt()
    assert seen == list(range(2000))


def test_adopted_rows_keep_their_age(open_store, clock):
    """A restart makes no row younger, and what expired meanwhile is counted among those that came."""
    store = open_store()
    store.append(metrics(1))
    clock.now += 100
    store.append(metrics(2))
    store.close()
    store = open_store(max_age=60)
    assert store.adopt() == 2
    assert waiting(store) == [2]
    assert dict(store.dropped) == {"expired": 1}


def test_a_living_owner_is_not_robbed(open_store):
    """What another store of this process has open is not adopted; what is closed is."""
    first, second = open_store(), open_store()
    first.append(metrics(1))
    second.append(metrics(2))
    assert (second.adopt(), first.adopt()) == (0, 0)
    assert inspect_folder(first._folder)[0].has_owner
    assert second.adopt() == 0, "asking about an owner must not drop its lock"
    first.close()
    assert second.adopt() == 1
    assert waiting(second) == [2, 1]


def test_backends_adopt_their_own_only(open_store):
    """A store takes over files of its own name, also where names differ by what no file name can hold."""
    for number, name in enumerate(["a/b", "a:b", "a"]):
        store = open_store(name)
        store.append(metrics(number))
        store.close()
    store = open_store("a:b")
    assert store.adopt() == 1
    assert waiting(store) == [1]


def test_a_copy_left_by_a_kill_is_recovered(open_store, tmp_path):
    """Files as a kill leaves them, with the write-ahead log not merged, hold every row that was acknowledged."""
    store = open_store()
    store.append(metrics(*range(50)))
    store.delete([key for key, _ in store.peek(20)])
    copy = abandon(store)
    assert files(copy, "*-wal")[0].stat().st_size
    heir = open_store(path=copy)
    assert heir.adopt() == 30
    assert waiting(heir) == list(range(20, 50))


def test_a_kill_amid_adoption_doubles_nothing(open_store, tmp_path, monkeypatch):
    """Rows that are in both files at the moment of a kill are known by their ids and kept once."""
    old = open_store()
    old.append(metrics(*range(20)))
    old.close()
    store = open_store()
    monkeypatch.setattr("time_execution.delivery._spool_orphan.Orphan.taken", lambda *_: None)
    store.adopt(limit=10)
    monkeypatch.undo()
    copy = abandon(store)
    heir = open_store(path=copy)
    assert heir.adopt() == 20
    assert sorted(waiting(heir)) == list(range(20))


def test_a_kill_amid_adoption_doubles_nothing_that_is_sent_meanwhile(open_store, monkeypatch):
    """Rows found both in the file they left and in the one they went to are sent once, however slowly that is adopted.

    The first heir is killed in the middle of a move; the second delivers part of the rows before it adopts the rest.
    """
    for start in (0, 10):
        old = open_store()
        old.append(metrics(*range(start, start + 10)))
        old.close()
    store = open_store()
    monkeypatch.setattr("time_execution.delivery._spool_orphan.Orphan.taken", lambda *_: None)
    store.adopt(limit=6)
    monkeypatch.undo()
    heir = open_store(path=abandon(store))
    sent = []
    while heir.adopt(limit=3):
        page = heir.peek(100)
        sent += ids(row for _, row in page)
        heir.delete([key for key, _ in page])
    assert sorted(sent) == list(range(20))


def test_a_damaged_file_vouches_for_no_row(open_store, tmp_path, monkeypatch):
    """Rows that a kill left in two files stay in the sound one when those in the other cannot be relied on."""
    old = open_store()
    old.append(metrics(*range(10)))
    old.close()
    store = open_store()
    with monkeypatch.context() as patched:
        patched.setattr("time_execution.delivery._spool_orphan.Orphan.taken", lambda *_: None)
        assert store.adopt(limit=10) == 10
    copy = abandon(store)
    damaged = files(copy)[-1]
    connection = sqlite3.connect(damaged)
    with connection:
        connection.execute("UPDATE q SET crc = crc + 1")
    connection.close()
    is_sound = RowFile.is_sound
    monkeypatch.setattr(RowFile, "is_sound", lambda rows: rows.path != damaged and is_sound(rows))
    heir = open_store(path=copy)
    heir.adopt()
    assert waiting(heir) == list(range(10))
