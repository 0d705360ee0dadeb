"""Which options of its own the client is given, checked by what its defaults are."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from time_execution.argument_check import check_switches
from time_execution.complaint import suggestion
from time_execution.exceptions import ConfigurationError

# Options of the client that go by another name here, or that what this backend promises hangs on.
_OURS = {
    "bootstrap_servers": "hosts",
    "compression_type": "compression",
    "delivery_timeout_ms": "delivery_timeout",
    "sasl_plain_username": "username",
    "sasl_plain_password": "password",
    **dict.fromkeys(("acks", "enable_idempotence", "kafka_client", "transactional_id"), ""),
    **dict.fromkeys(("key_serializer", "value_serializer"), ""),
}
_FILES = ("ssl_cafile", "ssl_certfile", "ssl_keyfile", "ssl_crlfile")
# Their default, None, does not tell what they are.
_TEXTS = {
    *("client_id", "ssl_password", "ssl_ciphers", "sasl_kerberos_name", "sasl_kerberos_domain_name"),
    *("proxy_url", "socks5_proxy"),
}
_COUNTS = {"receive_buffer_bytes", "send_buffer_bytes"}


def checked_options(given: Mapping[str, Any], *, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return options for the client; a number for a text, as a URL may hold, becomes that text.

    Args:
        given: By name.
        defaults: The client's own.

    Raises:
        ConfigurationError: When one is unknown, not to be set, or not of its default's type; shows no value.
    """
    known = defaults.keys() - _OURS.keys()
    for name in given:
        if _OURS.get(name):
            raise ConfigurationError(f"{name} is called {_OURS[name]} here")
        if name in _OURS:
            raise ConfigurationError(f"{name} is set by this backend, which could not keep its promises otherwise")
        if name not in known:
            raise ConfigurationError(f"unknown option {name!r}{suggestion(name, known)} of the Kafka producer")
    return {name: _checked(name, value, defaults[name]) for name, value in given.items()}


def _checked(name: str, value: Any, default: Any) -> Any:
    """Return one option; None is taken where it is the default, and objects are the client's to judge."""
    if value is None and default is None:
        return None
    if name in _FILES:
        if not (isinstance(value, (str, os.PathLike)) and Path(value).is_file()):
            raise ConfigurationError(f"{name} must be the path of a file")
    elif name == "api_version":
        if not isinstance(value, (str, tuple, list)):  # as a number, 2.10 would be 2.1
            raise ConfigurationError(f"{name} must have three parts, as in 2.8.0, got {type(value).__name__}")
    elif isinstance(default, bool):
        check_switches(**{name: value})
    elif isinstance(default, str) or name in _TEXTS:
        return _text(name, value)
    elif isinstance(default, (int, float)) or name in _COUNTS:
        _check_number(name, value, is_whole=not (isinstance(default, float) or name.endswith("_ms")))
    return value


def _text(name: str, value: Any) -> str:
    if not isinstance(value, (str, int, float)) or isinstance(value, bool):
        raise ConfigurationError(f"{name} must be a text, got {type(value).__name__}")
    return str(value)


def _check_number(name: str, value: Any, *, is_whole: bool) -> None:
    kinds = int if is_whole else (int, float)
    if not isinstance(value, kinds) or isinstance(value, bool) or not value >= 0:
        what = "a whole number" if is_whole else "a number"
        raise ConfigurationError(f"{name} must be {what}, 0 or more, got {type(value).__name__}")
