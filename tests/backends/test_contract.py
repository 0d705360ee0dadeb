"""The contract that every backend keeps, run over all that need no server.

A new backend is a subclass of ten lines: its fixture, and how to read back what it stored.
"""

from __future__ import annotations

import csv
import io
import json
import logging
import re
import sqlite3
from contextlib import closing

import pytest

pytest.importorskip("pyarrow", reason="it is not installed")


from time_execution.backends.files import CSVBackend, JSONLinesBackend, ParquetBackend, open_rows
from time_execution.backends.logging import LoggingBackend
from time_execution.backends.memory import MemoryBackend
from time_execution.backends.sqlite import SQLiteBackend
from time_execution.backends.stream import StreamBackend
from time_execution.testing import BackendContract

_DANGEROUS = re.compile("'[\\s\"'\\ufeff\\u200b]*[=+\\-@\\t\\r\\n\\uff1d\\uff0b\\uff0d\\uff20]")


class TestMemory(BackendContract):
    """A list in this process."""

    survives_fork = False  # a child's memory is its own

    @pytest.fixture
    def backend(self):
        return MemoryBackend()

    def read_back(self, backend):
        return backend.metrics


class TestStream(BackendContract):
    """Lines in a stream."""

    survives_fork = False  # the stream lies in memory

    @pytest.fixture
    def backend(self):
        return StreamBackend(io.StringIO())

    def read_back(self, backend):
        return list(map(json.loads, backend.stream.getvalue().splitlines()))


class TestLogging(BackendContract):
    """Records of the standard library."""

    survives_fork = False  # the handler's list lies in memory

    @pytest.fixture
    def backend(self):
        records: list[logging.LogRecord] = []
        handler = logging.Handler()
        handler.emit = records.append  # type: ignore[assignment,method-assign]
        logger = logging.Logger("contract")  # noqa: LOG001 - one that no other test sees
        logger.addHandler(handler)
        self.records = records
        return LoggingBackend(logger)

    def read_back(self, backend):
        return [json.loads(record.getMessage()) for record in self.records]


class TestJSONLines(BackendContract):
    """Lines in a file."""

    @pytest.fixture
    def backend(self, tmp_path):
        return JSONLinesBackend(tmp_path / "metrics.jsonl")

    def read_back(self, backend):
        return list(map(json.loads, backend.path.read_text().splitlines())) if backend.path.exists() else []


class TestCSV(BackendContract):
    """Rows in a file, read by the csv module; what the backend documents as escaped is unescaped."""

    @pytest.fixture
    def backend(self, tmp_path):
        return CSVBackend(tmp_path / "metrics.csv")

    def read_back(self, backend):
        if not backend.path.exists():
            return []
        with backend.path.open(newline="", encoding="utf-8") as file:
            return [self._fields(row) for row in csv.DictReader(file, strict=True)]

    def _fields(self, row):
        rest = json.loads(row.pop("fields") or "{}")
        fields = {key: cell[1:] if _DANGEROUS.match(cell) else cell for key, cell in row.items()}
        number = fields.pop("value")
        with_number = {"value": json.loads(number)} if re.fullmatch(r"-?\d+(\.\d+)?(e[+-]?\d+)?", number) else {}
        return {**fields, **with_number, **rest}

    def stored_name(self, name):
        return name.replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode()


class TestParquet(BackendContract):
    """Rows of a Parquet file and its journal, read by our own reader."""

    @pytest.fixture
    def backend(self, tmp_path):
        return ParquetBackend(tmp_path / "metrics.parquet")

    def read_back(self, backend):
        if not list(backend.path.parent.iterdir()):
            return []
        with open_rows(backend.path) as rows:
            return [self._fields(row) for row in rows]

    def _fields(self, row):
        rest = json.loads(row.pop("fields") or "{}")
        return {**{key: value for key, value in row.items() if value is not None}, **rest}

    def stored_name(self, name):
        return name.encode("utf-8", "backslashreplace").decode()


class TestSQLite(BackendContract):
    """Rows in a database, read by its public view."""

    @pytest.fixture
    def backend(self, tmp_path):
        with SQLiteBackend(tmp_path / "metrics.db") as backend:
            yield backend

    def read_back(self, backend):
        if not backend.path.exists():
            return []
        with closing(sqlite3.connect(backend.path)) as connection:
            rows = connection.execute("SELECT name, value, hostname, timestamp, fields FROM metrics ORDER BY timestamp")
            return [
                {"name": name, "value": value, "timestamp": timestamp, **json.loads(fields or "{}")}
                for name, value, _, timestamp, fields in rows
            ]


class TestWithoutBackend:
    """What the contract says of a subclass that is not finished."""

    def test_a_subclass_without_read_back_is_told(self):
        """The error names what is missing."""
        with pytest.raises(TypeError, match="must define read_back"):
            BackendContract().read_back(None)
