"""`AppendFile`: a file that threads and processes append whole batches of lines to, and that turns over at a size."""

from __future__ import annotations

import errno
import os
import stat
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from time_execution.argument_check import check_counts, check_switches
from time_execution.file_path import make_folder, move_aside, to_file
from time_execution.forking import on_fork

if sys.platform != "win32":
    import fcntl

if TYPE_CHECKING:
    from pathlib import Path

_OPEN = os.O_RDWR | os.O_APPEND
# Not blocking, so that a pipe in the file's place is found out rather than waited for.
_OPEN |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_LOCK_PAUSE = 0.0005
_CHUNK = 1 << 20
_GZIP = ".gz"
# While an older file is compressed it is here, locked by whoever does it: a killed process leaves nothing in the way.
_PARTIAL = ".gz.partial"
# The longest wait, in seconds, for somebody else who compresses; what is not compressed now is at the next turn-over.
_PATIENCE = 1.0
_GZIP_WINDOW = 31  # zlib's largest, with the header and the trailer of gzip

# What calls have open at the moment. A child that is forked then has it open, too, and so would keep the lock when its
# parent is killed.
_held: set[int] = set()


class ForeignFileError(OSError):
    """A file holds something else than what is to be appended, which no waiting changes."""


class AppendFile:
    """A file to which each call appends all of its bytes or none, whoever else is writing.

    Nothing is held between calls: each opens the file, locks it, makes sure that it is still the one at the path (it
    may have turned over, or been moved or removed), and writes once. So there is nothing to close, and a killed process
    leaves no lock: what was open when a child was forked is closed there. What a killed process left half-written gets
    its line end, so that the next line is whole. Data is safe from the process's death when a call returns, not from a
    loss of power.

    On Windows, which has no such locks, one process may write a file.

    Args:
        path: Made absolute. Created by the first call with mode 0600, missing folders with 0700. No symbolic link.
        max_bytes: Turn over rather than grow beyond so many bytes, unless one call alone has more; None for never.
        backup_count: Keep so many older files, as ``<path>.1`` (the latest), ``<path>.2`` and so on.
        gzip_backups: Compress older files, to ``<path>.1.gz`` and so on. The call that turns the file over does it when
            its own data is written, while others go on.
        header: The first line of each file; a file that begins otherwise is not written to.
        quote: What has to be closed before the end of a half-written line.
        lock_timeout: Wait so many seconds at most while others write.
        on_move: Rather move a file that begins otherwise aside, to ``<path>.before-<n>``, and call this with the new
            path. Once: should there be another one later, somebody else uses the path.

    Raises:
        ConfigurationError: When an argument is wrong, or no file can ever be written at the path.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        max_bytes: int | None = None,
        backup_count: int = 5,
        gzip_backups: bool = False,
        header: bytes = b"",
        quote: bytes = b"",
        lock_timeout: float = 10.0,
        on_move: Callable[[Path], object] | None = None,
    ) -> None:
        self.path = to_file(path)
        if max_bytes is not None:
            check_counts(max_bytes=max_bytes)
        check_counts(backup_count=backup_count)
        check_switches(gzip_backups=gzip_backups)
        self.max_bytes = max_bytes
        self.backup_count = backup_count
        self.gzip_backups = gzip_backups
        self._header = header
        self._quote = quote
        self._lock_timeout = lock_timeout
        self._on_move = on_move
        self._has_moved = False
        on_fork(_let_go)
        partial = f"{self.path}{_PARTIAL}"
        self._partial = AppendFile(partial, lock_timeout=_PATIENCE) if gzip_backups else None

    def append(self, data: bytes, *, is_bounded: bool = True, is_durable: bool = False) -> None:
        """Append lines, each with its end. Blocks while others write, up to `lock_timeout`.

        Args:
            data: The lines.
            is_bounded: Turn over where that is due; else the file grows, whatever its size.
            is_durable: Return when the data is safe from a loss of power, too.

        Raises:
            OSError: When the disk does not take it: with ``EINVAL`` when what is at the path is no regular file,
                `TimeoutError` when others hold it too long, `ForeignFileError` when it begins otherwise.
        """
        has_turned_over = False
        while True:
            aside = None
            with self.held(create=True) as file:
                size = os.fstat(file).st_size
                beginning = self._beginning(file, size)
                if beginning is None:
                    aside = self._move_aside()
                elif is_bounded and size and self._is_over(file, size + len(data)):
                    self.turn_over()
                    has_turned_over = True
                else:
                    _write_all(file, beginning + data, size)
                    self._mark(file)
                    if is_durable:
                        os.fsync(file)
                    break
            if aside is not None and self._on_move is not None:
                self._on_move(aside)
        if has_turned_over and self._partial is not None:
            self._gzip_older_files(self._partial)

    @contextmanager
    def held(self, *, create: bool = False, timeout: float | None = None) -> Iterator[int]:
        """Keep everybody else from writing to the file; yields its descriptor, or -1 when there is none.

        Who waits meanwhile writes to the file that is at the path then, be it another one.

        Args:
            create: Make the file when it is not there.
            timeout: Wait so many seconds at most while others hold it; None for `lock_timeout`.

        Raises:
            OSError: As `append` does.
        """
        file = self._hold(create=create, timeout=self._lock_timeout if timeout is None else timeout)
        try:
            yield file
        finally:
            if file in _held:  # which it is not in a child that was forked meanwhile: the lock is its parent's
                _unlock(file)
                _close(file)

    def _is_over(self, file: int, size: int) -> bool:  # noqa: ARG002 - for files that turn over at a time
        """Return whether a new file is due, for this one would have so many bytes. The caller holds it."""
        return self.max_bytes is not None and size > self.max_bytes

    def _mark(self, file: int) -> None:
        """Note on a file what `_is_over` will have to know of this call. The caller holds it."""

    def turn_over(self) -> None:
        """Move the file and its predecessors one number up; the oldest is given up. The caller holds the file.

        Whoever holds the file at the path is alone in this: it gives up the path last.
        """
        last = 1
        while last < self.backup_count and self._forms(last):
            last += 1
        for form in self._forms(last):
            form.unlink()
        for number in range(last, 1, -1):
            for form in self._forms(number - 1):
                form.replace(self._backup(number, _GZIP if form.suffix == _GZIP else ""))
        self.path.replace(self._backup(1))

    def _hold(self, *, create: bool, timeout: float) -> int:
        """Open and lock the file at the path; -1 when there is none."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                file = self._open(create=create)
            except FileNotFoundError:
                if not create:
                    return -1
                make_folder(self.path.parent)
                file = self._open(create=True)
            try:
                if self._lock(file, deadline):
                    return file
            except BaseException:
                _close(file)
                raise
            _close(file)

    def _open(self, *, create: bool) -> int:
        file = os.open(self.path, _OPEN | os.O_CREAT if create else _OPEN, 0o600)
        _held.add(file)
        if not stat.S_ISREG(os.fstat(file).st_mode):
            _close(file)
            raise OSError(errno.EINVAL, "it is no regular file", str(self.path))
        return file

    def _lock(self, file: int, deadline: float) -> bool:
        """Take the lock of the opened file, which excludes everyone who opened it, in this process, too.

        Returns:
            Whether it is still the file at the path; without the lock if it is not.
        """
        if sys.platform == "win32":
            return True
        # Tried, not waited for: a process that was stopped while it holds the lock must not stop all others.
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if not self._is_current(file):
                    return False
                if time.monotonic() >= deadline:
                    raise TimeoutError(errno.ETIMEDOUT, "it stays locked by another process", str(self.path)) from None
                time.sleep(_LOCK_PAUSE)
            else:
                is_current = self._is_current(file)
                if not is_current:
                    _unlock(file)
                return is_current

    def _is_current(self, file: int) -> bool:
        return _is_at(self.path, os.fstat(file))

    def _backup(self, number: int, suffix: str = "") -> Path:
        return self.path.with_name(f"{self.path.name}.{number}{suffix}")

    def _forms(self, number: int) -> list[Path]:
        """Return what there is of an older file, plain or compressed. The caller holds the file.

        A compressed file that has its name is whole, so the plain one beside it was left by somebody who was killed.
        """
        forms = [form for form in (self._backup(number), self._backup(number, _GZIP)) if form.exists()]
        if len(forms) > 1:
            forms.pop(0).unlink()
        return forms

    def _gzip_older_files(self, partial: AppendFile) -> None:
        """Compress what is not compressed yet; if that fails, files stay as they are until the next turn-over.

        Nothing is raised, for the data of the caller is written.
        """
        for _ in range(self.backup_count):  # while we work, others may turn more files over
            try:
                with partial.held(create=True) as target:
                    try:
                        is_done = self._gzip_one(target, partial.path)
                    finally:
                        if _is_at(partial.path, os.fstat(target)):
                            partial.path.unlink()
            except (OSError, MemoryError):
                return
            if is_done:
                return

    def _gzip_one(self, target: int, partial: Path) -> bool:
        """Compress the latest older file that is not; returns whether there is none.

        Its number may change meanwhile, and it may be given up: so it is known by its inode until it is replaced, which
        others must not come between.
        """
        source = self._open_plain()
        if source < 0:
            return True
        try:
            os.ftruncate(target, 0)  # what somebody left who was killed
            _gzip(source, target)
            with self.held(create=True):
                identity = os.fstat(source)
                for number in range(1, self.backup_count + 1):
                    if _is_at(self._backup(number), identity):
                        partial.replace(self._backup(number, _GZIP))
                        self._backup(number).unlink()
                        break
        finally:
            os.close(source)
        return False

    def _open_plain(self) -> int:
        """Open the latest older file that is not compressed; -1 when there is none."""
        for number in range(1, self.backup_count + 1):
            if self._backup(number, _GZIP).exists():
                continue
            try:
                return os.open(self._backup(number), _OPEN)
            except FileNotFoundError:
                break
        return -1

    def _move_aside(self) -> Path:
        """Make room at the path for a file of ours, and return where the other one is. The caller holds the file."""
        if self._on_move is None or self._has_moved:
            raise ForeignFileError(errno.EINVAL, "it begins with another header", str(self.path))
        aside = move_aside(self.path)
        self._has_moved = True
        return aside

    def _beginning(self, file: int, size: int) -> bytes | None:
        """Return what has to come before the data: the header, or the end of a half-written line.

        None when the file begins in another way.
        """
        begins = _read(file, 0, len(self._header)) if size else b""
        header = self._header_after(begins)
        if begins != header or not size:
            if header.startswith(begins) and size == len(begins):  # half-written, and nothing after it
                return header[size:]
            return None
        if _read(file, size - 1, 1) in {b"\n", b""}:  # it may have been cut meanwhile, as logrotate can
            return b""
        is_open = self._quote and sum(chunk.count(self._quote) for chunk in _chunks(file)) % 2
        return self._quote + b"\n" if is_open else b"\n"

    def _header_after(self, begins: bytes) -> bytes:  # noqa: ARG002 - for files whose headers differ
        """Return the header, which is always of one length, of a file that begins in some way."""
        return self._header


def _write_all(file: int, data: bytes, size: int) -> None:
    """Write at the end of the file; if that ends before all is there, leave it as it was."""
    try:
        _write(file, data)
    except BaseException:  # there is no room, or a signal's handler raised between two pieces
        os.ftruncate(file, size)
        raise


def _write(file: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(file, rest) :]


def _gzip(source: int, target: int) -> None:
    """Write a file's content compressed to the end of another one, and see it safe on the disk."""
    packer = zlib.compressobj(wbits=_GZIP_WINDOW)
    for chunk in _chunks(source):
        _write(target, packer.compress(chunk))
    _write(target, packer.flush())
    os.fsync(target)  # the plain file, which goes next, may have been there long ago


def _close(file: int) -> None:
    _held.discard(file)  # first: the number may be another file's once it is closed
    os.close(file)


def _let_go() -> None:
    """Close, in a forked child, what its parent has open; there it stays open and locked."""
    while _held:
        with suppress(OSError):
            os.close(_held.pop())


def _unlock(file: int) -> None:
    # Not left to closing: somebody who was forked without our knowing has the file open, too, and would keep the lock.
    if sys.platform != "win32":
        fcntl.flock(file, fcntl.LOCK_UN)


def _is_at(path: Path, identity: os.stat_result) -> bool:
    with suppress(FileNotFoundError):
        return os.path.samestat(identity, path.stat(follow_symlinks=False))
    return False


def _read(file: int, offset: int, count: int) -> bytes:
    os.lseek(file, offset, os.SEEK_SET)
    return os.read(file, count)


def _chunks(file: int) -> Iterator[bytes]:
    os.lseek(file, 0, os.SEEK_SET)
    while chunk := os.read(file, _CHUNK):
        yield chunk
