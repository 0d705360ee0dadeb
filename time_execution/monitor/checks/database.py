"""`DatabaseCheck`: whether a database answers ``SELECT 1``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from time_execution.exceptions import ConfigurationError
from time_execution.monitor.checks.check import Check
from time_execution.monitor.checks.credentials import Credentials
from time_execution.monitor.clients.sqlalchemy import (
    CLIENT_ERRORS,
    Line,
    engine_maker,
    engine_of,
    is_engine,
    refuse_asynchronous,
    url_of,
)
from time_execution.monitor.health_outcome import Outcome


class DatabaseCheck(Check):
    """Asks a database for ``SELECT 1``, by SQLAlchemy.

    Of a URL, each run makes a connection of its own, and waits no longer for anything than the check may take, as far
    as the driver can. Of an engine, each run takes a connection of its pool, and gives it back. Thread-safe and
    fork-safe, as far as the engine is.

    Args:
        target: A URL of SQLAlchemy, an engine, or a Flask-SQLAlchemy extension. The latter is asked for the engine of
            the only application that it serves; register one check for each where there are several.

    Raises:
        ConfigurationError: When it is none of these, or its driver is missing or an asynchronous one.

    Example:
        >>> DatabaseCheck("sqlite:///shop.db")
        DatabaseCheck('sqlite:///shop.db')
    """

    kind: ClassVar[str] = "database"

    def __init__(self, target: Any) -> None:
        self._line = Line()
        self._engine_for: Callable[[float], Any]
        if isinstance(target, str):
            self._engine_for = _latest(engine_maker(target, self._line))
            self._shown = Credentials(target).shown
        elif is_engine(target):
            refuse_asynchronous(target)
            self._engine_for = lambda _: target
            self._shown = Credentials(url_of(target)).shown
        elif hasattr(type(target), "engine"):
            self._engine_for = lambda _: engine_of(target)
            self._shown = Credentials(target).shown
        else:
            raise ConfigurationError(f"target must be a URL, an engine or an extension, not {type(target).__name__}")

    def probe(self, timeout: float) -> Outcome:
        """Ask, and say what came of it; see `Check.probe`."""
        engine = self._engine_for(timeout)
        try:
            self._line.ask(engine)
        except CLIENT_ERRORS as exc:
            return Credentials(url_of(engine)).failure(exc, getattr(exc, "orig", None))
        return Outcome("healthy")

    def abandon(self) -> None:
        """Cut the connection to a server that is waited for; see `Check.abandon`."""
        self._line.cut()

    def __repr__(self) -> str:
        """Show the URL without its login, or what the target is."""
        return f"{type(self).__name__}({self._shown})"


def _latest(make: Callable[[float], Any]) -> Callable[[float], Any]:
    """Return a function that keeps the latest engine: each new one asks the server for its version first."""
    made: dict[float, Any] = {}

    def engine_for(timeout: float) -> Any:
        engine = made.get(timeout)
        if engine is None:
            made.clear()
            engine = made[timeout] = make(timeout)
        return engine

    return engine_for
