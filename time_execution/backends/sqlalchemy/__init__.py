"""The SQLAlchemy backend: records as rows of a table, in any database that SQLAlchemy speaks to."""

from time_execution.backends.sqlalchemy.backend import SQLAlchemyBackend

__all__ = ["SQLAlchemyBackend"]
