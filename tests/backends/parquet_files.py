"""Where tests of Parquet write, at which time, and what stands there, by pyarrow itself and by our reader."""

from __future__ import annotations

import time

import pytest
from pyarrow import parquet

from tests.faults.harness import FakeClock
from time_execution.backends.files import open_rows

NARROW = {"name": str, "value": float}


@pytest.fixture(name="path")
def path_fixture(tmp_path):
    """Return where a file goes."""
    return tmp_path / "metrics.parquet"


@pytest.fixture(name="clock")
def clock_fixture(monkeypatch):
    """Let time stand still but for what a test lets pass."""
    clock = FakeClock()
    monkeypatch.setattr(time, "monotonic", clock)
    return clock


def rows_in(path):
    """Return the rows of a Parquet file and of what is on its way to it."""
    with open_rows(path) as rows:
        return list(rows)


def names_in(path):
    """Return the names in those rows."""
    return [row["name"] for row in rows_in(path)]


def merged_rows(path):
    """Return what any other reader finds: the rows of the file alone."""
    return parquet.ParquetFile(path).read(use_threads=False).to_pylist()


def files_in(folder):
    """Return the names of files, sorted."""
    return sorted(file.name for file in folder.iterdir())
