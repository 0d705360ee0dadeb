"""What can be configured, and the ways to say it: code, environment, TOML, setup.cfg; import paths, URLs, dicts.

Everything here turns what somebody wrote into values and backends, or raises `ConfigurationError` at once. What is in
force at the moment is for `time_execution.settings` to know.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from time_execution.config.schema import FIELDS, Values, expect, expect_length, validate

if TYPE_CHECKING:
    from time_execution.config.build import (
        close_backend,
        resolve_backend,
        resolve_backends,
        resolve_hook,
        resolve_hooks,
    )
    from time_execution.config.sources import defaults_when_nothing, discover, from_file, is_disabled
else:
    # Importing the package needs the settings' names and defaults; the rest waits for something to be configured.
    _LAZY = {
        "close_backend": "time_execution.config.build",
        "resolve_backend": "time_execution.config.build",
        "resolve_backends": "time_execution.config.build",
        "resolve_hook": "time_execution.config.build",
        "resolve_hooks": "time_execution.config.build",
        "defaults_when_nothing": "time_execution.config.sources",
        "discover": "time_execution.config.sources",
        "from_file": "time_execution.config.sources",
        "is_disabled": "time_execution.config.sources",
    }

    def __getattr__(name: str) -> Any:
        """Import what is first used after the package is configured."""
        if name not in _LAZY:
            msg = f"module {__name__!r} has no attribute {name!r}"
            raise AttributeError(msg)
        value = globals()[name] = getattr(import_module(_LAZY[name]), name)
        return value


__all__ = [
    "FIELDS",
    "Values",
    "close_backend",
    "defaults_when_nothing",
    "discover",
    "expect",
    "expect_length",
    "from_file",
    "is_disabled",
    "resolve_backend",
    "resolve_backends",
    "resolve_hook",
    "resolve_hooks",
    "validate",
]
