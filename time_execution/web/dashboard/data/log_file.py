"""Log files, plain and compressed: found by a listing of their folder, opened only if regular, read piece by piece.

A file is known by a digest of its first line, which stays when it turns over, and when it is compressed then.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import threading
import zlib
from abc import ABC, abstractmethod
from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import ExitStack
    from io import BufferedReader
    from pathlib import Path

STRUCTURED = "_structured.json"

_MOST_FILES = 100
_MOST_ENTRIES = 10_000
_BACKUP = re.compile(r"\.([1-9][0-9]{0,5})(\.gz)?")
_BACKUP_END = re.compile(rf"{_BACKUP.pattern}\Z")
_HEAD = 1 << 16
# At most a thousand times as much comes out of it.
_CHUNK = 1 << 12
_GZIP_WINDOW = 31
_APART = 1 << 20
# Beyond these a compressed log is none that anybody wants to read in a browser.
_MOST_COMPRESSED = 64 << 20
_MOST_PLAIN = 128 << 20
_MOST_INDEXES = 3

_OPEN = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_OPEN |= getattr(os, "O_CLOEXEC", 0)


class LogFile(ABC):
    """A log file that is open.

    Attributes:
        key: What it is known by.
        piece: How many bytes to read at a time.
    """

    key: str
    piece: int

    @abstractmethod
    def size(self, patience: int) -> int | None:
        """Return how long its text is, in bytes; None when that takes more than so many bytes to find out."""

    @abstractmethod
    def read(self, start: int, end: int) -> bytes:
        """Return the text between two places."""


class Plain(LogFile):
    """A file as it is written."""

    piece = 1 << 17

    def __init__(self, file: BufferedReader, key: str) -> None:
        self._file = file
        self.key = key

    def size(self, patience: int) -> int:  # noqa: ARG002 - it is known at once
        """Return how long it is now."""
        return os.fstat(self._file.fileno()).st_size

    def read(self, start: int, end: int) -> bytes:
        """Return the text between two places."""
        self._file.seek(start)
        return self._file.read(end - start)


class Index:
    """Where in a compressed file to begin, so that not all of it has to be unpacked for each piece. Not thread-safe.

    Each place takes some fifty kilobytes. It is made as far as it is needed, a few megabytes a request.

    Attributes:
        size: How long the text is, as far as it was unpacked.
        is_whole: Whether that is all.
    """

    def __init__(self) -> None:
        self.size = 0
        self.is_whole = False
        self._places: list[tuple[int, int, Any]] = [(0, 0, zlib.decompressobj(wbits=_GZIP_WINDOW))]
        self._taken = 0
        self._unpacker = self._places[0][2].copy()

    def advance(self, file: BufferedReader, patience: int) -> None:
        """Unpack so many bytes more, to know what there is."""
        until = min(self.size + patience, _MOST_PLAIN)
        file.seek(self._taken)
        while not self.is_whole:
            if self.size >= until:
                self.is_whole = self.size >= _MOST_PLAIN
                return
            if self.size - self._places[-1][0] >= _APART:
                self._places.append((self.size, self._taken, self._unpacker.copy()))
            packed = file.read(_CHUNK)
            text, self._unpacker, is_over = _unpacked(self._unpacker, packed)
            self._taken += len(packed)
            self.size += len(text)
            self.is_whole = is_over

    def read(self, file: BufferedReader, start: int, end: int) -> bytes:
        """Return the text between two places."""
        at, taken, unpacker = next(place for place in reversed(self._places) if place[0] <= start)
        unpacker = unpacker.copy()
        file.seek(taken)
        found: list[bytes] = []
        is_over = False
        while at < end and not is_over:
            text, unpacker, is_over = _unpacked(unpacker, file.read(_CHUNK))
            found.append(text[max(0, start - at) : max(0, end - at)])
            at += len(text)
        return b"".join(found)


class Packed(LogFile):
    """A file that was compressed by gzip."""

    piece = _APART

    def __init__(self, file: BufferedReader, key: str, index: Index) -> None:
        self._file = file
        self._index = index
        self.key = key

    def size(self, patience: int) -> int | None:
        """Return how long its text is, once it was unpacked to its end."""
        if not self._index.is_whole:
            self._index.advance(self._file, patience)
        return self._index.size if self._index.is_whole else None

    def read(self, start: int, end: int) -> bytes:
        """Return the text between two places."""
        return self._index.read(self._file, start, end)


class LogFolder:
    """The log files of a folder. Thread-safe; keeps what it knows of the compressed ones.

    Args:
        path: The folder; need not be there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.after_fork()

    def after_fork(self) -> None:
        """Begin anew in a forked child."""
        self.lock = threading.Lock()
        self._indexes: dict[tuple[int, ...], Index] = {}

    def names(self) -> list[str]:
        """Return the names of the structured logs, the one that was written to last first."""
        latest: dict[str, int] = {}
        for entry, about in self._entries():
            # Of one that turns over just now there are only older files.
            name = _BACKUP_END.sub("", entry)
            if name.endswith(STRUCTURED):
                latest[name] = max(latest.get(name, 0), about.st_mtime_ns)
        return sorted(latest, key=lambda name: (-latest[name], name))[:_MOST_FILES]

    def opened(self, name: str, stack: ExitStack) -> list[LogFile]:
        """Return a log and the older ones that it turned over to, the latest first, open until the stack ends.

        Hold `lock` until then. All are opened before any is read, the latest first, so that one which turns over
        meanwhile is neither missed nor taken twice.

        Args:
            name: One of `names`.
            stack: What closes the files.
        """
        found: list[LogFile] = []
        seen: set[tuple[int, int]] = set()
        for candidate in (name, *self._backups(name)):
            file = self._open(candidate, stack)
            if file is None:
                continue
            about = os.fstat(file.fileno())
            if (about.st_dev, about.st_ino) not in seen:
                seen.add((about.st_dev, about.st_ino))
                log = self._log(file, about)
                if log is not None:
                    found.append(log)
        _tell_apart(found)
        return found

    def _entries(self) -> Iterator[tuple[str, os.stat_result]]:
        """Give the regular files of the folder; links are none."""
        try:
            with os.scandir(self._path) as entries:
                for entry, _ in zip(entries, range(_MOST_ENTRIES), strict=False):
                    if entry.is_file(follow_symlinks=False):
                        yield entry.name, entry.stat(follow_symlinks=False)
        except OSError:
            return

    def _backups(self, name: str) -> list[str]:
        """Return the names of a log's older files, the latest first; of two forms the compressed one, being whole."""
        found: dict[int, str] = {}
        for entry, _ in self._entries():
            match = _BACKUP.fullmatch(entry[len(name) :]) if entry.startswith(name) else None
            if match is not None and (match[2] or int(match[1]) not in found):
                found[int(match[1])] = entry
        return [found[number] for number in sorted(found)][:_MOST_FILES]

    def _open(self, name: str, stack: ExitStack) -> BufferedReader | None:
        """Open a file for reading, if it is a regular one."""
        try:
            descriptor = os.open(self._path / name, _OPEN)
        except OSError:
            return None
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            return None
        return stack.enter_context(os.fdopen(descriptor, "rb"))

    def _log(self, file: BufferedReader, about: os.stat_result) -> LogFile | None:
        """Return a file as a log; None when it has no whole line, or is compressed and too long."""
        head = file.read(_HEAD)
        if not head.startswith(b"\x1f\x8b"):
            key = _key(head)
            return None if key is None else Plain(file, key)
        if about.st_size > _MOST_COMPRESSED:
            return None
        text, _, _ = _unpacked(zlib.decompressobj(wbits=_GZIP_WINDOW), head[:_CHUNK])
        key = _key(text[:_HEAD])
        if key is None:
            return None
        which = (about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns)
        index = self._indexes.pop(which, None) or Index()
        while len(self._indexes) >= _MOST_INDEXES:
            del self._indexes[next(iter(self._indexes))]
        self._indexes[which] = index
        return Packed(file, key, index)


def _tell_apart(files: list[LogFile]) -> None:
    """Give files that begin alike keys of their own, counted from the oldest."""
    known: Counter[str] = Counter()
    for file in reversed(files):
        known[file.key] += 1
        if known[file.key] > 1:
            file.key += f"x{known[file.key]}"


def _unpacked(unpacker: Any, packed: bytes) -> tuple[bytes, Any, bool]:
    """Return the text of the next bytes, what unpacks those that follow, and whether nothing follows."""
    if not packed:
        return b"", unpacker, True
    try:
        text = unpacker.decompress(packed)
        while unpacker.eof and unpacker.unused_data:
            rest = unpacker.unused_data
            unpacker = zlib.decompressobj(wbits=_GZIP_WINDOW)
            text += unpacker.decompress(rest)
    except zlib.error:
        return b"", unpacker, True
    return text, unpacker, False


def _key(head: bytes) -> str | None:
    """Return what a file is known by that begins so; None when there is no whole line as yet."""
    line, end, _ = head.partition(b"\n")
    if not end and len(head) < _HEAD:
        return None
    return hashlib.sha256(line).hexdigest()[:16]
