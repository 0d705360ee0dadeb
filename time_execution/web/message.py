"""What a request asks and what is answered, as `Site` and the dashboard see it: no framework shows through."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

Headers: TypeAlias = "list[tuple[str, str]]"
"""Names and values, in the order in which they are sent."""


@dataclass(frozen=True)
class Request:
    """One HTTP request. What it holds is the client's word, but for `client` and `native`; never changed by us.

    Attributes:
        method: In upper case, such as ``GET``.
        path: Decoded and below the place where the application is mounted; begins with ``/``.
        query: Each parameter's values, decoded, in their order.
        headers: By name in lower case.
        body: The whole body, at most `MAX_BODY` bytes; empty where a method has none.
        client: The address of the peer that the server talks to, without its port; None where it is not known, as on
            a Unix socket. Never taken from a header.
        scheme: ``http`` or ``https``.
        mount: What stands before `path` in the URL that the client asked for (``SCRIPT_NAME``, ``root_path``); links
            to other pages begin with it.
        user: Who the framework says asks, where it knows; for display only.
        native: The framework's own request object: what ``auth`` is called with.
    """

    method: str
    path: str
    query: Mapping[str, list[str]] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    client: str | None = None
    scheme: str = "http"
    mount: str = ""
    user: Any = None
    native: Any = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class Response:
    """One HTTP answer.

    Attributes:
        status: The status code.
        headers: Sent as they are; the length is added by whoever sends a body of bytes.
        body: All of it, or an iterator of its pieces, which is closed (``close()``) when the client goes away.
    """

    status: int
    headers: Headers = field(default_factory=list)
    body: bytes | Iterator[bytes] = b""


MAX_BODY = 64 * 1024
"""The longest body that is read, in bytes; a longer one is answered with 413 before anything else."""


def plain(status: int, sentence: str, *headers: tuple[str, str]) -> Response:
    r"""Return an answer in plain text that no browser takes for anything else, nor keeps.

    Args:
        status: The status code.
        sentence: One line; a line end is added.
        *headers: More headers.

    Example:
        >>> plain(404, "not found").body
        b'not found\n'
    """
    own = [
        ("Content-Type", "text/plain; charset=utf-8"),
        ("X-Content-Type-Options", "nosniff"),
        ("Cache-Control", "no-store"),
    ]
    return Response(status, [*own, *headers], f"{sentence}\n".encode())
