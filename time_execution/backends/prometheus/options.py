"""What the constructor's arguments may be: each checked at construction, by the name that users know it by."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable, Sequence
from math import isfinite
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from time_execution.backends.prometheus.tally import OWN_PREFIX
from time_execution.exceptions import ConfigurationError

BUCKETS = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
"""1, 2.5 and 5 of each decade from 100 µs to 10 s: what OpenTelemetry and ``prometheus_client`` have for requests
begins at 5 ms, before which most functions end."""

_NAMESPACE = re.compile(r"[a-zA-Z][a-zA-Z0-9_]*")
_NO_LETTER = re.compile(r"[^a-zA-Z0-9_]+")
_RESERVED = {"function", "outcome", "le", "quantile", "name", "backend"}
_GROUP = {"job", "instance"}


def labels_of(labels: str | Sequence[str]) -> dict[str, str]:
    """Return the field of each label, sorted: in whatever order they are given, they make the same series.

    Raises:
        ConfigurationError: When two fields make one label, or a label is one of ours.
    """
    given: Any = labels
    fields = [part.strip() for part in given.split(",") if part.strip()] if isinstance(given, str) else given
    if not isinstance(fields, (list, tuple, set, frozenset)) or not all(isinstance(field, str) for field in fields):
        raise ConfigurationError(f"labels must be the names of fields, not {type(labels).__name__}")
    found: dict[str, str] = {}
    for field in fields:
        label = _NO_LETTER.sub("_", field)
        if not label or label[0].isdigit() or label.startswith("__"):
            raise ConfigurationError(f"labels: {field!r} makes no name of a label; start it with a letter")
        if label in _RESERVED:
            raise ConfigurationError(f"labels: {field!r} is used by the metrics themselves; rename the field")
        if found.setdefault(label, field) != field:
            raise ConfigurationError(f"labels: {found[label]!r} and {field!r} make one label; rename one of them")
    return dict(sorted(found.items()))


def check_group(labels: Iterable[str]) -> None:
    """Refuse labels by which a Pushgateway groups what is pushed: it refuses metrics that have them as well.

    Raises:
        ConfigurationError: Naming the label.
    """
    for label in _GROUP.intersection(labels):
        raise ConfigurationError(f"labels: {label} is set by pushgateway for all that is pushed; rename the field")


def buckets_of(buckets: Sequence[float]) -> tuple[float, ...]:
    """Return the upper bounds of buckets, in seconds, rising; infinity is left out, since it is always there.

    Raises:
        ConfigurationError: When they are no rising numbers above 0.
    """
    given: Any = buckets
    if not isinstance(given, (list, tuple)):
        raise ConfigurationError(f"buckets must be a list of seconds, not {type(buckets).__name__}")
    if not all(type(bound) in {int, float} and bound > 0 for bound in buckets):
        raise ConfigurationError("buckets must be numbers of seconds above 0")
    bounds = tuple(float(bound) for bound in buckets if isfinite(bound))
    if not bounds or list(bounds) != sorted(set(bounds)):
        raise ConfigurationError("buckets must rise, and there must be at least one")
    return bounds


def namespace_of(namespace: str) -> str:
    """Return a prefix of names that Prometheus allows.

    Raises:
        ConfigurationError: When it is none.
    """
    given: Any = namespace
    if not isinstance(given, str) or (given and not _NAMESPACE.fullmatch(given)):
        raise ConfigurationError("namespace must be empty, or letters, digits and _ that start with a letter")
    if f"{given}_".startswith(OWN_PREFIX):
        raise ConfigurationError(f"namespace: names that begin with {OWN_PREFIX} are our own; choose another one")
    return namespace


def gateway_of(pushgateway: str, username: str | None, password: str | None) -> tuple[str, tuple[str, str] | None]:
    """Return a Pushgateway's URL without its user and password, and those of the URL or the arguments.

    Raises:
        ConfigurationError: When it is no HTTP URL; the message does not show it.
    """
    url = _http_url(pushgateway)
    if url is None:
        raise ConfigurationError("pushgateway must be a URL such as http://host:9091")
    username = username if username is not None or url.username is None else unquote(url.username)
    password = password if password is not None or url.password is None else unquote(url.password)
    if (username is None) != (password is None):
        raise ConfigurationError("username and password are given together or not at all")
    bare = url._replace(netloc=url.netloc.rpartition("@")[2]).geturl()
    return bare, None if username is None or password is None else (username, password)


def _http_url(text: Any) -> SplitResult | None:
    try:
        url = urlsplit(text if isinstance(text, str) else "")
        is_good = url.scheme in {"http", "https"} and bool(url.hostname) and url.port != 0
    except ValueError:
        return None
    return url if is_good and not url.query and not url.fragment else None


def check_text(key: str, value: Any, *, is_optional: bool = False) -> None:
    """Refuse what is no text, or an empty one.

    Raises:
        ConfigurationError: Naming the key.
    """
    if (is_optional and value is None) or (isinstance(value, str) and value):
        return
    given = "an empty text" if isinstance(value, str) else type(value).__name__
    raise ConfigurationError(f"{key} must be a text, not {given}")


def instance_of(instance: str | None) -> str:
    """Return the label ``instance`` of what is pushed: by default this host's name."""
    check_text("instance", instance, is_optional=True)
    return instance or socket.gethostname()
