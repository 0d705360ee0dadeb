"""`EMFBackend`: writes metrics as log lines from which Amazon CloudWatch extracts metrics."""

from __future__ import annotations

import errno
import os
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import IO, TYPE_CHECKING, Any, ClassVar
from urllib.parse import SplitResult, urlsplit

from time_execution.append_file import AppendFile
from time_execution.backends.base import BaseMetricsBackend
from time_execution.exceptions import BackendDenied, BackendUnavailable, ConfigurationError
from time_execution.file_path import path_from_url
from time_execution.formats.emf import MAX_BYTES, EmbeddedMetrics
from time_execution.line_socket import LineSocket, place_of

if TYPE_CHECKING:
    from time_execution.types import Metric, Results

_STANDARD = ("stdout", "stderr")
_PORT = 25_888
_LOG_GROUP = "timeexecution"
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
            stays the caller's to close. Not used with a path or an agent.
        path: A file that any number of processes append to; made with mode 0600, missing folders with 0700.
        agent: The CloudWatch agent: ``tcp://127.0.0.1:25888``, or ``udp://`` for at most once.
        namespace: Of all metrics in CloudWatch.
        dimensions: The fields that become dimensions, where a metric has them, 29 at most. Each combination of their
            values is a series of its own, with its own price.
        log_group: With an agent, the log group that it writes to; by default ``timeexecution``.
        log_stream: With an agent, the stream within the log group; by default the agent's.
        high_resolution: Keep the metrics by the second instead of by the minute.
        timeout: With an agent, the longest wait, in seconds.
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
        stream: IO[str] | str = "stdout",
        *,
        path: str | os.PathLike[str] | None = None,
        agent: str | None = None,
        namespace: str = "timeexecution",
        dimensions: Sequence[str] = (),
        log_group: str | None = None,
        log_stream: str | None = None,
        high_resolution: bool = False,
        timeout: float = 10.0,
        value_field: str = "value",
    ) -> None:
        if path is not None and agent is not None:
            raise ConfigurationError("path and agent exclude each other; give one of them")
        if agent is None and (log_group is not None or log_stream is not None):
            raise ConfigurationError("log_group and log_stream are for an agent; others know where their lines go")
        self._target: _Target
        if agent is not None:
            self._target = _Agent(agent, timeout)
        else:
            self._target = _Stream(stream) if path is None else _File(path)
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
        """Write a batch.

        Raises:
            BackendDenied: When the stream is closed, or the path cannot be written to.
            BackendTimeout: When the agent does not take it in time.
            BackendUnavailable: When writing fails, or no agent listens.
        """
        lines, results = self._format.documents(metrics, now=time.time_ns())
        if lines:
            self._target.write(lines)
        return results

    def close(self, timeout: float | None = None) -> None:  # noqa: ARG002 - nothing waits to be written
        """Close the connection to an agent; idempotent. A later batch opens another one."""
        self._target.close()

    def after_fork(self) -> None:
        """Forget the parent's socket."""
        self._target.after_fork()


class _Target(ABC):
    """Where lines go.

    Attributes:
        name: Shown by the backend's repr.
        max_bytes: The most that a line may take.
    """

    name: str
    max_bytes: int = MAX_BYTES

    @abstractmethod
    def write(self, lines: Sequence[str]) -> None:
        """Write lines, all of them or in order."""

    def close(self) -> None:  # noqa: B027 - most hold nothing open
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
            self.max_bytes = _MAX_DATAGRAM

    def write(self, lines: Sequence[str]) -> None:
        packets = [f"{line}\n".encode() for line in lines]
        for packet in [b"".join(packets)] if self._socket.place.is_stream else packets:
            self._socket.send(packet)

    def close(self) -> None:
        self._socket.close()

    def after_fork(self) -> None:
        self._socket.after_fork()


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
