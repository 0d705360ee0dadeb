"""The contract of all backends, for the one that writes through SQLAlchemy."""

from __future__ import annotations

import pytest

pytest.importorskip("sqlalchemy", reason="what the backend speaks to databases with")

from tests.error_logs import fields_of, rows_of
from time_execution.backends.sqlalchemy import SQLAlchemyBackend
from time_execution.testing import BackendContract


class TestSQLAlchemy(BackendContract):
    """Rows in a file of SQLite; what is no part of a record is in `extra`."""

    keeps_order = False  # without a queue, ids are random
    secrets = ("hunter2",)

    @pytest.fixture
    def backend(self, tmp_path):
        self.url = f"sqlite:///{tmp_path / 'shop.db'}?timeout=20"
        with SQLAlchemyBackend(self.url) as backend:
            yield backend

    def read_back(self, backend):
        return [fields_of(row) | {"timestamp": f"{row['timestamp']}Z"} for row in rows_of(self.url)]
