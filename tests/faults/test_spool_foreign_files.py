"""Files under a spool's name that are none, of something else, or of a later version: case D14."""

from __future__ import annotations

import shutil
import sqlite3

import pytest

from tests.faults.children import posix
from tests.faults.spools import metric, open_store
from time_execution.delivery.spool import inspect_folder

pytestmark = posix


@pytest.mark.parametrize(
    ("content", "corrupt", "kept"),
    [
        pytest.param(b"", 1, [], id="zero-length"),
        pytest.param(b"\0" * 5000, 1, ["*.corrupt"], id="zeros"),
        pytest.param(b"name,value\n" * 1000, 1, ["*.corrupt"], id="text"),
        pytest.param(b"SQLite format 3\0", 1, ["*.corrupt"], id="header only"),
    ],
)
def test_a_file_that_is_no_database_is_put_aside(tmp_path, content, corrupt, kept):
    """Rubbish under a spool's name is counted, put aside, and in nobody's way (D14)."""
    path = tmp_path / "backend.1.0123456789abcdef01234567.db"
    path.write_bytes(content)
    store = open_store(tmp_path)
    assert store.adopt() == 0
    assert store.corrupt_files == corrupt
    assert [len(list(tmp_path.glob(pattern))) for pattern in kept] == [1] * len(kept)
    assert not path.exists()
    assert store.adopt() == 0
    assert store.corrupt_files == corrupt
    assert store.append([metric(1)]) == 1
    store.close()


def test_a_database_of_something_else_is_left_alone(tmp_path):
    """A sound database that is not ours stays byte for byte, and the reason is told (D14)."""
    path = tmp_path / "backend.1.0123456789abcdef01234567.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE theirs(x)")
    connection.close()
    before = path.read_bytes()
    store = open_store(tmp_path)
    assert (store.adopt(), store.corrupt_files, path.read_bytes()) == (0, 0, before)
    assert "something else" in store.news[-1]
    assert store.append([metric(1)]) == 1
    assert "something else" in inspect_folder(tmp_path)[0].problem
    store.close()


def test_a_file_of_a_later_version_is_left_alone(whole, tmp_path):
    """What a newer version wrote waits for a newer version; this one goes on in a file of its own (D14)."""
    target = tmp_path / "spool"
    shutil.copytree(whole, target)
    path = next(target.glob("*.db"))
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 2")
    connection.close()
    before = path.read_bytes()
    store = open_store(target)
    assert (store.adopt(), store.corrupt_files, path.read_bytes()) == (0, 0, before)
    assert "format 2 is later" in store.news[-1]
    assert store.append([metric(1)]) == 1
    store.close()


def test_damaged_files_do_not_pile_up(tmp_path):
    """Of the files put aside only the newest few are kept (D14)."""
    for number in range(8):
        (tmp_path / f"backend.1.{number:024x}.db").write_bytes(b"rubbish" * 1000)
    store = open_store(tmp_path)
    store.adopt()
    assert store.corrupt_files == 8
    assert sorted(path.name for path in tmp_path.glob("*.corrupt")) == [
        f"backend.1.{number:024x}.db.corrupt" for number in (5, 6, 7)
    ]
    store.close()
