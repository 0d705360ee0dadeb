"""Reports on a store that cannot be written to: an archive, a mount for reading only, another user's folder."""

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
import tempfile
from pathlib import Path

import pytest

from tests.unprivileged import without_privileges
from time_execution.backends.sqlite import SQLiteBackend
from time_execution.cli import main
from time_execution.exceptions import DatabaseError
from time_execution.report import histograms, read, series, slowest, tail
from time_execution.report._view import View
from time_execution.types import Metric

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="permissions")
PARTS = ("", "-wal", "-shm")


@pytest.fixture
def folder():
    """Return a folder that everyone may look into; pytest's own are closed to other users."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        path.chmod(0o755)
        yield path
        path.chmod(0o755)


def forbid_writing(folder):
    for file in folder.iterdir():
        file.chmod(0o444)
    folder.chmod(0o555)


def write(backend):
    backend.write_many([Metric({"name": "shop.pay", "value": float(n), "timestamp": 10**18}) for n in range(3)])


def test_an_archived_store_can_be_read(folder, capsys):
    """A database that was closed needs nothing beside it, for any kind of report."""
    path = folder / "metrics.db"
    with SQLiteBackend(path) as backend:
        write(backend)
    assert [each.name for each in folder.iterdir()] == ["metrics.db"]
    forbid_writing(folder)
    with without_privileges():
        assert [(row.name, row.calls) for row in read(path)] == [("shop.pay", 3)]
        assert [call.value for call in tail(path)] == [0.0, 1.0, 2.0]
        assert [call.value for call in slowest(path, "shop.pay", limit=1)] == [2.0]
        assert len(series(path)) == len(histograms(path)) == 1
        assert main(["report", str(path)]) == main(["tail", "--no-follow", str(path)]) == 0
    assert "shop.pay" in capsys.readouterr().out


@pytest.mark.parametrize("parts", [("", "-wal", "-shm"), ("",), ("", "-empty")], ids=["all", "none", "empty log"])
def test_a_copied_store_can_be_read(folder, tmp_path, parts):
    """A copy with all its parts is read with what its log holds; one without a log, or with an empty one, as it is."""
    backend = SQLiteBackend(tmp_path / "metrics.db")
    write(backend)
    if parts != PARTS:
        backend.close()
    for part in parts:
        if part == "-empty":
            (folder / "copy.db-wal").touch()
        else:
            shutil.copy(tmp_path / f"metrics.db{part}", folder / f"copy.db{part}")
    forbid_writing(folder)
    with without_privileges():
        assert [(row.name, row.calls) for row in read(folder / "copy.db")] == [("shop.pay", 3)]
    backend.close()


def test_a_log_that_cannot_be_read_is_not_passed_over(folder, tmp_path):
    """Where the newest metrics are in a log that takes writing to be read, the report says so and shows no half."""
    backend = SQLiteBackend(tmp_path / "metrics.db")
    write(backend)
    for part in ("", "-wal"):
        shutil.copy(tmp_path / f"metrics.db{part}", folder / f"copy.db{part}")
    backend.close()
    forbid_writing(folder)
    with without_privileges(), pytest.raises(DatabaseError, match=r"'copy\.db-wal', which can be read only where"):
        read(folder / "copy.db")


def test_a_file_that_may_not_be_read_is_an_error_as_before(folder):
    """Without permission to read there is nothing to fall back to."""
    path = folder / "metrics.db"
    with SQLiteBackend(path) as backend:
        write(backend)
    path.chmod(0o600 if os.geteuid() == 0 else 0)
    with without_privileges(), pytest.raises(DatabaseError, match="unable to open database file"):
        read(path)


def test_a_store_at_work_is_read_through_its_log(folder):
    """Where a writer is at work, its newest metrics are seen by one who may not write."""
    backend = SQLiteBackend(folder / "metrics.db")
    write(backend)
    forbid_writing(folder)
    with without_privileges():
        assert [row.calls for row in read(folder / "metrics.db")] == [3]
    folder.chmod(0o755)
    for file in folder.iterdir():
        file.chmod(0o644)
    backend.close()


def test_a_report_cannot_write(folder):
    """Whatever it asks for: the store is opened for reading only, also where writing would be allowed."""
    path = folder / "metrics.db"
    with SQLiteBackend(path) as backend:
        write(backend)
    with View.open(path) as view, pytest.raises(sqlite3.OperationalError, match="readonly"):
        view.connection.execute("DELETE FROM raw")
    assert [row.calls for row in read(path)] == [3]
