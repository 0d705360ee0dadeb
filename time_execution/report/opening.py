"""Opening what can be reported, whatever kind of file it is: as a metrics database, made for the while if need be."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from time_execution.exceptions import DatabaseError, DatabaseMissingError, NotADatabaseError
from time_execution.report._csv_file import records as csv_records
from time_execution.report._json_lines import records as json_records
from time_execution.report._loading import Store
from time_execution.report._parquet_file import records as parquet_records
from time_execution.report._record import metric_of
from time_execution.report._source import Source, sources
from time_execution.report._timing import Timing, plain_timing
from time_execution.report.database import read, tail
from time_execution.types import HOSTNAME, NAME, TIMESTAMP, VALUE, Metric

_PAGE = 5_000
_NO_COPY = "the files cannot be copied into a temporary database (TMPDIR may name another folder for it)"


@dataclass(frozen=True, slots=True)
class Opened:
    """What was opened.

    Attributes:
        database: The metrics database to hand to `read` and the other functions.
        is_copy: Whether it was made of other files, and goes when the block ends.
        skipped: File -> lines or rows of it that tell of no metric.
        cut: Compressed files that end early or are damaged: what they hold behind that place is not in the report.
        rolled_up: Database -> metrics that are kept in its rollups only, and were left out where it is one of several.
    """

    database: str
    is_copy: bool = False
    skipped: dict[str, int] = field(default_factory=dict)
    rolled_up: dict[str, int] = field(default_factory=dict)
    cut: tuple[str, ...] = ()


@contextmanager
def opened(
    *paths: str | os.PathLike[str],
    backups: bool = True,
    value_field: str = VALUE,
    progress: Callable[[int], Any] | None = None,
) -> Iterator[Opened]:
    """Open files as one metrics database, for as long as the block lasts.

    A single database of `SQLiteBackend` is used as it is. Anything else is copied into a temporary database, which
    takes some ten microseconds for each metric, and as much room in the system's folder for temporary files as the
    files have: JSON lines and CSV of our backends, of `Timer` and of `ErrorCatcher`, also compressed by gzip, and
    Parquet. What a file is, is told by its content. Numbers of files that are not `Timer`'s count as durations when
    their metric has a host, as all that is measured has, else as numbers written by hand.

    Blocks while it reads. Takes memory for one batch, and for what the functions of this package return. Thread-safe;
    the temporary database is removed when the block ends, however it does.

    Args:
        paths: The files; at least one.
        backups: Read ``<path>.1``, ``<path>.2.gz`` and so on, too, if they are there.
        value_field: The field whose number is the value, if `settings.duration_field` renames it.
        progress: Told how many metrics were copied, now and then.

    Raises:
        ValueError: When there is no path.
        DatabaseMissingError: When there is no file, or all are empty.
        NotADatabaseError: When a file is nothing that is known here.
        DatabaseError: When one cannot be read, or there is no room for the copy.
        MissingExtraError: When a file is Parquet, and pyarrow is not installed.

    Example:
        >>> path = getfixture("tmp_path") / "metrics.jsonl"
        >>> _ = path.write_text('{"name":"shop.save","value":2.5,"hostname":"a","timestamp":"2024-05-01T12:00:00Z"}')
        >>> with opened(path) as found:
        ...     print([(row.name, row.total) for row in read(found.database)])
        [('shop.save', 2.5)]
    """
    if not paths:
        raise ValueError("there must be a path at least")
    with ExitStack() as stack:
        names = [os.fspath(path) for path in paths]
        found = sources(names, stack, backups=backups, value_field=value_field)
        if len(found) == 1 and found[0].kind == "sqlite":
            yield Opened(found[0].path)
            return
        if all(source.kind == "empty" for source in found):
            raise DatabaseMissingError(f"there is no metric in {found[-1].path!r} yet: the file is empty")
        try:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="time-execution-"))
            database = Path(folder, "metrics.db")
            copied, rolled_up = _load(database, found, value_field=value_field, progress=progress or _ignore)
        except DatabaseError:
            raise
        except (sqlite3.Error, OSError) as exc:
            raise DatabaseError(f"{_NO_COPY}: {exc}") from exc
        _check_any(found, copied)
        skipped = {source.path: source.tally.skipped for source in found if source.tally.skipped}
        cut = tuple(source.path for source in found if source.tally.is_cut)
        yield Opened(str(database), is_copy=True, skipped=skipped, rolled_up=rolled_up, cut=cut)


def _load(
    database: Path, found: Sequence[Source], *, value_field: str, progress: Callable[[int], Any]
) -> tuple[int, dict[str, int]]:
    """Copy what the files hold; returns how many metrics, and how many each database has in its rollups only."""
    rolled_up: dict[str, int] = {}
    copied = 0
    with closing(Store(database, value_field=value_field)) as store:
        # What was caught is joined with the timings that come after it.
        for source in sorted(found, key=lambda each: not each.has_failures):
            before = copied
            for number in store.add(_metrics(source, value_field=value_field)):
                copied += number
                progress(copied)
            if source.kind == "sqlite":
                missing = sum(row.calls for row in read(source.path)) - (copied - before)
                rolled_up |= {source.path: missing} if missing > 0 else {}
        store.finish()
    return copied, rolled_up


def _check_any(found: Sequence[Source], copied: int) -> None:
    """Refuse what was read when there was no metric in all of it.

    Raises:
        NotADatabaseError: When that is so, and there was something else.
    """
    skipped = sum(source.tally.skipped for source in found)
    cut = [source.path for source in found if source.tally.is_cut]
    if cut and not copied:
        names = ", ".join(map(repr, cut))
        raise NotADatabaseError(f"there is no metric in what can be read of {names}: the file is cut off or damaged")
    if skipped and not copied:
        names = ", ".join(repr(source.path) for source in found if source.tally.skipped)
        what = "1 line is" if skipped == 1 else f"{skipped:,} lines are"
        raise NotADatabaseError(f"there is no metric in {names}: {what} something else")


def _metrics(source: Source, *, value_field: str) -> Iterator[Metric | Timing]:
    """Give the metrics of a file; what else is in it is counted."""
    if source.kind == "sqlite":
        yield from _stored(source.path)
        return
    for record in _records(source, value_field=value_field):
        if isinstance(record, tuple):
            yield record
            continue
        # Who names no moment was written by then.
        found = plain_timing(record) or metric_of(record, otherwise=source.changed, value_field=value_field)
        if found is None:
            source.tally.skipped += 1
        else:
            yield found


def _records(source: Source, *, value_field: str) -> Iterable[dict[str, Any] | Timing]:
    if source.kind == "parquet":
        return parquet_records(source.path, source.tally)
    if source.stream is None:
        return ()
    if source.kind == "csv":
        return csv_records(source.stream, source.tally, value_field=value_field)
    return json_records(source.stream, source.tally)


def _stored(path: str) -> Iterator[Metric]:
    """Give the metrics that a database keeps singly."""
    after = 0
    while page := tail(path, after=after, limit=_PAGE):
        for call in page:
            core = {NAME: call.family, VALUE: call.value, TIMESTAMP: call.timestamp}
            host = {} if call.hostname is None else {HOSTNAME: call.hostname}
            yield Metric({**core, **host, **call.fields}, kind=call.kind, unit=call.unit, labels=tuple(call.labels))
        after = page[-1].id


def _ignore(copied: int) -> None:
    """Tell nobody."""
