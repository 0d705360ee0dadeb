"""SQLite, the embedded store: `SQLiteBackend` writes it, `time_execution.report` reads it."""

from time_execution.backends.sqlite.backend import SQLiteBackend

__all__ = ["SQLiteBackend"]
