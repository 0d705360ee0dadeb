"""Records as the log makes them, to send somewhere."""

from __future__ import annotations

from time_execution.types import Metric

RECORD = {
    "name": "log",
    "level": "ERROR",
    "logger": "proletto",
    "message": "Failed to connect to database",
    "module": "database_service",
    "function": "connect",
    "line": 45,
    "process_id": 1234,
    "thread_id": 140_000_000_000_000,
    "environment": "production",
    "exception": {
        "type": "ConnectionError",
        "message": "Connection refused",
        "traceback": ["Traceback:\n", "  here\n"],
    },
    "request_id": "5f3c",
    "user_id": "12345",
    "component": {"name": "database"},
    "_color": "red",
}


def record(number=None, **changes):
    """Return a record; with a number, as a queue hands it over."""
    fields = RECORD | ({} if number is None else {"message": f"boom {number}"}) | changes
    return Metric(fields, kind="event", id=None if number is None else f"00000000000000aa-{number}")
