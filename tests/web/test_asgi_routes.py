"""The templates of routes in Starlette and FastAPI, through everything that routes can be nested in."""

from __future__ import annotations

import pytest

pytest.importorskip("starlette")

from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Host, Mount, Route, Router
from starlette.staticfiles import StaticFiles

from tests.web.asgi_calls import get, scope_of
from time_execution.web._route_table import RouteTable, path_below
from time_execution.web.asgi import MonitoringMiddleware, init_app


async def leaf(request):
    return PlainTextResponse("leaf")


class Leaf(HTTPEndpoint):
    async def get(self, request):
        return PlainTextResponse("leaf")


class CopiesScope:
    """A middleware that hands a copy of the scope on."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        await self.app(dict(scope), receive, send)


async def foreign(scope, receive, send):
    """Answer as an application without routes."""
    await PlainTextResponse("foreign")(scope, receive, send)


@pytest.fixture
def app(store, tmp_path):
    """Return an application of Starlette's with routes of all kinds."""
    (tmp_path / "a.txt").write_text("a")
    inner = Starlette(routes=[Route("/{name}/x", leaf), Mount("/deep/{n:int}", routes=[Route("/{rest:path}", leaf)])])
    app = Starlette(
        routes=[
            Route("/", leaf),
            Route("/users/{id:int}", leaf),
            Route("/class/{id}", Leaf),
            Route("/save", leaf, methods=["POST"]),
            Mount("/static", StaticFiles(directory=tmp_path)),
            Mount("/orgs/{org}", inner),
            Mount("/router", Router([Route("/in", leaf)])),
            Mount("/wrapped", routes=[Route("/in/{x}", leaf)], middleware=[Middleware(CopiesScope)]),
            Mount("/foreign", foreign),
            Host("{sub}.example.org", Router([Route("/at-host/{x}", leaf)])),
        ]
    )
    init_app(app, store=None, sampler=False)
    return app


@pytest.mark.parametrize(
    ("path", "route", "status"),
    [
        ("/", "/", 200),
        ("/users/1", "/users/{id:int}", 200),
        ("/class/1", "/class/{id}", 200),
        ("/static/a.txt", "/static/{path}", 200),
        ("/static/none.txt", "/static/{path}", 404),
        ("/orgs/acme/b/x", "/orgs/{org}/{name}/x", 200),
        ("/orgs/acme/deep/3/r/s/t", "/orgs/{org}/deep/{n:int}/{rest:path}", 200),
        ("/orgs/acme/none", "(unmatched)", 404),
        ("/router/in", "/router/in", 200),
        ("/foreign/a/b", "/foreign/{path}", 200),
        ("/users/x", "(unmatched)", 404),
        ("/no/such", "(unmatched)", 404),
        ("/users/1/", "(unmatched)", 307),
        ("/save", "/save", 405),
    ],
)
def test_starlette(app, requests, path, route, status):
    """Each part that a Mount or a router knows belongs to the template."""
    assert get(app, path).status == status
    assert requests("route", "status_code") == [(route, status)]


def test_one_endpoint_at_many_places(app, requests):
    """The path tells which of its templates it was."""
    for path in ("/", "/users/1", "/orgs/acme/b/x", "/router/in"):
        get(app, path)
    assert requests("route") == ["/", "/users/{id:int}", "/orgs/{org}/{name}/x", "/router/in"]


def test_host(app, requests):
    """A host is no part of the template."""
    scope = scope_of("/at-host/1")
    scope["headers"] = [(b"host", b"api.example.org")]
    get(app, "", scope=scope)
    assert requests("route") == ["/at-host/{x}"]


def test_server_that_mounts_the_application(app, requests):
    """The path that a server has the application below is none of its own."""
    scope = scope_of("/api/users/1")
    scope["root_path"] = "/api"
    assert get(app, "", scope=scope).status == 200
    assert requests("route") == ["/users/{id:int}"]


def test_middleware_that_copies_the_scope(store, requests):
    """What the router says there is found all the same."""
    app = Starlette(routes=[Route("/a/{b}", leaf)], middleware=[Middleware(CopiesScope)])
    init_app(app, store=None, sampler=False)
    get(app, "/a/1")
    assert requests("route") == ["/a/{b}"]


def test_middleware_of_the_other_kind(store, requests):
    """One with a task of its own between us and the routes hides nothing."""

    async def dispatch(request, call_next):
        return await call_next(request)

    app = Starlette(routes=[Route("/a/{b}", leaf)], middleware=[Middleware(BaseHTTPMiddleware, dispatch=dispatch)])
    init_app(app, store=None, sampler=False)
    get(app, "/a/1")
    assert requests("route") == ["/a/{b}"]


def test_routes_that_are_added_later(app, requests):
    """They are found by the first request for one."""
    get(app, "/users/1")

    async def late(request):
        return PlainTextResponse("late")

    app.router.routes.append(Route("/late/{x}", late))
    get(app, "/late/1")
    assert requests("route") == ["/users/{id:int}", "/late/{x}"]


def test_fastapi(store, requests):
    """Prefixes of included routers, nested ones, and applications mounted below."""
    fastapi = pytest.importorskip("fastapi")
    router, outer, sub, app = fastapi.APIRouter(), fastapi.APIRouter(), fastapi.FastAPI(), fastapi.FastAPI()

    @router.get("/items/{item}")
    async def item(item: int):
        return item

    @router.get("/plain")
    def plain():
        return "in a thread"

    outer.include_router(router, prefix="/inner")
    app.include_router(router, prefix="/v1")
    app.include_router(outer, prefix="/v2/{tenant}")
    sub.include_router(router, prefix="/s")
    app.mount("/sub/{x}", sub)
    init_app(app, store=None, sampler=False)
    for path in ("/v1/items/1", "/v2/acme/inner/items/2", "/sub/9/s/items/3", "/v1/plain", "/v1/items/x", "/v1/none"):
        get(app, path)
    assert requests("route", "status_code") == [
        ("/v1/items/{item}", 200),
        ("/v2/{tenant}/inner/items/{item}", 200),
        ("/sub/{x}/s/items/{item}", 200),
        ("/v1/plain", 200),
        ("/v1/items/{item}", 422),
        ("(unmatched)", 404),
    ]


def test_application_of_another_framework(store, requests):
    """One that tells no routes has them all in one."""
    get(MonitoringMiddleware(foreign, store=None, sampler=False), "/a/b")
    assert requests("route") == ["(other)"]


def test_middleware_around_an_application(store, requests):
    """It finds the routes, also through others."""
    app = CopiesNothing(Starlette(routes=[Route("/a/{b}", leaf)]))
    get(MonitoringMiddleware(app, store=None, sampler=False), "/a/1")
    assert requests("route") == ["/a/{b}"]


class CopiesNothing:
    """A middleware as most are."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        await self.app(scope, receive, send)


def test_endpoints_made_for_each_request():
    """Looking for what is not there ends some time."""
    looks = []

    class App:
        @property
        def routes(self):
            looks.append(1)
            return []

    table = RouteTable(App())
    found = {table.route_of({"endpoint": object()}, "/x") for _ in range(500)}
    assert found == {"(other)"}
    assert len(looks) <= 100


def test_application_mounted_below_itself():
    """The walk through the routes ends all the same."""
    app = Starlette(routes=[Route("/a", leaf)])
    app.router.routes.append(Mount("/self", app))
    assert RouteTable(app).route_of({"endpoint": leaf}, "/a") == "/a"


@pytest.mark.parametrize(
    ("path", "root", "below"),
    [("/a", "", "/a"), ("/r/a", "/r", "/a"), ("/r", "/r", "/"), ("/ra", "/r", "/ra"), ("/a", "/r", "/a")],
)
def test_path_below_a_mount(path, root, below):
    """Servers differ in whether the path has what it is mounted below."""
    assert path_below({"path": path, "root_path": root}) == below
