"""Our own pages in ASGI: what a scope asks, and how an answer is sent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qs

from time_execution.web._route_table import path_below
from time_execution.web.message import MAX_BODY, Request, Response

if TYPE_CHECKING:
    from time_execution.web._asgi import Message, Receive, Scope, Send
    from time_execution.web.site import Site

T = TypeVar("T")
_NO_BODY = frozenset(("GET", "HEAD", "OPTIONS"))


async def answer(site: Site, scope: Scope, receive: Receive, send: Send, *, native: Any) -> None:
    """Answer a request at one of our paths.

    Args:
        site: Answers; in a thread of its own where that may take a while.
        scope: Of the request.
        receive: Gives its body.
        send: Takes the answer.
        native: What ``auth`` is called with.
    """
    request = await _translated(scope, receive, native=native)
    granted: bool | None = None
    if site.access.is_async and site.needs_permission(request):
        granted = await site.access.ask(request)
    if site.is_quick(request):
        found = site.handle(request, granted=granted)
    else:
        found = await in_thread(lambda: site.handle(request, granted=granted))
    await _send(found or Response(404), send)


async def _translated(scope: Scope, receive: Receive, *, native: Any) -> Request:
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    client = scope.get("client")
    return Request(
        method=scope["method"],
        path=path_below(scope),
        query=parse_qs(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True),
        headers=headers,
        body=b"" if scope["method"] in _NO_BODY else await _body_of(receive),
        client=client[0] if client else None,
        scheme=scope.get("scheme", "http"),
        mount=scope.get("root_path", ""),
        native=native,
    )


async def _body_of(receive: Receive) -> bytes:
    """Return a body, or the beginning of one that is too long."""
    body = b""
    while len(body) <= MAX_BODY:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body", False):
            break
    return body


async def in_thread(call: Callable[[], T]) -> T:
    """Return what a function returns that may take a while, in a thread with the context of here."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:  # another loop, which then is one that AnyIO knows
        import anyio  # noqa: PLC0415 - see above

        return await anyio.to_thread.run_sync(call)
    return await asyncio.to_thread(call)


async def _send(response: Response, send: Send) -> None:
    """Send an answer; a body in pieces is read in a thread."""
    headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in response.headers]
    start: Message = {"type": "http.response.start", "status": response.status, "headers": headers}
    body = response.body
    if isinstance(body, bytes):
        if not any(name == b"content-length" for name, _ in headers):
            headers.append((b"content-length", str(len(body)).encode()))
        await send(start)
        await send({"type": "http.response.body", "body": body})
        return
    await send(start)
    try:
        while (piece := await in_thread(lambda: next(body, None))) is not None:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    finally:
        close = getattr(body, "close", None)
        if close is not None:
            close()
