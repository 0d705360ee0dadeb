"""What is passed on besides requests: WebSockets, and the lifespan, at whose end ours ends, too."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

pytest.importorskip("starlette")

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute

from tests.web.asgi_calls import request, scope_of
from time_execution import settings
from time_execution.backends.memory import MemoryBackend
from time_execution.backends.threaded import ThreadedBackend
from time_execution.monitor import monitor
from time_execution.monitor.requests import REQUEST_DURATION
from time_execution.web.asgi import init_app


def test_websocket_is_passed_on(store):
    """Nothing of it is measured, and it works."""
    sent = []

    async def endpoint(websocket):
        await websocket.accept()
        await websocket.close()

    app = Starlette(routes=[WebSocketRoute("/ws", endpoint)])
    init_app(app, store=None, sampler=False)

    async def send(message):
        sent.append(message["type"])

    async def receive():
        return {"type": "websocket.connect"}

    scope = scope_of("/ws") | {"type": "websocket", "subprotocols": []}
    asyncio.run(app(scope, receive, send))
    assert sent == ["websocket.accept", "websocket.close"]
    assert store.metrics == []


def test_lifespan_is_passed_on_and_ends_the_sampler(store):
    """The application starts and stops as ever; our thread ends with it."""
    pytest.importorskip("psutil")
    seen = []

    @contextlib.asynccontextmanager
    async def lifespan(app):
        seen.append("up")
        yield
        seen.append("down")

    async def endpoint(request):
        return PlainTextResponse("x")

    app = Starlette(routes=[Route("/", endpoint)], lifespan=lifespan)
    init_app(app, store=None)
    sent = []

    async def live():
        incoming = asyncio.Queue()
        await incoming.put({"type": "lifespan.startup"})

        async def send(message):
            sent.append(message["type"])
            if message["type"] == "lifespan.startup.complete":
                assert not monitor.is_running()
                await request(app, "/")
                assert monitor.is_running()
                await incoming.put({"type": "lifespan.shutdown"})

        await app({"type": "lifespan", "asgi": {}, "state": {}}, incoming.get, send)

    asyncio.run(live())
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert seen == ["up", "down"]
    assert not monitor.is_running()


def serving():
    """Return an application with one route, and our routes."""

    async def said(request):
        return PlainTextResponse("x")

    app = Starlette(routes=[Route("/x/{y}", said)])
    init_app(app, store=None, sampler=False)
    return app


def lived_through(app):
    """Have an application start, serve one request and shut down; return what it said of that."""
    sent = []

    async def live():
        incoming = asyncio.Queue()
        await incoming.put({"type": "lifespan.startup"})

        async def send(message):
            sent.append(message["type"])
            if message["type"] == "lifespan.startup.complete":
                await request(app, "/x/1")
                await incoming.put({"type": "lifespan.shutdown"})

        await app({"type": "lifespan", "asgi": {}, "state": {}}, incoming.get, send)

    asyncio.run(live())
    return sent


def test_what_is_queued_is_delivered_before_the_application_has_shut_down():
    """Some servers end the process by a signal as soon as it says so, and then nothing of ours runs any more."""
    store = MemoryBackend()
    with ThreadedBackend(store, bulk_timeout=3600.0, queue_timeout=3600.0) as queue:
        settings.configure(backends=[queue])
        app = serving()
        assert lived_through(app)[-1] == "lifespan.shutdown.complete"
        assert [metric["name"] for metric in store.metrics] == [REQUEST_DURATION]


def test_shutdown_is_told_whatever_becomes_of_the_queues(store, monkeypatch):
    """What fails in ours is no reason for the server to take the application for one that did not shut down."""

    def fail(timeout):
        raise RuntimeError

    with monkeypatch.context() as patched:
        patched.setattr(monitor, "stop", fail)
        assert lived_through(serving())[-1] == "lifespan.shutdown.complete"
