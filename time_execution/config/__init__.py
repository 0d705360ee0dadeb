"""What can be configured, and the ways to say it: code, environment, TOML, setup.cfg; import paths, URLs, dicts.

Everything here turns what somebody wrote into values and backends, or raises `ConfigurationError` at once. What is in
force at the moment is for `time_execution.settings` to know.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from time_execution.config.schema import FIELDS, Values, expect, expect_length, validate
from time_execution.lazy_names import lazy_names

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
        "close_backend": "build",
        "resolve_backend": "build",
        "resolve_backends": "build",
        "resolve_hook": "build",
        "resolve_hooks": "build",
        "defaults_when_nothing": "sources",
        "discover": "sources",
        "from_file": "sources",
        "is_disabled": "sources",
    }

    __getattr__ = lazy_names(__name__, _LAZY)


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
