"""What a call costs under `Timer` and `ErrorCatcher`, and what reading the memory by psutil would add."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter_ns, process_time_ns
from typing import Any

from tests.bench.measure import Table
from time_execution import flush, settings, shutdown
from time_execution.memory import rss_reader
from time_execution.timer import ErrorCatcher, Timer

_BURST = 1000
_GOAL = 20.0


def add(x: int, y: int) -> int:
    return x + y


def _variants(folder: Path) -> dict[str, tuple[Callable[..., Any], float | None]]:
    """Return what is called, by label, with its goal in microseconds."""

    def timer(name: str, **options: Any) -> Callable[..., Any]:
        return Timer(log_to_console=False, log_dir=folder / name, **options)(add)

    def catcher(name: str) -> ErrorCatcher:
        return ErrorCatcher(log_to_console=False, error_log_file=folder / name / "error.log")

    nowhere = {"log_to_file": False, "results_format": None}
    return {
        "`Timer`, log and table": (timer("both"), _GOAL),
        "log only": (timer("log", results_format=None), _GOAL),
        "log and table, `track_resources=False`": (timer("bare", track_resources=False), _GOAL),
        "log and table, with a sanitizer": (timer("clean", sanitize_func=str.strip), None),
        "nothing to write to": (timer("nowhere", **nowhere), None),
        "`ErrorCatcher`, no exception": (catcher("caught")(add), None),
        "both, no exception": (catcher("stacked")(timer("stacked")), None),
    }


def _by_psutil() -> Callable[..., Any] | None:
    """Return a function that reads, around a call, what a timer reads, as psutil does; None without psutil."""
    try:
        import psutil
    except ImportError:
        return None
    process = psutil.Process()
    return _reading(lambda: process.memory_info().rss)


def _reading(read: Callable[[], int]) -> Callable[..., Any]:
    def work(x: int, y: int) -> Any:
        before, cpu = read(), process_time_ns()
        result = add(x, y)
        return result, process_time_ns() - cpu, read() - before

    return work


def _least(function: Callable[..., Any], bursts: int) -> float:
    """Return the microseconds of wall time of a call, the least of some bursts, each after all was written."""
    found = []
    for _ in range(bursts):
        flush(30.0)
        started = perf_counter_ns()
        for _ in range(_BURST):
            function(5, 10)
        found.append((perf_counter_ns() - started) / _BURST / 1000)
    flush(30.0)
    return min(found)


def timer_table(windows: int) -> Table:
    """Measure each variant in bursts of a thousand calls, files included, with nothing else configured."""
    settings.configure(backends=(), hooks=())
    bursts = max(5, windows // 20)
    table = Table("timer", "A call", "µs", "goal")
    with tempfile.TemporaryDirectory() as folder:
        for label, (function, goal) in _variants(Path(folder)).items():
            table.add(label, f"{_least(function, bursts):.1f}", "" if goal is None else f"{goal:.0f}")
        table.add(
            "CPU time and memory alone, as `Timer` reads them", f"{_least(_reading(rss_reader()), bursts):.1f}", ""
        )
        by_psutil = _by_psutil()
        if by_psutil is not None:
            table.add("the same, read by psutil", f"{_least(by_psutil, bursts):.1f}", "")
        shutdown(30.0)
    settings.reset()
    return table
