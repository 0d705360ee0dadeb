"""Where the nodes of a cluster are: hosts in any of the forms in which the official clients take them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import SplitResult, urlsplit

from time_execution.address import Host, address_of, host_of
from time_execution.exceptions import ConfigurationError

_PORT = 9200
_PORTS = {"http": _PORT, "https": 443}
_KEYS = ("host", "port", "scheme", "url_prefix", "use_ssl")

Hosts = str | Sequence[str | Mapping[str, Any]] | None


class Node(NamedTuple):
    """One node.

    Attributes:
        scheme: ``http`` or ``https``.
        host: Its name and port.
        prefix: The path before that of each request, without slashes around it.
    """

    scheme: str
    host: Host
    prefix: str = ""

    def __str__(self) -> str:
        """Return its URL, which holds no credentials."""
        return f"{self.scheme}://{self.host}" + (f"/{self.prefix}" if self.prefix else "")


class Cluster(NamedTuple):
    """What the arguments say of a cluster.

    Attributes:
        nodes: At least one.
        login: User and password, if there is one.
    """

    nodes: tuple[Node, ...]
    login: tuple[str, str] | None


def cluster_of(hosts: Hosts, host: Hosts, *, login: tuple[str | None, str | None], tls: bool) -> Cluster:
    """Return what ``hosts``, or its other name ``host``, and the arguments beside it say.

    A host is ``name``, ``name:port``, ``https://user:secret@name:port/prefix`` or a dict with ``host``, ``port``,
    ``scheme`` (or ``use_ssl``) and ``url_prefix``. Without a port it is 9200, and 443 where ``https://`` is written.

    Args:
        hosts: One host, several with commas between them, or a list.
        host: The same, by its other name.
        login: User and password that were given beside the hosts.
        tls: Whether a host that names no scheme is spoken to by TLS.

    Raises:
        ConfigurationError: When both names, or something else was given, or there are several logins.
    """
    if hosts is not None and host is not None:
        raise ConfigurationError("hosts and host are two names of one parameter; give one of them")
    given: Any = "localhost" if hosts is None and host is None else hosts if host is None else host
    texts = given.split(",") if isinstance(given, str) else given
    if not isinstance(texts, (list, tuple)) or not all(isinstance(item, (str, Mapping)) for item in texts):
        raise ConfigurationError(f"hosts must be a text or a list of texts and dicts, not {type(given).__name__}")
    items = [item for item in texts if not isinstance(item, str) or item.strip()]
    if not items:
        raise ConfigurationError("hosts must name at least one host")
    found = [_from_dict(item, tls=tls) if isinstance(item, Mapping) else _from_text(item, tls=tls) for item in items]
    return Cluster(tuple(node for node, _ in found), _login({own for _, own in found if own is not None}, *login))


def _login(written: set[tuple[str, str]], user: str | None, password: str | None) -> tuple[str, str] | None:
    """Return the one login there is, of those written in hosts and the one given beside them."""
    for key, value in (("username", user), ("password", password)):
        if value is not None and not isinstance(value, str):
            raise ConfigurationError(f"{key} must be a text, not {type(value).__name__}")
    if (user is None) != (password is None):
        raise ConfigurationError("username and password belong together; give both or none")
    if user is not None and password is not None:
        written = written | {(user, password)}
    if len(written) > 1:
        raise ConfigurationError("hosts, username and password name several logins; one is sent to all nodes")
    return next(iter(written), None)


def _from_text(text: str, *, tls: bool) -> tuple[Node, tuple[str, str] | None]:
    text = text.strip()
    if "://" not in text:
        found = host_of(text)
        return Node("https" if tls else "http", Host(found.name, found.port or _PORT)), None
    return _from_url(urlsplit(text))


def _from_url(url: SplitResult) -> tuple[Node, tuple[str, str] | None]:
    if url.scheme not in _PORTS or url.query or url.fragment:
        raise ConfigurationError("a host in hosts is written name, name:port or https://name:port")
    address = address_of(url)
    if len(address.hosts) != 1:
        raise ConfigurationError("a URL in hosts must name one host")
    (host,) = address.hosts
    login = (address.username, address.password or "") if address.username is not None else None
    return Node(url.scheme, Host(host.name, host.port or _PORTS[url.scheme]), "/".join(address.path)), login


def _from_dict(given: Mapping[str, Any], *, tls: bool) -> tuple[Node, None]:
    unknown = [key for key in given if key not in _KEYS]
    name, port = given.get("host"), given.get("port", _PORT)
    if unknown or not isinstance(name, str) or type(port) is not int:
        raise ConfigurationError(f"a dict in hosts has host (a text), port (a number) and of {_KEYS[2:]} what it needs")
    scheme = given.get("scheme") or ("https" if given.get("use_ssl", tls) else "http")
    if scheme not in _PORTS:
        raise ConfigurationError("the scheme in hosts must be http or https")
    host = host_of(f"[{name}]:{port}" if ":" in name else f"{name}:{port}")
    return Node(scheme, host, str(given.get("url_prefix") or "").strip("/")), None
