"""The folder of a spool: what cannot be one, for whose eyes it is, and what others do to it."""

from __future__ import annotations

import os
import shutil
import stat
import sys

import pytest

from tests.spool.rows import files, metrics, waiting
from time_execution.delivery.spool import Spool
from time_execution.exceptions import ConfigurationError


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
    """Even under a umask of 0, folders are 0700 and files 0600, SQLite's own included (S11)."""
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
    """A symbolic link in the place of a database or a lock is left alone, and so is what it points to (S11)."""
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
    """What is planted after the spool was made is found out at the first row; nothing raises (S11)."""
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


def test_a_file_that_took_the_place_of_ours_is_left_alone(open_store, tmp_path):
    """Whoever put it there knows what it is; the store goes on in a file of its own, with all its rows."""
    store = open_store()
    store.append(metrics(1))
    stranger, place = tmp_path / "stranger", files(tmp_path / "spool")[0]
    stranger.write_text("something else")
    stranger.replace(place)
    assert store.append(metrics(2)) == 1
    assert place.read_text() == "something else"
    assert waiting(store) == [1, 2]
    assert len(files(tmp_path / "spool", "*.lock")) == 1


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
