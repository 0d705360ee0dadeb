"""What the monitor costs: a sample and its parts, a figure that is observed, the states in a store."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter_ns

from tests.bench.measure import Table, best
from time_execution import settings
from time_execution.backends.memory import MemoryBackend
from time_execution.backends.sqlite import SQLiteBackend
from time_execution.backends.threaded import ThreadedBackend
from time_execution.monitor import Monitor
from time_execution.monitor.system import SystemReader, emit_sample

_MANY = 1000
_GOAL = 1000.0


def _psutil_alone() -> Callable[[], object]:
    """Return what asks psutil for the same figures, and does nothing with them."""
    import psutil

    process = psutil.Process()

    def ask() -> object:
        connections = getattr(process, "net_connections", None) or process.connections
        return (
            psutil.cpu_times(),
            psutil.virtual_memory(),
            psutil.disk_usage("/"),
            process.num_fds() if hasattr(process, "num_fds") else process.open_files(),
            connections("inet"),
        )

    return ask


def _microseconds(call: Callable[[], object], *, times: int, repeats: int) -> str:
    """Return what a call takes, the least of the means of some windows."""

    def window() -> float:
        started = perf_counter_ns()
        for _ in range(times):
            call()
        return (perf_counter_ns() - started) / times / 1000

    call()
    found = best(window, repeats)
    return f"{found:.0f}" if found >= 10 else f"{found:.1f}"


def monitoring_table(windows: int) -> Table:
    """Measure what happens each minute, each ten seconds, and with each figure of the application's."""
    repeats = max(3, windows // 30)
    table = Table("monitoring", "What", "µs", "goal")
    monitor = Monitor()
    monitor.register_threshold("jobs", 10)
    reader = SystemReader()
    with tempfile.TemporaryDirectory() as folder:
        store = ThreadedBackend(SQLiteBackend(Path(folder) / "metrics.db"))
        settings.configure(backends=[store], hooks=())
        figures = reader.read()
        rows: tuple[tuple[str, Callable[[], object], int, float | None], ...] = (
            ("`sample()`, its eight gauges queued", monitor.sample, 50, _GOAL),
            ("of it, reading the figures", reader.read, 50, None),
            ("of that, psutil", _psutil_alone(), 50, None),
            ("of it, queueing the gauges", lambda: emit_sample(figures), 50, None),
            ("states written to an SQLite file", monitor._write_states, 20, None),
            ("`start()` while it runs", monitor.start, _MANY, 2.0),
            ("`observe()`, with a threshold", lambda: monitor.observe("jobs", 5.0), _MANY, 5.0),
            ("`observe()`, without one", lambda: monitor.observe("others", 5.0), _MANY, 0.5),
        )
        monitor.start()
        for label, call, times, goal in rows:
            table.add(label, _microseconds(call, times=times, repeats=repeats), "" if goal is None else f"{goal:g}")
        monitor.stop()
        settings.configure(backends=[MemoryBackend()])
    settings.reset()
    return table
