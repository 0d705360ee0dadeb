"""A database that is not there yet, and a backend that will make it and delete nothing."""

from __future__ import annotations

import pytest

from tests.backends.sqlite_rows import FOREVER
from time_execution.backends.sqlite import SQLiteBackend


@pytest.fixture
def path(tmp_path):
    return tmp_path / "metrics.db"


@pytest.fixture
def backend(path):
    with SQLiteBackend(path, **FOREVER) as backend:
        yield backend
