"""Calls of ASGI applications as a server makes them, without one."""

from __future__ import annotations

import asyncio
from typing import NamedTuple


class Answer(NamedTuple):
    """What an application sent."""

    status: int
    headers: dict[str, str]
    body: bytes
    messages: list[dict]


def scope_of(path, method="GET", *, client="127.0.0.1", **headers):
    """Return the scope of a request; headers by name, with ``_`` for ``-``."""
    path, _, query = path.partition("?")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(b"host", b"localhost")]
        + [(name.replace("_", "-").lower().encode(), value.encode()) for name, value in headers.items()],
        "client": (client, 50_000),
        "server": ("127.0.0.1", 80),
        "state": {},
    }


async def request(app, path, method="GET", *, body=b"", client="127.0.0.1", scope=None, **headers):
    """Return what an application answers; what it raises passes, once the messages are on the exception's side."""
    given = scope_of(path, method, client=client, **headers) if scope is None else scope
    incoming = [{"type": "http.request", "body": body, "more_body": False}]
    messages = []

    async def receive():
        if incoming:
            return incoming.pop()
        await asyncio.Event().wait()  # a client that waits for its answer
        return {}

    async def send(message):
        messages.append(message)

    await app(given, receive, send)
    return answer_of(messages)


def answer_of(messages):
    start = next(message for message in messages if message["type"] == "http.response.start")
    headers = {name.decode(): value.decode() for name, value in start.get("headers", ())}
    return Answer(start["status"], headers, b"".join(m.get("body", b"") for m in messages), messages)


def get(app, path, method="GET", **options):
    """Do what `request` does in a loop of its own; an exception that was answered with 500 is passed over."""

    async def ask():
        messages = []

        async def wrapped(scope, receive, send):
            async def keep(message):
                messages.append(message)
                await send(message)

            await app(scope, receive, keep)

        try:
            return await request(wrapped, path, method, **options)
        except Exception:
            if not any(message["type"] == "http.response.start" for message in messages):
                raise
            return answer_of(messages)

    return asyncio.run(ask())
