"""Where a server is: hosts and ports as arguments and URLs name them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote

from time_execution.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from urllib.parse import SplitResult

_HIGHEST_PORT = 65_535


class Host(NamedTuple):
    """One host of a server.

    Attributes:
        name: Its name or IP address, an IPv6 one without brackets.
        port: Its port; None where none was named.
    """

    name: str
    port: int | None

    def __str__(self) -> str:
        """Return ``name:port``, or the name where there is no port; brackets around an IPv6 address."""
        name = f"[{self.name}]" if ":" in self.name else self.name
        return name if self.port is None else f"{name}:{self.port}"


class Address(NamedTuple):
    """What a URL says between its scheme and its query, percent-decoded.

    Attributes:
        hosts: In the order written; more than one where commas separate them.
        username: None where the URL has none.
        password: None where the URL has none.
        path: The parts of the path, empty ones left out.
    """

    hosts: tuple[Host, ...]
    username: str | None
    password: str | None
    path: tuple[str, ...]

    @property
    def login(self) -> dict[str, Any]:
        """The constructor arguments ``username`` and ``password``, those that the URL has."""
        found = {"username": self.username, "password": self.password}
        return {key: value for key, value in found.items() if value is not None}


def address_of(url: SplitResult) -> Address:
    """Return what a URL such as ``kafka://user:secret@one:9092,two:9092/topic`` says of a server.

    Example:
        >>> from urllib.parse import urlsplit
        >>> found = address_of(urlsplit("kafka://anna:s%40fe@one:9092,[::1]/a"))
        >>> [str(host) for host in found.hosts], found.login, found.path
        (['one:9092', '[::1]'], {'username': 'anna', 'password': 's@fe'}, ('a',))

    Raises:
        ConfigurationError: When a port is none.
    """
    login, at, places = url.netloc.rpartition("@")
    username, colon, password = login.partition(":")
    return Address(
        hosts=tuple(host_of(place) for place in places.split(",") if place),
        username=unquote(username) if at and username else None,
        password=unquote(password) if colon else None,
        path=tuple(unquote(part) for part in url.path.split("/") if part),
    )


def host_of(text: str) -> Host:
    """Return the host in ``name``, ``name:port`` or ``[IPv6]:port``.

    Raises:
        ConfigurationError: When the port is none, or there is no name.
    """
    name, colon, port = text.rpartition(":")
    if not colon or text.endswith("]") or (text.count(":") > 1 and not name.endswith("]")):
        name, port = text, ""
    elif not (port.isascii() and port.isdigit() and 0 < int(port[:6]) <= _HIGHEST_PORT):
        raise ConfigurationError(f"a host is written name or name:port, with a port from 1 to {_HIGHEST_PORT}")
    name = unquote(name.removeprefix("[").removesuffix("]"))
    if not name or any(character.isspace() or character in "/@" for character in name):
        raise ConfigurationError("a host is written name or name:port")
    return Host(name, int(port) if port else None)


def host_texts(hosts: str | Sequence[str] | None, host: str | Sequence[str] | None = None) -> tuple[str, ...]:
    """Return the hosts that were given as a text, with commas between them, or as a list of texts.

    Args:
        hosts: What the parameter ``hosts`` was given.
        host: What its other name ``host`` was given.

    Raises:
        ConfigurationError: When both, neither, or something else was given.
    """
    if hosts is not None and host is not None:
        raise ConfigurationError("hosts and host are two names of one parameter; give one of them")
    key, given = ("hosts", hosts) if host is None else ("host", host)
    texts: Sequence[Any] = given.split(",") if isinstance(given, str) else given or ()
    if not isinstance(texts, (list, tuple)) or not all(isinstance(text, str) for text in texts):
        raise ConfigurationError(f"{key} must be a text or a list of texts, not {type(given).__name__}")
    found = tuple(text.strip() for text in texts if text.strip())
    if not found:
        raise ConfigurationError(f"{key} must name at least one host")
    return found
