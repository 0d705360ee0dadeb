"""The journal of a Parquet file: rows on their way to it, safe from the death of the process. Needs no pyarrow.

Its first line tells its columns and its id; each other one holds the cells of some rows, column by column. A line is
whole or does not count, for only then has its writer been told that the rows are stored. The id stays when the journal
is renamed, so that a Parquet file can say whose rows it has.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from time_execution.append_file import AppendFile, ForeignFileError
from time_execution.backends.files.parquet.columns import KINDS, Cells

JOURNAL = ".journal"
"""What rows are appended to, beside the Parquet file."""
MERGING = ".merging"
"""What a journal is called from when its rows are to be merged until they are."""

_START = b'{"columns":{"'
_ID_DIGITS = 32
_ENDING = b'"}\n'
_LONGEST_HEADER = 1 << 20


class NotJournalError(ValueError):
    """A file is no journal."""


class Header(NamedTuple):
    """The first line of a journal.

    Attributes:
        kinds: The columns: names to names of types.
        id: Of this journal alone.
    """

    kinds: dict[str, str]
    id: str


class Journal(AppendFile):
    """A journal with the given columns; one with others is not written to.

    Args:
        path: Of the journal.
        kinds: Its columns.
    """

    def __init__(self, path: Path, kinds: Mapping[str, str]) -> None:
        self._kinds = kinds
        self._start = json.dumps({"columns": kinds, "journal": ""}, separators=(",", ":")).encode()[:-2]
        super().__init__(path, header=self._start + b"0" * _ID_DIGITS + _ENDING)

    def id_of(self, file: BinaryIO) -> str | None:
        """Return the id of an opened journal; None when it holds no more than a part of its first line.

        Raises:
            ForeignFileError: When it has other columns, or is no journal.
        """
        try:
            header = read_header(file)
        except NotJournalError:
            header = Header({}, "")
        if header is None:
            return None
        if list(header.kinds.items()) != list(self._kinds.items()):
            raise ForeignFileError(errno.EINVAL, "it is no journal of these columns", str(self.path))
        return header.id

    def _header_after(self, begins: bytes) -> bytes:
        """Return the header with the id that is there, or what there is of it and the rest of a new one."""
        there = begins[len(self._start) :][:_ID_DIGITS]
        new = os.urandom(_ID_DIGITS // 2).hex().encode()
        return self._start + there + new[len(there) :] + _ENDING


def read_header(file: BinaryIO) -> Header | None:
    """Read the first line of a journal; None when there is no more than a part of it, so that no row is stored.

    Raises:
        NotJournalError: When it is none.
    """
    line = file.readline(_LONGEST_HEADER)
    if len(line) < _LONGEST_HEADER and not line.endswith(b"\n") and _START.startswith(line[: len(_START)]):
        return None
    try:
        header = json.loads(line)
    except (ValueError, RecursionError) as exc:
        raise NotJournalError from exc
    match header:
        case {"columns": dict(kinds), "journal": str(found)} if len(found) == _ID_DIGITS and kinds:
            if all(type(kind) is str and kind in KINDS for kind in kinds.values()):
                return Header(kinds, found)
    raise NotJournalError


def line_of(cells: Cells) -> bytes:
    """Return the line that holds the cells of some rows."""
    return json.dumps(cells, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def read_cells(file: BinaryIO, width: int, *, end: int) -> Iterator[Cells | None]:
    """Yield what each line holds, from where the file stands on; None for one that is torn or damaged.

    Args:
        file: The journal.
        width: The number of its columns.
        end: How many bytes of the file to look at; a line that goes on beyond is still being written.
    """
    place = file.tell()
    for line in file:
        place += len(line)
        if place > end or not line.endswith(b"\n"):
            return
        yield _cells_in(line, width)


def _cells_in(line: bytes, width: int) -> Cells | None:
    try:
        cells: Any = json.loads(line)
    except (ValueError, RecursionError):
        return None
    is_whole = type(cells) is list and len(cells) == width and all(type(column) is list for column in cells)
    return cells if is_whole and len({len(column) for column in cells}) == 1 else None
