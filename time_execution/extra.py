"""Says which extra to install where an optional client is missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from time_execution.exceptions import MissingExtraError


@contextmanager
def extra(name: str) -> Iterator[None]:
    """Import a client inside this block; if it is not installed, the error says which extra installs it.

    Args:
        name: The extra of this distribution.

    Raises:
        MissingExtraError: When what is imported in the block, or what that imports, is not there.

    Example:
        >>> with extra("kafka"):
        ...     import no_such_client
        Traceback (most recent call last):
        time_execution.exceptions.MissingExtraError: no_such_client is not installed: pip install 'timeexecution[kafka]'
    """
    try:
        yield
    except ModuleNotFoundError as exc:
        raise MissingExtraError(f"{exc.name} is not installed: pip install 'timeexecution[{name}]'") from exc
