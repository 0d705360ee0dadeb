"""Checks of services that `monitor.register_health_check` takes, or a URL that stands for one. Import from here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from time_execution.lazy_names import lazy_names
from time_execution.monitor.checks.check import Check
from time_execution.monitor.checks.url import check_of

if TYPE_CHECKING:
    from time_execution.monitor.checks.database import DatabaseCheck
    from time_execution.monitor.checks.http import HTTPCheck
    from time_execution.monitor.checks.redis import RedisCheck
    from time_execution.monitor.checks.tcp import TCPCheck
else:
    _MODULES = {"DatabaseCheck": "database", "HTTPCheck": "http", "RedisCheck": "redis", "TCPCheck": "tcp"}

    __getattr__ = lazy_names(__name__, _MODULES)


__all__ = ["Check", "DatabaseCheck", "HTTPCheck", "RedisCheck", "TCPCheck", "check_of"]
