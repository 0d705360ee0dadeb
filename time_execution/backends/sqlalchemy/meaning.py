"""What the errors of SQLAlchemy mean for the records that were to be stored, in words of our own."""

from __future__ import annotations

from time_execution.exceptions import (
    BackendDenied,
    BackendError,
    BackendRejected,
    BackendTimeout,
    BackendUnavailable,
)
from time_execution.extra import extra

with extra("sqlalchemy"):
    from sqlalchemy import exc as errors


class TableChangedError(BackendUnavailable):
    """The table is gone, or is not as it was."""


# Classes of SQLSTATE, by their first characters, the longest first; drivers of PostgreSQL give them.
_STATES: tuple[tuple[str, type[BackendError], str], ...] = (
    ("42501", BackendDenied, "this user may not do that; grant it INSERT and SELECT, and CREATE for a table"),
    ("25006", BackendDenied, "it takes no writes; give the address of the primary"),
    ("28", BackendDenied, "it refuses the login; check user and password"),
    ("3D", BackendDenied, "there is no such database"),
    ("3F", BackendDenied, "there is no such schema"),
    ("57014", BackendTimeout, "it took too long; is the table locked?"),
    ("55P03", BackendTimeout, "it took too long; is the table locked?"),
    ("22", BackendRejected, "it does not take a value"),
    ("23", BackendRejected, "a rule of the table is against it"),
    ("42", TableChangedError, "the table is not as it was"),
)
# What drivers say that have no states, in lower case.
_WORDS: tuple[tuple[str, type[BackendError], str], ...] = (
    ("authentication failed", BackendDenied, "it refuses the login; check user and password"),
    ("access denied", BackendDenied, "it refuses the login; check user and password"),
    ("no password supplied", BackendDenied, "it refuses the login; check user and password"),
    ("unknown database", BackendDenied, "there is no such database"),
    ('" does not exist', BackendDenied, "there is no such database, or no such user"),
    ("unable to open database file", BackendDenied, "the file cannot be opened; check path and permissions"),
    ("readonly database", BackendDenied, "the file may not be written"),
    ("not a database", BackendDenied, "the file is no database"),
    ("malformed", BackendDenied, "the database is broken"),
    ("no such table", TableChangedError, "the table is gone"),
    ("has no column", TableChangedError, "the table is not as it was"),
    ("is locked", BackendTimeout, "it is locked by somebody else for too long"),
    ("is full", BackendUnavailable, "the disk is full"),
)
_KINDS: tuple[tuple[type[Exception], type[BackendError], str], ...] = (
    (errors.TimeoutError, BackendTimeout, "no connection of the pool became free in time"),
    (errors.IntegrityError, BackendRejected, "a rule of the table is against it"),
    (errors.DataError, BackendRejected, "it does not take a value"),
    (errors.ProgrammingError, TableChangedError, "the table is not as it was"),
    (errors.OperationalError, BackendUnavailable, "it cannot be reached, or cannot do that now"),
    (errors.InterfaceError, BackendUnavailable, "the connection was lost"),
)


def error_of(exc: errors.SQLAlchemyError, *, place: str) -> BackendError:
    """Return the error to raise for one of SQLAlchemy's; it quotes nothing but a code.

    Args:
        exc: What was raised.
        place: Names the database.
    """
    original = getattr(exc, "orig", None)
    state = str(getattr(original, "sqlstate", None) or getattr(original, "pgcode", None) or "")
    if isinstance(exc, errors.DBAPIError) and exc.connection_invalidated and not state:
        return BackendUnavailable(f"{place}: the connection was lost")
    said = str(original).lower() if original is not None else ""
    # With a state, words are not looked at: they may quote a record.
    rows = _STATES if state else _WORDS if isinstance(exc, errors.DatabaseError) else ()
    for mark, kind, text in rows:
        if state.startswith(mark) if state else mark in said:
            return kind(f"{place}: {text}{f' ({state})' if state else ''}")
    for cls, kind, text in _KINDS:
        if isinstance(exc, cls):
            return kind(f"{place}: {text}{f' ({state})' if state else ''}")
    if isinstance(exc, errors.StatementError) and not isinstance(exc, errors.DBAPIError):
        return BackendRejected(f"{place}: it does not take a value")
    return BackendError(f"{place}: {type(exc).__name__}{f' ({state})' if state else ''}")
