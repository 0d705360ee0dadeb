"""The Parquet file itself: told apart from others, read, and written anew with the rows of a journal.

The one module that imports pyarrow. It uses none of its threads, which a forked child would lack, and is inside of it
for a moment at a time, so that a fork need not wait for long.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO

from time_execution.backends.files.parquet.inside import inside
from time_execution.extra import extra
from time_execution.formats.timestamp import to_datetime

if TYPE_CHECKING:
    from datetime import datetime

    from time_execution.backends.files.parquet.columns import Cells

with extra("parquet"):
    import pyarrow as pa
    from pyarrow import parquet

    # With the first array, pyarrow imports pandas where there is one; at the end of the process, pandas refuses that.
    pa.array([])

_MERGED = b"time_execution.journal"
# So many rows at most, or about so many bytes, are in memory at once, and in a row group.
_GROUP_ROWS = 64 * 1024
_GROUP_BYTES = 64 * 1024 * 1024
_BATCH_ROWS = 4096
_COMPRESSION = "zstd"
_TYPES: Mapping[str, Any] = {
    "str": pa.string(),
    "int": pa.int64(),
    "float": pa.float64(),
    "bool": pa.bool_(),
    "datetime": pa.timestamp("us", "UTC"),
}
# What cells that were not written by this package may raise.
_BAD_CELLS = (pa.ArrowException, TypeError, ValueError, OverflowError)
_NANOSECONDS: Mapping[str, int] = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1000, "ns": 1}
# What values raise that Parquet can hold and Python's own types cannot, such as a date in the year 20 000.
_BEYOND_PYTHON = (OverflowError, ValueError)


class NotParquetError(ValueError):
    """A file is no Parquet, or a damaged one."""


def schema_of(kinds: Mapping[str, str]) -> Any:
    """Return the schema of some columns."""
    return pa.schema([pa.field(name, _TYPES[kind]) for name, kind in kinds.items()])


class Table:
    """An opened Parquet file.

    Args:
        file: The file, which stays the caller's to close.

    Attributes:
        merged: The id of the journal whose rows came last; None when there is none.

    Raises:
        NotParquetError: When it is none.
    """

    def __init__(self, file: BinaryIO) -> None:
        with _telling_damage(), inside.entered():
            self._file = parquet.ParquetFile(file)
            self._schema = self._file.schema_arrow
        found = (self._schema.metadata or {}).get(_MERGED)
        self.merged: str | None = found.decode("ascii", "replace") if found is not None else None

    def has(self, schema: Any) -> bool:
        """Whether it has just these columns."""
        return bool(self._schema.equals(schema, check_metadata=False))

    def batches(self) -> Iterator[Any]:
        """Yield its rows, a few thousand at a time.

        Raises:
            NotParquetError: When they are damaged.
        """
        found = self._file.iter_batches(_BATCH_ROWS, use_threads=False)
        while True:
            with _telling_damage(), inside.entered():
                batch = next(found, None)
            if batch is None:
                return
            yield batch


def write(file: BinaryIO, schema: Any, batches: Iterable[Any], *, merged: str) -> None:
    """Write a whole Parquet file, gathering batches to row groups.

    Args:
        file: An empty one.
        schema: Of its columns.
        batches: What is to be in it.
        merged: The id of the journal whose rows are among them.
    """
    schema = schema.with_metadata({_MERGED: merged})
    with inside.entered():
        writer = parquet.ParquetWriter(file, schema, compression=_COMPRESSION)
    try:
        for group in _groups(batches):
            with inside.entered():
                # What was read has marks of its own in its schema.
                same = [pa.RecordBatch.from_arrays(batch.columns, schema=schema) for batch in group]
                writer.write_table(pa.Table.from_batches(same))
    finally:
        with inside.entered():
            writer.close()


def _groups(batches: Iterable[Any]) -> Iterator[list[Any]]:
    group: list[Any] = []
    rows = size = 0
    for batch in batches:
        if group and (rows + batch.num_rows > _GROUP_ROWS or size + batch.nbytes > _GROUP_BYTES):
            yield group
            group, rows, size = [], 0, 0
        group.append(batch)
        rows += batch.num_rows
        size += batch.nbytes
    if group:
        yield group


@contextmanager
def _telling_damage() -> Iterator[None]:
    try:
        yield
    except MemoryError:  # one of pyarrow's own, too, says nothing of the file
        raise
    except pa.ArrowException as exc:
        raise NotParquetError from exc
    except OSError as exc:
        if exc.errno is not None:  # the disk's own word
            raise
        raise NotParquetError from exc


class JournalRows:
    """Makes batches of what stands in a journal.

    Args:
        schema: Of its columns.

    Attributes:
        damaged: How many lines could not be read.
    """

    def __init__(self, schema: Any) -> None:
        self._schema = schema
        self.damaged = 0

    def batches(self, lines: Iterable[Cells | None]) -> Iterator[Any]:
        """Yield the rows of lines, a few thousand at a time."""
        waiting: list[Cells] = []
        rows = 0
        for cells in lines:
            if cells is None:
                self.damaged += 1
                continue
            waiting.append(cells)
            rows += len(cells[0])
            if rows >= _BATCH_ROWS:
                yield from self._batches_of(waiting)
                waiting, rows = [], 0
        if waiting:
            yield from self._batches_of(waiting)

    def _batches_of(self, lines: list[Cells]) -> Iterator[Any]:
        columns = [[cell for cells in column for cell in cells] for column in zip(*lines, strict=True)]
        try:
            with inside.entered():
                batch = self._batch(columns)
        except _BAD_CELLS:
            if len(lines) == 1:
                self.damaged += 1
                return
            for cells in lines:
                yield from self._batches_of([cells])
            return
        yield batch

    def _batch(self, columns: Cells) -> Any:
        arrays = [pa.array(cells, field.type) for cells, field in zip(columns, self._schema, strict=True)]
        return pa.RecordBatch.from_arrays(arrays, schema=self._schema)


def rows_of(batch: Any) -> Iterator[dict[str, Any]]:
    """Yield the rows of a batch as dicts; moments are aware datetimes in UTC, and None where Python has none."""
    with inside.entered():
        columns = [_values(column) for column in batch.columns]
    for row in zip(*columns, strict=True):
        yield dict(zip(batch.schema.names, row, strict=True))


def _values(column: Any) -> list[Any]:
    """Return the values of a column; pyarrow's own datetimes need a data base of time zones."""
    if pa.types.is_timestamp(column.type):
        unit = _NANOSECONDS[column.type.unit]
        return [None if count is None else _moment(count * unit) for count in column.cast(pa.int64()).to_pylist()]
    try:
        found: list[Any] = column.to_pylist()
    except _BEYOND_PYTHON:
        found = [_value(cell) for cell in column]
    return found


def _moment(nanoseconds: int) -> datetime | None:
    try:
        return to_datetime(nanoseconds)
    except OverflowError:
        return None


def _value(cell: Any) -> Any:
    try:
        return cell.as_py()
    except _BEYOND_PYTHON:
        return None
