"""Metrics to be stored in SQLite, and the rows that came of them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any

from time_execution.backends.sqlite.schema import SECOND
from time_execution.types import Metric

NOW = 1_700_000_000 * SECOND
FOREVER: dict[str, Any] = {"retention": None, "minute_retention": None, "hour_retention": None}
COLUMNS = "name, value, hostname, timestamp, fields"


def core(name="shop.pay", value=1.5, timestamp=NOW, **fields):
    """Return a metric of the core fields and others."""
    return Metric({"name": name, "value": value, "hostname": "web-1", "timestamp": timestamp, **fields})


def query(path, text, *values):
    """Return the rows that a query finds, asked on a connection of its own."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(text, values).fetchall()


def stored(path):
    """Return all metrics, as the public view shows them."""
    return query(path, f"SELECT {COLUMNS} FROM metrics")
