"""What an `InfluxBackend` was asked for, checked: nothing here connects to anything."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from time_execution.address import Host, host_of
from time_execution.argument_check import check_ports, check_switches, check_timeouts, check_use
from time_execution.exceptions import ConfigurationError
from time_execution.formats.line_protocol import ALWAYS_TAGS, UNITS
from time_execution.types import NAME, TIMESTAMP

Protocol = Literal["0.8", "1.x", "2.x"]
Precision = Literal["ns", "us", "ms", "s"]
Consistency = Literal["any", "one", "quorum", "all"]

OLD: Final = "0.8"
LINES: Final = "1.x"
API_2: Final = "2.x"

_CHOICES: Mapping[str, tuple[str, ...]] = {
    "protocol": (OLD, LINES, API_2),
    "precision": tuple(UNITS),
    "consistency": ("any", "one", "quorum", "all"),
}
_TEXTS = (
    "host",
    "database",
    "username",
    "password",
    "url",
    "org",
    "bucket",
    "token",
    "retention_policy",
    "value_field",
)
_SWITCHES = ("use_udp", "integers", "gzip", "tls", "verify_certs")
# What only some of the protocols have a use for.
_ONLY_FOR: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("url", "org", "bucket", "token"), (API_2,)),
    **dict.fromkeys(("use_udp", "udp_port", "username", "password", "create_database"), (OLD, LINES)),
    **dict.fromkeys(("retention_policy", "consistency"), (LINES,)),
    **dict.fromkeys(("gzip", "integers", "tags"), (LINES, API_2)),
}
# What packets have no use for: they carry no login, and the listener knows the database.
_NOT_BY_UDP = ("port", "username", "create_database", "tls", "gzip", "retention_policy", "consistency")
_UDP_PORTS = {OLD: 4444, LINES: 8089}
_PORT = 8086


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The arguments of `InfluxBackend`, where they are explained; those left out have what the protocol takes instead.

    Attributes:
        server: Names the server in messages.
        target: What is written to: the database, or the bucket.

    Raises:
        ConfigurationError: When an argument is wrong, or of no use for the protocol; no value is shown.
    """

    host: str | None
    database: str | None
    use_udp: bool
    port: int | None
    udp_port: int | None
    username: str | None = field(repr=False)
    password: str | None = field(repr=False)
    protocol: Protocol
    url: str | None
    org: str | None
    bucket: str | None
    token: str | None = field(repr=False)
    tags: Sequence[str]
    precision: Precision | None
    integers: bool
    retention_policy: str | None
    consistency: Consistency | None
    create_database: bool | None
    gzip: bool
    tls: bool
    ca_certs: str | os.PathLike[str] | None
    verify_certs: bool
    timeout: float
    value_field: str
    server: str = ""
    target: str = ""

    def __post_init__(self) -> None:
        """Check all arguments, then fill in those that were left out."""
        for check in (_check_kinds, _check_numbers, _check_use, _check_tags):
            check(self)
        host = _host_of_url(self.url) if self.url is not None else host_of(self.host or "localhost")
        port = host.port or (443 if self.url and self.url.lower().startswith("https") else self.port or _PORT)
        database = self.database or "metrics"
        udp_port = self.udp_port or _UDP_PORTS.get(self.protocol)
        address = Host(host.name, udp_port if self.use_udp else port)
        filled: dict[str, Any] = {
            "host": host.name,
            "port": port,
            "udp_port": udp_port,
            "url": self.url or f"http{'s' if self.tls else ''}://{Host(host.name, port)}",
            "precision": self.precision or {OLD: "s" if self.use_udp else "ms"}.get(self.protocol, "ns"),
            "server": f"InfluxDB at {address}{' (UDP)' if self.use_udp else ''}",
            "target": self.bucket or database,
            "database": database,
            "create_database": self.create_database is not False,
        }
        for key, value in filled.items():
            object.__setattr__(self, key, value)

    @property
    def host_in_url(self) -> str:
        """The host as addresses have it: brackets around an IPv6 one."""
        return str(Host(self.host or "", None))

    @property
    def verify(self) -> bool | str:
        """Whether certificates are verified, or the file of those that vouch for the server."""
        return os.fspath(self.ca_certs) if self.ca_certs is not None and self.verify_certs else self.verify_certs


def _check_kinds(options: Options) -> None:
    for key in _TEXTS:
        value = getattr(options, key)
        if not (isinstance(value, str) and value.strip()) and (value is not None or key in _REQUIRED):
            raise ConfigurationError(f"{key} must be a text that is not empty, got {_shown(value)}")
    check_switches(**{key: getattr(options, key) for key in _SWITCHES})
    if options.create_database is not None:
        check_switches(create_database=options.create_database)
    for key, choices in _CHOICES.items():
        value = getattr(options, key)
        if value not in choices and (value is not None or key in _REQUIRED):
            raise ConfigurationError(f"{key} must be one of {', '.join(choices)}")
    file: object = options.ca_certs
    if file is not None and not (isinstance(file, (str, os.PathLike)) and Path(file).is_file()):
        raise ConfigurationError("ca_certs must be the path of a file with certificates")


def _check_numbers(options: Options) -> None:
    ports = {"port": options.port, "udp_port": options.udp_port}
    check_ports(**{key: port for key, port in ports.items() if port is not None})
    check_timeouts(timeout=options.timeout)


def _check_use(options: Options) -> None:
    """Refuse what the protocol has no use for, rather than let somebody believe in it."""
    for key, protocols in _ONLY_FOR.items():
        if getattr(options, key) and options.protocol not in protocols:
            raise ConfigurationError(f"{key} is an option of protocol {' and '.join(protocols)} only")
    if options.username is None:
        check_use("without username", password=options.password)
    if options.url is not None:
        check_use("with url", host=options.host, port=options.port)
    elif options.host is not None and host_of(options.host).port is not None:
        check_use("with a host that names its own", port=options.port)
    if options.bucket is not None:
        check_use("with bucket", database=options.database)
    if options.protocol == OLD and options.precision == "ns":
        raise ConfigurationError("precision must be us, ms or s with protocol 0.8")
    _check_udp(options)
    _check_tls(options)


def _check_udp(options: Options) -> None:
    if not options.use_udp:
        check_use("without use_udp", udp_port=options.udp_port)
        return
    check_use("with use_udp", **{key: getattr(options, key) or None for key in _NOT_BY_UDP})
    if options.host is not None and host_of(options.host).port is not None:
        raise ConfigurationError("host must name no port with use_udp: packets go to udp_port")
    if options.protocol == OLD and options.precision not in {None, "s"}:
        raise ConfigurationError("precision must be s with protocol 0.8 and use_udp")


def _check_tls(options: Options) -> None:
    """Refuse what would not be honoured: what somebody believes to be encrypted must not go out in the clear."""
    is_https = options.tls if options.url is None else options.url.lower().startswith("https://")
    if options.tls and not is_https:
        raise ConfigurationError("url must begin with https:// where tls is asked for")
    if not is_https:
        why = "without tls, or a url that begins with https://"
        check_use(why, ca_certs=options.ca_certs, verify_certs=None if options.verify_certs else False)
    if not options.verify_certs:
        check_use("with verify_certs=False", ca_certs=options.ca_certs)


def _check_tags(options: Options) -> None:
    tags = options.tags
    if not isinstance(tags, (list, tuple)) or not all(isinstance(tag, str) and tag for tag in tags):
        raise ConfigurationError(f"tags must be a list of names of fields, got {_shown(tags)}")
    if options.value_field in (NAME, TIMESTAMP, *ALWAYS_TAGS):
        raise ConfigurationError("value_field must name a field, not the name, the timestamp or a tag")
    for taken in (NAME, TIMESTAMP, options.value_field):
        if taken in tags:
            raise ConfigurationError(f"tags must not name {taken}, which has its own place in a point")


def _host_of_url(url: str) -> Host:
    try:
        parts = urlsplit(url)
    except ValueError as exc:
        raise ConfigurationError("url is no valid URL") from exc
    if parts.scheme not in {"http", "https"} or not parts.netloc or parts.query or parts.fragment:
        raise ConfigurationError("url must be an address such as https://influx.example:8086")
    if "@" in parts.netloc:
        raise ConfigurationError("url must hold no username and password; there is token for that")
    return host_of(parts.netloc)


def _shown(value: object) -> str:
    return "an empty text" if isinstance(value, str) else type(value).__name__


_REQUIRED = {"protocol", "value_field"}
NAMES = tuple(option.name for option in fields(Options) if option.name not in {"server", "target"})
"""The arguments, in the order of the constructor."""
