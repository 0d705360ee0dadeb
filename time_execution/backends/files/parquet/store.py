"""A Parquet file with the journal beside it: appending to one, merging it into the other, each safe from kills.

What is appended stands in ``<path>.journal``. To merge, that is renamed to ``<path>.merging``, and others go on with a
new one; its rows are written with those of the old file to ``<path>.partial``, which then takes the file's place and
names the journal whose rows it has. Whoever is killed amid this leaves what the next one finishes.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from time_execution.backends.files.parquet.inside import inside
from time_execution.backends.files.parquet.journal import JOURNAL, MERGING, Journal, line_of, read_cells
from time_execution.backends.files.parquet.table import JournalRows, NotParquetError, Table, schema_of, write
from time_execution.exceptions import BackendRejected
from time_execution.file_path import move_aside, to_file

if TYPE_CHECKING:
    from time_execution.backends.files.parquet.columns import Cells

_PARTIAL = ".partial"
_READ = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)


class Store:
    """The files of one table. Holds nothing open between calls; thread-safe, fork-safe, and safe among processes.

    Args:
        path: Of the Parquet file.
        kinds: Its columns: names to names of types.
        on_move: Rather move a file that is no Parquet, or has other columns, aside, and call this with the new path;
            see `AppendFile`.

    Attributes:
        path: Absolute.
        damaged: How many lines of journals could not be read.

    Raises:
        ConfigurationError: When no file can ever be written at the path.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        kinds: Mapping[str, str],
        *,
        on_move: Callable[[Path], object] | None = None,
    ) -> None:
        self.path = to_file(path)
        self.damaged = 0
        self._width = len(kinds)
        self._schema = schema_of(kinds)
        self._journal = Journal(self._beside(JOURNAL), kinds)
        self._merging = Journal(self._beside(MERGING), kinds)
        self._known: tuple[int, int] | None = None
        self._on_move = on_move
        self._has_moved = False
        inside.watch()

    def append(self, parts: Sequence[Cells]) -> None:
        """Append rows to the journal, all of them or none.

        Raises:
            BackendRejected: When what is at the path is not a Parquet file of these columns.
            OSError: When the disk does not take them; `ForeignFileError` when the journal is none of these columns.
        """
        self._check_file()
        self._journal.append(b"".join(map(line_of, parts)))

    def sizes(self) -> tuple[int, int]:
        """Return the bytes of the journal and of the Parquet file."""
        return _size_of(self._journal.path), _size_of(self.path)

    def merge(self, timeout: float) -> None:
        """Put all that was appended before into the Parquet file.

        Args:
            timeout: The longest wait for others who merge, in seconds.

        Raises:
            BackendRejected: When what is at the path is not a Parquet file of these columns.
            OSError: When the disk does not take it; `TimeoutError` when somebody else merges for too long.
        """
        deadline = time.monotonic() + timeout
        # What somebody left who was killed, or merges right now, comes first.
        self._finish(timeout)
        with self._journal.held() as file:
            if file < 0:
                return
            # Another one may have been quicker; then its rows are those that were meant.
            if not os.path.lexists(self._merging.path):
                self._journal.path.rename(self._merging.path)
        self._finish(max(0.0, deadline - time.monotonic()))

    def _finish(self, timeout: float) -> None:
        """Merge the journal that was renamed, if there is one."""
        with self._merging.held(timeout=timeout) as descriptor:
            if descriptor < 0:
                return
            os.lseek(descriptor, 0, os.SEEK_SET)
            with os.fdopen(descriptor, "rb", closefd=False) as journal:
                found = self._merging.id_of(journal)
                if found is not None:
                    self._put_into_file(journal, found)
            self._merging.path.unlink()

    def _put_into_file(self, journal: BinaryIO, id_: str) -> None:
        """Write the file anew with the rows of a journal, unless it has them."""
        partial = self._beside(_PARTIAL)
        try:
            with self._table() as old:
                if old is not None and old.merged == id_:
                    return
                with suppress(FileNotFoundError):
                    partial.unlink()
                with os.fdopen(os.open(partial, _NEW, 0o600), "wb") as new:
                    if old is not None:  # whom its owner lets read it may still
                        partial.chmod(stat.S_IMODE(self.path.stat().st_mode))
                    write(new, self._schema, self._batches(old, journal), merged=id_)
                    new.flush()
                    os.fsync(new.fileno())
            partial.replace(self.path)
        except BaseException:
            with suppress(OSError):
                partial.unlink()
            raise

    def _batches(self, old: Table | None, journal: BinaryIO) -> Iterator[Any]:
        if old is not None:
            yield from old.batches()
        rows = JournalRows(self._schema)
        end = os.fstat(journal.fileno()).st_size
        yield from rows.batches(read_cells(journal, self._width, end=end))
        self.damaged += rows.damaged

    def _check_file(self) -> None:
        """Make sure that merging will be possible; once for each file that is found at the path."""
        try:
            found = os.stat(self.path, follow_symlinks=False)  # noqa: PTH116 - on the way of every batch
        except FileNotFoundError:
            return
        identity = found.st_ino, found.st_mtime_ns
        if identity != self._known and not inside.is_lost:
            try:
                with self._table():
                    self._known = identity
            except BackendRejected:
                if self._on_move is None or self._has_moved:
                    raise
                self._move_aside(self._on_move)

    def _move_aside(self, on_move: Callable[[Path], object]) -> None:
        """Make room at the path for a file of ours, unless somebody else just did."""
        with self._journal.held(create=True):
            try:
                with self._table():
                    return
            except BackendRejected:
                aside = move_aside(self.path)
            self._has_moved = True
        on_move(aside)

    @contextmanager
    def _table(self) -> Iterator[Table | None]:
        """Open the Parquet file; yields None when there is none."""
        with ExitStack() as stack:
            file = opened(self.path, stack)
            if file is None:
                yield None
                return
            try:
                table = Table(file)
                if not table.has(self._schema):
                    raise BackendRejected(f"{self.path} is not written to: it is a Parquet file of other columns")
                yield table
            except NotParquetError as exc:
                raise BackendRejected(f"{self.path} is not written to: it is no Parquet file, or damaged") from exc

    def _beside(self, suffix: str) -> Path:
        return self.path.with_name(self.path.name + suffix)


def opened(path: Path, stack: ExitStack) -> BinaryIO | None:
    """Open a file for reading until the stack ends; None when there is none.

    Raises:
        OSError: When it cannot be read, or a symbolic link is in its place.
    """
    try:
        descriptor = os.open(path, _READ)
    except FileNotFoundError:
        return None
    file = stack.enter_context(os.fdopen(descriptor, "rb"))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    return file


def _size_of(path: Path) -> int:
    try:
        return os.stat(path).st_size  # noqa: PTH116 - on the way of every batch
    except OSError:
        return 0
