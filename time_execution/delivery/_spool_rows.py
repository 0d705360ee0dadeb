"""One SQLite file of rows: the SQL of the spool, all of it. Raises what SQLite raises; decides and counts nothing."""

from __future__ import annotations

import os
import sqlite3
import zlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from time_execution.delivery._spool_folder import make_file
from time_execution.formats.packed import unpack

if TYPE_CHECKING:
    from time_execution.types import Metric

VERSION = 1
# What a row costs on disk beyond its body, as measured: its other columns, its entry in the index, half-empty pages.
ROW_OVERHEAD = 100
_APPLICATION_ID = 0x74655370  # "teSp"
_BUSY_TIMEOUT = 0.25
_PAGE_BYTES = 1 << 20
_VACUUM_PAGES = 4096
_MAX_SEQ = 1 << 62
_SIZE = f"coalesce(length(body), 0) + {ROW_OVERHEAD}"
# Queries say `rowid` for `seq`: a name that it keeps, and a number always, whatever became of a damaged schema.
_SCHEMA = (
    "CREATE TABLE q(seq INTEGER PRIMARY KEY, id TEXT UNIQUE, ts REAL NOT NULL, attempts INTEGER NOT NULL,"
    " crc INTEGER NOT NULL, body BLOB NOT NULL)"
)


class Row(NamedTuple):
    """A metric as it lies in the file.

    Attributes:
        seq: Its place in line.
        id: The metric's id, UTF-8; None when it has none. Two rows never share one.
        ts: When it was spooled, seconds since the epoch.
        attempts: For attempts to send, which none of ours counts yet: 0.
        crc: Checksum of the body.
        body: The packed metric, JSON in UTF-8.
    """

    seq: int
    id: bytes | None
    ts: float
    attempts: int
    crc: int
    body: bytes

    @property
    def size(self) -> int:
        """What it weighs, in bytes."""
        return (len(self.body) if type(self.body) is bytes else 0) + ROW_OVERHEAD

    def is_intact(self) -> bool:
        """Whether every column has its type and the body its checksum; a damaged file may hold anything."""
        return (
            type(self.body) is bytes
            and type(self.ts) is float
            and type(self.attempts) is int
            and zlib.crc32(self.body) == self.crc
        )

    def metric(self) -> Metric | None:
        """Return the metric; None when the row is damaged."""
        try:
            return unpack(self.body.decode()) if self.is_intact() else None
        except ValueError:
            return None


class NotOurs(Exception):  # noqa: N818 - says what was found
    """The file was written by something else, or by a later version of this package: it is left alone."""


def is_damage(exc: Exception) -> bool:
    """Return whether an error says that the file is broken, rather than that it cannot be used right now."""
    # SQLITE_CORRUPT and SQLITE_NOTADB come as the base class, all that has to do with the system as OperationalError.
    # A damaged header may forbid writing; where the disk itself does, no other file can be made to take its place.
    return type(exc) is sqlite3.DatabaseError or (
        isinstance(exc, sqlite3.OperationalError) and str(exc).startswith(("no such ", "attempt to write a readonly"))
    )


class _Connection(sqlite3.Connection):
    """A connection that reports damage as such, also where SQLite quotes damaged text that is not UTF-8."""

    def execute(self, *arguments: Any) -> sqlite3.Cursor:
        try:
            return super().execute(*arguments)
        except UnicodeDecodeError as exc:
            raise sqlite3.DatabaseError("database schema is malformed") from exc


class RowFile:
    """A connection to one file. Not thread-safe; never to be used, nor closed, in a forked child.

    Args:
        path: The database; made, readable by its owner only, with ``create``.
        create: Make it; it must not exist.
        durable: Have every commit on the disk before it returns, to survive the loss of power as well.
        read_only: Change nothing.

    Raises:
        OSError: When it cannot be made.
        sqlite3.Error: When it cannot be opened.
        NotOurs: When it is somebody else's.
    """

    def __init__(self, path: Path, *, create: bool = False, durable: bool = False, read_only: bool = False) -> None:
        if create:
            make_file(path)
        self.path = path
        mode = "ro" if read_only else "rw"
        self._connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={mode}",
            uri=True,
            timeout=_BUSY_TIMEOUT,
            isolation_level=None,
            check_same_thread=False,
            factory=_Connection,
        )
        self._connection.text_factory = bytes  # a damaged file need not hold UTF-8
        try:
            self._set_up(create=create, durable=durable, read_only=read_only)
        except BaseException:
            self.close()
            raise

    def _set_up(self, *, create: bool, durable: bool, read_only: bool) -> None:
        execute = self._connection.execute
        execute("PRAGMA trusted_schema = OFF")
        self._made: os.stat_result | None = None
        self._synchronous = "FULL" if durable else "NORMAL"
        if create:
            execute("PRAGMA journal_mode = WAL")
            execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            with self.transaction():
                execute(_SCHEMA)
                execute(f"PRAGMA user_version = {VERSION}")
            self._made = self.path.stat()
        else:
            self._check_origin()
        if not read_only:
            execute(f"PRAGMA synchronous = {self._synchronous}")

    def _check_origin(self) -> None:
        version = self._number("PRAGMA user_version")
        tables = self._number("SELECT count(*) FROM sqlite_master")
        if version > VERSION:
            raise NotOurs(f"its format {version} is later than this version's, {VERSION}")
        if tables and self._number("PRAGMA application_id") != _APPLICATION_ID and not self._has_rows():
            raise NotOurs("it is a database of something else")

    def _has_rows(self) -> bool:
        return bool(self._number("SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'q'"))

    def _number(self, sql: str) -> int:
        return int(self._connection.execute(sql).fetchone()[0])

    def close(self) -> None:
        """Close the file; what was committed is safe either way."""
        with suppress(sqlite3.Error):
            self._connection.close()

    def abandon(self) -> None:
        """Make sure that the connection is never closed in this process, a fork of the one that opened it.

        Closing would wait for SQLite's own mutex, which a thread of the parent may have held, and might remove the
        write-ahead log that the parent is using. The interpreter closes what it destroys, even at its end, so the
        object must outlive it.
        """
        try:
            import ctypes  # noqa: PLC0415 - in forked children only, and missing in some builds
        except ImportError:
            _ABANDONED.append(self._connection)
        else:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._connection))

    def is_in_place(self) -> bool:
        """Whether the file that was made still has its name: nobody removed or replaced it."""
        try:
            return self._made is None or os.path.samestat(self._made, self.path.stat())
        except OSError:
            return False

    def is_sound(self) -> bool:
        """Whether SQLite finds nothing wrong with the file, and it can be written to; reads it all.

        Rows that can be read and never deleted would be sent for ever.
        """
        if not self._has_rows():
            return False
        with self.transaction():
            return bool(self._connection.execute("PRAGMA integrity_check(1)").fetchone() == (b"ok",))

    @contextmanager
    def transaction(self, *, durable: bool = False) -> Iterator[None]:
        """Commit what happens inside at its end, or none of it.

        Args:
            durable: Have it on the disk then, whatever the file was opened with.
        """
        execute = self._connection.execute
        try:
            if durable:
                execute("PRAGMA synchronous = FULL")
            execute("BEGIN IMMEDIATE")
            yield
            execute("COMMIT")
        finally:
            # After a failure, which may have ended the transaction already, as a full disk does.
            with suppress(sqlite3.Error):
                if self._connection.in_transaction:
                    execute("ROLLBACK")
                if durable:
                    execute(f"PRAGMA synchronous = {self._synchronous}")

    def insert(self, rows: Sequence[Row]) -> int:
        """Put rows in; one whose id or place is taken is left out.

        Returns:
            How many went in.
        """
        return self._connection.executemany(
            "INSERT OR IGNORE INTO q(seq, id, ts, attempts, crc, body) VALUES(?, CAST(? AS TEXT), ?, ?, ?, ?)",
            rows,
        ).rowcount

    def page(self, after: int, limit: int) -> list[Row]:
        """Return the next rows past a place in line, up to about 1 MiB of them but at least one."""
        rows = []
        size = 0
        with closing(self._select(after, limit)) as found:
            for columns in found:
                rows.append(Row(*columns))
                size += rows[-1].size
                if size >= _PAGE_BYTES:
                    break
        return rows

    def _select(self, after: int, limit: int) -> sqlite3.Cursor:
        sql = "SELECT rowid, id, ts, attempts, crc, body FROM q WHERE rowid > ? ORDER BY rowid LIMIT ?"
        return self._connection.execute(sql, (after, limit))

    def heads(self, after: int) -> Iterator[tuple[int, float, int]]:
        """Yield place, time and size of the rows past a place in line, in order."""
        sql = f"SELECT rowid, ts + 0.0, {_SIZE} FROM q WHERE rowid > ? ORDER BY rowid"  # noqa: S608 - no input
        with closing(self._connection.execute(sql, (after,))) as found:
            for seq, ts, size in found:
                yield seq, ts or 0.0, size

    def totals(self, *, first: int = 0) -> tuple[int, int]:
        """Return the number of rows from a place in line on, and what they weigh, in bytes."""
        sql = f"SELECT count(*), coalesce(sum({_SIZE}), 0) FROM q WHERE rowid >= ?"  # noqa: S608 - no input
        count, size = self._connection.execute(sql, (first,)).fetchone()
        return int(count), int(size)

    def oldest(self) -> float | None:
        """Return when the first row in line was spooled, in seconds since the epoch; None without rows."""
        head = next(iter(self.heads(0)), None)
        return None if head is None else head[1]

    def ids(self, limit: int, *, at_end: bool) -> dict[bytes, int]:
        """Return ids and places of the first rows in line, or of the last; rows without an id are left out."""
        sql = f"SELECT id, rowid FROM q WHERE id IS NOT NULL ORDER BY rowid {'DESC' if at_end else 'ASC'} LIMIT ?"  # noqa: S608 - no input
        return dict(self._connection.execute(sql, (limit,)).fetchall())

    def delete(self, seqs: Collection[int]) -> None:
        """Take rows out; those not there are no matter."""
        if seqs:
            self._connection.executemany("DELETE FROM q WHERE rowid BETWEEN ? AND ?", _ranges(seqs))

    def delete_older(self, ts: float) -> int:
        """Take out the rows spooled before a time, and overwrite them; return how many there were."""
        self._connection.execute("PRAGMA secure_delete = ON")
        return self._connection.execute("DELETE FROM q WHERE ts < ?", (ts,)).rowcount

    def shrink(self) -> None:
        """Give the space of a file that has been emptied back to the disk, if it is worth the while."""
        if self._number("PRAGMA page_count") >= _VACUUM_PAGES:
            self._connection.execute("VACUUM")
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def salvage(self, limit: int, *, after: int = 0) -> Iterator[list[Row]]:
        """Yield what can still be read of a damaged file, in order, a page at a time; always comes to an end.

        A stretch that cannot be read is jumped over in steps that double, back to one at the first row found.
        """
        step = 1
        while after < _MAX_SEQ:
            start = after
            rows: list[Row] = []
            # One cursor for as long as it goes: a damaged place in line must not lead past rows that can be read.
            with suppress(sqlite3.Error), closing(self._select(after, -1)) as found:
                for columns in found:
                    rows.append(Row(*columns))
                    after = rows[-1].seq
                    if len(rows) == limit:
                        yield rows
                        rows = []
                yield rows
                return
            yield rows
            after, step = (after, 1) if after > start else (start + step, step * 2)


_ABANDONED: list[Any] = []


def _ranges(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """Return the stretches without gaps that a set of numbers consists of, both ends included."""
    ranges: list[tuple[int, int]] = []
    for number in sorted(numbers):
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1] = (ranges[-1][0], number)
        else:
            ranges.append((number, number))
    return ranges
