"""What the stores that need no server take in, each against the least that writing the same rows could cost."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from tests.bench import bench_sqlite
from tests.bench.bench_sqlite import BATCH, EXTRA, GOALS, TURN, batches, make_metrics
from tests.bench.measure import Table, best
from time_execution.backends.base import batch_sender
from time_execution.backends.files import CSVBackend, JSONLinesBackend, ParquetBackend


def sqlite_table(folder: Path, rows: int) -> Table:
    """Measure `SQLiteBackend` with its rollups against a bare ``executemany`` of finished tuples."""
    table = Table("sqlite", "Metrics with", "bare, µs a row", "ours, µs a row", "ratio", "goal")
    rows = max(rows, TURN) // TURN * TURN
    for label, extra in (("core fields", None), ("extra fields", EXTRA)):
        bare, ours = bench_sqlite.storing_ratio(folder, rows, extra)
        figures = (f"{bare / rows * 1e6:.2f}", f"{ours / rows * 1e6:.2f}", f"{bare / ours:.2f}", f"{GOALS[label]:.2f}")
        table.add(label, *figures)
    return table


def report_table(folder: Path, rows: int) -> Table:
    """Measure a report, with the start of its interpreter, on a database of so many rows."""
    path = folder / "report.db"
    bench_sqlite.fill(path, rows)
    taken, start = bench_sqlite.report_seconds(path), best(_interpreter_seconds, 5)
    table = Table("report", "With the interpreter's start", "seconds", "of a bare start", "goal")
    table.add("python -c pass", f"{start:.3f}", "1.00", "")
    goal = f"{bench_sqlite.REPORT_GOAL:.1f} s"
    table.add(f"report on {rows:,} rows", f"{taken:.3f}", f"{taken / start:.1f}", goal)
    return table


def _interpreter_seconds() -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    return time.perf_counter() - started


def files_table(folder: Path, rows: int) -> Table:
    """Measure the file backends against the standard library's encoders and one write a batch."""
    table = Table("files", f"{rows:,} metrics in batches of {BATCH}", "metrics/s", "of the bare file")
    for label, extra in (("core fields", None), ("extra fields", EXTRA)):
        bare = best(lambda extra=extra: _bare_lines(folder, make_metrics(rows, extra=extra)), 2)
        with JSONLinesBackend(folder / f"ours-{bool(extra)}.jsonl") as lines:
            ours = best(lambda extra=extra, lines=lines: _sent(lines, make_metrics(rows, extra=extra)), 2)
        table.add(f"JSONLinesBackend, {label}", f"{rows / ours:,.0f}", f"{bare / ours:.2f}")
    bare = best(lambda: _bare_csv(folder, make_metrics(rows)), 2)
    with CSVBackend(folder / "ours.csv") as columns:
        ours = best(lambda: _sent(columns, make_metrics(rows)), 2)
    table.add("CSVBackend, core fields", f"{rows / ours:,.0f}", f"{bare / ours:.2f}")
    bare = best(lambda: _bare_parquet(folder, make_metrics(rows)), 2)
    ours = best(lambda: _merged_parquet(folder, make_metrics(rows)), 2)
    table.add("ParquetBackend, core fields, merged", f"{rows / ours:,.0f}", f"{bare / ours:.2f}")
    return table


def _merged_parquet(folder: Path, metrics: list) -> float:
    (folder / "ours.parquet").unlink(missing_ok=True)
    started = time.perf_counter()
    with ParquetBackend(folder / "ours.parquet") as columns:
        _sent(columns, metrics)
    return time.perf_counter() - started


def _bare_parquet(folder: Path, metrics: list) -> float:
    """Write a row group for each batch: what nobody should do who reads the file often."""
    moment = pa.timestamp("ns", "UTC")
    schema = pa.schema([("name", "string"), ("value", "float64"), ("hostname", "string"), ("timestamp", moment)])
    with parquet.ParquetWriter(folder / "bare.parquet", schema, compression="zstd") as writer:
        return _timed(lambda part: writer.write_table(pa.Table.from_pylist(part, schema)), metrics)


def _sent(backend: object, metrics: list) -> float:
    return _timed(batch_sender(backend), metrics)


def _timed(send: Callable[[list], object], metrics: list) -> float:
    started = time.perf_counter()
    for part in batches(metrics):
        send(part)
    return time.perf_counter() - started


def _bare_lines(folder: Path, metrics: list) -> float:
    with (folder / "bare.jsonl").open("a", encoding="utf-8") as file:

        def write(part: list) -> None:
            file.write("".join([json.dumps(metric) + "\n" for metric in part]))
            file.flush()

        return _timed(write, metrics)


def _bare_csv(folder: Path, metrics: list) -> float:
    with (folder / "bare.csv").open("a", encoding="utf-8", newline="") as file:

        def write(part: list) -> None:
            text = io.StringIO()
            csv.writer(text).writerows([metric.values() for metric in part])
            file.write(text.getvalue())
            file.flush()

        return _timed(write, metrics)
