"""Figures of the machine and of this process, read by psutil; a figure that cannot be read is None and counted.

Nothing here starts a thread but where a reading may hang, and no reading takes longer than its bound.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any, NamedTuple

from time_execution.exceptions import MissingExtraError
from time_execution.extra import extra
from time_execution.pipeline import emit
from time_execution.quietlog import QuietLog
from time_execution.settings import current
from time_execution.types import HOSTNAME, NAME, TIMESTAMP, VALUE, Metric

Figures = dict[str, "float | None"]


class Figure(NamedTuple):
    """What a sample holds under a key.

    Attributes:
        unit: Of the gauge, as stores know it; empty for a plain number.
        metric: The name of the gauge.
    """

    unit: str
    metric: str


FIGURES = {
    "cpu_percent": Figure("%", "system.cpu_percent"),
    "memory_percent": Figure("%", "system.memory_percent"),
    "disk_percent": Figure("%", "system.disk_percent"),
    "open_files": Figure("", "system.open_files"),
    "network_connections": Figure("", "system.network_connections"),
    "load_1m": Figure("", "system.load_1m"),
    "load_5m": Figure("", "system.load_5m"),
    "load_15m": Figure("", "system.load_15m"),
}
"""The figures of a sample, in its order."""

LOADS = ("load_1m", "load_5m", "load_15m")
THREAD_NAME = "time-execution-monitor-reading"

_SHORTEST_SPAN = 0.1
_LONGEST_READING = 2.0
_WAITING = {"idle", "iowait"}
_COUNTED_TWICE = {"guest", "guest_nice"}


class SystemReader:
    """Reads the figures. Not thread-safe; fork-safe once `after_fork` was called.

    Args:
        disk_path: A path on the file system whose use is told.
        longest: The most seconds that a reading which may hang is waited for.
        clock: Returns seconds, never going back.
        sleep: Waits for so many seconds.

    Attributes:
        failures: Figure -> how many times it could not be read; ``load`` for the three of them.

    Raises:
        MissingExtraError: When psutil is not installed.
    """

    def __init__(
        self,
        disk_path: str = os.sep,
        *,
        longest: float = _LONGEST_READING,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._psutil = _psutil()
        self.disk_path = disk_path
        self.failures: Counter[str] = Counter()
        self._cpu = _Processors(self._psutil.cpu_times, clock=clock, sleep=sleep)
        self._disk = _Bounded(self._read_disk, longest)
        self._connections = _Bounded(self._read_connections, longest)
        self._process: Any = None
        self._failing: set[str] = set()
        self._log = QuietLog()

    def read(self) -> Figures:
        """Return each of `FIGURES` -> the figure, None where it could not be read.

        Takes a few hundred microseconds, besides what a disk that hangs is waited for. ``cpu_percent`` covers the time
        since the reading before; the first one, which has none before it, takes 0.1 seconds to have something to tell.
        """
        figures: Figures = {
            "cpu_percent": self._attempt("cpu_percent", self._cpu.percent),
            "memory_percent": self._attempt("memory_percent", lambda: self._psutil.virtual_memory().percent),
            "disk_percent": self._attempt("disk_percent", self._disk),
            "open_files": self._attempt("open_files", self._read_open_files),
            "network_connections": self._attempt("network_connections", self._connections),
        }
        loads = self._attempt("load", _read_loads) or (None, None, None)
        return figures | dict(zip(LOADS, loads, strict=True))

    def after_fork(self) -> None:
        """Begin afresh in a forked child: what was read is the parent's."""
        self.failures.clear()
        self._failing.clear()
        self._process = None
        self._cpu.forget()
        self._disk, self._connections = self._disk.renewed(), self._connections.renewed()
        self._log.after_fork()

    def process_started(self) -> float | None:
        """Return when this process began, in seconds since the epoch, or None."""
        started: float | None = self._attempt("process_started", lambda: self._own().create_time())
        return started

    def _attempt(self, key: str, read: Callable[[], Any]) -> Any:
        """Return what a reading returns; None, counted and told once until it works again, when it raises."""
        try:
            found = read()
        except Exception as exc:  # noqa: BLE001 - of psutil's, the system's, or a platform's own kind
            self.failures[key] += 1
            if key not in self._failing:
                self._failing.add(key)
                self._log.tell(key, f"monitor: {key} cannot be read: {type(exc).__name__}")
            return None
        self._failing.discard(key)
        return found

    def _own(self) -> Any:
        if self._process is None or self._process.pid != os.getpid():
            self._process = self._psutil.Process()
        return self._process

    def _read_disk(self) -> float:
        return float(self._psutil.disk_usage(self.disk_path).percent)

    def _read_open_files(self) -> int:
        process = self._own()
        # Windows counts no descriptors.
        return int(process.num_fds()) if hasattr(process, "num_fds") else len(process.open_files())

    def _read_connections(self) -> int:
        process = self._own()
        # Called `connections` before psutil 6.
        return len((getattr(process, "net_connections", None) or process.connections)("inet"))


class _Processors:
    """What part of the time the processors worked, of all of them together, since it was last asked for."""

    def __init__(
        self, times: Callable[[], Any], *, clock: Callable[[], float], sleep: Callable[[float], object]
    ) -> None:
        self._times = times
        self._clock = clock
        self._sleep = sleep
        self.forget()

    def forget(self) -> None:
        """Begin as if nothing was ever read."""
        self._before: dict[str, float] | None = None
        self._read_at = 0.0
        self._percent: float | None = None

    def percent(self) -> float:
        """Return the per cent; what was found last when that is too short ago for the system's clock ticks to tell."""
        if self._before is None:
            self._before, self._read_at = self._times()._asdict(), self._clock()
            self._sleep(_SHORTEST_SPAN)
        elif self._percent is not None and self._clock() - self._read_at < _SHORTEST_SPAN:
            return self._percent
        before, now = self._before, self._times()._asdict()
        # Some counters go back a little at times, such as that of waiting for disks.
        spent = {kind: max(0.0, now[kind] - before[kind]) for kind in now if kind not in _COUNTED_TWICE}
        total = sum(spent.values())
        if not total:
            raise ValueError("the processors' clocks stand still")
        self._before, self._read_at = now, self._clock()
        worked = total - sum(seconds for kind, seconds in spent.items() if kind in _WAITING)
        self._percent = round(100 * worked / total, 1)
        return self._percent


class _Bounded:
    """A reading that may hang, as of a file system whose server is gone: asked for on a thread that is left to itself.

    While one hangs, no other is started.
    """

    def __init__(self, read: Callable[[], Any], longest: float) -> None:
        self._read = read
        self._longest = longest
        self._hanging: threading.Thread | None = None

    def renewed(self) -> _Bounded:
        """Return another, which knows of nothing that hangs."""
        return _Bounded(self._read, self._longest)

    def __call__(self) -> Any:
        """Return what the reading returns, or raise what it raises; None as the interpreter ends.

        Raises:
            TimeoutError: When it takes too long, or an earlier one has not ended.
        """
        if self._hanging is not None and self._hanging.is_alive():
            raise TimeoutError
        found: list[Any] = []
        thread = threading.Thread(target=self._run, args=(found,), name=THREAD_NAME, daemon=True)
        try:
            thread.start()
        except RuntimeError:
            if threading.main_thread().is_alive():
                raise
            return None  # from Python 3.12 on, none can be started any more as the interpreter ends
        thread.join(self._longest)
        if not found:
            self._hanging = thread
            raise TimeoutError
        answer, exc = found[0]
        if exc is not None:
            raise exc
        return answer

    def _run(self, found: list[Any]) -> None:
        try:
            found.append((self._read(), None))
        except Exception as exc:  # noqa: BLE001 - raised by who asked
            found.append((None, exc))


def emit_sample(figures: Figures) -> None:
    """Send each figure that could be read down the pipeline, as a gauge; never raises what a backend raises."""
    shared = {HOSTNAME: current().hostname, TIMESTAMP: datetime.now(timezone.utc)}
    for key, figure in FIGURES.items():
        value = figures[key]
        if value is not None:
            emit(Metric({NAME: figure.metric, VALUE: value, **shared}, kind="gauge", unit=figure.unit or None))


def require_psutil() -> None:
    """Refuse a configuration that needs psutil where that is not installed.

    Raises:
        MissingExtraError: When it is not; it says what to install, or to turn off.
    """
    _psutil()


def _psutil() -> Any:
    try:
        with extra("monitor"):
            import psutil  # noqa: PLC0415 - only when the machine is to be sampled
    except MissingExtraError as exc:
        raise MissingExtraError(f"{exc}, or turn off MONITOR_SYSTEM_METRICS") from None
    return psutil


def _read_loads() -> tuple[float, float, float] | None:
    """Return the load averages; None where the system has none, which is no failure."""
    return os.getloadavg() if hasattr(os, "getloadavg") else None
