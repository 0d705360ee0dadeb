"""Where the database is: a URL, an engine, or Flask-SQLAlchemy's object, of which no application context is asked."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any

from time_execution.exceptions import BackendDenied, BackendUnavailable, ConfigurationError, MissingExtraError
from time_execution.extra import extra

with extra("sqlalchemy"):
    import sqlalchemy
    from sqlalchemy.engine import URL, Engine
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError
    from sqlalchemy.pool import AssertionPool, NullPool, StaticPool

_WANTED = "must be a URL, an Engine of SQLAlchemy, or the db of Flask-SQLAlchemy"


class Source:
    """Gives the engine; makes it known how the database may be shown.

    Args:
        shown: The database, without user, password and options.
        find: Returns the engine, or raises a `BackendError` as long as there is none.
        is_ours: Whether the engine was made here.

    Attributes:
        may_connect: Whether a connection for all threads can be made by any of them.
    """

    def __init__(self, shown: str, find: Callable[[], Engine], *, is_ours: bool = False) -> None:
        self.shown = shown
        self._find = find
        self._is_ours = is_ours
        self._engine: Engine | None = None
        self._inherited: list[Any] = []
        self.may_connect = False

    def engine(self) -> Engine:
        """Return the engine.

        Raises:
            BackendUnavailable: When there is none as yet.
            BackendDenied: When it cannot be used from a thread of its own.
        """
        if self._engine is None:
            found = self._find()
            problem = problem_of(found)
            if problem:
                raise BackendDenied(f"{self.shown}: {problem}")
            if self._is_ours and found.dialect.name == "sqlite":
                _create_for_us_alone(found.url)
            self._engine = found
        return self._engine

    def is_sqlite(self) -> bool:
        """Whether it is known to be SQLite."""
        return self._engine is not None and self._engine.dialect.name == "sqlite"

    def shares_connection(self) -> bool:
        """Whether all threads have one connection, as those of a database in memory do."""
        return self._engine is not None and isinstance(self._engine.pool, StaticPool)

    def after_fork(self) -> None:
        """Leave the connections of the pool to the parent, without closing them."""
        if self._engine is not None and not self.shares_connection():
            self._inherited.append(self._engine.pool)  # else they would be collected, and say farewell to the server
            self._engine.dispose(close=False)

    def close(self) -> None:
        """Close the connections of an engine that was made here."""
        if self._is_ours and self._engine is not None:
            self._engine.dispose()


def source_of(given: Any, *, app: Any, timeout: float) -> Source:
    """Return the source that constructor arguments name.

    Args:
        given: A URL, as text or SQLAlchemy's, an engine, or an object that has one under ``engine``.
        app: The application that Flask-SQLAlchemy's object is for, or None.
        timeout: The longest wait for a connection, in seconds, where the engine is made here.

    Raises:
        ConfigurationError: When it is none, or cannot be used from a thread of its own.
        MissingExtraError: When the driver is not installed.
    """
    if _is_flask(given):
        return _from_flask(given, app)
    if app is not None:
        raise ConfigurationError("app is of no use without the db of Flask-SQLAlchemy")
    engine = _made(given, timeout) if isinstance(given, (str, URL)) else given
    if not isinstance(engine, Engine):
        engine = getattr(given, "engine", None)
    if not isinstance(engine, Engine):
        kind = type(given).__name__
        hint = "; give another one, with a driver that is not asynchronous" if kind == "AsyncEngine" else ""
        raise ConfigurationError(f"engine_or_url {_WANTED}, not {kind}{hint}")
    problem = problem_of(engine)
    if problem:
        raise ConfigurationError(f"engine_or_url: {problem}")
    found = engine
    return Source(_shown(found.url), lambda: found, is_ours=isinstance(given, (str, URL)))


def problem_of(engine: Engine) -> str:
    """Return why an engine cannot be used from a thread of its own; nothing where it can."""
    if engine.dialect.is_async:
        return "its driver is asynchronous; give another engine, with one that is not"
    is_sqlite = engine.dialect.name == "sqlite"
    if isinstance(engine.pool, (StaticPool, AssertionPool)) and not (is_sqlite and isinstance(engine.pool, StaticPool)):
        return "all threads share one connection; give another engine, with a pool"
    if is_sqlite and not isinstance(engine.pool, StaticPool) and _is_in_memory(engine.url):
        return "a database in memory is there for one thread only; name a file, or use StaticPool"
    return ""


def _is_flask(given: Any) -> bool:
    """Whether this is the object of Flask-SQLAlchemy; nothing of it is asked that wants a context."""
    return callable(getattr(type(given), "init_app", None)) and hasattr(type(given), "engine")


def _from_flask(db: Any, app: Any) -> Source:
    def find() -> Engine:
        if app is not None:
            with app.app_context():
                return _default(db.engines)
        try:
            return _default(db.engines)
        except RuntimeError:  # there is no context
            return _default(_last_engines(db))

    source = Source("Flask-SQLAlchemy", find)
    source.may_connect = True  # as it sets up databases in memory
    try:
        source.engine()  # of the application at hand: there may be others by the first record
    except BackendUnavailable as exc:
        if isinstance(exc, BackendDenied):
            raise ConfigurationError(str(exc)) from exc
    return source


def _last_engines(db: Any) -> Mapping[Any, Engine]:
    """Return the engines of the application that was initialised last, without its context.

    Flask-SQLAlchemy gives them to who is in a context only, which the thread that needs them never is.
    """
    known = getattr(db, "_app_engines", {})
    return next(reversed([engines for engines in list(known.values()) if engines]), {})


def _default(engines: Mapping[Any, Engine]) -> Engine:
    engine = engines.get(None)
    if engine is None:
        raise BackendUnavailable("Flask-SQLAlchemy has no database as yet: call db.init_app(app), or give app")
    return engine


def _made(given: str | URL, timeout: float) -> Engine:
    """Return a new engine, whose connections live as long as a batch."""
    problem = ""
    try:
        url = sqlalchemy.make_url(given)
        return _engine_of(url, timeout)
    except NoSuchModuleError:
        problem = "engine_or_url names a database, or a driver, that SQLAlchemy does not know"
    except ArgumentError:  # its text shows the URL
        problem = f"engine_or_url {_WANTED}: this text is no URL such as postgresql://user@host/database"
    except ModuleNotFoundError as exc:
        raise MissingExtraError(f"engine_or_url needs the driver {exc.name}, which is not installed") from exc
    raise ConfigurationError(problem)


def _engine_of(url: URL, timeout: float) -> Engine:
    if url.drivername == "postgresql" and find_spec("psycopg2") is None and find_spec("psycopg") is not None:
        url = url.set(drivername="postgresql+psycopg")
    arguments = _arguments_of(url.get_dialect().driver, timeout)
    return sqlalchemy.create_engine(url, poolclass=NullPool, hide_parameters=True, connect_args=arguments)


def _arguments_of(driver: str, timeout: float) -> dict[str, Any]:
    """Return the time-outs that a driver takes: of connecting, and of waiting for what others have locked."""
    seconds = max(1, math.ceil(timeout))
    if driver in {"psycopg", "psycopg2"}:
        return {"connect_timeout": seconds, "keepalives_idle": seconds, "tcp_user_timeout": seconds * 1000}
    if driver in {"pymysql", "mysqldb"}:
        return {"connect_timeout": seconds, "read_timeout": seconds, "write_timeout": seconds}
    return {"timeout": timeout} if driver in {"pysqlite", "pg8000"} else {}


def _is_in_memory(url: URL) -> bool:
    return url.database in {None, "", ":memory:"} or url.query.get("mode") == "memory"


def _create_for_us_alone(url: URL) -> None:
    """Make the file of a database that is not there as yet, which SQLite would let everybody read."""
    path = url.database or ""
    if not path.startswith("file:"):
        with contextlib.suppress(OSError):  # it is there, or SQLite will say what is wrong
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def _shown(url: URL) -> str:
    """Return a URL without user, password and options."""
    return URL.create(url.get_backend_name(), host=url.host, port=url.port, database=url.database).render_as_string()
