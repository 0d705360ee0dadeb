"""`RedisCheck`: whether a Redis answers ``PING``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from time_execution.exceptions import ConfigurationError
from time_execution.monitor.checks.check import Check
from time_execution.monitor.checks.credentials import Credentials
from time_execution.monitor.clients.redis import CLIENT_ERRORS, hang_up, maker, refuse_asynchronous
from time_execution.monitor.health_outcome import Outcome, failure


class RedisCheck(Check):
    """Sends ``PING`` to a Redis, with the user and the database that the URL or the client names.

    Of a URL, each run makes a connection of its own, and waits no longer for anything than the check may take. A client
    keeps its own time-outs, and stays its maker's to close. Thread-safe and fork-safe, as far as the client is.

    Args:
        target: ``redis://[user:password@]host[:port][/database]``, ``rediss://…`` with TLS, or a client of redis-py
            that is not an asynchronous one.

    Raises:
        ConfigurationError: When it is neither.

    Example:
        >>> RedisCheck("redis://:secret@cache.example.com:6379/0")
        RedisCheck('redis://cache.example.com:6379/0')
    """

    kind: ClassVar[str] = "redis"

    def __init__(self, target: Any) -> None:
        self._credentials = Credentials(target)
        self._is_ours = isinstance(target, str)
        self._client_for: Callable[[float], Any]
        if isinstance(target, str):
            self._client_for = maker(target)
        elif callable(getattr(target, "ping", None)):
            refuse_asynchronous(target)
            self._client_for = lambda _: target
        else:
            raise ConfigurationError(f"target must be a URL or a client of Redis, not {type(target).__name__}")
        self._at_work: Any = None

    def probe(self, timeout: float) -> Outcome:
        """Ask, and say what came of it; see `Check.probe`."""
        client = self._client_for(timeout)
        self._at_work = client if self._is_ours else None
        try:
            answered = client.ping()
        except CLIENT_ERRORS as exc:
            return self._credentials.failure(exc)
        finally:
            self._at_work = None
            if self._is_ours:
                client.close()
        return Outcome("healthy") if answered else failure("it did not answer PONG")

    def abandon(self) -> None:
        """Hang up on a server that is waited for; see `Check.abandon`."""
        client = self._at_work
        if client is not None:
            hang_up(client)

    def __repr__(self) -> str:
        """Show the URL without its login, or what the client is."""
        return f"{type(self).__name__}({self._credentials.shown})"
