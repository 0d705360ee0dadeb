"""Reading a table as it is at one moment: the Parquet file with the rows that are still in journals beside it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from time_execution.backends.files.parquet.inside import inside
from time_execution.backends.files.parquet.journal import (
    JOURNAL,
    MERGING,
    NotJournalError,
    read_cells,
    read_header,
)
from time_execution.backends.files.parquet.store import opened
from time_execution.backends.files.parquet.table import JournalRows, NotParquetError, Table, rows_of, schema_of
from time_execution.exceptions import DatabaseError, DatabaseMissingError, NotADatabaseError

# Somebody may merge while the files are opened, but not so often.
_ATTEMPTS = 100


@contextmanager
def open_rows(path: str | os.PathLike[str]) -> Iterator[Iterator[dict[str, Any]]]:
    """Open a table for reading, whoever is writing to it; yields an iterator over its rows, oldest first.

    The rows are those that were stored when it was opened, each once: those of the Parquet file, then those that are
    still in its journal. A row is a dict of all columns, in order: text, float, int, bool, aware datetime in UTC, or
    None. Any Parquet file can be read; a value that Python has no room for, such as a moment in the year 20 000, is
    None. Takes no lock and changes nothing; a few thousand rows are in memory at a time.
    Thread-safe: each call reads for itself.

    Args:
        path: Of the Parquet file.

    Raises:
        DatabaseMissingError: When there is neither a file nor a journal.
        NotADatabaseError: When one of them is something else; also amid the rows, when it is damaged.
        DatabaseError: When one cannot be read.

    Example:
        >>> from time_execution.backends.files import ParquetBackend
        >>> path = getfixture("tmp_path") / "metrics.parquet"
        >>> ParquetBackend(path, {"name": str, "value": float}).write("cpu.load", value=0.25)
        >>> with open_rows(path) as rows:
        ...     print(*rows)
        {'name': 'cpu.load', 'value': 0.25}
    """
    inside.watch()
    with ExitStack() as stack:
        with _telling(path):
            files = _open_together(Path(path), stack)
        if not any(files):
            raise DatabaseMissingError(f"there is no table at {os.fspath(path)!r}: no such file")
        yield _rows(path, *files)


def _rows(
    path: str | os.PathLike[str], file: BinaryIO | None, merging: BinaryIO | None, journal: BinaryIO | None
) -> Iterator[dict[str, Any]]:
    with _telling(path):
        merged = None
        if file is not None:
            table = Table(file)
            merged = table.merged
            for batch in table.batches():
                yield from rows_of(batch)
        for each in (merging, journal):
            if each is not None:
                yield from _journal_rows(each, merged)


def _journal_rows(journal: BinaryIO, merged: str | None) -> Iterator[dict[str, Any]]:
    """Yield the rows of a journal, unless the Parquet file has them."""
    end = os.fstat(journal.fileno()).st_size
    header = read_header(journal)
    if header is None or header.id == merged:
        return
    lines = read_cells(journal, len(header.kinds), end=end)
    for batch in JournalRows(schema_of(header.kinds)).batches(lines):
        yield from rows_of(batch)


def _open_together(path: Path, stack: ExitStack) -> list[BinaryIO | None]:
    """Open what there is of the three files, so that together they have every row.

    Rows go from the journal to the one that is merged to the Parquet file, and each of these steps renames one file.
    So they are opened against that direction, and looked at in that direction whether they are still where they were.
    """
    paths = [path, Path(f"{path}{MERGING}"), Path(f"{path}{JOURNAL}")]
    for _ in range(_ATTEMPTS):
        with ExitStack() as attempt:
            files = [opened(each, attempt) for each in paths]
            if all(map(_is_at, reversed(paths), reversed(files))):
                stack.push(attempt.pop_all())
                return files
    raise DatabaseError(f"{os.fspath(path)!r} is merged again and again while it is opened")


def _is_at(path: Path, file: BinaryIO | None) -> bool:
    try:
        found = path.stat(follow_symlinks=False)
    except FileNotFoundError:
        return file is None
    return file is not None and os.path.samestat(found, os.fstat(file.fileno()))


@contextmanager
def _telling(path: str | os.PathLike[str]) -> Iterator[None]:
    try:
        yield
    except (NotParquetError, NotJournalError) as exc:
        raise NotADatabaseError(f"{os.fspath(path)!r} is no Parquet file, or damaged") from exc
    except OSError as exc:
        raise DatabaseError(f"{os.fspath(path)!r} cannot be read: {exc.strerror or type(exc).__name__}") from exc
