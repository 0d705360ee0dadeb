"""`StreamBackend`: writes metrics as JSON lines to a stream, for a look during development and for containers."""

from __future__ import annotations

import errno
import io
import sys
import time
from collections.abc import Sequence
from typing import IO, TYPE_CHECKING, Any, ClassVar

from time_execution.backends.base import BaseMetricsBackend
from time_execution.exceptions import BackendDenied, BackendUnavailable, ConfigurationError
from time_execution.formats.json import document, to_ascii

if TYPE_CHECKING:
    from urllib.parse import SplitResult

    from time_execution.types import Metric

_STANDARD = ("stdout", "stderr")


class StreamBackend(BaseMetricsBackend):
    """Write each metric as a line of JSON to a text or binary stream.

    A batch is one call of the stream's ``write`` and one of its ``flush``, so lines are whole, and nothing is left in a
    buffer for a forked child to write again; an unbuffered binary stream that takes a part is called again with the
    rest. As thread-safe as the stream's ``write``. Blocks as long as that does.

    Args:
        stream: An open stream, which stays the caller's to close; or ``"stdout"`` or ``"stderr"`` for what
            ``sys.stdout`` or ``sys.stderr`` is at the time of writing.

    Raises:
        ConfigurationError: When it is neither, or is closed.

    Example:
        >>> StreamBackend("stdout").write("cpu.load", value=0.25, timestamp=0)
        {"name":"cpu.load","value":0.25,"timestamp":"1970-01-01T00:00:00.000000Z"}
    """

    wants_nanoseconds: ClassVar[bool] = True
    repr_fields: ClassVar[tuple[str, ...]] = ("stream",)

    def __init__(self, stream: IO[str] | IO[bytes] | str = "stderr") -> None:
        if isinstance(stream, str) and stream not in _STANDARD:
            raise ConfigurationError("stream must be an open stream, 'stdout' or 'stderr', not another text")
        if not isinstance(stream, str) and not callable(getattr(stream, "write", None)):
            raise ConfigurationError(f"stream must be an open stream, not {type(stream).__name__}")
        if getattr(stream, "closed", False) is True:
            raise ConfigurationError("stream must be an open stream, not a closed one")
        self.stream = stream

    @classmethod
    def options_from_url(cls, url: SplitResult) -> dict[str, Any]:
        """Return the stream of ``stream://stdout``; without a name, nothing."""
        return {"stream": url.netloc} if url.netloc else {}

    def write_many(self, metrics: Sequence[Metric]) -> None:
        """Write a batch.

        Raises:
            BackendDenied: When the stream is closed, or the process has none.
            BackendUnavailable: When writing fails.
        """
        text = self._text(metrics)
        if not text:
            return
        stream: Any = getattr(sys, self.stream) if isinstance(self.stream, str) else self.stream
        if stream is None:
            raise BackendDenied(f"the process has no {self.stream}")
        try:
            _write(stream, text)
        except ValueError as exc:
            raise BackendDenied("the stream is closed") from exc
        except OSError as exc:
            raise BackendUnavailable(f"the stream cannot be written to: {exc.strerror}") from exc

    def _text(self, metrics: Sequence[Metric]) -> str:
        """Return metrics as lines, each with its end."""
        now = time.time_ns()
        return "".join([f"{document(metric, timestamp=now)}\n" for metric in metrics])


def _write(stream: Any, text: str) -> None:
    if isinstance(stream, io.RawIOBase | io.BufferedIOBase):
        _write_bytes(stream, text.encode())
    else:
        try:
            stream.write(text)
        except UnicodeEncodeError:  # raised before anything is written
            stream.write(to_ascii(text))
        except TypeError:  # a binary stream in a wrapper that does not say so, as those of `tempfile`
            _write_bytes(stream, text.encode())
    flush = getattr(stream, "flush", None)
    if flush is not None:
        flush()


def _write_bytes(stream: Any, data: bytes) -> None:
    """Write all bytes to a stream that may take a part of them at a time, as unbuffered ones do."""
    rest = memoryview(data)
    while rest:
        written = stream.write(rest)
        if written is None and not isinstance(stream, io.RawIOBase):
            return  # somebody's own stream, which does not say how much it took
        if not written:
            raise BlockingIOError(errno.EAGAIN, "it takes nothing now")
        rest = rest[written:]
