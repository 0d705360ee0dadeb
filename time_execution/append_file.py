"""`AppendFile`: a file that threads and processes append whole batches of lines to, and that turns over at a size."""

from __future__ import annotations

import errno
import os
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from time_execution.exceptions import ConfigurationError
from time_execution.file_path import make_folder, to_file

if sys.platform != "win32":
    import fcntl

if TYPE_CHECKING:
    from pathlib import Path

_OPEN = os.O_RDWR | os.O_APPEND
# Not blocking, so that a pipe in the file's place is found out rather than waited for.
_OPEN |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_LOCK_PAUSE = 0.0005
_CHUNK = 1 << 20


class AppendFile:
    """A file to which each call appends all of its bytes or none, whoever else is writing.

    Nothing is held between calls: each opens the file, locks it, makes sure that it is still the one at the path (it
    may have turned over, or been moved or removed), and writes once. So there is nothing to close, nothing that a fork
    could share, and a killed process leaves no lock. What a killed process left half-written gets its line end, so
    that the next line is whole. Data is safe from the process's death when a call returns, not from a loss of power.

    On Windows, which has no such locks, one process may write a file.

    Args:
        path: Made absolute. Created by the first call with mode 0600, missing folders with 0700. No symbolic link.
        max_bytes: Turn over rather than grow beyond so many bytes, unless one call alone has more; None for never.
        backup_count: Keep so many older files, as ``<path>.1`` (the latest), ``<path>.2`` and so on.
        header: The first line of each file; a file that begins otherwise is not written to.
        quote: What has to be closed before the end of a half-written line.
        lock_timeout: Wait so many seconds at most while others write.

    Raises:
        ConfigurationError: When an argument is wrong, or no file can ever be written at the path.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        max_bytes: int | None = None,
        backup_count: int = 5,
        header: bytes = b"",
        quote: bytes = b"",
        lock_timeout: float = 10.0,
    ) -> None:
        self.path = to_file(path)
        if max_bytes is not None:
            _check_count("max_bytes", max_bytes)
        _check_count("backup_count", backup_count)
        self.max_bytes = max_bytes
        self.backup_count = backup_count
        self._header = header
        self._quote = quote
        self._lock_timeout = lock_timeout

    def append(self, data: bytes, *, is_bounded: bool = True, is_durable: bool = False) -> None:
        """Append lines, each with its end. Blocks while others write, up to `lock_timeout`.

        Args:
            data: The lines.
            is_bounded: Turn over as `max_bytes` says; else the file grows, whatever its size.
            is_durable: Return when the data is safe from a loss of power, too.

        Raises:
            OSError: When the disk does not take it: with ``EINVAL`` when what is at the path is no such file,
                `TimeoutError` when others hold it too long.
        """
        while True:
            with self.held(create=True) as file:
                size = os.fstat(file).st_size
                if is_bounded and self.max_bytes is not None and size and size + len(data) > self.max_bytes:
                    self.turn_over()
                    continue
                _write_all(file, self._beginning(file, size) + data, size)
                if is_durable:
                    os.fsync(file)
                return

    @contextmanager
    def held(self, *, create: bool = False) -> Iterator[int]:
        """Keep everybody else from writing to the file; yields its descriptor, or -1 when there is none.

        Who waits meanwhile writes to the file that is at the path then, be it another one.

        Args:
            create: Make the file when it is not there.

        Raises:
            OSError: As `append` does.
        """
        with ExitStack() as stack:
            file = self._hold(stack, create=create)
            while file >= 0 and not self._is_current(file):
                stack.close()
                file = self._hold(stack, create=create)
            yield file

    def turn_over(self) -> None:
        """Move the file and its predecessors one number up; the oldest is given up. The caller holds the file.

        Whoever holds the file at the path is alone in this: it gives up the path last.
        """
        last = 1
        while last < self.backup_count and self._backup(last).exists():
            last += 1
        for number in range(last, 1, -1):
            self._backup(number - 1).replace(self._backup(number))
        self.path.replace(self._backup(1))

    def _hold(self, stack: ExitStack, *, create: bool) -> int:
        """Open and lock the file at the path, until the stack ends; -1 when there is none."""
        try:
            file = self._open(create=create)
        except FileNotFoundError:
            if not create:
                return -1
            make_folder(self.path.parent)
            file = self._open(create=True)
        stack.callback(os.close, file)
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise OSError(errno.EINVAL, "it is no regular file", str(self.path))
        stack.enter_context(self._locked(file))
        return file

    def _open(self, *, create: bool) -> int:
        return os.open(self.path, _OPEN | os.O_CREAT if create else _OPEN, 0o600)

    @contextmanager
    def _locked(self, file: int) -> Iterator[None]:
        """Hold the lock of the opened file, which excludes everyone who opened it, in this process, too."""
        if sys.platform == "win32":
            yield
            return
        deadline = time.monotonic() + self._lock_timeout
        # Tried, not waited for: a process that was stopped while it holds the lock must not stop all others.
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise TimeoutError(errno.ETIMEDOUT, "it stays locked by another process", str(self.path)) from None
                time.sleep(_LOCK_PAUSE)
        try:
            yield
        finally:
            # Not left to closing: a child that was forked meanwhile has the file open, too, and would keep the lock.
            fcntl.flock(file, fcntl.LOCK_UN)

    def _is_current(self, file: int) -> bool:
        try:
            return os.path.samestat(os.fstat(file), self.path.stat(follow_symlinks=False))
        except FileNotFoundError:
            return False

    def _backup(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")

    def _beginning(self, file: int, size: int) -> bytes:
        """Return what has to come before the data: the header, or the end of a half-written line."""
        if not size:
            return self._header
        begins = _read(file, 0, len(self._header))
        if begins != self._header:
            if self._header.startswith(begins):  # half-written, and nothing after it
                return self._header[size:]
            raise OSError(errno.EINVAL, "it begins with another header", str(self.path))
        if _read(file, size - 1, 1) == b"\n":
            return b""
        is_open = self._quote and sum(chunk.count(self._quote) for chunk in _chunks(file)) % 2
        return self._quote + b"\n" if is_open else b"\n"


def _write_all(file: int, data: bytes, size: int) -> None:
    """Write at the end of the file; if there is not room for all, leave it as it was."""
    rest = memoryview(data)
    try:
        while rest:
            rest = rest[os.write(file, rest) :]
    except OSError:
        os.ftruncate(file, size)
        raise


def _read(file: int, offset: int, count: int) -> bytes:
    os.lseek(file, offset, os.SEEK_SET)
    return os.read(file, count)


def _chunks(file: int) -> Iterator[bytes]:
    os.lseek(file, 0, os.SEEK_SET)
    while chunk := os.read(file, _CHUNK):
        yield chunk


def _check_count(name: str, value: Any) -> None:
    if type(value) is not int or value < 1:
        got = "an int below 1" if type(value) is int else type(value).__name__
        raise ConfigurationError(f"{name} must be a positive int, not {got}")
