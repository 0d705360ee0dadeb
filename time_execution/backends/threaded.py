"""`ThreadedBackend`: any backend behind a bounded queue and a worker thread, so that no caller waits for it.

This module puts the parts of `time_execution.delivery` together and holds no logic of its own beyond opening and
closing; the names of the parameters are those that upstream's users know.
"""

from __future__ import annotations

import math
import threading
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, get_args

from time_execution.argument_check import check_counts, check_seconds, check_use
from time_execution.backends.base import BaseMetricsBackend, QueuedBackend, batch_sender, batches_at_once, idle_call
from time_execution.backends.factory import make_backend
from time_execution.delivery import lifecycle
from time_execution.delivery.channel import Channel, Overflow
from time_execution.delivery.deadletter import NAME as LETTERS_NAME
from time_execution.delivery.deadletter import DeadLetters
from time_execution.delivery.refusals import Refusals
from time_execution.delivery.retry import MAX_AGE, MAX_AGE_WITH_SPOOL, Backoff
from time_execution.delivery.spool import Spool
from time_execution.delivery.worker import Worker
from time_execution.exceptions import ConfigurationError
from time_execution.formats.json import load as load_json
from time_execution.formats.snapshot import snapshot_metric
from time_execution.guard import Failed, Step, label_of
from time_execution.quietlog import QuietLog
from time_execution.signature import mismatch
from time_execution.types import NAME, Metric

_BLOCK_TIMEOUT = 0.1
_LONGEST_WAIT = 0.5
"""Seconds that the main thread may be blind: a signal that comes just before it blocks is noticed as it wakes."""
_KINDS: dict[str, tuple[Any, str]] = {
    "spool": ((str, Path, Spool, type(None)), "a folder, a Spool or None"),
    "dead_letters": ((str, Path, DeadLetters, type(None)), "a file or None"),
    "retry": ((Backoff, type(None)), "a Backoff or None"),
    "clock": (Callable, "a function that returns seconds"),
}


class ThreadedBackend(QueuedBackend):
    """Deliver to another backend from a worker thread: in batches, again after failures, with exact accounting.

    A write costs the caller microseconds whatever the backend does. Thread-safe. Fork-safe: a child starts with an
    empty queue and a worker of its own. The thread is a daemon, started by the first metric.

    Args:
        backend: An instance, or a class, a factory or the import path of one.
        backend_args: Positional arguments for what makes it.
        backend_kwargs: Keyword arguments for what makes it.
        queue_maxsize: The most metrics that wait or are on their way.
        queue_timeout: The longest sleep of the idle worker, in seconds.
        worker_limit: The worker ends after so many metrics and a fresh one takes over; None for never.
        bulk_size: A batch of so many leaves at once.
        bulk_timeout: The longest that a metric waits for its batch to fill, in seconds.
        max_bytes: The most bytes that waiting metrics weigh, estimated; None for no bound.
        overflow: What gives way when the queue is full: ``drop_oldest``, ``drop_newest``, ``block`` (the caller waits
            up to `block_timeout`) or ``spool`` (the oldest batch moves to the disk).
        block_timeout: The longest that ``block`` holds up a caller, in seconds; by default 0.1.
        spool: A folder, or a `Spool`: what cannot be delivered before the process ends is kept there and sent later, by
            the next process whose backend has the same class and ``repr``.
        dead_letters: A file for the metrics that the backend refuses for good; by default beside the spool, and
            without a spool they are only counted.
        retry: Pauses after failures, and when to give up. Without one, after 5 minutes, with a spool after an hour.
        shutdown_timeout: The longest wait for the rest when the process ends, or `close` names none, in seconds.
        clock: Returns seconds, never going back; tests hand in their own.

    Raises:
        ConfigurationError: When an argument is of the wrong type, a bound could not be kept, or nothing can be
            imported from the path.
        MissingExtraError: When the backend's client is not installed.

    Example:
        >>> from time_execution.backends.memory import MemoryBackend
        >>> store = MemoryBackend()
        >>> with ThreadedBackend(store) as backend:
        ...     backend.write("cpu.load.1m", value=0.25)
        >>> store.metrics[0]["value"]
        0.25
    """

    repr_fields: ClassVar[tuple[str, ...]] = ("backend",)

    def __init__(  # noqa: PLR0917 - upstream's parameters, and ours by keyword
        self,
        backend: Any,
        backend_args: Sequence[Any] | None = None,
        backend_kwargs: Mapping[str, Any] | None = None,
        queue_maxsize: int = 10_000,
        queue_timeout: float = 0.5,
        worker_limit: int | None = None,
        bulk_size: int = 500,
        bulk_timeout: float = 1.0,
        *,
        max_bytes: int | None = 16 * 1024 * 1024,
        overflow: Overflow = "drop_oldest",
        block_timeout: float | None = None,
        spool: str | Path | Spool | None = None,
        dead_letters: str | Path | DeadLetters | None = None,
        retry: Backoff | None = None,
        shutdown_timeout: float = 2.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        _check_sizes(queue_maxsize=queue_maxsize, bulk_size=bulk_size, worker_limit=worker_limit, max_bytes=max_bytes)
        times = _named(queue_timeout=queue_timeout, bulk_timeout=bulk_timeout, shutdown_timeout=shutdown_timeout)
        check_seconds(or_zero=True, **times, **_named(is_optional=True, block_timeout=block_timeout))
        _check_kinds(spool=spool, dead_letters=dead_letters, retry=retry, clock=clock)
        spool = _spool_for(overflow, spool)
        longest_block, letters = _block_timeout_of(overflow, block_timeout), _letters_for(dead_letters, spool)
        # Last of what may be refused: a backend that was made would stay open.
        self.backend = make_backend(backend, backend_args, backend_kwargs, where="ThreadedBackend: backend")
        self.shutdown_timeout = shutdown_timeout
        self.channel = Channel(
            max_items=queue_maxsize,
            max_bytes=max_bytes,
            batch_items=min(bulk_size, queue_maxsize),
            linger=bulk_timeout,
            overflow=overflow,
            block_timeout=longest_block,
            clock=clock,
        )
        self._hire(spool, letters, retry=retry, queue_timeout=queue_timeout, limit=worker_limit)
        lifecycle.track(self)

    def _hire(
        self,
        spool: Spool | None,
        letters: DeadLetters | None,
        *,
        retry: Backoff | None,
        queue_timeout: float,
        limit: int | None,
    ) -> None:
        """Make the worker, with the spool and the dead letters that it needs; its thread is not started."""
        load_json()  # which the worker would do
        if spool is not None:
            self.channel.use_spool(spool.open(_spool_name(self.backend)), durable=spool.durable)
        self._log, label = QuietLog(), type(self.backend).__name__
        self._worker = Worker(
            self.channel,
            batch_sender(self.backend, size=self.channel.batch_items),
            # At the end of the interpreter, when the one behind is told what is left, some versions start no thread.
            on_start=lambda: self._tell_backend("start_worker"),
            idle=Step(idle_call(self.backend), kind="backend", label=label_of(self.backend), raises=False).attempt,
            close_backend=self._close_backend,
            backoff=retry or Backoff(max_age=MAX_AGE if spool is None else MAX_AGE_WITH_SPOOL),
            window=batches_at_once(self.backend),
            refusals=Refusals(letters, self._log, label),
            queue_timeout=queue_timeout,
            limit=limit,
            log=self._log,
            label=label,
        )
        self.channel.on_fork = self.after_fork
        self._open()

    def _open(self) -> None:
        self._is_closing = False
        self._is_over = False
        self._undelivered: int | None = None  # until a close has given up what is left
        self._close_by = math.inf

    def write(self, /, name: str, **data: Any) -> None:
        """Queue one metric and return; what is in ``data`` is copied, so later changes do not show.

        Never raises and never waits, but for the overflow policies ``block`` and ``spool`` and a durable spool.
        """
        self.enqueue(Metric({NAME: name, **data}, kind="value"))

    def bulk_write(self, metrics: Sequence[Mapping[str, Any]]) -> None:
        """Queue metrics as `write` does."""
        for metric in metrics:
            self.enqueue(metric if isinstance(metric, Metric) else Metric(metric, kind="value"))

    def enqueue(self, metric: Mapping[str, Any]) -> None:
        """Queue a copy of a metric, in a form that any store can keep, and return; a plain dict counts as a timing."""
        copy, size = snapshot_metric(metric)
        self.channel.offer(copy, size)

    def start_worker(self) -> None:
        """Start the worker's thread now instead of with the first metric; does nothing when it runs."""
        with self.channel.lock:
            if not self.channel.closed:
                self._worker.start()

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until all that was offered before is delivered, or counted as dropped or rejected.

        Args:
            timeout: The longest wait, in seconds; None waits as long as it takes.

        Returns:
            False at the time-out, when called from the worker itself, or at once when what is left lies safe in the
            spool and the backend is down.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        is_settled = self._settle(timeout)
        if threading.get_ident() == self.channel.owner:
            return False
        if not isinstance(self.backend, BaseMetricsBackend):
            return is_settled
        # What it keeps back, such as the interval at hand, was delivered to it and is not where it belongs as yet.
        answer = self._tell_backend("flush", None if deadline is None else _left(deadline))
        return is_settled and answer is not False and not isinstance(answer, Failed)

    def settle(self, timeout: float | None = None) -> bool:
        """Do what `flush` does, without asking the backend for what it keeps back itself.

        Amid a write of this thread, which a signal handler may have come into, it returns False at once: to wait would
        give away the lock of that write.
        """
        return not self.channel.lock._is_owned() and self._settle(timeout)  # type: ignore[attr-defined]  # noqa: SLF001

    def _settle(self, timeout: float | None) -> bool:
        channel = self.channel
        channel.check_process()
        if threading.get_ident() == channel.owner:
            return False
        with channel.lock:
            ticket = channel.flush_ticket()
            self._worker.wake()
            channel.changed.notify_all()
            _wait_for(channel.changed, lambda: channel.is_settled(ticket) or self._worker.is_done(), timeout)
            return channel.is_settled(ticket)

    def begin_close(self) -> None:
        """Refuse new metrics and start sending the rest at once; does not wait."""
        channel = self.channel
        channel.check_process()
        with channel.lock:
            if channel.closed:
                return
            channel.close()
            self._worker.hurry()

    def close(self, timeout: float | None = None) -> None:
        """Deliver what is queued, release the backend, and refuse what comes after; idempotent.

        What cannot be delivered in time goes to the spool, or is counted as ``dropped["shutdown"]``.

        Args:
            timeout: The longest wait, in seconds; None for `shutdown_timeout`.
        """
        deadline = time.monotonic() + (self.shutdown_timeout if timeout is None else timeout)
        self._close_by = min(self._close_by, deadline)
        channel, worker = self.channel, self._worker
        self.begin_close()
        with channel.lock:
            inside = threading.get_ident() == channel.owner
            if self._is_over:
                return
            if not self._is_closing:
                self._is_closing = True
                try:
                    if not inside:
                        _wait_for(channel.changed, lambda: not channel.waiting() or worker.is_done(), _left(deadline))
                finally:  # also when a signal ends the waiting
                    self._undelivered = channel.abandon()
                    worker.stop()
            if not inside:
                _wait_for(channel.changed, lambda: worker.finished, _left(deadline))
            self._is_over = True

    def is_closed(self) -> bool:
        """Return whether `close` was called."""
        return self.channel.closed

    def undelivered(self) -> int:
        """Return how many metrics the last close gave up, and a delivery behind; not what went to a spool.

        While a close still waits, those that wait with it count: whoever closed a delivery in front may be told that
        its time is over a moment before this one is.
        """
        channel = self.channel
        with channel.lock:
            given_up = self._undelivered
            if given_up is None:
                given_up = channel.waiting() if channel.closed and channel.store is None else 0
        behind = self._tell_backend("undelivered")
        return given_up + (behind if type(behind) is int else 0)

    def after_fork(self) -> None:
        """Begin afresh in a forked child: empty queue, counters at zero, a worker of its own at the first metric."""
        self._open()
        self.channel.after_fork()
        self._worker.reset()
        self._log.after_fork()
        self._tell_backend("after_fork")

    def stats(self) -> dict[str, Any]:
        """Return what became of the metrics, exact at one instant.

        Returns:
            ``offered``, ``accepted``, ``delivered``, ``pending``, ``queued``, ``in_flight``, ``spooled``, ``adopted``,
            ``retries``, ``retried``, ``duplicates_suppressed``, ``dead_letters``, ``corrupt_files``,
            ``worker_restarts``, ``failures``, ``bytes`` (int); ``rejected`` and ``dropped`` (dict of reason to int);
            ``oldest_age`` (float seconds); ``last_error``, ``disk_error`` (str or None); ``state`` (``ok``,
            ``failing``, ``open``); ``backend`` (what its own ``stats`` returns, if it has one).
        """
        self.channel.check_process()
        with self.channel.lock:
            counted = self.channel.stats() | self._worker.health()
        told = self._tell_backend("stats")
        return counted | ({"backend": dict(told)} if isinstance(told, Mapping) else {})

    def _close_backend(self) -> None:
        # A little less than what is left: it has to be done before whoever closes us goes on.
        self._tell_backend("close", 0.9 * _left(self._close_by))

    def _tell_backend(self, method: str, *arguments: Any) -> Any:
        """Call a method that the backend may have, with arguments if it takes them.

        What it raises keeps no other delivery from being told.
        """
        call = getattr(self.backend, method, None)
        if not callable(call):
            return None
        if arguments and mismatch(call, *arguments) is not None:
            arguments = ()
        label = f"{type(self.backend).__qualname__}.{method}"
        return Step(call, kind="backend", label=label, raises=False).attempt(*arguments)


def _spool_name(backend: Any) -> str:
    """Return a name that a later process gives the same store, and no process another store of the same kind."""
    label, shown = type(backend).__name__, repr(backend)
    return label if " at 0x" in shown else f"{label}-{zlib.crc32(shown.encode()):08x}"


def _named(*, is_optional: bool = False, **given: Any) -> dict[str, Any]:
    """Return arguments by the names that errors show, for in a URL they stand among those of the backend behind.

    Args:
        is_optional: Leave out what is None.
        given: By name.
    """
    present = {key: value for key, value in given.items() if not (is_optional and value is None)}
    return {f"ThreadedBackend: {key}": value for key, value in present.items()}


def _check_sizes(*, queue_maxsize: int, bulk_size: int, worker_limit: int | None, max_bytes: int | None) -> None:
    check_counts(**_named(queue_maxsize=queue_maxsize, bulk_size=bulk_size))
    check_counts(**_named(is_optional=True, worker_limit=worker_limit, max_bytes=max_bytes))


def _block_timeout_of(overflow: str, given: float | None) -> float:
    if overflow != "block":
        check_use("without overflow='block'", **_named(block_timeout=given))
    return _BLOCK_TIMEOUT if given is None else given


def _check_kinds(**given: Any) -> None:
    for key, value in given.items():
        kinds, wanted = _KINDS[key]
        if not isinstance(value, kinds):
            msg = f"ThreadedBackend: {key} must be {wanted}, not {type(value).__name__}"
            raise ConfigurationError(msg)


def _spool_for(overflow: str, spool: str | Path | Spool | None) -> Spool | None:
    """Return what was given as a spool, if it is what the overflow policy needs."""
    if overflow not in get_args(Overflow):
        msg = f"ThreadedBackend: overflow must be one of {', '.join(get_args(Overflow))}"
        raise ConfigurationError(msg)
    if overflow == "spool" and spool is None:
        msg = "ThreadedBackend: overflow='spool' needs spool=, the folder to write to"
        raise ConfigurationError(msg)
    return Spool(spool) if isinstance(spool, (str, Path)) else spool


def _letters_for(given: str | Path | DeadLetters | None, spool: Spool | None) -> DeadLetters | None:
    """Return where dead letters go: where it was said, else beside the spool, else nowhere."""
    if given is None and spool is not None:
        given = spool.path / LETTERS_NAME
    return DeadLetters(given) if isinstance(given, (str, Path)) else given


def _left(deadline: float) -> float:
    return max(0.0, deadline - time.monotonic())


def _wait_for(changed: threading.Condition, predicate: Callable[[], bool], timeout: float | None) -> None:
    """Wait until something holds, at most so many seconds, and let no signal wait for the end of that."""
    deadline = math.inf if timeout is None else time.monotonic() + timeout
    while not changed.wait_for(predicate, min(_LONGEST_WAIT, _left(deadline))) and _left(deadline):
        continue
