"""Rows in a spool: what goes in comes out, in order, until it is deleted."""

from __future__ import annotations

import json
import sqlite3
import threading

import pytest

from tests.spool.rows import files, ids, metric, metrics, waiting
from time_execution.types import Metric


def test_rows_come_out_as_they_went_in_and_in_order(open_store):
    """A metric keeps every field, its id, kind, unit and labels, and its place in line."""
    store = open_store()
    fields = {"name": "ä\ud800", "value": float("inf"), "n": 2**70}
    odd = Metric(fields, id="f-1", kind="counter", unit="B", labels=("n",))
    assert store.append([odd, *metrics(1, 2)]) == 3
    assert store.append([Metric({"name": "no id"})]) == 1
    found = [row for _, row in store.peek(10)]
    assert [dict(row) for row in found] == [dict(odd), *map(dict, metrics(1, 2)), {"name": "no id"}]
    assert [row.id for row in found] == ["f-1", "0123456789abcdef-1", "0123456789abcdef-2", None]
    assert (found[0].kind, found[0].unit, found[0].labels) == ("counter", "B", ("n",))


def test_peeked_rows_stay_until_they_are_deleted(open_store):
    """Looking at rows takes none out; deleting takes out those named, once."""
    store = open_store()
    store.append(metrics(*range(5)))
    keys = [key for key, _ in store.peek(5)]
    assert waiting(store) == [0, 1, 2, 3, 4]
    assert store.delete(keys[1:3]) == 2
    assert store.delete(keys[1:3]) == 0
    assert waiting(store) == [0, 3, 4]
    assert len(store) == 3


def test_peek_goes_on_past_a_key(open_store):
    """With a key, looking begins behind it."""
    store = open_store()
    store.append(metrics(*range(6)))
    page = store.peek(2)
    assert ids(row for _, row in store.peek(3, after=page[-1][0])) == [2, 3, 4]


def test_a_page_of_large_rows_is_cut(open_store):
    """Rows are handed out about a megabyte at a time, however many are asked for, and one at least."""
    store = open_store()
    store.append([metric(number, text="x" * 300_000) for number in range(8)])
    assert 1 <= len(store.peek(500)) <= 4
    store.append([metric(99, text="x" * 3_000_000)])
    assert ids(row for _, row in store.peek(500, after=8)) == [99]


def test_keys_are_never_used_again(open_store):
    """A late delete cannot hit a row that came after the spool had been empty."""
    store = open_store()
    store.append(metrics(1))
    first = [key for key, _ in store.peek(1)]
    store.delete(first)
    store.append(metrics(2))
    assert store.delete(first) == 0
    assert waiting(store) == [2]


def test_an_id_is_kept_once(open_store):
    """A metric spooled twice is there once, and counted as a duplicate."""
    store = open_store()
    assert store.append(metrics(1, 2)) == 2
    assert store.append(metrics(2, 3)) == 2
    assert waiting(store) == [1, 2, 3]
    assert (len(store), store.duplicates) == (3, 1)
    before = store.bytes
    store.append(metrics(1))
    assert store.bytes == before


def test_nothing_is_made_before_the_first_row(open_store, tmp_path):
    """Making a spool, opening it and looking into it leave no trace on disk."""
    store = open_store()
    assert (store.peek(5), len(store), store.bytes, store.adopt(), store.delete([1]), store.oldest_age()) == (
        [], 0, 0, 0, 0, 0.0,
    )  # fmt: skip
    assert store.append([]) == 0
    store.close()
    assert list(tmp_path.iterdir()) == []


def test_closing_an_empty_spool_leaves_no_file(open_store, tmp_path):
    """All that is left of a spool that was emptied is its folder."""
    store = open_store()
    store.append(metrics(1))
    store.delete([key for key, _ in store.peek(1)])
    store.close()
    assert list((tmp_path / "spool").iterdir()) == []


def test_a_closed_spool_does_nothing(open_store):
    """After close every method returns at once, and a second close is no matter."""
    store = open_store()
    store.append(metrics(1))
    store.close()
    store.close()
    assert (store.append(metrics(2)), store.peek(1), store.delete([1]), store.adopt()) == (0, [], 0, 0)
    assert len(store) == 1


def test_bodies_are_json(open_store, tmp_path):
    """What lies on disk is JSON that anyone can read, never a pickle."""
    store = open_store()
    store.append([Metric({"name": "a", "odd": object()}, id="x-1")])
    connection = sqlite3.connect(files(tmp_path / "spool")[0])
    (body,) = connection.execute("SELECT body FROM q").fetchone()
    connection.close()
    assert json.loads(body)["fields"]["name"] == "a"


def test_a_row_with_a_wrong_checksum_is_dropped_and_counted(open_store, tmp_path):
    """Damage inside a row costs that row only."""
    store = open_store()
    store.append(metrics(1, 2, 3, 4))
    connection = sqlite3.connect(files(tmp_path / "spool")[0])
    with connection:
        connection.execute("UPDATE q SET body = CAST(replace(body, '1.5', '2.5') AS BLOB) WHERE seq = 2")
        connection.execute("UPDATE q SET body = X'ff00', crc = 3 WHERE seq = 3")
    connection.close()
    assert waiting(store) == waiting(store) == [1, 4]
    assert dict(store.dropped) == {"spool_corrupt": 2}
    assert len(store) == 2


@pytest.mark.parametrize("damage", ["ts = 'soon'", "attempts = 'many'", "body = 'text'", "crc = 'x'"])
def test_a_row_with_a_column_of_the_wrong_type_is_dropped_and_counted(open_store, tmp_path, damage):
    """SQLite keeps anything in any column: what a row of ours cannot hold costs that row only, once."""
    store = open_store(max_age=60)
    store.append(metrics(1, 2, 3))
    connection = sqlite3.connect(files(tmp_path / "spool")[0])
    with connection:
        connection.execute(f"UPDATE q SET {damage} WHERE seq = 2")
    connection.close()
    assert waiting(store) == [1, 3]
    assert store.append(metrics(4)) == 1
    assert waiting(store) == [1, 3, 4]
    assert (len(store), dict(store.dropped)) == (3, {"spool_corrupt": 1})


def test_it_is_safe_with_threads(open_store):
    """Threads that append while another reads and deletes lose and repeat nothing."""
    store = open_store()

    def produce(start):
        for number in range(start, start + 300, 3):
            assert store.append(metrics(number, number + 1, number + 2)) == 3

    threads = [threading.Thread(target=produce, args=(start,)) for start in (0, 1000, 2000, 3000)]
    for thread in threads:
        thread.start()
    seen = []
    while any(thread.is_alive() for thread in threads) or len(store):
        page = store.peek(50)
        seen += ids(row for _, row in page)
        store.delete([key for key, _ in page])
    for thread in threads:
        thread.join()
    assert sorted(seen) == sorted(start + n for start in (0, 1000, 2000, 3000) for n in range(300))
    assert [n for n in seen if n < 1000] == list(range(300))


def test_a_finalizer_amid_a_call_is_turned_away(open_store):
    """A metric that the interpreter's own callbacks spool while this thread is inside the store deadlocks nothing."""
    store = open_store()
    store.append(metrics(1))
    inner = []
    with store._entered():
        inner += [store.append(metrics(2)), store.peek(1), store.delete([1])]
    assert inner == [0, [], 0]
    assert waiting(store) == [1]


def _commits(store):
    """Note from now on how safe each commit of a store is: against kills (1), or the loss of power as well (2)."""
    connection = store._file._rows._connection
    seen = []
    (level,) = connection.execute("PRAGMA synchronous").fetchone()

    def note(statement):
        nonlocal level
        if statement.startswith("PRAGMA synchronous = "):
            level = ["OFF", "NORMAL", "FULL"].index(statement.split()[-1])
        elif statement == "COMMIT":
            seen.append(level)

    connection.set_trace_callback(note)
    return seen


@pytest.mark.parametrize(("durable", "level"), [(False, 1), (True, 2)])
def test_a_commit_waits_for_the_disk_where_that_matters(open_store, durable, level):
    """In a durable spool each does; in any, what is taken over is on the disk before it goes where it came from."""
    old = open_store()
    old.append(metrics(1))
    old.close()
    store = open_store(durable=durable)
    store.append(metrics(2))
    seen = _commits(store)
    store.append(metrics(3))
    assert store.adopt() == 1
    store.append(metrics(4))
    assert seen == [level, 2, level]
