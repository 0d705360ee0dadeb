"""What stands in a table of records."""

from __future__ import annotations

import json

import sqlalchemy
from sqlalchemy.pool import NullPool


def rows_of(url, table="error_logs", *, order="id"):
    """Return all rows of a table as dicts, and none where there is no table."""
    engine = sqlalchemy.create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:
        if not sqlalchemy.inspect(connection).has_table(table):
            return []
        found = connection.execute(sqlalchemy.text(f'SELECT * FROM "{table}" ORDER BY "{order}"')).mappings()
        return [dict(row) for row in found]


def execute(url, *statements):
    """Run statements in one transaction."""
    engine = sqlalchemy.create_engine(url, poolclass=NullPool)
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(sqlalchemy.text(statement))


def fields_of(row):
    """Return the fields of a metric that is stored as a row."""
    return json.loads(row["extra"] or "{}") | {"timestamp": row["timestamp"]}
