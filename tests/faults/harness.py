"""What the fault tests are made of: a backend that fails by script, a clock that a test moves, children that report.

Imported by child processes too, so nothing here needs pytest.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from time_execution.backends.base import BaseMetricsBackend
from time_execution.backends.threaded import ThreadedBackend
from time_execution.delivery.retry import Backoff
from time_execution.types import Metric

ROOT = Path(__file__).resolve().parents[2]
DEADLINE = 10.0
"""The longest that a test waits for what should come at once, in seconds."""


class FakeClock:
    """A clock that only a test moves."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


def check_conservation(stats: dict[str, Any], *, offered: int | None = None, pending: int | None = None) -> None:
    """Assert invariant I1 on what `stats` returned.

    Args:
        stats: The accounting of one delivery.
        offered: What the test itself counted; None when it cannot know.
        pending: What must be left.
    """
    dropped, rejected = sum(stats["dropped"].values()), sum(stats["rejected"].values())
    assert stats["accepted"] == stats["delivered"] + dropped + stats["pending"], stats
    assert stats["offered"] == stats["accepted"] + rejected, stats
    assert stats["pending"] == stats["queued"] + stats["in_flight"] + stats["spooled"], stats
    parts = ("offered", "accepted", "delivered", "pending", "queued", "in_flight", "spooled", "bytes")
    assert all(stats[part] >= 0 for part in parts), stats
    assert offered is None or stats["offered"] == offered, stats
    assert pending is None or stats["pending"] == pending, stats


def check_bounds(stats: dict[str, Any], *, max_items: int, max_bytes: int | None = None, slack: int = 0) -> None:
    """Assert invariant I3: what is kept in memory is within its bounds, but for `slack` items."""
    assert stats["queued"] + stats["in_flight"] <= max_items + slack, stats
    assert max_bytes is None or stats["bytes"] <= max_bytes, stats


Step = Any
"""What a scripted backend does with a batch: None stores it, an exception (or a class of one) is raised, a list of
results is returned after storing what it calls stored, a callable does as it likes with the batch."""


class FaultBackend(BaseMetricsBackend):
    """Does with each batch what its script says, then what `then` says; remembers everything. Thread-safe.

    Attributes:
        stored: The metrics stored, in order.
        attempts: The values of each batch it was handed.
        threads: The idents of the threads that called.
        closed: How often it was closed.
    """

    def __init__(self, script: Iterable[Step] = (), *, then: Step = None) -> None:
        self._script = list(script)
        self._then = then
        self.stored: list[Metric] = []
        self.attempts: list[list[Any]] = []
        self.threads: set[int] = set()
        self.closed = 0

    def write_many(self, metrics: Sequence[Metric]) -> Any:
        """Act on the next step of the script."""
        self.threads.add(threading.get_ident())
        self.attempts.append([metric.get("value") for metric in metrics])
        step = self._script.pop(0) if self._script else self._then
        if isinstance(step, BaseException) or (isinstance(step, type) and issubclass(step, BaseException)):
            raise step
        if callable(step):
            return step(metrics)
        if step is not None:
            return list(step)
        self.keep(metrics)
        return None

    def keep(self, metrics: Sequence[Metric]) -> None:
        """Store metrics, as they are now."""
        self.stored += [metric.copy() for metric in metrics]

    def values(self) -> list[Any]:
        """Return what is stored under ``value``, in order."""
        return [metric.get("value") for metric in self.stored]

    def close(self, timeout: float | None = None) -> None:
        """Count."""
        self.closed += 1


class Gate:
    """A step that stops the worker inside the backend until the test opens it.

    Attributes:
        entered: Set when the worker has arrived.
    """

    def __init__(self, then: Callable[[Sequence[Metric]], Any] | None = None) -> None:
        self.entered = threading.Event()
        self.open = threading.Event()
        self._then = then

    def __call__(self, metrics: Sequence[Metric]) -> Any:
        self.entered.set()
        assert self.open.wait(DEADLINE * 3), "nobody opened the gate"
        return self._then(metrics) if self._then is not None else None

    def wait(self) -> None:
        """Wait until the worker is inside."""
        assert self.entered.wait(DEADLINE), "the worker never came"


def quick(backend: Any, **options: Any) -> ThreadedBackend:
    """Return a delivery whose pauses are short; a clock of its own makes the worker look at it all the time."""
    defaults: dict[str, Any] = {"bulk_timeout": 0.005, "queue_timeout": 0.05, "shutdown_timeout": 1.0}
    defaults["retry"] = Backoff(base=0.001, cap=0.01)
    if "clock" in options:
        defaults["queue_timeout"] = 0.001
    return ThreadedBackend(backend, **(defaults | options))


def wait_for(delivery: ThreadedBackend, predicate: Callable[[], Any], timeout: float = DEADLINE) -> bool:
    """Wait until something holds that the worker brings about; returns whether it does."""
    deadline = time.monotonic() + timeout
    with delivery.channel.lock:
        while not predicate():
            if time.monotonic() > deadline:
                return False
            delivery.channel.changed.wait(0.01)
    return True


def in_threads(count: int, work: Callable[[int], Any], timeout: float = DEADLINE * 3) -> list[Any]:
    """Run something in threads that start together; returns what each returned, or raises what one raised."""
    barrier = threading.Barrier(count)
    results: list[Any] = [None] * count
    errors: list[BaseException] = []

    def run(index: int) -> None:
        barrier.wait(DEADLINE)
        try:
            results[index] = work(index)
        except BaseException as exc:
            errors.append(exc)

    threads = [threading.Thread(target=run, args=(index,), daemon=True) for index in range(count)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + timeout
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    assert not any(thread.is_alive() for thread in threads), "threads hang"
    if errors:
        raise errors[0]
    return results


# ---- children -------------------------------------------------------------------------------------------------------


class FileSink(BaseMetricsBackend):
    """Appends a line ``<pid> <name> <value> <id>`` for each metric to a file, a batch at once; safe across processes.

    Args:
        path: The file.
        delay: Seconds that each batch takes.
    """

    def __init__(self, path: str, *, delay: float = 0.0) -> None:
        self.path = path
        self.delay = delay

    def write_many(self, metrics: Sequence[Metric]) -> None:
        """Append."""
        if self.delay:
            time.sleep(self.delay)
        text = "".join(f"{os.getpid()} {metric['name']} {metric.get('value')} {metric.id}\n" for metric in metrics)
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(descriptor, text.encode())
        finally:
            os.close(descriptor)


class HungSink(BaseMetricsBackend):
    """Never answers."""

    def write_many(self, metrics: Sequence[Metric]) -> None:
        """Wait for ever."""
        threading.Event().wait()


@dataclass(frozen=True)
class Stored:
    """A line of a `FileSink`."""

    pid: int
    name: str
    value: str
    id: str


def stored_in(path: Path) -> list[Stored]:
    """Return what a `FileSink` wrote; none when there is no file."""
    if not path.exists():
        return []
    lines = [line.split(" ") for line in path.read_text().splitlines()]
    return [Stored(int(pid), name, value, key) for pid, name, value, key in lines]


@dataclass(frozen=True)
class Outcome:
    """How a child ended."""

    code: int
    out: str
    err: str
    seconds: float


_PRELUDE = """
import faulthandler, os, sys, threading, time, warnings
# Python 3.12 and later warn at each fork of a process with threads.
warnings.filterwarnings("ignore", "This process", DeprecationWarning)
from tests.faults.harness import *
from time_execution import *
sink = {sink!r}
def ack(text):
    print(text, flush=True)
"""


class Child:
    """A Python process that runs a script, and tells through its standard output how far it is.

    In the script, ``sink`` is the path of `Child.sink`, ``ack(text)`` writes a line, the names of this module and of
    `time_execution` are there. One that hangs is aborted, together with what it forked, and shows the stack of every
    thread. (`faulthandler.dump_traceback_later` would do that from within, but a fork then hangs in its own clean-up.)

    Args:
        folder: Where its files go.
        script: What it runs.
        limit: The most seconds it may take.
    """

    def __init__(self, folder: Path, script: str, *, limit: float = 20.0, interpreter: Sequence[str] = ()) -> None:
        self.sink = folder / "sink.txt"
        self._limit = limit
        file = folder / "script.py"
        file.write_text(_PRELUDE.format(sink=str(self.sink)) + textwrap.dedent(script))
        environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONFAULTHANDLER": "1"}
        self.began = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, *interpreter, str(file)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=folder,
            env=environment,
            start_new_session=True,  # so that what it forked can be killed with it
        )
        self._lines: list[str] = []

    def wait_for(self, text: str) -> float:
        """Wait for a line of its output; returns the moment (monotonic seconds)."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.append(line)
            if line.strip() == text:
                return time.monotonic()
        raise AssertionError(f"the child ended without saying {text!r}: {self.finish()}")

    def finish(self) -> Outcome:
        """Wait for its end."""
        try:
            out, err = self.process.communicate(timeout=self._limit)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGABRT)  # each shows its stacks
            out, err = self.process.communicate()
            raise AssertionError(f"the child, or one of its own, hangs: {out}\n{err}") from None
        return Outcome(self.process.returncode, "".join(self._lines) + out, err, time.monotonic() - self.began)

    def stored(self) -> list[Stored]:
        """Return what its `FileSink` wrote."""
        return stored_in(self.sink)


def run(folder: Path, script: str, **options: Any) -> tuple[Outcome, list[Stored]]:
    """Run a script in a child to its end; returns how it ended and what it stored."""
    child = Child(folder, script, **options)
    outcome = child.finish()
    return outcome, child.stored()
