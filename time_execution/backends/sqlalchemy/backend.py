"""`SQLAlchemyBackend`: a row for each record, in a table that is made where there is none."""

from __future__ import annotations

import contextlib
import os
import threading
import traceback
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from time_execution.argument_check import check_timeouts
from time_execution.backends.base import BaseMetricsBackend
from time_execution.backends.sqlalchemy.meaning import TableChangedError, error_of
from time_execution.backends.sqlalchemy.row import row_of
from time_execution.backends.sqlalchemy.shared import SharedTable
from time_execution.backends.sqlalchemy.source import source_of
from time_execution.backends.sqlalchemy.table import Layout, layout_of, new_table
from time_execution.exceptions import BackendError, BackendRejected, BackendUnavailable, ConfigurationError
from time_execution.extra import extra
from time_execution.forking import hold_forks_up
from time_execution.formats.snapshot import snapshot_metric
from time_execution.types import STORED, Metric, Reject, Result, Results, Stored

with extra("sqlalchemy"):
    import sqlalchemy
    from sqlalchemy.exc import SQLAlchemyError

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Engine

_MOST_AT_ONCE = 500
_LONGEST_NAME = 63
_AGAIN = Stored(duplicate=True)

Rows = list[dict[str, Any]]


class SQLAlchemyBackend(BaseMetricsBackend):
    """Store a row for each record, in any database that SQLAlchemy speaks to.

    The table is made by the first record if there is none, and used as far as its columns go if there is: ``id,
    timestamp`` (UTC), ``level, logger, message, module, function, line, process_id, thread_id, environment,
    exception_type, exception_message, traceback, request_id``, and ``extra``, a JSON text of everything else. What is
    too long for a column is cut. Where ``id`` takes texts, a record that is sent twice is stored once.

    Each batch has a connection and a transaction of its own, also where the engine is the application's; a record that
    the database refuses fails by itself. Blocks until the database has committed, so put the backend behind a
    `ThreadedBackend`, as the log does. Thread-safe (one writes at a time) and fork-safe: a child leaves the connections
    of the pool to its parent.

    Args:
        engine_or_url: A URL such as ``postgresql://user@host/database``, an engine, which stays yours to dispose of,
            or the ``db`` of Flask-SQLAlchemy; no application context is needed.
        table: Its name, with a dot behind a schema.
        app: The application that Flask-SQLAlchemy's ``db`` is for; by default the one of the context in which this is
            called, else the one that was initialised last.
        timeout: The longest wait for a connection, and for what others have locked, in seconds, as far as the driver
            has such bounds.

    Raises:
        ConfigurationError: When an argument is wrong, or the engine can be used by one thread only.
        MissingExtraError: When the driver is not installed.

    Example:
        >>> SQLAlchemyBackend("sqlite:///shop.db")
        SQLAlchemyBackend(database='sqlite:///shop.db', table='error_logs')
    """

    repr_fields: ClassVar[tuple[str, ...]] = ("database", "table")

    def __init__(
        self, engine_or_url: Any, table: str = "error_logs", *, app: Any = None, timeout: float = 10.0
    ) -> None:
        check_timeouts(timeout=timeout)
        self.table = _checked_name(table)
        self._timeout = timeout
        self._source = source_of(engine_or_url, app=app, timeout=timeout)
        self.database = self._source.shown
        self._process = os.getpid()
        self._lock = threading.RLock()
        self._is_busy = False
        self._layout: Layout | None = None
        hold_forks_up(self)

    def write_many(self, metrics: Sequence[Metric]) -> Results:
        """Store a batch in one transaction, or in several where a record is refused.

        Raises:
            BackendError: What is to be done with the records after those that have a result.
        """
        results: list[Result] = []
        with self._exclusively():
            try:
                for result in self._stored(metrics):
                    results.append(result)  # noqa: PERF402 - what came before a failure counts
            except BackendError as exc:
                trouble = exc
            else:
                return results
        return _until(trouble, results)

    def close(self, timeout: float | None = None) -> None:
        """Close the connections of an engine that was made of a URL; idempotent. A later batch opens others.

        Args:
            timeout: The longest wait for another thread that is writing, in seconds; None for as long as it takes.
        """
        if self._lock.acquire(timeout=-1 if timeout is None else max(0.0, timeout)):
            try:
                self._source.close()
            finally:
                self._lock.release()

    def fork_locks(self) -> tuple[threading.RLock, ...]:
        """Return the lock that a fork waits for: with SQLite, whose own locks cannot be replaced in the child."""
        return (self._lock,) if self._source.is_sqlite() else ()

    def after_fork(self) -> None:
        """Leave the parent's connections alone; done by the child's first batch, too."""
        if self._process != os.getpid():
            self._lock = threading.RLock()
            self._is_busy = False
            self._source.after_fork()
            self._process = os.getpid()

    @contextlib.contextmanager
    def _exclusively(self) -> Iterator[None]:
        self.after_fork()
        with self._lock:
            if self._is_busy:
                raise BackendUnavailable("called from within itself")
            self._is_busy = True
            try:
                yield
            except SQLAlchemyError as exc:
                raise error_of(exc, place=self.database) from exc
            finally:
                self._is_busy = False

    def _stored(self, metrics: Sequence[Metric]) -> Iterator[Result]:
        if not metrics:
            return
        # What comes from no queue may hold anything.
        metrics = [metric if metric.id is not None else snapshot_metric(metric)[0] for metric in metrics]
        engine = self._source.engine()
        if self._source.shares_connection():
            shared = SharedTable(engine, self.table, may_connect=self._source.may_connect)
            yield from shared.store([row_of(metric, shared.layout) for metric in metrics])
            return
        layout = self._layout or self._found(engine)
        rows = [row_of(metric, layout) for metric in metrics]
        try:
            yield from self._inserted(engine, layout, rows)
        except TableChangedError:
            self._layout = None
            raise

    def _inserted(self, engine: Engine, layout: Layout, rows: Rows) -> Iterator[Result]:
        """Store rows in a transaction; where one of them is refused, in transactions of halves."""
        try:
            with self._transaction(engine) as connection:
                known = _ids_there(connection, layout, rows)
                new = [row for row in rows if row.get("id") not in known]
                if new:
                    connection.execute(layout.table.insert(), new)
        except BackendRejected as exc:
            refusal = exc
        else:
            yield from (_AGAIN if row.get("id") in known else STORED for row in rows)
            return
        if len(rows) > 1:
            half = len(rows) // 2
            yield from self._inserted(engine, layout, rows[:half])
            yield from self._inserted(engine, layout, rows[half:])
            return
        with self._transaction(engine) as connection:
            # What was sent before may have been committed at this very moment.
            is_there = bool(_ids_there(connection, layout, rows))
        yield _AGAIN if is_there else Reject("refused", str(refusal))

    @contextlib.contextmanager
    def _transaction(self, engine: Engine) -> Iterator[Connection]:
        """Give a connection with a transaction, which is committed at the end of the block.

        Raises:
            BackendError: When that fails, or what is done in the block.
        """
        try:
            with engine.begin() as connection:
                if engine.dialect.name == "postgresql":
                    longest = round(self._timeout * 1000)
                    for setting in ("lock_timeout", "statement_timeout"):
                        connection.execute(sqlalchemy.text(f"SET LOCAL {setting} = {longest:d}"))
                yield connection
        except SQLAlchemyError as exc:
            _let_go(exc)
            raise error_of(exc, place=self.database) from exc

    def _found(self, engine: Engine) -> Layout:
        """Return the table's layout; make the table if there is none."""
        wanted = new_table(self.table)
        try:
            with self._transaction(engine) as connection:
                if not _is_there(connection, wanted):
                    wanted.create(connection)
                    self._layout = layout_of(wanted, dialect=engine.dialect.name)
                    return self._layout
        except BackendError as exc:
            trouble: BackendError | None = exc
        else:
            trouble = None
        with self._transaction(engine) as connection:
            if trouble is not None and not _is_there(connection, wanted):  # else another process was quicker
                raise trouble
            table = sqlalchemy.Table(
                wanted.name, sqlalchemy.MetaData(), schema=wanted.schema, autoload_with=connection, resolve_fks=False
            )
        self._layout = layout_of(table, dialect=engine.dialect.name)
        return self._layout


def _is_there(connection: Connection, table: sqlalchemy.Table) -> bool:
    return bool(sqlalchemy.inspect(connection).has_table(table.name, schema=table.schema))


def _ids_there(connection: Connection, layout: Layout, rows: Rows) -> set[str]:
    """Return the ids of rows that the table has already, from an attempt whose end was not seen."""
    found: set[str] = set()
    if layout.has_ids:
        column = layout.table.columns["id"]
        for first in range(0, len(rows), _MOST_AT_ONCE):
            ids = [row["id"] for row in rows[first : first + _MOST_AT_ONCE]]
            found.update(connection.scalars(sqlalchemy.select(column).where(column.in_(ids))))
    return found


def _checked_name(table: Any) -> str:
    parts = table.split(".") if isinstance(table, str) else []
    if not 1 <= len(parts) <= 2 or not all(part and part.isprintable() for part in parts):  # noqa: PLR2004 - see below
        raise ConfigurationError("table must be the name of a table, with or without a schema and a dot before it")
    if any(len(part) > _LONGEST_NAME for part in parts):
        raise ConfigurationError(f"table must be a name of at most {_LONGEST_NAME} characters")
    return str(table)


def _let_go(exc: SQLAlchemyError) -> None:
    """Take from the driver's frames what they hold: psycopg's have a connection that was never made, and each other."""
    traceback.clear_frames(getattr(getattr(exc, "orig", None), "__traceback__", None))


def _until(trouble: BackendError, results: list[Result]) -> Iterator[Result]:
    """Yield results, and raise for the records after them."""
    yield from results
    raise trouble
