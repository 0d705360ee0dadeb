"""What a URL stands for as a check, without importing any client that is not needed."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

from time_execution.address import address_of
from time_execution.complaint import URL, suggestion
from time_execution.exceptions import ConfigurationError

if TYPE_CHECKING:
    from time_execution.monitor.checks.check import Check

_HERE = "time_execution.monitor.checks"
_DATABASES = ("mariadb", "mssql", "mysql", "oracle", "postgres", "postgresql", "sqlite")
_MODULES = {
    **dict.fromkeys(_DATABASES, ("database", "DatabaseCheck")),
    **dict.fromkeys(("redis", "rediss"), ("redis", "RedisCheck")),
    **dict.fromkeys(("http", "https"), ("http", "HTTPCheck")),
    "tcp": ("tcp", "TCPCheck"),
}


def check_of(url: str) -> Check:
    """Return the check that a URL stands for; connects to nothing.

    Args:
        url: ``postgresql://…``, ``mysql+pymysql://…``, ``sqlite:///…`` and what else SQLAlchemy knows, ``redis://…``,
            ``rediss://…``, ``http://…``, ``https://…``, or ``tcp://host:port``.

    Raises:
        ConfigurationError: When the URL stands for none, or something in it is wrong; its password is not shown.
        MissingExtraError: When the client is not installed.

    Example:
        >>> check_of("tcp://mail.example.com:25")
        TCPCheck('mail.example.com', 25)
    """
    found = URL.match(url)
    if found is None:
        raise ConfigurationError("check: a URL begins with a scheme, such as redis://")
    scheme = found[1].lower()
    entry = _MODULES.get(scheme.partition("+")[0])
    if entry is None:
        known = ", ".join(sorted(_MODULES))
        raise ConfigurationError(
            f"check: no check is called {scheme}://{suggestion(scheme, _MODULES)}; there are {known}"
        )
    module, name = entry
    kind = getattr(import_module(f"{_HERE}.{module}"), name)
    return cast("Check", kind(*_place(url)) if scheme == "tcp" else kind(url))


def _place(url: str) -> tuple[str, int]:
    """Return host and port of ``tcp://host:port``."""
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ConfigurationError("check: that is no URL") from None
    address = address_of(parts)
    if len(address.hosts) != 1 or address.hosts[0].port is None or address.login or address.path or parts.query:
        raise ConfigurationError("check: write tcp://host:port")
    return address.hosts[0].name, address.hosts[0].port
