"""What can be set of a monitor: by code, or by the environment's ``MONITOR_…``; with checks and defaults.

Nothing is read at import. Variables of that prefix that we do not know may be another program's, and are left alone.
"""

from __future__ import annotations

import os
import typing
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from time_execution.argument_check import check_counts, check_seconds, check_switches
from time_execution.complaint import Place, UnfitError, kind_of, suggestion
from time_execution.config.text import convert
from time_execution.exceptions import ConfigurationError

PREFIX = "MONITOR_"
MOST_SAMPLES = 1_000_000
_SHORTEST = 0.1


@dataclass(frozen=True, slots=True)
class Options:
    """What a monitor goes by; immutable. Each has an environment variable: its name in capitals after ``MONITOR_``.

    Attributes:
        max_samples: How many samples are kept in memory, 1 to 1 000 000; the oldest gives way.
        sample_interval: Seconds from one sample of the machine to the next, 0.1 or more.
        request_logging: Whether requests are tracked by the web adapters.
        system_metrics: Whether the machine is sampled at all by the monitor's thread.
        scheduled_checks: Whether health checks run by themselves.
        unhealthy_threshold: How many failures in a row make a service unhealthy rather than degraded.
        health_check_interval: Seconds between two runs of a health check without an interval of its own, 0.1 or more.
        disk_path: A path on the file system whose use is the sample's ``disk_percent``; by default the root's.
    """

    max_samples: int = 100
    sample_interval: float = 60.0
    request_logging: bool = True
    system_metrics: bool = True
    scheduled_checks: bool = True
    unhealthy_threshold: int = 3
    health_check_interval: float = 60.0
    disk_path: str = os.sep


class Settled:
    """What code has set, and the options that follow from it; immutable, and shared between threads.

    Args:
        given: Options by name, checked.
    """

    def __init__(self, given: Mapping[str, Any] | None = None) -> None:
        self._given = dict(given or {})

    @cached_property
    def options(self) -> Options:
        """The options: of code, else of the environment as it was when they were first asked for, else the defaults.

        Raises:
            ConfigurationError: When a variable is wrong.
        """
        return Options(**(from_environment() | self._given))

    def changed(self, given: Mapping[str, Any]) -> Settled:
        """Return what holds once some more is set, with the environment as it is now.

        Raises:
            ConfigurationError: When there is no option of a name, or a value or a variable is wrong.
        """
        settled = Settled(self._given | check(given))
        settled.options  # noqa: B018 - so that what is wrong is told now
        return settled


NAMES = tuple(item.name for item in fields(Options))


def from_environment(environ: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return the options of the environment, checked and in the types that `Options` has; an empty variable is none.

    Args:
        environ: The variables; None takes those of the process.

    Raises:
        ConfigurationError: When a variable's value is not what it takes.
    """
    variables = os.environ if environ is None else environ
    hints = typing.get_type_hints(Options)
    found = {}
    for name in NAMES:
        variable = PREFIX + name.upper()
        text = variables.get(variable)
        if text:
            found[name] = _check(name, _from_text(name, text, hints[name], variable), called=variable)
    return found


def check(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return options given by name, checked and in the types that `Options` has.

    Raises:
        ConfigurationError: When there is no option of a name, or a value is not what it takes.
    """
    return {name: _check(name, value, called=name) for name, value in given.items()}


def _check(name: str, value: Any, *, called: str) -> Any:
    if name in {"max_samples", "unhealthy_threshold"}:
        check_counts(**{called: value})
        if name == "max_samples" and value > MOST_SAMPLES:
            raise ConfigurationError(f"{called} must be at most {MOST_SAMPLES}")
    elif name in {"sample_interval", "health_check_interval"}:
        check_seconds(**{called: value})
        if value < _SHORTEST:
            raise ConfigurationError(f"{called} must be at least {_SHORTEST} seconds")
        return float(value)
    elif name in {"request_logging", "system_metrics", "scheduled_checks"}:
        check_switches(**{called: value})
    elif name == "disk_path":
        return _path(value, called)
    else:
        names = ", ".join(NAMES)
        raise ConfigurationError(f"monitor: there is no option {name!r}{suggestion(name, NAMES)} (there are {names})")
    return value


def _path(value: Any, called: str) -> str:
    if not isinstance(value, (str, os.PathLike)) or not str(value):
        raise ConfigurationError(f"{called} must be a path, got {'an empty str' if value == '' else kind_of(value)}")
    try:
        Path(value).stat()
    except (OSError, ValueError) as exc:
        reason = getattr(exc, "strerror", None) or "no path"
        raise ConfigurationError(f"{called} must be the path of something that is there: {reason}") from None
    return str(value)


def _from_text(name: str, text: str, hint: Any, variable: str) -> Any:
    try:
        return convert(text.strip(), hint, name=name)
    except UnfitError as exc:
        complaint = f"expected {exc.wanted}, got {exc.got}"
    raise Place(variable).error(complaint)
