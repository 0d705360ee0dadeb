"""One HTTP request over a connection of its own, to addresses that were checked, all within one deadline."""

from __future__ import annotations

import base64
import http.client
import re
import ssl
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import SplitResult, unquote

from time_execution.address import Host
from time_execution.address_guard import AnyAddress, port_of
from time_execution.bounded_socket import BoundedSocket, tls_context
from time_execution.exceptions import ConfigurationError
from time_execution.monitor.checks.connection import connected, rest_of

if TYPE_CHECKING:
    from collections.abc import Callable

_CHUNK = 16_384
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")  # RFC 9110 section 5.6.2
_VALUE = re.compile(r"[\t -~\x80-\xff]*\Z")


class Answer(NamedTuple):
    """What matters of an answer.

    Attributes:
        status: The status code.
        location: Where it leads to instead; None when it does not say.
    """

    status: int
    location: str | None


class Asking(NamedTuple):
    """How to ask, whatever the URL.

    Attributes:
        method: Of the request.
        addresses: Finds where to connect to.
        context: Returns what TLS goes by.
        max_body: Read so many bytes of the answer at most.
    """

    method: str
    addresses: AnyAddress
    context: Callable[[], ssl.SSLContext]
    max_body: int


def ask(asking: Asking, parts: SplitResult, headers: Mapping[str, str], *, deadline: float) -> Answer:
    """Send a request, and read the answer to its end or to the most bytes that are read. Blocks.

    Args:
        asking: How.
        parts: Of the URL.
        headers: Sent besides, and instead of what would be sent by itself.
        deadline: By ``time.monotonic``.

    Raises:
        OSError: When no answer comes; `TimeoutError` at the deadline.
        ConfigurationError: When an address is refused.
        HTTPException: When what comes is no HTTP, or ends too early.
    """
    host, port = parts.hostname or "", port_of(parts)
    connection = http.client.HTTPConnection(host, port)
    sock: Any = connected(asking.addresses.addresses(host, port), deadline)
    try:
        sock.settimeout(rest_of(deadline))
        if parts.scheme == "https":
            sock = asking.context().wrap_socket(sock, server_hostname=host)
        else:
            sock = BoundedSocket.of(sock)
        sock.settimeout(rest_of(deadline))  # for all that is read, together
        connection.sock = sock
        _send(connection, asking.method, parts, headers)
        response = connection.getresponse()
        _read(response, asking.max_body)
        return Answer(response.status, response.getheader("Location"))
    finally:
        connection.close()
        sock.close()


def context_maker(*, verify_certs: bool, ca_certs: str | None) -> Callable[[], ssl.SSLContext]:
    """Return a function that makes what TLS goes by at its first call: reading all authorities takes its time.

    Raises:
        ConfigurationError: When the file of authorities cannot be read.
    """
    made: list[ssl.SSLContext] = []

    def context() -> ssl.SSLContext:
        if not made:
            found = tls_context(ca_certs)
            if not verify_certs:
                found.check_hostname = False
                found.verify_mode = ssl.CERT_NONE
            made.append(found)
        return made[0]

    if ca_certs is not None:
        context()
    return context


def checked_headers(headers: Mapping[str, str] | None) -> dict[str, str]:
    """Return a copy of headers.

    Raises:
        ConfigurationError: When one would be no header, or more than one. Its value is not shown.
    """
    found: dict[Any, Any] = dict(headers or {})
    for name, value in found.items():
        if not isinstance(name, str) or not _NAME.match(name):
            raise ConfigurationError("headers: one has a name that is none")
        if not isinstance(value, str) or not _VALUE.match(value):
            raise ConfigurationError(f"headers: the value of {name} is none")
    return found


def origin_of(parts: SplitResult) -> tuple[str, str | None, int]:
    """Return scheme, host and port of a URL: whom it asks."""
    return parts.scheme, parts.hostname, port_of(parts)


def host_text(parts: SplitResult) -> str:
    """Return host and port as a URL and the header ``Host`` have them: no login, no port that goes without saying."""
    return str(Host(parts.hostname or "", parts.port))


def _send(connection: http.client.HTTPConnection, method: str, parts: SplitResult, headers: Mapping[str, str]) -> None:
    target = f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"
    sent = {"Host": host_text(parts), "User-Agent": "time-execution", "Accept": "*/*", "Connection": "close"}
    if parts.username is not None:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        sent["Authorization"] = f"Basic {base64.b64encode(login.encode()).decode()}"
    if method == "POST":
        sent["Content-Length"] = "0"
    given = {name.lower() for name in headers}
    connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
    for name, value in (
        *((name, value) for name, value in sent.items() if name.lower() not in given),
        *headers.items(),
    ):
        connection.putheader(name, value)
    connection.endheaders()


def _read(response: http.client.HTTPResponse, max_body: int) -> None:
    left = max_body
    while left > 0 and (data := response.read1(min(left, _CHUNK))):
        left -= len(data)
    if left > 0 and response.length:
        raise http.client.IncompleteRead(b"", response.length)
    response.close()
