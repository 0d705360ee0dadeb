"""Which files a path stands for, and what is in them: told by their content, not by their names."""

from __future__ import annotations

import gzip
import os
import re
import sqlite3
import stat
import zlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from io import BufferedIOBase, BytesIO
from pathlib import Path
from typing import Literal, TypeAlias

from time_execution.exceptions import DatabaseError, DatabaseMissingError, NotADatabaseError
from time_execution.report._csv_file import has_columns
from time_execution.report._json_lines import records
from time_execution.report._lines import Tally, lines
from time_execution.report._record import is_failure
from time_execution.types import VALUE

Kind: TypeAlias = Literal["sqlite", "parquet", "json", "csv", "empty"]

# Beside a Parquet file, which comes into being with its first merge; importing what names them would need pyarrow.
_JOURNALS = (".merging", ".journal")
_HEAD = 1 << 16
_SQLITE, _PARQUET, _GZIP = b"SQLite format 3\0", b"PAR1", b"\x1f\x8b"
_KNOWN = "Parquet, JSON lines, or CSV with the columns name and value, or function and wall_ms"


@dataclass(slots=True)
class Source:
    """One file to read.

    Attributes:
        path: As it was given, with the suffix of a backup.
        kind: What is in it.
        stream: The file, opened, and decompressed where it is compressed; None of a database.
        changed: When the file was changed last, in nanoseconds since the epoch.
        has_failures: Whether it tells of failed calls only.
        tally: What was passed over in it.
    """

    path: str
    kind: Kind
    stream: BufferedIOBase | None = None
    changed: int = 0
    has_failures: bool = False
    tally: Tally = field(default_factory=Tally)


def sources(paths: Iterable[str], stack: ExitStack, *, backups: bool = True, value_field: str = VALUE) -> list[Source]:
    """Return the files that paths stand for, oldest first, opened until the stack ends, and none of them twice.

    Beside a file of lines, these are the older ones that it turned over to: ``<path>.1``, ``<path>.2.gz`` and so on.
    All of them are opened before any is read, the latest first, so that one which turns over meanwhile is neither
    missed nor read twice.

    Args:
        paths: As they were given.
        stack: What closes the files.
        backups: Take the older ones, too.
        value_field: The field whose number is the value, besides ``value``.

    Raises:
        DatabaseMissingError: When there is no file.
        NotADatabaseError: When one of them is something else.
        DatabaseError: When one of them cannot be opened.
    """
    seen: set[tuple[int, int]] = set()
    return [
        source
        for path in paths
        for source in _of_path(path, stack, seen, backups=backups, value_field=value_field)[::-1]
    ]


def _of_path(
    path: str, stack: ExitStack, seen: set[tuple[int, int]], *, backups: bool, value_field: str
) -> list[Source]:
    """Return the files that a path stands for and that nobody has seen, latest first."""
    found: list[Source] = []
    is_there = False
    for candidate in _candidates(path, backups=backups):
        about = _about(candidate)
        if about is None:
            continue
        is_there = True
        if (about.st_dev, about.st_ino) in seen:
            continue
        source = _looked_into(candidate, about, stack, value_field=value_field)
        if source is not None:
            seen.add((about.st_dev, about.st_ino))
            found.append(source)
            if source.kind in {"sqlite", "parquet"}:
                break
    if is_there:
        return found
    for suffix in _JOURNALS:
        about = _about(f"{path}{suffix}")
        if about is not None:
            return [Source(path, "parquet", changed=about.st_mtime_ns)]
    raise DatabaseMissingError(f"there is nothing to report at {path!r}: no such file")


def _candidates(path: str, *, backups: bool) -> Iterator[str]:
    """Give the names of the files that a path may stand for: the older ones when the latest was looked at."""
    yield path
    if backups:
        yield from (f"{path}{suffix}" for suffix in _backups(Path(path)))


def _about(path: str) -> os.stat_result | None:
    """Return what the system knows of a file; None when there is none."""
    with _telling(path):
        try:
            about = os.stat(path)  # noqa: PTH116 - a path of any kind, as it was given
        except FileNotFoundError:
            return None
        if stat.S_ISDIR(about.st_mode):
            raise NotADatabaseError(f"{path!r} is a folder; name a file in it")
        # Opening a pipe waits for whoever writes to it.
        if not stat.S_ISREG(about.st_mode):
            raise NotADatabaseError(f"{path!r} is no regular file")
        return about


@contextmanager
def _telling(path: str) -> Iterator[None]:
    """Turn what the system says of a file into an error of ours."""
    try:
        yield
    except (OSError, ValueError) as exc:
        raise DatabaseError(f"{path!r} cannot be read: {getattr(exc, 'strerror', None) or exc}") from exc


def _backups(path: Path) -> list[str]:
    """Return the suffixes of a file's backups, the latest first; the compressed form is the one that is whole."""
    pattern = re.compile(rf"{re.escape(path.name)}\.([1-9][0-9]{{0,5}})(\.gz)?")
    try:
        names = os.listdir(path.parent)  # noqa: PTH208 - names are what is wanted
    except OSError:
        return []
    found: dict[int, str] = {}
    for name in names:
        match = pattern.fullmatch(name)
        if match is not None and (match[2] or int(match[1]) not in found):
            found[int(match[1])] = f".{match[1]}{match[2] or ''}"
    return [found[number] for number in sorted(found)]


def _looked_into(path: str, about: os.stat_result, stack: ExitStack, *, value_field: str) -> Source | None:
    """Return what is in a file; None when it has just gone.

    Raises:
        NotADatabaseError: When it is nothing that is known here.
        DatabaseError: When it cannot be read.
    """
    if about.st_size and _is_sqlite(path):
        return Source(path, "sqlite")
    with _telling(path):
        try:
            stream: BufferedIOBase = stack.enter_context(Path(path).open("rb"))  # noqa: SIM115 - the stack closes it
        except FileNotFoundError:
            return None
        head = _head(stream)
        is_compressed = head.startswith(_GZIP)
        if is_compressed:
            stream = stack.enter_context(gzip.GzipFile(fileobj=stream))
            head = _head(stream)
    # Of a compressed one that is damaged from the beginning, reading it will tell.
    kind = _kind(head, value_field=value_field) if head or not is_compressed else "json"
    if is_compressed and kind in {"sqlite", "parquet"}:
        raise NotADatabaseError(f"{path!r} is compressed; decompress it first")
    if kind is None:
        raise NotADatabaseError(f"{path!r} is no metrics database, nor another file that can be reported: {_KNOWN}")
    record = next(records(BytesIO(head), Tally()), {}) if kind == "json" else {}
    return Source(path, kind, stream, about.st_mtime_ns, has_failures=is_failure(record))


def _is_sqlite(path: str) -> bool:
    """Say whether SQLite takes a file for a database.

    Asked is SQLite itself: to open and close a database otherwise would drop the locks that it holds on it in this
    process (https://sqlite.org/howtocorrupt.html#_posix_advisory_locks_canceled_by_a_separate_thread_doing_close_).
    """
    try:
        with closing(sqlite3.connect(f"{Path(path).absolute().as_uri()}?mode=ro", uri=True, timeout=0)) as connection:
            connection.execute("PRAGMA schema_version")
    except sqlite3.Error as exc:
        return "not a database" not in str(exc)
    return True


def _head(stream: BufferedIOBase) -> bytes:
    """Return how a file begins, as far as it is whole; it is to be read from its beginning then."""
    head = b""
    with suppress(EOFError, zlib.error, gzip.BadGzipFile):
        while len(head) < _HEAD and (more := stream.read1(_HEAD - len(head))):
            head += more
    stream.seek(0)
    return head


def _kind(head: bytes, *, value_field: str) -> Kind | None:
    """Return what a file is that begins like this; None for anything else."""
    if head.startswith(_SQLITE):
        return "sqlite"
    if head.startswith(_PARQUET):
        return "parquet"
    texts = [text for line in lines(BytesIO(head), Tally()) if (text := line.strip())]
    if not texts:
        return "empty"
    if has_columns(texts[0], value_field=value_field):
        return "csv"
    # The first line may be the end of one that a full disk or a loss of power tore.
    return "json" if any(text.startswith("{") for text in texts) else None
