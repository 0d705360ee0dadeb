"""Writing to a database that all threads have one connection to, such as an SQLite one in memory.

A transaction of the application may be open on it at any moment: it is neither ended nor rolled back from here. So each
row is one statement, which commits by itself where no transaction is open, and otherwise is the transaction's; then it
is written again until it is seen to stay.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from time_execution.backends.sqlalchemy.table import Layout, layout_of, new_table
from time_execution.exceptions import BackendDenied, BackendUnavailable
from time_execution.extra import extra
from time_execution.types import STORED, Result, Retry

with extra("sqlalchemy"):
    from sqlalchemy.schema import CreateIndex, CreateTable

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

_BUSY = Retry("the application is in a transaction", after=0.1)


class SharedTable:
    """A table behind a connection that is the application's. For SQLite; not for several threads by itself.

    Args:
        engine: Its pool is a ``StaticPool``.
        name: The table's.
        may_connect: Whether a connection that is made here can be used by other threads, too.
    """

    def __init__(self, engine: Engine, name: str, *, may_connect: bool) -> None:
        self._engine = engine
        self._may_connect = may_connect
        self._table = new_table(name)
        self.layout: Layout = layout_of(self._table, dialect="sqlite")

    def store(self, rows: Sequence[Mapping[str, Any]]) -> Iterator[Result]:
        """Write rows, and yield a result for each.

        Raises:
            BackendDenied: When there is a table of another shape, or the connection is for one thread only.
            BackendUnavailable: When there is no connection as yet, or somebody has locked the database.
        """
        try:
            yield from self._stored(self._connection(), rows)
        except sqlite3.ProgrammingError as exc:
            raise BackendDenied("the connection is for one thread only: set check_same_thread to False") from exc
        except sqlite3.Error as exc:
            raise BackendUnavailable(f"the shared connection failed: {type(exc).__name__}") from exc

    def _stored(self, connection: Any, rows: Sequence[Mapping[str, Any]]) -> Iterator[Result]:
        self._create(connection)
        quote = self._engine.dialect.identifier_preparer.quote
        table = self._engine.dialect.identifier_preparer.format_table(self._table)
        columns = list(self.layout.fits)
        shown = ", ".join(map(quote, columns))
        # What begins with INSERT would begin a transaction.
        insert = (
            f"WITH one({shown}) AS (VALUES ({', '.join('?' * len(columns))})) "  # noqa: S608 - names are quoted
            f"INSERT OR IGNORE INTO {table} ({shown}) SELECT * FROM one"
        )
        look = f"SELECT 1 FROM {table} WHERE id = ?"  # noqa: S608 - as above
        for row in rows:
            values = [row[column] for column in columns]
            values[columns.index("timestamp")] = _text_of(row["timestamp"])
            connection.execute(insert, values).close()
            is_there = not connection.in_transaction and connection.execute(look, (row["id"],)).fetchall()
            yield STORED if is_there else _BUSY

    def _connection(self) -> Any:
        """Return the driver's connection, which is not taken from the pool: giving it back would roll back."""
        pool = self._engine.pool
        record: Any = getattr(pool, "connection", None) if self._may_connect else vars(pool).get("connection")
        if record is None or record.dbapi_connection is None:
            raise BackendUnavailable("the database in memory has no connection as yet")
        return record.dbapi_connection

    def _create(self, connection: Any) -> None:
        """Make the table if there is none; see that it is as it is made here."""
        name = self._table.name
        look = f"PRAGMA table_info({self._engine.dialect.identifier_preparer.quote(name)})"
        found = {row[1]: str(row[2]).upper() for row in connection.execute(look).fetchall()}
        is_ours = found.get("id", "").startswith("VARCHAR") and set(self.layout.fits) <= set(found)
        if found and not is_ours:
            raise BackendDenied(f"table {name} is of another shape; choose another table, or a database in a file")
        made = [CreateTable(self._table, if_not_exists=True)]
        made += [CreateIndex(index, if_not_exists=True) for index in self._table.indexes]  # type: ignore[misc]
        for statement in made:
            connection.execute(str(statement.compile(dialect=self._engine.dialect))).close()


def _text_of(moment: Any) -> str:
    """Return a moment as SQLAlchemy stores it in SQLite."""
    return str(moment.replace(tzinfo=None).isoformat(" ", timespec="microseconds"))
