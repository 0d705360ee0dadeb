"""A clock that only a test moves, and stores that close themselves."""

from __future__ import annotations

import pytest

from tests.faults.harness import FakeClock
from time_execution.delivery.spool import Spool


@pytest.fixture
def clock():
    return FakeClock(1_000_000.0)


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
