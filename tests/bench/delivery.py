"""What the worker delivers, what a queued call weighs, and what the spool takes and gives back."""

from __future__ import annotations

import json
import sqlite3
import statistics
import threading
import time
import tracemalloc
from collections import deque
from pathlib import Path

from tests.bench.bench_sqlite import batches, make_metrics
from tests.bench.floor import HOSTNAME, noop
from tests.bench.measure import Table
from time_execution import settings, time_execution
from time_execution.backends.base import BaseMetricsBackend
from time_execution.backends.threaded import ThreadedBackend
from time_execution.delivery.spool import Spool

_PATIENCE = 120.0
_WINDOW = 5000


class GatedBatches(BaseMetricsBackend):
    """Takes batches, notes when, and forgets them, once its gate is open."""

    def __init__(self):
        self.gate = threading.Event()
        self.taken: list[tuple[float, int]] = []

    def write_many(self, metrics):
        self.gate.wait(_PATIENCE)
        self.taken.append((time.perf_counter(), len(metrics)))


class GatedNanoseconds(GatedBatches):
    """Has timestamps left as they are."""

    wants_nanoseconds = True


def rates(taken: list[tuple[float, int]]) -> list[float]:
    """Return metrics a second over each window of some thousands that were taken one after the other."""
    found, (began, _), count = [], taken[0], 0
    for moment, size in taken[1:]:
        count += size
        if count >= _WINDOW:
            found.append(count / (moment - began))
            began, count = moment, 0
    return found


def reference_rates(calls: int) -> list[float]:
    """Return the rates of a bare loop that makes metrics out of what a queue holds, and drops them."""
    template = {"name": "bench.noop", "value": 0.0, "hostname": HOSTNAME}
    queued = deque((template, number, number + 1000) for number in range(calls))
    taken = [(time.perf_counter(), 0)]
    while queued:
        for _ in range(min(500, len(queued))):
            source, began, ended = queued.popleft()
            metric = source.copy()
            metric["value"] = (ended - began) / 1e6
            metric["timestamp"] = ended
        taken.append((time.perf_counter(), 500))
    return rates(taken)


def drain_rates(calls: int, batch: int, *, nanoseconds: bool) -> list[float]:
    """Return the rates at which a worker delivers so many queued calls to a backend that does nothing.

    Raises:
        RuntimeError: When not all of them were delivered.
    """
    store = GatedNanoseconds() if nanoseconds else GatedBatches()
    backend = ThreadedBackend(store, queue_maxsize=2 * calls, max_bytes=None, bulk_size=batch, bulk_timeout=0.0)
    settings.configure(backends=(backend,), hooks=())
    measured = time_execution(noop)
    for _ in range(calls):
        measured()
    store.gate.set()
    backend.flush(_PATIENCE)
    delivered = backend.stats()["delivered"]
    settings.reset()
    backend.close()
    if delivered != calls:
        raise RuntimeError(f"{delivered} of {calls} were delivered")
    return rates(store.taken)


def drain_table(sizes: tuple[int, ...]) -> Table:
    """Measure the worker for queues of several lengths, batches of several sizes and both shapes of timestamp."""
    table = Table("drain", "Queued calls, batch, timestamp", "metrics/s", "median", "of a bare loop", "goal")
    for calls in sizes:
        for batch in (50, 500, 5000):
            for nanoseconds in (False, True):
                bare, found = max(reference_rates(calls)), drain_rates(calls, batch, nanoseconds=nanoseconds)
                label = f"{calls:,}, {batch}, {'nanoseconds' if nanoseconds else 'datetime'}"
                figures = (f"{max(found):,.0f}", f"{statistics.median(found):,.0f}", f"{max(found) / bare:.2f}")
                table.add(label, *figures, "300,000")
    return table


def bytes_a_call(calls: int) -> float:
    """Return the memory that a queued call holds, by `tracemalloc`, of a queue with so many in it."""
    backend = ThreadedBackend(
        GatedBatches(), queue_maxsize=2 * calls, max_bytes=None, bulk_size=2 * calls, bulk_timeout=1e6
    )
    settings.configure(backends=(backend,), hooks=())
    measured = time_execution(noop)
    measured()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(calls):
            measured()
        after = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    queued = backend.stats()["queued"]
    settings.reset()
    backend.backend.gate.set()
    backend.close(_PATIENCE)
    if queued != calls + 1:
        raise RuntimeError(f"{queued} of {calls + 1} were queued")
    return (after - before) / calls


def bytes_of_a_dict(calls: int) -> float:
    """Return the memory of what the floor keeps of a call."""
    kept: deque[dict[str, object]] = deque()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(calls):
        kept.append(
            {"name": "bench.noop", "value": time.perf_counter(), "hostname": HOSTNAME, "timestamp": time.time_ns()}
        )
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return (after - before) / calls


def memory_table(calls: int) -> Table:
    """Measure the memory of a full queue, beside that of a queue of dicts."""
    ours, dicts = bytes_a_call(calls), bytes_of_a_dict(calls)
    table = Table("memory", f"A queue of {calls:,} calls", "bytes a call", "of the dict", "goal")
    table.add("the floor's dict of four fields", f"{dicts:.0f}", "1.00", "")
    table.add("ThreadedBackend", f"{ours:.0f}", f"{ours / dicts:.2f}", "150")
    return table


def spool_table(folder: Path, rows: int) -> Table:
    """Measure the spool, in batches, against the same rows as JSON into one bare SQLite table."""
    metrics = make_metrics(rows)
    bare_in, bare_out = _bare_table(folder, metrics)
    store = Spool(folder / "spool", max_bytes=1 << 32).open("bench")
    started = time.perf_counter()
    for part in batches(metrics):
        store.append(part)
    taken_in = time.perf_counter() - started
    started = time.perf_counter()
    while found := store.peek(500):
        store.delete([key for key, _ in found])
    taken_out = time.perf_counter() - started
    store.close()
    table = Table("spool", f"{rows:,} rows in batches of 500", "rows/s", "of the bare table")
    table.add("written", f"{rows / taken_in:,.0f}", f"{bare_in / taken_in:.2f}")
    table.add("read back and deleted", f"{rows / taken_out:,.0f}", f"{bare_out / taken_out:.2f}")
    return table


def _bare_table(folder: Path, metrics: list) -> tuple[float, float]:
    connection = sqlite3.connect(folder / "bare-spool.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("CREATE TABLE rows (key INTEGER PRIMARY KEY, document TEXT)")
    started = time.perf_counter()
    for part in batches(metrics):
        connection.execute("BEGIN IMMEDIATE")
        documents = [(json.dumps(metric),) for metric in part]
        connection.executemany("INSERT INTO rows (document) VALUES (?)", documents)
        connection.execute("COMMIT")
    written = time.perf_counter() - started
    started = time.perf_counter()
    while found := connection.execute("SELECT key, document FROM rows ORDER BY key LIMIT 500").fetchall():
        for _, document in found:
            json.loads(document)
        connection.execute("DELETE FROM rows WHERE key <= ?", (found[-1][0],))
    read = time.perf_counter() - started
    connection.close()
    return written, read
