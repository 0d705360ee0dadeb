"""Checks of services that `monitor.register_health_check` takes, or a URL that stands for one. Import from here."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from time_execution.monitor.checks.check import Check
from time_execution.monitor.checks.url import check_of

if TYPE_CHECKING:
    from time_execution.monitor.checks.database import DatabaseCheck
    from time_execution.monitor.checks.http import HTTPCheck
    from time_execution.monitor.checks.redis import RedisCheck
    from time_execution.monitor.checks.tcp import TCPCheck
else:
    _MODULES = {"DatabaseCheck": "database", "HTTPCheck": "http", "RedisCheck": "redis", "TCPCheck": "tcp"}

    def __getattr__(name: str) -> object:
        """Load a check, and its client, when it is first asked for."""
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = globals()[name] = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
        return found


__all__ = ["Check", "DatabaseCheck", "HTTPCheck", "RedisCheck", "TCPCheck", "check_of"]
