"""What constructors ask of numbers, seconds and switches alike; each error names the argument, none shows a text."""

from __future__ import annotations

from typing import Any

from time_execution.exceptions import ConfigurationError

_DAY = 86_400
_HIGHEST_PORT = 65_535


def check_timeouts(**given: Any) -> None:
    """Refuse what is no time to wait for a server: seconds above 0, and so few that every system can wait for them.

    Raises:
        ConfigurationError: For the first that is wrong.
    """
    for key, seconds in given.items():
        if not _is_number(seconds) or not 0 < seconds < _DAY:
            msg = f"{key} must be a number of seconds above 0, and less than a day, got {_shown(seconds)}"
            raise ConfigurationError(msg)


def check_seconds(*, or_zero: bool = False, **given: Any) -> None:
    """Refuse what is no finite number of seconds above 0.

    Args:
        or_zero: Take 0, too.
        given: By name.

    Raises:
        ConfigurationError: For the first that is wrong.
    """
    for key, seconds in given.items():
        if not _is_number(seconds) or not 0 <= seconds < float("inf") or (seconds == 0 and not or_zero):
            range_ = ", 0 or more" if or_zero else " above 0"
            raise ConfigurationError(f"{key} must be a number of seconds{range_}, got {_shown(seconds)}")


def check_counts(*, least: int = 1, **given: Any) -> None:
    """Refuse what is no whole number, or too small a one.

    Raises:
        ConfigurationError: For the first that is wrong.
    """
    for key, count in given.items():
        if not _is_whole(count) or count < least:
            raise ConfigurationError(f"{key} must be a whole number of at least {least}, got {_shown(count)}")


def check_ports(**given: Any) -> None:
    """Refuse what is no port.

    Raises:
        ConfigurationError: For the first that is wrong.
    """
    for key, port in given.items():
        if not _is_whole(port) or not 0 < port <= _HIGHEST_PORT:
            raise ConfigurationError(f"{key} must be a whole number from 1 to {_HIGHEST_PORT}, got {_shown(port)}")


def check_switches(**given: Any) -> None:
    """Refuse what is neither true nor false: a text such as ``no`` would count as true.

    Raises:
        ConfigurationError: For the first that is wrong.
    """
    for key, switch in given.items():
        if not isinstance(switch, bool):
            raise ConfigurationError(f"{key} must be true or false, got {_shown(switch)}")


def check_use(why: str, **given: Any) -> None:
    """Refuse arguments that nothing would read, rather than let somebody believe in them; None is not given.

    Args:
        why: What makes them useless, such as ``without port``.
        given: By name.

    Raises:
        ConfigurationError: For the first that is given.
    """
    for key, value in given.items():
        if value is not None:
            raise ConfigurationError(f"{key} is of no use {why}")


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, float) or _is_whole(value)


def _shown(value: object) -> str:
    """Return a number as it is, and of all else, which may be a secret in the wrong place, the type."""
    return str(value) if _is_number(value) else type(value).__name__
