"""The spool in one process: order, counts, bounds, adoption, permissions, and a model of it all."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import stat
import sys
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from time_execution.delivery.spool import Spool, inspect_folder, purge, read
from time_execution.exceptions import ConfigurationError
from time_execution.types import Metric

ROW = 300  # what a metric of these tests weighs at the most, in bytes


class FakeClock:
    """A clock that only a test moves."""

    def __init__(self, now=1_000_000.0):
        self.now = now

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def open_store(tmp_path, clock):
    """Open stores in one folder with one clock; closed at the end."""
    stores = []

    def open_store(name="backend", path=tmp_path / "spool", **options):
        store = Spool(path, clock=clock, wall_clock=clock, **options).open(name)
        stores.append(store)
        return store

    yield open_store
    for store in stores:
        store.close()


def metric(number, **fields):
    return Metric({"name": "pkg.function", "value": 1.5, **fields}, id=f"0123456789abcdef-{number}")


def metrics(*numbers):
    return [metric(number) for number in numbers]


def ids(rows):
    return [int(row.id.partition("-")[2]) for row in rows]


def waiting(store):
    """Return the numbers of all that waits, in order, without taking it out."""
    numbers, after = [], None
    while page := store.peek(7, after=after):
        numbers += ids(row for _, row in page)
        after = page[-1][0]
    return numbers


def files(folder, suffix="*.db"):
    return sorted(folder.glob(suffix))


def abandon(store):
    """Leave a store as a killed process would: its files as they are, its lock free. Needs a copy of the folder."""
    copy = store._folder.with_name(f"{store._folder.name}-killed")
    shutil.copytree(store._folder, copy, ignore=shutil.ignore_patterns("*-shm"))
    return copy


def test_rows_come_out_as_they_went_in_and_in_order(open_store):
    """A metric keeps every field, its id, kind and unit, and its place in line."""
    store = open_store()
    odd = Metric({"name": "ä\ud800", "value": float("inf"), "n": 2**70}, id="f-1", kind="counter", unit="B")
    assert store.append([odd, *metrics(1, 2)]) == 3
    assert store.append([Metric({"name": "no id"})]) == 1
    found = [row for _, row in store.peek(10)]
    assert [dict(row) for row in found] == [dict(odd), *map(dict, metrics(1, 2)), {"name": "no id"}]
    assert [row.id for row in found] == ["f-1", "0123456789abcdef-1", "0123456789abcdef-2", None]
    assert (found[0].kind, found[0].unit) == ("counter", "B")


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


def test_the_oldest_rows_give_way_when_it_is_full(open_store):
    """Within ``max_bytes`` the newest rows are kept, and those given up are counted."""
    store = open_store(max_bytes=64 << 10)
    for number in range(600):
        assert store.append(metrics(number)) == 1
        assert store.bytes <= 64 << 10
    kept = waiting(store)
    assert kept == list(range(600 - len(kept), 600))
    assert dict(store.dropped) == {"spool_full": 600 - len(kept)}
    assert len(kept) > (64 << 10) // ROW


def test_the_files_stay_about_as_large_as_the_bound(open_store, tmp_path):
    """What lies on disk is bounded too, however much goes through: the bound, a batch, and SQLite's own log."""
    store = open_store(max_bytes=1 << 20)
    for start in range(0, 60_000, 500):
        store.append(metrics(*range(start, start + 500)))
    on_disk = sum(path.stat().st_size for path in (tmp_path / "spool").iterdir() if not path.name.endswith("-wal"))
    log = sum(path.stat().st_size for path in files(tmp_path / "spool", "*-wal"))
    assert on_disk < (1 << 20) + 500 * ROW + (64 << 10)
    assert log < 8 << 20


def test_rows_that_were_handed_out_do_not_give_way(open_store):
    """What a worker is sending stays in line until it is deleted, so that nothing is counted twice."""
    store = open_store(max_bytes=64 << 10)
    store.append(metrics(*range(100)))
    keys = [key for key, _ in store.peek(10)]
    store.append(metrics(*range(100, 700)))
    assert waiting(store)[:11] == [*range(10), waiting(store)[10]]
    assert store.delete(keys) == 10
    assert len(store) + sum(store.dropped.values()) + 10 == 700


def test_an_emptied_spool_gives_its_space_back(open_store, tmp_path):
    """When the last row of a large file is delivered, the file becomes small again."""
    store = open_store()
    store.append([metric(number, text="x" * 4000) for number in range(5000)])
    assert files(tmp_path / "spool")[0].stat().st_size + files(tmp_path / "spool", "*-wal")[0].stat().st_size > 16 << 20
    while page := store.peek(1000):
        store.delete([key for key, _ in page])
    assert (len(store), store.bytes) == (0, 0)
    assert sum(path.stat().st_size for path in (tmp_path / "spool").iterdir()) < 200_000


def test_rows_past_max_age_are_given_up(open_store, clock):
    """A row older than ``max_age`` is never handed out, and counts as expired."""
    store = open_store(max_age=60)
    store.append(metrics(1, 2))
    clock.now += 40
    store.append(metrics(3))
    assert store.oldest_age() == 40
    clock.now += 30
    assert waiting(store) == [3]
    assert dict(store.dropped) == {"expired": 2}
    assert len(store) == 1


def test_appending_gives_up_what_has_expired(open_store, clock):
    """Rows expire also while nobody reads."""
    store = open_store(max_age=60)
    store.append(metrics(1, 2))
    clock.now += 61
    store.append(metrics(3))
    assert (len(store), dict(store.dropped)) == (1, {"expired": 2})


def test_setting_the_wall_clock_ages_nothing(tmp_path, clock):
    """A jump of the machine's clock by a day expires no row of a running process."""
    wall = FakeClock()
    store = Spool(tmp_path / "spool", max_age=60, clock=clock, wall_clock=wall).open("b")
    store.append(metrics(1))
    wall.now += 86_400
    assert waiting(store) == [1]
    assert store.oldest_age() == 0
    store.close()


def test_nothing_is_made_before_the_first_row(open_store, tmp_path):
    """Making a spool, opening it and looking into it leave no trace on disk."""
    store = open_store()
    assert (store.peek(5), len(store), store.bytes, store.adopt(), store.delete([1]), store.oldest_age()) == (
        [], 0, 0, 0, 0, 0.0,
    )  # fmt: skip
    store.mark_attempt([1])
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


def test_attempts_are_noted(open_store, tmp_path):
    """Rows sent in vain remember how often."""
    store = open_store()
    store.append(metrics(1, 2))
    key = store.peek(1)[0][0]
    store.mark_attempt([key])
    store.mark_attempt([key])
    with sqlite3.connect(files(tmp_path / "spool")[0]) as connection:
        assert connection.execute("SELECT attempts FROM q ORDER BY seq").fetchall() == [(2,), (0,)]
    connection.close()


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


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"path": 3}, "spool must be the path of a folder, not 3"),
        ({"path": b"x"}, "not bytes"),
        ({"path": ""}, "not str"),
        ({"max_bytes": 10}, "max_bytes of a spool"),
        ({"max_bytes": True}, "not bool"),
        ({"max_bytes": "1 GB"}, "not str"),
        ({"max_age": 0}, "max_age of a spool"),
        ({"max_age": "1h"}, "not str"),
        ({"durable": 1}, "durable of a spool"),
    ],
)
def test_wrong_arguments_are_refused_at_once(tmp_path, arguments, words):
    """A spool that cannot work is refused when it is made, and the message names what is wrong."""
    with pytest.raises(ConfigurationError, match=words):
        Spool(**{"path": tmp_path / "spool", **arguments})


def test_a_path_that_cannot_be_a_spool_is_refused_at_once(tmp_path):
    """A file, a symbolic link or a folder open to everyone is no spool folder."""
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path)
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    for name, words in (("file", "not a directory"), ("link", "symbolic link"), ("open", "everyone may write")):
        with pytest.raises(ConfigurationError, match=words):
            Spool(tmp_path / name)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such permissions")
def test_files_are_for_their_owner_only(open_store, tmp_path):
    """Even under a umask of 0, folders are 0700 and files 0600, SQLite's own included."""
    before = os.umask(0)
    try:
        store = open_store(path=tmp_path / "a" / "spool")
        store.append(metrics(1))
        found = {path.name.rpartition(".")[2]: path for path in (tmp_path / "a" / "spool").iterdir()}
        assert set(found) == {"db", "db-wal", "db-shm", "lock"}
        assert {stat.S_IMODE(path.stat().st_mode) for path in found.values()} == {0o600}
        assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "a", tmp_path / "a" / "spool")} == {0o700}
    finally:
        os.umask(before)


def test_planted_links_are_not_followed(open_store, tmp_path):
    """A symbolic link in the place of a database or a lock is left alone, and so is what it points to."""
    victim = tmp_path / "victim.db"
    folder = tmp_path / "spool"
    old = open_store()
    old.append(metrics(1))
    old.close()
    database = files(folder)[0]
    shutil.move(database, victim)
    before = victim.read_bytes()
    database.symlink_to(victim)
    locked = folder / "backend.1.0123456789abcdef01234567.db"
    shutil.copy(victim, locked)
    locked.with_suffix(".lock").symlink_to(tmp_path / "planted")
    store = open_store()
    assert store.adopt() == 0
    assert "is left alone" in store.news[0]
    assert victim.read_bytes() == before
    assert not (tmp_path / "planted").exists()


def test_a_folder_that_became_a_link_is_refused(open_store, tmp_path):
    """What is planted after the spool was made is found out at the first row; nothing raises."""
    store = open_store()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "spool").symlink_to(tmp_path / "elsewhere")
    assert store.append(metrics(1)) == 0
    assert store.degraded
    assert "symbolic link" in store.last_error
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_removed_folder_is_made_again(open_store, tmp_path):
    """When somebody deletes the files of a running process, its rows move on to a new one."""
    store = open_store()
    store.append(metrics(1, 2))
    shutil.rmtree(tmp_path / "spool")
    assert store.append(metrics(3)) == 1
    assert waiting(store) == [1, 2, 3]
    assert len(files(tmp_path / "spool")) == 1
    assert (store.corrupt_files, dict(store.dropped)) == (0, {})
    store.close()
    assert open_store().adopt() == 3


def test_leftover_locks_are_swept(open_store, tmp_path):
    """Lock files without a database go; those of living owners and of other names stay."""
    folder = tmp_path / "spool"
    living = open_store()
    living.append(metrics(1))
    leftover = folder / "backend.1.0123456789abcdef01234567.lock"
    others = [folder / "other.1.0123456789abcdef01234567.lock", folder / "backend.jsonl.lock"]
    for path in (leftover, *others):
        path.touch()
    open_store().adopt()
    assert not leftover.exists()
    assert all(path.exists() for path in others)
    assert len(files(folder, "backend.*.*.lock")) == 1


def test_a_file_without_its_lock_is_adopted(open_store, tmp_path):
    """Somebody's tidying up of lock files strands no rows."""
    store = open_store()
    store.append(metrics(1))
    store.close()
    files(tmp_path / "spool", "*.lock")[0].unlink()
    assert open_store().adopt() == 1


def test_a_folder_can_be_inspected(open_store, tmp_path, clock):
    """The offline view tells owner, rows, size and age of each file, and what is wrong with it."""
    dead = open_store("dead")
    dead.append(metrics(1, 2))
    dead.close()
    living = open_store("living")
    living.append(metrics(3))
    broken = tmp_path / "spool" / "broken.1.0123456789abcdef01234567.db"
    broken.write_bytes(b"not a database, though long enough to have a header" * 100)
    found = {file.name: file for file in inspect_folder(tmp_path / "spool")}
    assert [(file.rows, file.has_owner) for file in (found["dead"], found["living"])] == [(2, False), (1, True)]
    assert found["dead"].oldest == clock.now
    assert found["dead"].bytes > 4096
    assert found["dead"].pid == os.getpid()
    assert "not a database" in found["broken"].problem
    assert found["dead"].problem == ""
    assert living.append(metrics(4)) == 1
    assert inspect_folder(tmp_path / "nowhere") == []


def test_reading_takes_nothing(open_store, tmp_path):
    """Metrics can be read from outside, of a folder or of one file, while their owner works."""
    store = open_store()
    store.append(metrics(*range(1200)))
    assert ids(read(tmp_path / "spool")) == list(range(1200))
    assert ids(read(files(tmp_path / "spool")[0])) == list(range(1200))
    assert len(store) == 1200
    assert waiting(store)[:3] == [0, 1, 2]
    with pytest.raises(FileNotFoundError):
        next(read(tmp_path / "nowhere"))


def test_purge_spares_living_owners(open_store, tmp_path):
    """Purging removes the files whose owner is gone, whole, and no other."""
    dead = open_store("dead")
    dead.append(metrics(1, 2))
    dead.close()
    living = open_store("living")
    living.append(metrics(3))
    aside = tmp_path / "spool" / "dead.1.0123456789abcdef01234567.db.corrupt"
    aside.write_bytes(b"x")
    assert purge(tmp_path / "spool", name="other") == 0
    assert purge(tmp_path / "spool") == 2
    assert waiting(living) == [3]
    assert [file.name for file in inspect_folder(tmp_path / "spool")] == ["living"]
    assert not aside.exists()
    assert files(tmp_path / "spool", "dead*") == []


def test_purge_by_age_keeps_what_is_younger(tmp_path):
    """With an age, only older rows go, also from their file's free pages."""
    wall, clock = FakeClock(1_000.0), FakeClock()
    store = Spool(tmp_path / "spool", clock=clock, wall_clock=wall).open("b")
    store.append([metric(1, secret="s3cr3t-text")])
    clock.now += 10_000_000_000
    store.append(metrics(2))
    store.close()
    assert purge(tmp_path / "spool", older_than=3600) == 1
    assert ids(read(tmp_path / "spool")) == [2]
    assert b"s3cr3t-text" not in files(tmp_path / "spool")[0].read_bytes()


def test_a_forced_purge_is_noticed_by_the_owner(open_store, tmp_path):
    """By force a living owner's rows go too; it finds out, and its books stay exact."""
    store = open_store()
    store.append(metrics(*range(10)))
    assert purge(tmp_path / "spool", force=True) == 10
    assert store.peek(5) == []
    assert (len(store), store.bytes, dict(store.dropped)) == (0, 0, {"purged": 10})
    assert store.append(metrics(11)) == 1
    assert waiting(store) == [11]


def test_purging_leaves_what_is_not_ours(open_store, tmp_path):
    """A database of something else under a spool's name is not touched."""
    store = open_store()
    store.append(metrics(1))
    foreign = tmp_path / "spool" / "backend.1.0123456789abcdef01234567.db"
    connection = sqlite3.connect(foreign)
    connection.execute("CREATE TABLE theirs(x)")
    connection.close()
    foreign.chmod(0o600)
    assert purge(tmp_path / "spool") == 0
    assert foreign.exists()
    damaged = tmp_path / "spool" / "backend.2.0123456789abcdef01234567.db"
    damaged.write_bytes(b"rubbish" * 1000)
    assert purge(tmp_path / "spool") == 0
    assert not damaged.exists()


class SpoolMachine(RuleBasedStateMachine):
    """The spool against a list: what was appended and neither deleted nor adopted elsewhere is there, in order."""

    @initialize()
    def begin(self):
        self.root = Path(tempfile.mkdtemp())
        self.folders = 0
        self.folder = self.root / "0"
        self.clock = FakeClock()
        self.opened = []
        self.model = []  # what our store holds, in order
        self.orphaned = []  # what lies in files without an owner, file by file
        self.keys = {}
        self.number = 0
        self.store = self.open()

    def open(self):
        store = Spool(self.folder, clock=self.clock, wall_clock=self.clock).open("b")
        self.opened.append(store)
        return store

    def teardown(self):
        for store in getattr(self, "opened", []):
            store.close()
        if hasattr(self, "root"):
            shutil.rmtree(self.root)

    @rule(count=st.integers(1, 12))
    def append(self, count):
        added = list(range(self.number, self.number + count))
        self.number += count
        assert self.store.append(metrics(*added)) == count
        self.model += added

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def append_again(self, data):
        number = data.draw(st.sampled_from(self.model))
        assert self.store.append(metrics(number)) == 1

    @rule(limit=st.integers(1, 20))
    def peek(self, limit):
        page = self.store.peek(limit)
        assert ids(row for _, row in page) == self.model[:limit]
        self.keys.update((number, key) for (key, _), number in zip(page, self.model, strict=False))

    @precondition(lambda self: self.keys)
    @rule(data=st.data())
    def delete(self, data):
        chosen = data.draw(st.lists(st.sampled_from(sorted(self.keys)), unique=True))
        assert self.store.delete([self.keys[number] for number in chosen]) == len(chosen)
        for number in chosen:
            self.model.remove(number)
            del self.keys[number]

    @rule()
    def crash(self):
        """Go on with the files as a kill would leave them."""
        self.folders += 1
        target = self.root / str(self.folders)
        if self.folder.exists():
            shutil.copytree(self.folder, target, ignore=shutil.ignore_patterns("*-shm"))
        self.leave()
        self.folder = target
        self.store = self.open()

    @rule()
    def reopen(self):
        self.store.close()
        self.leave()
        self.store = self.open()

    def leave(self):
        if self.model:
            self.orphaned.append(self.model)
        self.model, self.keys = [], {}

    @rule(limit=st.none() | st.integers(1, 10))
    def adopt(self, limit):
        waiting_there = [number for rows in self.orphaned for number in rows]
        expected = waiting_there if limit is None else waiting_there[:limit]
        assert self.store.adopt(limit=limit) == len(expected)
        self.model += expected
        rest = set(waiting_there[len(expected) :])
        self.orphaned = [kept for rows in self.orphaned if (kept := [n for n in rows if n in rest])]

    @invariant()
    def counts(self):
        assert len(self.store) == len(self.model)
        assert not self.store.dropped
        assert (self.store.bytes == 0) == (not self.model)

    @invariant()
    def order(self):
        if self.model:
            assert ids(row for _, row in self.store.peek(1)) == self.model[:1]
            assert self.store.oldest_age() == 0


_MACHINE = settings(
    deadline=None, stateful_step_count=25, suppress_health_check=list(HealthCheck), derandomize=True, database=None
)


def test_it_behaves_like_a_list():
    """Whatever is appended, deleted, killed, reopened and adopted, in any order, the spool holds what a list would."""
    run_machine(100)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_it_behaves_like_a_list_at_length():
    """The same over two thousand histories."""
    run_machine(2000)


def run_machine(examples):
    run_state_machine_as_test(SpoolMachine, settings=settings(_MACHINE, max_examples=examples))
