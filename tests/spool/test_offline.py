"""Spools seen from outside: inspecting, reading, purging."""

from __future__ import annotations

import os
import sqlite3

import pytest

from tests.faults.harness import FakeClock
from tests.spool.rows import files, ids, metric, metrics, waiting
from time_execution.delivery.spool import Spool, inspect_folder, purge, read


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


def test_purging_follows_no_link(open_store, tmp_path):
    """What a link in the folder points to is not ours to empty, though it may be a spool elsewhere (S11)."""
    elsewhere = open_store(path=tmp_path / "elsewhere")
    elsewhere.append(metrics(1, 2))
    elsewhere.close()
    folder = tmp_path / "spool"
    folder.mkdir(0o700)
    link = folder / "backend.1.0123456789abcdef01234567.db"
    link.symlink_to(files(tmp_path / "elsewhere")[0])
    assert purge(folder) == purge(folder, older_than=-1.0) == 0
    assert ids(read(tmp_path / "elsewhere")) == [1, 2]
    assert link.is_symlink()


def test_purge_by_age_leaves_what_was_put_aside(open_store, tmp_path):
    """Nobody knows how old a damaged file's metrics are: it goes with a whole purge only, and only if it is named."""
    store = open_store()
    store.append(metrics(1))
    store.close()
    folder = tmp_path / "spool"
    aside = [folder / f"{name}.1.0123456789abcdef01234567.db.corrupt" for name in ("backend", "other")]
    for path in aside:
        path.write_bytes(b"rubbish")
    assert purge(folder, older_than=-1.0) == 1
    assert files(folder, "*.corrupt") == aside
    purge(folder, name="backend")
    assert files(folder, "*.corrupt") == aside[1:]


def test_a_purge_that_cannot_write_says_so(open_store, tmp_path):
    """A file that somebody is writing to is not taken for a damaged one, nor for an empty one."""
    store = open_store()
    store.append(metrics(1, 2))
    store.close()
    connection = sqlite3.connect(files(tmp_path / "spool")[0], isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        purge(tmp_path / "spool")
    connection.close()
    assert ids(read(tmp_path / "spool")) == [1, 2]
    assert purge(tmp_path / "spool") == 2
