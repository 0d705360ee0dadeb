"""Tables of a real PostgreSQL for tests of `SQLAlchemyBackend`."""

from __future__ import annotations

import json

import psycopg

from tests.services.conftest import PORTS

USER, PASSWORD, DATABASE = "timeexecution", "secret-of-postgresql", "timeexecution"


def url_of(*, user=USER, password=PASSWORD, port=None, database=DATABASE):
    """Return the URL of the server, or of another one in front of it."""
    return f"postgresql+psycopg://{user}:{password}@127.0.0.1:{port or PORTS['postgresql']}/{database}"


def connect():
    """Return a connection on which each statement is a transaction."""
    return psycopg.connect(
        host="127.0.0.1", port=PORTS["postgresql"], user=USER, password=PASSWORD, dbname=DATABASE, autocommit=True
    )


class Tables:
    """The tables whose names begin with a prefix that no other test has."""

    def __init__(self, prefix):
        self.name = f"{prefix}_logs"
        self.connection = connect()

    def execute(self, statement, *parameters):
        """Run a statement, in which ``{}`` stands for the table; return its rows as dicts, if it has any."""
        cursor = self.connection.execute(statement.format(f'"{self.name}"').encode(), parameters or None)
        if cursor.description is None:
            return []
        names = [column.name for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def rows(self):
        """Return all rows in the order of their ids."""
        return self.execute("SELECT * FROM {} ORDER BY id")

    def numbers(self):
        """Return the numbers of what a `tests.services.brokers.Stream` has written, in order."""
        return sorted(json.loads(row["extra"])["number"] for row in self.execute("SELECT extra FROM {}"))

    def reconnect(self):
        """Connect anew, to a server that was away."""
        self.connection.close()
        self.connection = connect()

    def drop(self):
        """Remove the table, and who is in its way."""
        self.connection.close()
        with connect() as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_locks JOIN pg_class ON oid = relation "
                "WHERE relname = %s AND pid <> pg_backend_pid()",
                (self.name,),
            )
            connection.execute(f'DROP TABLE IF EXISTS "{self.name}"'.encode())
