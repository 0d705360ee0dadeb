"""What `RedisCheck` wants of the client for Redis."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from time_execution.exceptions import ConfigurationError
from time_execution.extra import extra

with extra("redis"):
    import redis
    import redis.asyncio

__all__ = ["CLIENT_ERRORS", "hang_up", "maker", "refuse_asynchronous"]

CLIENT_ERRORS: tuple[type[Exception], ...] = (redis.RedisError, OSError)
"""What a client fails with."""


def maker(url: str) -> Callable[[float], Any]:
    """Return a function that makes a client for a time-out in seconds, which connects once and tries nothing twice.

    Raises:
        ConfigurationError: When the URL is none of Redis; it is not shown.
    """

    def made(timeout: float) -> Any:
        return redis.Redis.from_url(url, socket_timeout=timeout, socket_connect_timeout=timeout)

    try:
        made(1.0).close()
    except (ValueError, TypeError, AttributeError):  # as the client has it, for what is wrong in a URL
        problem = ConfigurationError("url must be one of Redis, such as redis://host:6379/0")
    else:
        return made
    raise problem


def refuse_asynchronous(client: Any) -> None:
    """Refuse a client whose connections belong to an event loop, in which the check does not run.

    Raises:
        ConfigurationError: When it is such a one.
    """
    if isinstance(client, (redis.asyncio.Redis, redis.asyncio.RedisCluster)):
        raise ConfigurationError("client must not be an asynchronous one: give its URL, or write an async def check")


def hang_up(client: Any) -> None:
    """Close all connections of a client that is ours, also those that another thread waits for; raises nothing."""
    with suppress(*CLIENT_ERRORS, ValueError, AttributeError):
        client.connection_pool.disconnect(inuse_connections=True)
