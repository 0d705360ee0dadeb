"""An SQLite store for the fault tests: writers in processes of their own, and what must be true of the file."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from time_execution import report
from time_execution.types import Metric

ROOT = Path(__file__).resolve().parents[2]
DEADLINE = 60.0
# Writes batches of numbered metrics, and says after each how many are committed.
WRITER = """
import sys, time
from time_execution.backends.sqlite import SQLiteBackend
from time_execution.types import Metric

path, writer, batches, size, rollup_rows = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])
backend = SQLiteBackend(path, rollup_rows=rollup_rows, busy_timeout=30.0)
for batch in range(batches):
    backend.write_many([
        Metric({"name": f"f{number % 5}", "value": number + 0.5, "hostname": writer, "timestamp": time.time_ns()})
        for number in range(batch * size, (batch + 1) * size)
    ])
    print((batch + 1) * size, flush=True)
backend.close()
assert not backend.corrupted and not backend.rollup_failures, (backend.corrupted, backend.rollup_failures)
"""


def core(name="f", value=1.0):
    return Metric({"name": name, "value": value, "hostname": "h", "timestamp": time.time_ns()})


def start_writer(path, writer, *numbers):
    command = [sys.executable, "-c", WRITER, str(path), str(writer), *map(str, numbers)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)})


def query(path, text):
    connection = sqlite3.connect(path)
    try:
        return connection.execute(text).fetchall()
    finally:
        connection.close()


def assert_consistent(path):
    """The file is sound, and what rollups and the rows past the watermark count is what is there."""
    assert query(path, "PRAGMA integrity_check") == [("ok",)]
    ((watermark,),) = query(path, "SELECT watermark FROM state")
    rolled_up = query(path, f"SELECT count(*), total(value) FROM raw WHERE id <= {watermark}")
    (summed,) = query(path, "SELECT coalesce(sum(calls), 0), total(total) FROM rollup WHERE width = 60")
    assert [summed] == [(rolled_up[0][0], pytest.approx(rolled_up[0][1]))]
    assert query(path, "SELECT coalesce(sum(calls), 0) FROM histogram WHERE width = 60") == [(rolled_up[0][0],)]
    assert sum(row.calls for row in report.read(path)) == query(path, "SELECT count(*) FROM metrics")[0][0]
