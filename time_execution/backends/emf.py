"""`EMFBackend`: writes metrics as log lines from which Amazon CloudWatch extracts metrics."""

from __future__ import annotations

import errno
import io
import os
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import IO, TYPE_CHECKING, Any, ClassVar
from urllib.parse import SplitResult, urlsplit

from time_execution.append_file import AppendFile
from time_execution.argument_check import check_use
from time_execution.backends.base import BaseMetricsBackend
from time_execution.exceptions import BackendDenied, BackendError, BackendUnavailable, ConfigurationError
from time_execution.file_path import path_from_url
from time_execution.formats.emf import MAX_BYTES, EmbeddedMetrics
from time_execution.line_socket import LineSocket, place_of
from time_execution.types import STORED, Retry

if TYPE_CHECKING:
    from time_execution.types import Metric, Result, Results

_STANDARD = ("stdout", "stderr")
_PORT = 25_888
_LOG_GROUP = "timeexecution"
_TIMEOUT = 10.0
# The most that a datagram takes, less what may come before it.
_MAX_DATAGRAM = 60_000
# What no waiting mends, until somebody changes the path, the permissions or what lies there.
_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ELOOP, errno.EISDIR, errno.ENOTDIR, errno.EINVAL}


class EMFBackend(BaseMetricsBackend):
    """Write documents of the embedded metric format to a stream, a file, or the CloudWatch agent.

    On AWS Lambda, what goes to standard output arrives by itself. Metrics of a batch that share a second, dimensions
    and fields make up one document, which is one line. At least once: of a batch that failed half-way, everything is
    written again. Thread-safe and fork-safe; blocks as long as the stream or the disk does, and for an agent up to
    `timeout`.

    Args:
        stream: ``"stdout"`` or ``"stderr"`` for what these are at the time of writing, or an open text stream, which
            stays the caller's to close. By default ``"stdout"``, where there is neither path nor agent.
        path: A file that any number of processes append to; made with mode 0600, missing folders with 0700.
        agent: The CloudWatch agent: ``tcp://127.0.0.1:25888``, or ``udp://`` for at most once.
        namespace: Of all metrics in CloudWatch.
        dimensions: The fields that become dimensions, where a metric has them, 29 at most. Each combination of their
            values is a series of its own, with its own price.
        log_group: With an agent, the log group that it writes to; by default ``timeexecution``.
        log_stream: With an agent, the stream within the log group; by default the agent's.
        high_resolution: Keep the metrics by the second instead of by the minute.
        timeout: With an agent, the longest wait, in seconds; by default 10.
        value_field: The field whose number is sent, if `settings.duration_field` renames it.

    Raises:
        ConfigurationError: When an argument is wrong, or does not go with another one.

    Example:
        >>> EMFBackend(namespace="Shop").write("cpu.load", value=0.25)  # doctest: +ELLIPSIS
        {"_aws":{"Timestamp":...,"CloudWatchMetrics":[{"Namespace":"Shop","Dimensions":[[]],...]},"cpu.load":0.25}
    """

    wants_nanoseconds: ClassVar[bool] = True
    repr_fields: ClassVar[tuple[str, ...]] = ("target", "namespace")

    def __init__(
        self,
        stream: IO[str] | str | None = None,
        *,
        path: str | os.PathLike[str] | None = None,
        agent: str | None = None,
        namespace: str = "timeexecution",
        dimensions: Sequence[str] = (),
        log_group: str | None = None,
        log_stream: str | None = None,
        high_resolution: bool = False,
        timeout: float | None = None,
        value_field: str = "value",
    ) -> None:
        if path is not None and agent is not None:
            raise ConfigurationError("path and agent exclude each other; give one of them")
        self._target: _Target
        if agent is not None:
            check_use("with agent", stream=stream)
            self._target = _Agent(agent, _TIMEOUT if timeout is None else timeout)
        else:
            check_use("without agent", log_group=log_group, log_stream=log_stream, timeout=timeout)
            if path is not None:
                check_use("with path", stream=stream)
            self._target = _Stream("stdout" if stream is None else stream) if path is None else _File(path)
        self._format = EmbeddedMetrics(
            namespace,
            dimensions=dimensions,
            log_group=_LOG_GROUP if agent is not None and log_group is None else log_group,
            log_stream=log_stream,
            high_resolution=high_resolution,
            value_field=value_field,
            max_bytes=self._target.max_bytes,
        )
        self.target = self._target.name
        self.namespace = namespace

    @classmethod
    def options_from_url(cls, url: SplitResult) -> dict[str, Any]:
        """Return what an address stands for: ``emf://stdout``, ``emf://127.0.0.1:25888`` or ``emf:///<path>``."""
        if url.netloc in _STANDARD and not url.path:
            return {"stream": url.netloc}
        return {"agent": f"tcp://{url.netloc}{url.path}"} if url.netloc else path_from_url(url)

    def write_many(self, metrics: Sequence[Metric]) -> Results:
        """Write a batch; over UDP a document at a time, so that those before a failure are not sent again.

        Raises:
            BackendDenied: When the stream is closed, or the path cannot be written to.
            BackendTimeout: When the agent does not take it in time.
            BackendUnavailable: When writing fails, or no agent listens.
        """
        lines, results, places = self._format.documents(metrics, now=time.time_ns())
        step = 1 if self._target.is_datagrams else max(1, len(lines))
        for start in range(0, len(lines), step):
            try:
                self._target.write(lines[start : start + step])
            except BackendError as exc:
                if not start:
                    raise
                return _until(exc, results, unsent=chain.from_iterable(places[start:]))
        return results

    def close(self, timeout: float | None = None) -> None:
        """Close the connection to an agent; idempotent. A later batch opens another one.

        Args:
            timeout: The longest wait for another thread that is sending, in seconds; None for the backend's own.
        """
        self._target.close(timeout)

    def after_fork(self) -> None:
        """Forget the parent's socket."""
        self._target.after_fork()


class _Target(ABC):
    """Where lines go.

    Attributes:
        name: Shown by the backend's repr.
        max_bytes: The most that a line may take.
        is_datagrams: Whether some lines may be written and others not, so that each is written by itself.
    """

    name: str
    max_bytes: int = MAX_BYTES
    is_datagrams: bool = False

    @abstractmethod
    def write(self, lines: Sequence[str]) -> None:
        """Write lines, all of them or in order."""

    def close(self, timeout: float | None) -> None:  # noqa: B027 - most hold nothing open
        """Release what is held."""

    def after_fork(self) -> None:  # noqa: B027 - most share nothing with a parent
        """Forget what a parent process holds."""


class _Stream(_Target):
    """A text stream; a batch is one write and one flush."""

    def __init__(self, stream: Any) -> None:
        if isinstance(stream, str):
            if stream not in _STANDARD:
                raise ConfigurationError("stream must be an open text stream, 'stdout' or 'stderr'; a file is a path")
        elif not callable(getattr(stream, "write", None)) or getattr(stream, "closed", False) is True:
            raise ConfigurationError(f"stream must be an open text stream, not {type(stream).__name__}")
        elif isinstance(getattr(stream, "file", stream), io.RawIOBase | io.BufferedIOBase):  # one in tempfile's wrapper
            raise ConfigurationError("stream must be an open text stream, not a binary one")
        self._stream = stream
        self.name = stream if isinstance(stream, str) else type(stream).__name__

    def write(self, lines: Sequence[str]) -> None:
        stream = getattr(sys, self._stream) if isinstance(self._stream, str) else self._stream
        if stream is None:
            raise BackendDenied(f"the process has no {self._stream}")
        try:
            stream.write("".join([f"{line}\n" for line in lines]))
            stream.flush()
        except ValueError as exc:
            raise BackendDenied("the stream is closed") from exc
        except OSError as exc:
            raise BackendUnavailable(f"the stream cannot be written to: {exc.strerror}") from exc


class _File(_Target):
    """A file; a batch is in it whole or not at all."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._file = AppendFile(path)
        self.name = str(self._file.path)

    def write(self, lines: Sequence[str]) -> None:
        try:
            self._file.append("".join([f"{line}\n" for line in lines]).encode())
        except OSError as exc:
            error = BackendDenied if exc.errno in _DENIED else BackendUnavailable
            raise error(f"{self.name} cannot be written to: {exc.strerror or type(exc).__name__}") from exc


class _Agent(_Target):
    """The CloudWatch agent; over UDP, a document is a datagram."""

    def __init__(self, agent: Any, timeout: float) -> None:
        place = _agent_place(agent)
        self._socket = LineSocket(place, label="the CloudWatch agent", timeout=timeout)
        self.name = str(place)
        if not place.is_stream:
            self.max_bytes, self.is_datagrams = _MAX_DATAGRAM, True

    def write(self, lines: Sequence[str]) -> None:
        self._socket.send("".join([f"{line}\n" for line in lines]).encode())

    def close(self, timeout: float | None) -> None:
        self._socket.close(timeout)

    def after_fork(self) -> None:
        self._socket.after_fork()


def _until(trouble: BackendError, results: list[Result], *, unsent: Iterable[int]) -> Iterator[Result]:
    """Yield the results up to the last metric that was sent, then raise what kept the others."""
    for place in unsent:
        results[place] = Retry(type(trouble).__name__)
    while results and results[-1] != STORED:
        results.pop()
    yield from results
    raise trouble


def _agent_place(agent: Any) -> Any:
    rule = "agent must be an address such as tcp://127.0.0.1:25888 or udp://127.0.0.1:25888"
    if not isinstance(agent, str):
        raise ConfigurationError(f"{rule}, not {type(agent).__name__}")
    try:
        url = urlsplit(agent)
        host, port = url.hostname, url.port
    except ValueError:
        raise ConfigurationError(rule) from None
    if url.scheme not in {"tcp", "udp"} or "@" in url.netloc or url.path or url.query or url.fragment:
        raise ConfigurationError(rule)
    return place_of(url.scheme, host=host, port=_PORT if port is None else port, path=None)
