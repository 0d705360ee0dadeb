"""Which addresses a URL may lead to that somebody else chose: those of the public internet, and no others.

For URLs that come in through a request. Who may choose where this process connects to reaches whatever it reaches, past
any firewall: the metadata service of a cloud, databases, its own pages. So a URL is read strictly, its host is looked
up once, all its addresses must be public, and the caller connects to these addresses and to no others: a name that
means something else a moment later (DNS rebinding) is of no use.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable, Sequence
from typing import Any, Protocol, TypeAlias
from urllib.parse import SplitResult, urlsplit

from time_execution.exceptions import ConfigurationError

Address: TypeAlias = tuple[Any, ...]
"""One that `socket.getaddrinfo` returned: family, kind, protocol, name, and what to connect to."""
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
_IP: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"(?=.{1,253}\Z)(?:[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,62})\.)*[A-Za-z0-9_][A-Za-z0-9_-]{0,62}\.?\Z")
_PORT = re.compile(r"(?::[0-9]*)?\Z")
# Browsers and resolvers take a host for an IPv4 address when its last part is a number, in whatever notation.
_NUMBER = re.compile(r"(?:.*\.)?(?:[0-9]+|0[xX][0-9A-Fa-f]*)\.?\Z")

# From the registries of special-purpose addresses (RFC 6890 and what came after). Written out, since what `ipaddress`
# calls private differs between versions of Python.
_REFUSED: Sequence[tuple[str, tuple[str, ...]]] = (
    ("leads to this machine", ("0.0.0.0/8", "127.0.0.0/8", "::/127")),
    ("is a private one", ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7", "fec0::/10")),
    ("is a link-local one", ("169.254.0.0/16", "fe80::/10")),
    ("is a group's", ("224.0.0.0/4", "ff00::/8")),
    (
        "is reserved",
        (
            *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24"),
            *("240.0.0.0/4", "2001::/23", "2001:db8::/32", "3fff::/20"),
        ),
    ),
)
_TABLE = tuple((ipaddress.ip_network(text), why) for why, texts in _REFUSED for text in texts)
# Of IPv6, only this has been given to anybody.
_GLOBAL = ipaddress.IPv6Network("2000::/3")
# IPv6 addresses that stand for an IPv4 one, and how many bits follow it.
_CARRIERS = tuple(
    (ipaddress.IPv6Network(text), shift)
    for text, shift in (("::ffff:0:0/96", 0), ("::/96", 0), ("64:ff9b::/96", 0), ("2002::/16", 80))
)


class Resolver(Protocol):
    """Finds the addresses of a host, as `socket.getaddrinfo` does."""

    def __call__(self, host: str, port: int, *, type: int) -> Sequence[Address]:  # noqa: A002 - getaddrinfo's name
        """Return them, best first, or raise `OSError`."""
        ...


def refusal(address: str, allow: Iterable[Network] = ()) -> str | None:
    """Return why a stranger's URL may not lead to an IP address; None when it may. Pure.

    Args:
        address: As `socket.getaddrinfo` or somebody's URL has it.
        allow: Networks that it may lead to all the same.

    Example:
        >>> refusal("169.254.169.254"), refusal("::ffff:10.0.0.1"), refusal("1.1.1.1")
        ('its address is a link-local one', 'its address is a private one', None)
    """
    try:
        parsed: _IP = ipaddress.ip_address(address)
    except ValueError:
        return "its address is none"
    if any(parsed in network for network in allow):
        return None
    carried = _carried(parsed)
    if carried is not None:
        return refusal(str(carried), allow)
    why = next((why for network, why in _TABLE if parsed in network), None)
    if why is None and isinstance(parsed, ipaddress.IPv6Address) and (parsed.scope_id or parsed not in _GLOBAL):
        why = "is reserved"
    return why and f"its address {why}"


class AnyAddress:
    """Where a URL leads to that whoever configures the process wrote: anywhere. Thread-safe and fork-safe.

    Args:
        resolver: Finds the addresses of a host; by default `socket.getaddrinfo`.
    """

    def __init__(self, *, resolver: Resolver | None = None) -> None:
        self._resolver = resolver

    def check(self, url: str) -> SplitResult:
        """Return the parts of a URL; looks nothing up.

        Raises:
            ConfigurationError: When it is none, see `split_url`.
        """
        return split_url(url)

    def addresses(self, host: str, port: int) -> Sequence[Address]:
        """Look a host up, once, and return where to connect to. Blocks as long as the resolver does.

        Raises:
            OSError: When it cannot be looked up.
        """
        resolver = socket.getaddrinfo if self._resolver is None else self._resolver
        found = resolver(host, port, type=socket.SOCK_STREAM)
        if not found:
            raise OSError("the host has no address")
        return found


class AddressGuard(AnyAddress):
    """Says of a URL that came in through a request whether it may be connected to, and to which addresses.

    Immutable, thread-safe and fork-safe.

    Args:
        allow: Networks that are open to such URLs though they are not public, such as ``10.20.0.0/16``.
        resolver: Finds the addresses of a host; by default `socket.getaddrinfo`.

    Raises:
        ConfigurationError: When one of `allow` is no network.

    Example:
        >>> AddressGuard().check("http://0x7f000001/")
        Traceback (most recent call last):
        time_execution.exceptions.ConfigurationError: url: its host is a number in disguise
    """

    def __init__(self, allow: Iterable[str] = (), *, resolver: Resolver | None = None) -> None:
        super().__init__(resolver=resolver)
        if isinstance(allow, str):
            raise ConfigurationError("allow takes a list of networks, not a single text")
        try:
            self._allow: tuple[Network, ...] = tuple(ipaddress.ip_network(text) for text in allow)
        except ValueError:
            raise ConfigurationError("allow takes networks such as 10.20.0.0/16, and one is none") from None

    def check(self, url: str) -> SplitResult:
        """Return the parts of a URL whose form is allowed; looks nothing up.

        Allowed are ``http`` and ``https``, a host in plain letters or a plain address that is not refused, no login,
        and no character on whose meaning two readers of URLs might differ.

        Raises:
            ConfigurationError: When it is not allowed; the URL is not quoted.
        """
        parts = split_url(url)
        if "@" in parts.netloc:
            raise ConfigurationError("url: it may not hold a login")
        why = self._refusal_of_host(parts.hostname or "", parts.netloc.lower())
        if why is not None:
            raise ConfigurationError(f"url: {why}")
        return parts

    def _refusal_of_host(self, host: str, netloc: str) -> str | None:
        is_bracketed = ":" in host
        port = netloc.removeprefix(f"[{host}]" if is_bracketed else host)
        if not _PORT.match(port):
            return "its host is no name"
        if is_bracketed or _is_plain_ipv4(host):
            return refusal(host, self._allow)
        if _NUMBER.match(host):
            return "its host is a number in disguise"
        return None if _HOST.match(host) else "its host is no name"

    def addresses(self, host: str, port: int) -> Sequence[Address]:
        """Look a host up, once, and return where to connect to: to these addresses, not to the host by its name.

        Blocks as long as the resolver does.

        Raises:
            ConfigurationError: When one of its addresses is refused, though others are not.
            OSError: When it cannot be looked up.
        """
        found = super().addresses(host, port)
        for *_, place in found:
            why = refusal(str(place[0]), self._allow)
            if why is not None:
                raise ConfigurationError(f"url: {why}")
        return found


def split_url(url: str) -> SplitResult:
    """Return the parts of an ``http`` or ``https`` URL.

    Raises:
        ConfigurationError: When it is none, or holds what readers of URLs take differently: a blank, a control
            character, a backslash, a letter outside ASCII. The URL is not quoted: it may hold a secret.
    """
    if not isinstance(url, str):
        raise ConfigurationError(f"url must be a text, not {type(url).__name__}")
    if not url.isascii():
        raise ConfigurationError("url: write other letters than ASCII as %XX, and those of a host in punycode")
    if any(character <= " " or character in "\\\x7f" for character in url):
        raise ConfigurationError("url: it may hold no blank, control character or backslash")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ConfigurationError("url: its host or its port is none") from None
    if parts.scheme not in _PORTS:
        raise ConfigurationError("url: it must begin with http:// or https://")
    if not host or port == 0:
        raise ConfigurationError("url: its host or its port is none")
    return parts


def port_of(parts: SplitResult) -> int:
    """Return the port that an ``http`` or ``https`` URL leads to."""
    return parts.port or _PORTS[parts.scheme]


def _carried(address: _IP) -> ipaddress.IPv4Address | None:
    """Return the IPv4 address that an IPv6 one stands for; None when it stands for itself."""
    if isinstance(address, ipaddress.IPv4Address) or int(address) <= 1:
        return None
    for network, shift in _CARRIERS:
        if address in network:
            return ipaddress.IPv4Address(int(address) >> shift & 0xFFFF_FFFF)
    return None


def _is_plain_ipv4(host: str) -> bool:
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return True
