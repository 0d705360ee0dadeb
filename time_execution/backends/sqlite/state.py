"""The latest word of each process on a topic; inside the caller's transaction."""

from __future__ import annotations

import sqlite3
import time

from time_execution.backends.sqlite.schema import SECOND

_PUT = """INSERT INTO states (topic, owner, timestamp, body) VALUES (?, ?, ?, ?)
ON CONFLICT DO UPDATE SET timestamp = excluded.timestamp, body = excluded.body"""


def put(connection: sqlite3.Connection, topic: str, owner: str, body: str, *, kept: float | None) -> None:
    """Store a word in place of its owner's last on the topic, and delete those that are too old, on any topic.

    Args:
        connection: Inside a write transaction.
        topic: What it is about.
        owner: Whose it is.
        body: JSON.
        kept: How long others stay, in seconds; None for ever.
    """
    now = time.time_ns()
    connection.execute(_PUT, (topic, owner, now, body))
    if kept is not None:
        connection.execute("DELETE FROM states WHERE timestamp < ?", (now - int(min(kept, now / SECOND) * SECOND),))
