"""What the backend is told: by its arguments, and where they are silent by the ``OTEL_*`` variables.

The variables, their forms and their order are those of the specification's pages "OpenTelemetry Protocol Exporter" and
"OpenTelemetry Environment Variable Specification"; an empty variable counts as unset. No message shows a value.
"""

from __future__ import annotations

import math
import os
import re
import ssl
from base64 import b64encode
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any, Literal, NamedTuple, TypeVar
from urllib.parse import SplitResult, unquote, urlsplit

from time_execution.argument_check import check_timeouts, check_use
from time_execution.exceptions import ConfigurationError

Compression = Literal["gzip", "none"]
Temporality = Literal["delta", "cumulative"]
T = TypeVar("T")

DEFAULT_PORT = 4318
_PATH = "/v1/metrics"
_SCHEMES = ("http", "https")
# RFC 9110 section 5.6.2: the characters of a header's name; its value is one line of what Latin-1 can write.
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_TEMPORALITIES: Mapping[str, Temporality] = {"cumulative": "cumulative", "delta": "delta", "lowmemory": "delta"}
_SCALARS = (str, bool, int, float)


class Endpoint(NamedTuple):
    """Where requests go.

    Attributes:
        url: With the path and the query, and without a password.
        shown: Scheme, host and port only: the path and the query may hold a key.
        login: The header that a user in the address stands for; empty without one.
    """

    url: str
    shown: str
    login: dict[str, str]

    @property
    def is_usual(self) -> bool:
        """Whether there is nothing in it but what is shown and the path of the specification."""
        return self.url == f"{self.shown}{_PATH}"


def is_disabled() -> bool:
    """Whether ``OTEL_SDK_DISABLED`` says that nothing is to be sent."""
    return os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"


def endpoint_of(given: str | None, *, tls: bool | None) -> Endpoint:
    """Return where requests go; ``/v1/metrics`` is added unless the path ends so.

    Args:
        given: A URL, or ``host``, ``host:port``, with or without a path.
        tls: Whether an address without a scheme is spoken to by TLS.

    Raises:
        ConfigurationError: When it is no such address, or another protocol than ours is asked for.
    """
    if given is not None:
        return _parsed(given, "endpoint", tls=tls, path=_PATH)
    _check_protocol()
    for_metrics = _variable("METRICS_ENDPOINT")
    if for_metrics is not None:
        return _parsed(for_metrics, "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", tls=tls, path="")
    general = _variable("ENDPOINT")
    if general is not None:
        return _parsed(general, "OTEL_EXPORTER_OTLP_ENDPOINT", tls=tls, path=_PATH)
    return _parsed("localhost", "endpoint", tls=tls, path=_PATH)


def headers_of(given: Any) -> dict[str, str]:
    """Return the headers to send with each request: a mapping, or text such as ``api-key=secret,tenant=a``."""
    key = "headers"
    if given is None:
        key, given = _own_or_general("HEADERS")
    found: Any = _pairs(given, key) if isinstance(given, str) else given or {}
    if not isinstance(found, Mapping) or not all(
        isinstance(name, str) and _HEADER_NAME.fullmatch(name) and isinstance(value, str)
        for name, value in found.items()
    ):
        raise ConfigurationError(f"{key} must be names of headers and their texts")
    if not all(_HEADER_VALUE.fullmatch(value) for value in found.values()):
        raise ConfigurationError(f"{key} must hold texts of one line, in the characters of Latin-1")
    return dict(found)


def timeout_of(given: Any) -> float:
    """Return the longest wait for an answer, in seconds; the variable is in milliseconds."""
    if given is not None:
        check_timeouts(timeout=given)
        return float(given)
    key, text = _own_or_general("TIMEOUT")
    if text is None:
        return 10.0
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise ConfigurationError(f"{key} must be a whole number of milliseconds above 0")
    return int(text) / 1000


def compression_of(given: str | None) -> Compression:
    """Return how requests are packed; gzip where nobody says anything."""
    return _choice(given, "compression", _own_or_general("COMPRESSION"), {"gzip": "gzip", "none": "none"}, "gzip")


def temporality_of(given: str | None) -> Temporality:
    """Return whether sums are those since the process started, or those since the request before."""
    variable = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"
    found = variable, os.environ.get(variable, "").strip().lower() or None
    return _choice(given, "temporality", found, _TEMPORALITIES, "cumulative")


def resource_of(given: Any, service_name: Any) -> dict[str, Any]:
    """Return the attributes of the resource: the given ones over ``OTEL_RESOURCE_ATTRIBUTES``, and a service name."""
    found: dict[str, Any] = {"service.name": "unknown_service:python"}
    text = os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "").strip()
    if text:
        found |= _pairs(text, "OTEL_RESOURCE_ATTRIBUTES")
    found["service.name"] = os.environ.get("OTEL_SERVICE_NAME", "").strip() or found["service.name"]
    own = _pairs(given, "resource") if isinstance(given, str) else given or {}
    is_right = isinstance(own, Mapping) and all(isinstance(name, str) and name for name in own)
    if not is_right or not all(isinstance(value, _SCALARS) for value in own.values()):
        raise ConfigurationError("resource must be names of attributes and their texts or numbers")
    found |= own
    if service_name is not None:
        if not isinstance(service_name, str) or not service_name:
            raise ConfigurationError("service_name must be a text")
        found["service.name"] = service_name
    return found


def context_of(
    ca_certs: str | None, client_cert: str | None, client_key: str | None, *, is_needed: bool
) -> ssl.SSLContext | None:
    """Return what TLS is spoken with; None for an address without TLS.

    Args:
        ca_certs: A file of the certificates to trust; by default those of the system.
        client_cert: A file with the certificate to show.
        client_key: A file with its key, if that is not in the same file.
        is_needed: Whether the address is one with TLS.

    Raises:
        ConfigurationError: When a file cannot be read, or holds something else.
    """
    given = {"ca_certs": ca_certs, "client_cert": client_cert, "client_key": client_key}
    if not is_needed:
        check_use("with an endpoint of http://", **given)
        return None
    variables = {"ca_certs": "CERTIFICATE", "client_cert": "CLIENT_CERTIFICATE", "client_key": "CLIENT_KEY"}
    files = {key: (key, value) if value else _own_or_general(variables[key]) for key, value in given.items()}
    (ca_key, ca_file), (cert_key, cert_file), (_, key_file) = files.values()
    context = _loaded(ca_key, lambda: ssl.create_default_context(cafile=ca_file))
    if cert_file is not None:
        # Without a password: a key that wants one must not be asked for at the terminal.
        _loaded(cert_key, lambda: context.load_cert_chain(cert_file, key_file, password=""))
    elif key_file is not None:
        raise ConfigurationError("client_key needs client_cert, the certificate that it belongs to")
    return context


def names_of(given: Any) -> tuple[str, ...]:
    """Return the fields that become attributes of points."""
    names = (given,) if isinstance(given, str) else given
    if not isinstance(names, (list, tuple, set, frozenset)) or not all(isinstance(name, str) for name in names):
        raise ConfigurationError("attributes must be a list of names of fields")
    return tuple(dict.fromkeys(names))


def bounds_of(given: Any) -> tuple[float, ...]:
    """Return the upper bounds of the buckets, in seconds."""
    if not isinstance(given, (list, tuple)):
        raise ConfigurationError("buckets must be a list of numbers of seconds")
    numbers = all(type(bound) in {int, float} and math.isfinite(bound) for bound in given)
    if not numbers or any(low >= high for low, high in pairwise(given)):
        raise ConfigurationError("buckets must be numbers of seconds, each above the one before")
    return tuple(map(float, given))


def _variable(name: str) -> str | None:
    return os.environ.get(f"OTEL_EXPORTER_OTLP_{name}", "").strip() or None


def _own_or_general(name: str) -> tuple[str, str | None]:
    """Return the variable for metrics if it is set, otherwise that for all signals, and what it says."""
    own = f"METRICS_{name}"
    found = _variable(own)
    return f"OTEL_EXPORTER_OTLP_{name if found is None else own}", _variable(name) if found is None else found


def _choice(given: Any, key: str, variable: tuple[str, str | None], choices: Mapping[str, T], default: T) -> T:
    """Return what an argument or else a variable chooses."""
    if given is None:
        key, given = variable
    if given is None:
        return default
    if not isinstance(given, str) or given.lower() not in choices:
        raise ConfigurationError(f"{key} must be one of {', '.join(choices)}")
    return choices[given.lower()]


def _check_protocol() -> None:
    key, protocol = _own_or_general("PROTOCOL")
    if protocol not in {None, "http/protobuf"}:
        raise ConfigurationError(
            f"{key} asks for another protocol than http/protobuf, the one that is spoken here;"
            f" give the endpoint of that, usually on port {DEFAULT_PORT}"
        )


def _parsed(text: Any, key: str, *, tls: bool | None, path: str) -> Endpoint:
    wanted = f"{key} must be an address such as http://collector:{DEFAULT_PORT}"
    if not isinstance(text, str):
        raise ConfigurationError(f"{wanted}, not {type(text).__name__}")
    has_scheme = "://" in text
    url = _split(text.strip() if has_scheme else f"{'https' if tls else 'http'}://{text.strip()}")
    if url is None or not url.hostname or url.scheme not in _SCHEMES or url.fragment:
        raise ConfigurationError(wanted)
    if has_scheme and tls is not None and tls != (url.scheme == "https"):
        raise ConfigurationError(f"tls={tls} contradicts the {url.scheme}:// of {key}")
    host, port = url.hostname, url.port
    if port is None and not has_scheme:
        port = DEFAULT_PORT
    place = f"[{host}]" if ":" in host else host
    base = url.path.rstrip("/")
    full = url.path if not path else base if base.endswith(path) else f"{base}{path}"
    shown = f"{url.scheme}://{place}{'' if port is None else f':{port}'}"
    return Endpoint(f"{shown}{full or '/'}{f'?{url.query}' if url.query else ''}", shown, _login_of(url))


def _split(text: str) -> SplitResult | None:
    """Return the parts of a URL; None for what is none, without the error, which shows what was given."""
    try:
        url = urlsplit(text)
        is_right = url.port != 0 and not any(map(str.isspace, url.netloc))
    except ValueError:
        return None
    return url if is_right else None


def _login_of(url: SplitResult) -> dict[str, str]:
    """Return the header of basic authentication, RFC 7617, for the user in an address."""
    if url.username is None:
        return {}
    pair = f"{unquote(url.username)}:{unquote(url.password or '')}"
    return {"Authorization": f"Basic {b64encode(pair.encode()).decode()}"}


def _pairs(text: str, key: str) -> dict[str, str]:
    """Return what ``name=value,name=value`` says, percent-encoded as in the W3C Baggage header."""
    found = {}
    for pair in filter(None, (pair.strip() for pair in text.split(","))):
        name, equals, value = pair.partition("=")
        if not equals or not name.strip():
            raise ConfigurationError(f"{key} must be written name=value,name=value")
        found[unquote(name.strip())] = unquote(value.strip())
    return found


def _loaded(key: str, load: Callable[[], T]) -> T:
    try:
        return load()
    except OSError as exc:  # ssl.SSLError is one, too
        reason = "it is not in PEM form" if isinstance(exc, ssl.SSLError) else exc.strerror
        raise ConfigurationError(f"{key} must be a file of certificates: {reason}") from exc
