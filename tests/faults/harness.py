"""What the fault tests are made of: a backend that fails by script, a clock that a test moves, checks of the books.

Imported by child processes too, so nothing here needs pytest.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from time_execution.backends.base import BaseMetricsBackend
from time_execution.backends.threaded import ThreadedBackend
from time_execution.delivery.retry import Backoff
from time_execution.types import Metric

DEADLINE = 10.0
"""The longest that a test waits for what should come at once, in seconds."""
OUTAGE = ConnectionError("refused")


class FakeClock:
    """A clock that only a test moves.

    Attributes:
        looked: Set by whoever looks at it.
    """

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now
        self.looked = threading.Event()

    def __call__(self) -> float:
        self.looked.set()
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
    """Return a delivery whose pauses are short."""
    defaults: dict[str, Any] = {"bulk_timeout": 0.005, "queue_timeout": 0.05, "shutdown_timeout": 1.0}
    defaults["retry"] = Backoff(base=0.001, cap=0.01)
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


def not_too_deep(handler: Callable[[int, Any], None]) -> Callable[[int, Any], None]:
    """Return a signal handler that does nothing when it came twenty times within itself.

    On a busy machine a timer's signals come quicker than they are handled, up to the end of Python's stack.
    """
    within = 0

    def bounded(number: int, frame: Any) -> None:
        nonlocal within
        within += 1
        try:
            if within <= 20:
                handler(number, frame)
        finally:
            within -= 1

    return bounded


def tick(delivery: ThreadedBackend, clock: FakeClock, seconds: float = 0.0) -> None:
    """Move the clock, and let the worker look at it and do what is due.

    It looks once before it sends and once after, so the second look tells that the first has had its effect. A worker
    that has died looks no more, and one that hangs in its backend is given up when any other had the time.
    """
    with delivery.channel.lock:
        clock.advance(seconds)
    for _ in range(2):
        clock.looked.clear()
        with delivery.channel.lock:
            delivery.channel.changed.notify_all()
        clock.looked.wait(0.5 if delivery._worker.is_alive() else 0.01)


def longest(_low: float, high: float) -> float:
    """Draw the longest pause: jitter without chance."""
    return high


def call_many(count: int, function: Callable[[], Any]) -> None:
    """Call something many times."""
    for _ in range(count):
        function()


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
