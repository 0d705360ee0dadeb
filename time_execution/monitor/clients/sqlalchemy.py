"""What `DatabaseCheck` wants of SQLAlchemy."""

from __future__ import annotations

import math
import re
import socket
import threading
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from time_execution.exceptions import ConfigurationError
from time_execution.extra import extra

with extra("sqlalchemy"):
    import sqlalchemy
    from sqlalchemy.exc import SQLAlchemyError
    from sqlalchemy.pool import NullPool

__all__ = ["CLIENT_ERRORS", "Line", "engine_maker", "engine_of", "is_engine", "refuse_asynchronous", "url_of"]

CLIENT_ERRORS: tuple[type[Exception], ...] = (SQLAlchemyError, OSError)
"""What an engine fails with."""

# libpq takes anything less for this.
_LEAST_CONNECT = 2
_POSTGRES = re.compile(r"postgres(?=\+|:)")  # as some providers write it
_QUESTION: Any = sqlalchemy.select(sqlalchemy.literal_column("1"))


def _whole(seconds: float) -> int:
    return max(1, math.ceil(seconds))


# What each driver calls its time-outs; of one that is not among them, nothing is known.
_TIMEOUTS: Mapping[str, Callable[[float], dict[str, Any]]] = {
    **dict.fromkeys(("psycopg", "psycopg2"), lambda seconds: {"connect_timeout": max(_LEAST_CONNECT, _whole(seconds))}),
    "pg8000": lambda seconds: {"timeout": seconds},
    "pymysql": lambda seconds: dict.fromkeys(("connect_timeout", "read_timeout", "write_timeout"), _whole(seconds)),
    "mysqldb": lambda seconds: dict.fromkeys(("connect_timeout", "read_timeout", "write_timeout"), _whole(seconds)),
    "mysqlconnector": lambda seconds: {"connection_timeout": _whole(seconds)},
    "oracledb": lambda seconds: {"tcp_connect_timeout": seconds},
    "pyodbc": lambda seconds: {"timeout": _whole(seconds)},
    "pymssql": lambda seconds: dict.fromkeys(("timeout", "login_timeout"), _whole(seconds)),
    "pysqlite": lambda seconds: {"timeout": seconds},
}


def engine_maker(url: str, line: Line) -> Callable[[float], Any]:
    """Return a function that makes an engine for a time-out in seconds, which keeps no connection.

    What the URL itself says of time-outs holds.

    Args:
        url: Of the database.
        line: Is told of each connection as soon as it is made, before SQLAlchemy asks the server for its version.

    Raises:
        ConfigurationError: When the URL is none, or its driver is missing or an asynchronous one; it is not shown.
    """
    scheme = url.partition("://")[0]
    found: Any = None
    with suppress(SQLAlchemyError, ValueError):
        found = sqlalchemy.engine.make_url(_POSTGRES.sub("postgresql", url))
    if found is None:  # not within a handler, where the exception would hang on ours, and show the URL
        raise ConfigurationError("url must be one of SQLAlchemy, such as postgresql://host/database")

    def made(timeout: float) -> Any:
        engine = sqlalchemy.create_engine(found, poolclass=NullPool, connect_args=timeouts_of(found, timeout))

        def connect(dialect: Any, _: Any, args: Any, options: Any) -> Any:
            try:
                connection = dialect.connect(*args, **options)
            except Exception as exc:
                # Else psycopg's frames and exception hold each other, and the socket, until somebody collects garbage.
                traceback.clear_frames(exc.__traceback__)
                raise
            line.hold(connection)
            return connection

        sqlalchemy.event.listen(engine, "do_connect", connect)
        return engine

    try:
        refuse_asynchronous(made(1.0))
    except ModuleNotFoundError as exc:
        driver = f"its driver {exc.name} is not installed"
        problem = ConfigurationError(f"url: {driver}; another is named as in postgresql+psycopg://")
    except SQLAlchemyError:
        problem = ConfigurationError(f"url: SQLAlchemy knows no database or driver {scheme}://")
    else:
        return made
    raise problem


def timeouts_of(url: Any, timeout: float) -> dict[str, Any]:
    """Return what to tell a driver of a time-out in seconds, but for what the URL says itself."""
    given = _TIMEOUTS.get(url.get_driver_name())
    return {} if given is None else {key: value for key, value in given(timeout).items() if key not in url.query}


def refuse_asynchronous(engine: Any) -> None:
    """Refuse an engine whose connections belong to an event loop, in which the check does not run.

    Raises:
        ConfigurationError: When it is such a one.
    """
    if engine.dialect.is_async:
        raise ConfigurationError(
            f"the driver {engine.dialect.driver} is an asynchronous one: name another, or write an async def check"
        )


def is_engine(target: Any) -> bool:
    """Whether this is an engine."""
    return isinstance(target, sqlalchemy.Engine)


def engine_of(extension: Any) -> Any:
    """Return the engine of a Flask-SQLAlchemy extension: of the application at work, or of the only one that it serves.

    Raises:
        RuntimeError: When it serves none, or several and none is at work.
    """
    try:
        return extension.engine
    except RuntimeError:
        # A thread of ours is in no application's context; the extension has no public way to ask for all of them.
        engines = [found[None] for found in getattr(extension, "_app_engines", {}).values() if None in found]
        if len(engines) != 1:
            raise RuntimeError(
                f"the extension serves {len(engines)} applications: give the check the engine of one"
            ) from None
        return engines[0]


def url_of(engine: Any) -> str:
    """Return the URL of an engine with its password, which is not to be shown."""
    return str(engine.url.render_as_string(hide_password=False))


class Line:
    """The connection that a question is asked on, so that another thread can cut it. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None

    def ask(self, engine: Any) -> None:
        """Ask for ``SELECT 1``; blocks.

        Raises:
            Exception: What the engine fails with, see `CLIENT_ERRORS`.
        """
        try:
            with engine.connect() as connection:
                self.hold(connection.connection.dbapi_connection)
                try:
                    connection.execute(_QUESTION).scalar_one()
                finally:
                    self._let_go()  # before the pool has it again, for somebody else
        finally:
            self._let_go()

    def hold(self, connection: Any) -> None:
        """Know a driver's connection, if it tells the number of its socket."""
        number = getattr(connection, "fileno", None)
        with self._lock, suppress(Exception):
            self._drop()
            if callable(number):
                # A number of our own for the same socket: nobody else's can come to have it while we do.
                self._socket = socket.fromfd(number(), socket.AF_INET, socket.SOCK_STREAM)

    def cut(self) -> None:
        """End the wait of a thread that asks; the connection is of no use then."""
        with self._lock, suppress(OSError):
            if self._socket is not None:
                self._socket.shutdown(socket.SHUT_RDWR)

    def _let_go(self) -> None:
        with self._lock:
            self._drop()

    def _drop(self) -> None:
        taken, self._socket = self._socket, None
        if taken is not None:
            taken.close()
