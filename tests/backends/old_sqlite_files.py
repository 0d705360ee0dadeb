"""Databases as earlier releases of `SQLiteBackend` made them, with two metrics."""

from __future__ import annotations

import sqlite3

from time_execution.backends.sqlite.schema import STATEMENTS

NOW = 1_700_000_000_000_000_000

_NAMES = {
    1: "CREATE TABLE names (id INTEGER PRIMARY KEY, name TEXT UNIQUE)",
    2: "CREATE TABLE names (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, kind TEXT, unit TEXT)",
}
_OTHERS = {
    "CREATE VIEW metrics": """CREATE VIEW metrics AS
    SELECT names.name, raw.value, hosts.hostname, raw.timestamp, raw.fields
    FROM raw LEFT JOIN names ON names.id = raw.name_id LEFT JOIN hosts ON hosts.id = raw.host_id""",
    "CREATE INDEX IF NOT EXISTS raw_errors": "",
    "CREATE TABLE IF NOT EXISTS states": "",
}


def make_old_file(path, *, release):
    """Make a file as the first release did, without kinds, or the second, without labels."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    others = {"CREATE TABLE names": _NAMES[release], **_OTHERS}
    for statement in STATEMENTS:
        connection.execute(next((old for begin, old in others.items() if statement.startswith(begin)), statement))
    connection.execute("INSERT INTO state VALUES (0, 10000)")
    connection.executemany("INSERT INTO names (name) VALUES (?)", [("queue.length",), ("shop.pay",)])
    connection.executemany("INSERT INTO raw VALUES (?, ?, NULL, 4.0, ?, 100, 0, NULL)", [(1, 2, NOW), (2, 3, NOW)])
    connection.commit()
    connection.close()
    return path
