"""Where a store is, and spool folders as a clean close and as a kill leave them."""

from __future__ import annotations

import shutil

import pytest

from tests.faults.spools import ROWS, metric, open_store


@pytest.fixture
def path(tmp_path):
    """Where an SQLite store is to be."""
    return tmp_path / "metrics.db"


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    """A spool folder as a clean close leaves it: one database without a log."""
    folder = tmp_path_factory.mktemp("whole")
    store = open_store(folder)
    store.append([metric(n) for n in range(ROWS)])
    store.close()
    return folder


@pytest.fixture(scope="session")
def logged(tmp_path_factory):
    """A spool folder as a kill leaves it: much of it in SQLite's write-ahead log."""
    folder = tmp_path_factory.mktemp("logged")
    store = open_store(folder / "live")
    for n in range(ROWS):
        store.append([metric(n)])
    shutil.copytree(folder / "live", folder / "dead", ignore=shutil.ignore_patterns("*-shm"))
    store.close()
    return folder / "dead"
