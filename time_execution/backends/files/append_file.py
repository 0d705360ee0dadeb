"""`AppendFile`: a file that threads and processes append whole batches of lines to, and that turns over at a size."""

from __future__ import annotations

import errno
import os
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from time_execution.exceptions import BackendDenied, BackendUnavailable, ConfigurationError
from time_execution.file_path import make_folder, to_file

if sys.platform != "win32":
    import fcntl

if TYPE_CHECKING:
    from pathlib import Path
    from urllib.parse import SplitResult

_OPEN = os.O_RDWR | os.O_APPEND | os.O_CREAT
# Not blocking, so that a pipe in the file's place is found out rather than waited for.
_OPEN |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_LOCK_TIMEOUT = 10.0
_LOCK_PAUSE = 0.0005
_CHUNK = 1 << 20
# What no waiting mends, until somebody changes the path or the permissions.
_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ELOOP, errno.EMLINK, errno.EISDIR, errno.ENOTDIR, errno.ENXIO}


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
    ) -> None:
        self.path = to_file(path)
        if max_bytes is not None:
            _check_count("max_bytes", max_bytes)
        _check_count("backup_count", backup_count)
        self.max_bytes = max_bytes
        self.backup_count = backup_count
        self._header = header
        self._quote = quote

    def append(self, data: bytes) -> None:
        """Append lines, each with its end. Blocks while others write, up to 10 seconds.

        Raises:
            BackendDenied: When the path cannot be written to, or holds a file of another kind.
            BackendUnavailable: When the disk is full or fails, or the file stays locked.
        """
        try:
            while not self._try_to_append(data):
                pass
        except OSError as exc:
            denied = BackendDenied if exc.errno in _DENIED else BackendUnavailable
            raise denied(f"{self.path} cannot be written to: {exc.strerror or type(exc).__name__}") from exc

    def _try_to_append(self, data: bytes) -> bool:
        """Append, or return False when the file at the path has become another one."""
        with self._opened() as file, _locked(file):
            size = os.fstat(file).st_size
            if not self._is_current(file):
                return False
            if self.max_bytes is not None and size and size + len(data) > self.max_bytes:
                self._turn_over()
                return False
            _write_all(file, self._beginning(file, size) + data, size)
            return True

    @contextmanager
    def _opened(self) -> Iterator[int]:
        try:
            file = os.open(self.path, _OPEN, 0o600)
        except FileNotFoundError:
            make_folder(self.path.parent)
            file = os.open(self.path, _OPEN, 0o600)
        try:
            if not stat.S_ISREG(os.fstat(file).st_mode):
                raise BackendDenied(f"{self.path} is no regular file")
            yield file
        finally:
            os.close(file)

    def _is_current(self, file: int) -> bool:
        try:
            return os.path.samestat(os.fstat(file), self.path.stat(follow_symlinks=False))
        except FileNotFoundError:
            return False

    def _turn_over(self) -> None:
        """Move the file and its predecessors one number up; the caller holds the file's lock.

        Whoever holds the lock of the file at the path is alone in this: it gives up the path last.
        """
        last = 1
        while last < self.backup_count and self._backup(last).exists():
            last += 1
        for number in range(last, 1, -1):
            self._backup(number - 1).replace(self._backup(number))
        self.path.replace(self._backup(1))

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
            raise BackendDenied(f"{self.path} begins with another header")
        if _read(file, size - 1, 1) == b"\n":
            return b""
        is_open = self._quote and sum(chunk.count(self._quote) for chunk in _chunks(file)) % 2
        return self._quote + b"\n" if is_open else b"\n"


def path_from_url(url: SplitResult) -> dict[str, Any]:
    """Return the path of ``scheme:///relative`` or ``scheme:////absolute``; without one, nothing."""
    path = unquote(f"{url.netloc}{url.path}".removeprefix("/"))
    return {"path": path} if path else {}


@contextmanager
def _locked(file: int) -> Iterator[None]:
    """Hold a file's lock, which excludes everyone who opened it, in this process, too."""
    if sys.platform == "win32":
        yield
        return
    deadline = time.monotonic() + _LOCK_TIMEOUT
    # Tried, not waited for: a process that was stopped while it holds the lock must not stop all others.
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise BackendUnavailable("the file stays locked by another process") from None
            time.sleep(_LOCK_PAUSE)
    try:
        yield
    finally:
        # Not left to closing: a child that was forked meanwhile has the file open, too, and would keep the lock.
        fcntl.flock(file, fcntl.LOCK_UN)


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
