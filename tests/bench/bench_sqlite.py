"""SQLite: storing with rollups against a bare ``executemany`` of finished tuples, the longest write, reports.

Run as ``python tests/bench/bench_sqlite.py [--rows N] [--report-rows N]``. Both sides of a ratio take turns within one
run, in the same batches and with the same pragmas, over many roll-ups; a ratio is of sums. The longest write is what a
direct user may have to wait, in seconds of its thread: other programs are not to be measured.
"""

from __future__ import annotations

import argparse
import json
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from time_execution import report
from time_execution.backends.sqlite import SQLiteBackend
from time_execution.types import Metric

BATCH = 500
TURN = 65_536 // BATCH * BATCH
EXTRA = {"origin": "api", "status_code": 200, "request_id": "6f1c2b3a-0001"}
GOALS = {"core fields": 0.40, "extra fields": 0.25}
REPORT_GOAL = 1.0
LONGEST_GOAL = 0.030


def make_metrics(count, *, functions=100, extra=None, start=None):
    """Return metrics as the worker hands them over, a millisecond apart up to now."""
    generator = random.Random(7)
    names = [f"shop.services.module_{number % 7}.function_{number}" for number in range(functions)]
    start = start or time.time_ns() - count * 1_000_000
    return [
        Metric(
            {
                "name": generator.choice(names),
                "value": generator.lognormvariate(0, 1.5),
                "hostname": "worker-17.example",
                "timestamp": start + number * 1_000_000,
                **(extra or {}),
            }
        )
        for number in range(count)
    ]


def batches(rows):
    return [rows[start : start + BATCH] for start in range(0, len(rows), BATCH)]


class Bare:
    """The least that storing rows in SQLite can cost: tuples made beforehand, one table, no rollups."""

    def __init__(self, path):
        self.connection = sqlite3.connect(path, isolation_level=None)
        self.connection.execute("PRAGMA journal_mode = WAL")
        self.connection.execute("PRAGMA synchronous = NORMAL")
        self.connection.execute(
            "CREATE TABLE metrics (name TEXT, value REAL, hostname TEXT, timestamp INTEGER, fields TEXT)"
        )

    def store(self, rows):
        self.connection.execute("BEGIN IMMEDIATE")
        self.connection.executemany("INSERT INTO metrics VALUES (?, ?, ?, ?, ?)", rows)
        self.connection.execute("COMMIT")


def as_tuple(metric, extra):
    fields = json.dumps(extra) if extra else None
    return metric["name"], metric["value"], metric["hostname"], metric["timestamp"], fields


def timed(store, parts):
    start = time.perf_counter()
    for part in parts:
        store(part)
    return time.perf_counter() - start


def storing_ratio(folder, rows, extra):
    """Return the seconds that bare and backend took for the same rows, whole roll-ups each."""
    bare = Bare(folder / f"bare-{bool(extra)}.db")
    backend = SQLiteBackend(folder / f"ours-{bool(extra)}.db", rollup_interval=1e9)
    seconds = [0.0, 0.0]
    metrics = make_metrics(rows, extra=extra)
    for start in range(0, rows // TURN * TURN, TURN):
        part = metrics[start : start + TURN]
        seconds[0] += timed(bare.store, batches([as_tuple(metric, extra) for metric in part]))
        seconds[1] += timed(backend.write_many, batches(part))
    backend.close()
    return seconds


def longest_write(path, rows, batch):
    """Return the most seconds of the thread that one batch took, and the seconds of the median."""
    seconds = []
    metrics = make_metrics(rows)
    with SQLiteBackend(path, rollup_interval=1e9) as backend:
        for start in range(0, rows, batch):
            part = metrics[start : start + batch]
            began = time.thread_time()
            backend.write_many(part)
            seconds.append(time.thread_time() - began)
    return max(seconds), sorted(seconds)[len(seconds) // 2]


def slowest_seconds(path):
    """Return how long it takes to find the slowest calls of the function with the greatest total."""
    name = report.read(path)[0].name
    start = time.perf_counter()
    report.slowest(path, name)
    return time.perf_counter() - start


def report_seconds(path):
    """Return the best of three times for a fresh interpreter to report on a database."""
    script = "import sys; from time_execution import report; print(sum(row.calls for row in report.read(sys.argv[1])))"
    best = float("inf")
    for _ in range(3):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", script, str(path)], check=True, capture_output=True)
        best = min(best, time.perf_counter() - start)
    return best


def fill(path, rows):
    with SQLiteBackend(path) as backend:
        start = time.time_ns() - rows * 1_000_000
        for done in range(0, rows, 100_000):
            for part in batches(make_metrics(min(100_000, rows - done), start=start + done * 1_000_000)):
                backend.write_many(part)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=6 * TURN, help="rows for each storing ratio")
    parser.add_argument("--report-rows", type=int, default=10_000_000, help="rows to report on; 0 for no report")
    options = parser.parse_args()
    print(f"{'measurement':40} {'bare':>9} {'ours':>9} {'ratio':>7} {'goal':>7}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for label, extra in (("core fields", None), ("extra fields", EXTRA)):
            bare, ours = storing_ratio(folder, max(options.rows, TURN), extra)
            rows = max(options.rows, TURN) // TURN * TURN
            print(
                f"{f'SQLite, stored with rollups, {label}':40} {bare / rows * 1e6:6.2f} µs {ours / rows * 1e6:6.2f} µs "
                f"{bare / ours:7.2f} {GOALS[label]:>7.2f}"
            )
        for batch in (1, BATCH):
            longest, median = longest_write(folder / f"longest-{batch}.db", max(options.rows, TURN), batch)
            label = f"SQLite, longest write of {batch}"
            print(f"{label:40} {median * 1e3:6.2f} ms {longest * 1e3:6.1f} ms {'':7} {LONGEST_GOAL * 1e3:4.0f} ms")
        if options.report_rows:
            fill(folder / "report.db", options.report_rows)
            taken = report_seconds(folder / "report.db")
            label = f"report on {options.report_rows:,} rows, with start"
            print(f"{label:40} {'':9} {taken:7.2f} s {'':7} {REPORT_GOAL:5.1f} s")
            label = "the slowest calls among them"
            print(f"{label:40} {'':9} {slowest_seconds(folder / 'report.db'):7.2f} s {'':7} {REPORT_GOAL:5.1f} s")


if __name__ == "__main__":
    main()
