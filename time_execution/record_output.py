"""Where the records of sources go: files of lines and the console, each behind a queue and a worker of its own.

The calling thread makes a record and appends it to queues; it never waits for a disk or a terminal.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from time_execution.argument_check import check_counts, check_switches
from time_execution.backends.base import BaseMetricsBackend, QueuedBackend
from time_execution.backends.files.line_file import LineFileBackend
from time_execution.backends.stream import StreamBackend
from time_execution.backends.threaded import ThreadedBackend
from time_execution.config import expect
from time_execution.delivery.lifecycle import is_terminated_at_will
from time_execution.exceptions import BackendRejected, BackendUnavailable
from time_execution.formats.json import document
from time_execution.formats.snapshot import snapshot_metric
from time_execution.source_backends import shared
from time_execution.types import TIMESTAMP

if TYPE_CHECKING:
    from time_execution.types import Metric

    Line = Callable[[Metric], str]
    """Returns a record as a line, or as several, with the end; the record is the callee's to change."""

# A burst of calls waits here for the disk; a record with its traceback is the largest that there is.
_QUEUE_RECORDS = 100_000
_QUEUE_BYTES = 64 * 1024 * 1024
_BATCH_RECORDS = 2000
_FILE_DELAY = 0.2
_CONSOLE_DELAY = 0.05
# Many processes that end at once write a burst each, in turn.
_FILE_EXIT = 30.0
_CONSOLE_EXIT = 2.0
_SERVER_EXIT = 5.0
# For a record to be in the files, where the process may be ended at any moment; and after it was not.
_LONGEST_WAIT = 1.0
_PAUSE = 10.0
_CONSOLE = "stderr"


def json_line(record: Metric) -> str:
    """Return a record as a line of JSON, without the moment at which it was queued."""
    record.pop(TIMESTAMP, None)
    return f"{document(record)}\n"


class RecordLog(LineFileBackend):
    """Appends each record as a line to a file that turns over; any number of processes may share it.

    Args:
        path: Made absolute. Created by the first record with mode 0600, missing folders with 0700. No symbolic link.
        max_bytes: Turn over to a new file rather than grow beyond so many bytes; None for never.
        is_daily: Turn over with the first record of a day in UTC.
        backup_count: Keep so many older files: ``<path>.1`` is the latest, or ``<path>.2025-05-10`` that of a day.
        gzip_backups: Compress them: ``<path>.1.gz`` is the latest.
        line: Makes the line, by default one of JSON.

    Raises:
        ConfigurationError: When an argument is wrong, or no file can ever be written at the path.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        max_bytes: int | None = None,
        is_daily: bool = False,
        backup_count: int,
        gzip_backups: bool = False,
        line: Line = json_line,
    ) -> None:
        turning: dict[str, Any] = {"max_bytes": max_bytes, "is_daily": is_daily, "backup_count": backup_count}
        super().__init__(path, gzip_backups=gzip_backups, **turning)
        self._line = line

    def _lines(self, metrics: Sequence[Metric], now: int) -> list[bytes]:  # noqa: ARG002 - records have their moments
        line = self._line
        return [line(record).encode() for record in metrics]


class RecordStream(StreamBackend):
    """Writes each record as a line to what is a standard stream at that time.

    A console shows what happens now: what it does not take, because it is closed for instance, is not kept for later.

    Args:
        stream: ``"stdout"`` or ``"stderr"``.
        line: Makes the line, by default one of JSON.
    """

    def __init__(self, stream: str = _CONSOLE, *, line: Line = json_line) -> None:
        super().__init__(stream)
        self._line = line

    def write_many(self, metrics: Sequence[Metric]) -> None:
        """Write a batch.

        Raises:
            BackendRejected: When there is no stream, or it takes nothing.
        """
        try:
            super().write_many(metrics)
        except BackendUnavailable as exc:
            raise BackendRejected(str(exc)) from exc

    def _text(self, metrics: Sequence[Metric]) -> str:
        return "".join(map(self._line, metrics))


class Settling:
    """Sees to it that records are in the files before the call returns, where the process may be ended at any moment.

    That is where the parent process ends this one at will: there a record that is in memory is as good as lost, so
    whoever makes it waits until it is in the files, one second at most. Thread-safe.
    """

    def __init__(self) -> None:
        self._no_wait_before = 0.0

    def settle(self, outputs: Sequence[ThreadedBackend]) -> None:
        """Wait until the outputs have what was queued; not for a while after that took too long."""
        if not is_terminated_at_will():
            return
        now = time.monotonic()
        if now < self._no_wait_before:
            return
        late = [output for output in outputs if not output.settle(_LONGEST_WAIT)]
        if late:
            self._no_wait_before = now + _PAUSE


class RecordOutput(QueuedBackend):
    """Turns metrics into records, and queues each for every output. Thread-safe; waits as `Settling` says only.

    Args:
        record: Makes the record.
        outputs: The queues, at least one.
    """

    def __init__(
        self, record: Callable[[Mapping[str, Any]], dict[str, Any]], outputs: Sequence[ThreadedBackend]
    ) -> None:
        self._record = record
        self._outputs = outputs
        self._others = outputs[1:]
        self._settling = Settling()
        self.channel = outputs[0].channel

    def write_many(self, metrics: Sequence[Metric]) -> None:
        """Queue the records of metrics."""
        for metric in metrics:
            self.enqueue(metric)

    def enqueue(self, metric: Mapping[str, Any]) -> None:
        """Queue the record of a metric, for each output a copy of its own."""
        record, size = snapshot_metric(self._record(metric))
        for other in self._others:
            other.channel.offer(record.copy(), size)
        self.channel.offer(record, size)
        self._settling.settle(self._outputs)


def console() -> ThreadedBackend:
    """Return the one way to the standard error stream of this process, for records as JSON."""
    return _shared(_CONSOLE, (), lambda: console_queue(RecordStream(_CONSOLE)))


def absolute(path: Any, wanted: str, *, where: str) -> Path:
    """Return a path as it counts from the working directory of this moment; follows no link.

    Raises:
        ConfigurationError: When it is none.
    """
    text = os.fspath(path) if isinstance(path, str | os.PathLike) else path
    expect(wanted, path, where=where, is_right=isinstance(text, str) and bool(text))
    return Path(os.path.abspath(text))  # noqa: PTH100 - resolve() would follow links


def checked(*, max_bytes: int, backup_count: int, gzip_backups: bool) -> dict[str, Any]:
    """Return the options of `log_file`; they are wrong also where no file is wanted.

    Raises:
        ConfigurationError: When one is.
    """
    check_counts(max_bytes=max_bytes, backup_count=backup_count)
    check_switches(gzip_backups=gzip_backups)
    return {"max_bytes": max_bytes, "backup_count": backup_count, "gzip_backups": gzip_backups}


def log_file(path: Path, holds: Collection[str], **options: Any) -> ThreadedBackend:
    """Return the one way of this process to a log file.

    Args:
        path: Of the file.
        holds: The fields of its records; others do not share it.
        options: Those of `RecordLog`.

    Raises:
        ConfigurationError: As `RecordLog` does, or when the file is in use with other options.
    """
    return shared_file(path, (options, *holds), lambda: RecordLog(path, **options))


def shared_file(path: Path, options: object, make: Callable[[], BaseMetricsBackend]) -> ThreadedBackend:
    """Return the one way of this process to a file, made at the first need.

    Raises:
        ConfigurationError: As making it does, or when the file is in use with other options.
    """
    return _shared(path, options, lambda: file_queue(make()))


def file_queue(backend: BaseMetricsBackend) -> ThreadedBackend:
    """Return a queue for records before a backend that writes files."""
    return _queue(backend, delay=_FILE_DELAY, exit_wait=_FILE_EXIT)


def console_queue(backend: BaseMetricsBackend) -> ThreadedBackend:
    """Return a queue for records before a backend that somebody looks at."""
    return _queue(backend, delay=_CONSOLE_DELAY, exit_wait=_CONSOLE_EXIT)


def server_queue(backend: BaseMetricsBackend) -> ThreadedBackend:
    """Return a queue for records before a backend that talks to a server."""
    return _queue(backend, delay=_FILE_DELAY, exit_wait=_SERVER_EXIT)


def _shared(key: object, options: object, make: Callable[[], ThreadedBackend]) -> ThreadedBackend:
    backend: ThreadedBackend = shared(key, options, make)
    return backend


def _queue(backend: BaseMetricsBackend, *, delay: float, exit_wait: float) -> ThreadedBackend:
    return ThreadedBackend(
        backend,
        queue_maxsize=_QUEUE_RECORDS,
        max_bytes=_QUEUE_BYTES,
        bulk_size=_BATCH_RECORDS,
        bulk_timeout=delay,
        shutdown_timeout=exit_wait,
    )
