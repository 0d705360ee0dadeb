"""What `init_app` and the middleware give ASGI applications (S1)."""

from __future__ import annotations

import asyncio
import threading

import pytest

pytest.importorskip("starlette")

from starlette.applications import Starlette
from starlette.authentication import AuthCredentials, AuthenticationBackend, SimpleUser
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from tests.web.asgi_calls import get, scope_of
from time_execution import settings
from time_execution.exceptions import ConfigurationError
from time_execution.monitor import monitor
from time_execution.web.asgi import MonitoringMiddleware, init_app
from time_execution.web.message import Response
from time_execution.web.site import Site

METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE")


async def own(request):
    return PlainTextResponse("own")


def starlette(*routes, middleware=(), **options):
    app = Starlette(routes=list(routes), middleware=list(middleware))
    init_app(app, **({"store": None, "sampler": False} | options))
    return app


def around(*routes, **options):
    return MonitoringMiddleware(Starlette(routes=list(routes)), **({"store": None, "sampler": False} | options))


@pytest.mark.parametrize("made", [starlette, around])
def test_every_path_without_credentials(made):
    """All that we answer refuses strangers, by any method, but for the three of health."""
    app = made()
    for method in METHODS:
        read = method in {"GET", "HEAD"}
        for path in ("/livez", "/readyz", "/healthz"):
            assert get(app, path, method, client="192.0.2.1").status == (200 if read else 405)
        assert get(app, "/metrics", method, client="192.0.2.1").status == (403 if read else 405)
        for path in ("/admin/monitoring", "/admin/monitoring/", "/admin/monitoring/data/overview"):
            assert get(app, path, method, client="127.0.0.1").status == 403


def test_auth_gets_starlettes_request():
    """Behind the application's middlewares, with the user that they found."""

    class Backend(AuthenticationBackend):
        async def authenticate(self, conn):
            return AuthCredentials(["x"]), SimpleUser(conn.headers.get("x-user", "nobody"))

    def auth(request):
        return isinstance(request, Request) and request.user.username == "admin"

    app = starlette(auth=auth, middleware=[Middleware(AuthenticationMiddleware, backend=Backend())])
    assert get(app, "/admin/monitoring/", x_user="admin").status == 200
    assert get(app, "/admin/monitoring/", x_user="guest").status == 403


def test_asynchronous_auth_is_awaited_by_the_loop():
    """It may use what belongs to the loop."""
    threads = []

    async def auth(request):
        await asyncio.sleep(0)
        threads.append(threading.current_thread())
        return True

    assert get(starlette(auth=auth), "/admin/monitoring/").status == 200
    assert threads == [threading.main_thread()]


def test_auth_of_the_middleware_gets_the_scope():
    """An application without a framework has no other request."""
    app = around(auth=lambda scope: dict(scope["headers"]).get(b"x-user") == b"admin")
    assert get(app, "/admin/monitoring/", x_user="admin").status == 200
    assert get(app, "/admin/monitoring/").status == 403


def test_pages_are_read_outside_of_the_loop():
    """A store that answers slowly holds nobody up; a probe is answered by the loop itself."""
    threads = []

    class Pages:
        def handle(self, request):
            threads.append(threading.current_thread())
            return Response(200, [], iter([b"a", b"b"]))

    def health():
        threads.append(threading.current_thread())
        return {"status": "healthy", "checks": {}}

    app = starlette(auth=lambda _: True)
    site = app.state.time_execution.site
    app.router.routes[0]._site = Site(site.access, dashboard=Pages, health=health)
    assert get(app, "/admin/monitoring/").body == b"ab"
    get(app, "/readyz")
    assert threads[0] is not threading.main_thread()
    assert threads[1] is threading.main_thread()


@pytest.mark.parametrize("made", [starlette, around])
@pytest.mark.parametrize("route", [Route("/metrics", own), Mount("/", routes=[Route("/metrics", own)])])
def test_route_of_the_application_goes_first(made, route, requests):
    """The application's own is served and measured; the rest stays ours."""
    app = made(route)
    assert get(app, "/metrics").body == b"own"
    assert requests("route") == ["/metrics"]
    assert get(app, "/livez").body == b"ok"


async def exposition(scope, receive, send):
    await PlainTextResponse("own")(scope, receive, send)


@pytest.mark.parametrize("made", [starlette, around])
@pytest.mark.parametrize(
    "route",
    [
        Mount("/metrics", exposition),
        Mount("/metrics", routes=[Route("/", own)]),
        Route("/metrics/", own),
    ],
)
def test_application_that_is_mounted_at_one_of_our_paths_goes_first(made, route):
    """As Prometheus' own is, whose address then is one with a slash at its end."""
    app = made(route)
    assert get(app, "/metrics").headers["location"].endswith("/metrics/")
    assert get(app, "/metrics/").body == b"own"


def test_route_that_is_added_later_goes_first():
    """Whenever that is."""
    app = starlette()
    app.router.routes.append(Route("/metrics", own))
    assert get(app, "/metrics").body == b"own"


def test_route_that_takes_everything_leaves_ours():
    """A page for all paths does not hide them."""
    app = starlette(Route("/{path:path}", own))
    assert get(app, "/livez").body == b"ok"
    assert get(app, "/else").body == b"own"


def test_fastapi_does_not_document_our_routes():
    """They are no part of its interface."""
    fastapi = pytest.importorskip("fastapi")
    app = fastapi.FastAPI()
    init_app(app, store=None, sampler=False)
    assert b"livez" not in get(app, "/openapi.json").body
    assert get(app, "/livez").body == b"ok"


def test_pages_are_headed_by_the_application_s_title():
    """FastAPI's applications have one."""
    fastapi = pytest.importorskip("fastapi")
    app = fastapi.FastAPI(title="Bookshop")
    init_app(app, store=None, sampler=False, auth=lambda _: True)
    assert b"Bookshop" in get(app, "/admin/monitoring/").body


def test_own_pages_are_not_measured(requests):
    """Neither by the route nor by the middleware."""
    for app in (starlette(auth=lambda _: True), around(auth=lambda _: True)):
        for path in ("/livez", "/metrics", "/admin/monitoring/"):
            get(app, path)
    assert requests("route") == []


def test_body_is_read_up_to_a_bound():
    """By those who may send one."""
    app = starlette(auth=lambda _: True)
    assert get(app, "/admin/monitoring/", "POST", body=bytes(70_000)).status == 413
    assert get(app, "/admin/monitoring/", "POST", body=b"x").status == 405


def test_body_without_end_is_left():
    """What is too long is not read to its end, nor kept."""
    app, asked = starlette(auth=lambda _: True), []

    async def receive():
        asked.append(1)
        return {"type": "http.request", "body": bytes(30_000), "more_body": len(asked) < 10}

    answered = []

    async def send(message):
        answered.append(message)

    asyncio.run(app(scope_of("/admin/monitoring/", "POST"), receive, send))
    assert answered[0]["status"] == 413
    assert len(asked) == 3


def test_metrics_of_the_settings(tmp_path):
    """They are shown once a request was measured."""
    pytest.importorskip("prometheus_client")
    app = starlette(Route("/users/{x}", own), store=tmp_path / "metrics.db")
    get(app, "/users/1")
    assert all(backend.flush(10) for backend in settings.backends)
    assert 'route="/users/{x}"' in get(app, "/metrics").body.decode()


def test_metrics_by_token():
    """From anywhere, with the token."""
    app = starlette(metrics_token="a-long-token")
    assert get(app, "/metrics", client="192.0.2.1").status == 401
    assert get(app, "/metrics", client="192.0.2.1", authorization="Bearer a-long-token").status in {200, 503}


def test_client_that_is_not_known():
    """A Unix socket has a proxy behind it."""
    scope = scope_of("/metrics")
    scope["client"] = None
    assert get(starlette(), "", scope=scope).status == 403


def test_root_path(tmp_path):
    """Our paths are below the place where a server mounts the application."""
    scope = scope_of("/api/livez")
    scope["root_path"] = "/api"
    assert get(starlette(), "", scope=scope).body == b"ok"


def test_database(tmp_path):
    """A URL is enough for a health check."""
    pytest.importorskip("sqlalchemy")
    starlette(db=f"sqlite:///{tmp_path}/shop.db")
    assert monitor.check_health()["checks"]["database"]["status"] == "healthy"


@pytest.mark.parametrize("wrong", [None, object(), own])
def test_other_applications_are_refused(wrong):
    """With what is right for them."""
    with pytest.raises(ConfigurationError, match="MonitoringMiddleware"):
        init_app(wrong)


def test_second_call_is_refused():
    """It would measure each request twice."""
    with pytest.raises(ConfigurationError, match="before"):
        init_app(starlette())


def test_late_call_is_refused():
    """The application has its middlewares already."""
    app = Starlette()
    get(app, "/")
    with pytest.raises(ConfigurationError, match="starts"):
        init_app(app)


def test_wrong_option_changes_nothing():
    """The application is as it was."""
    app = Starlette()
    with pytest.raises(ConfigurationError, match="metrics_access"):
        init_app(app, metrics_access="all")
    assert app.router.routes == []
    assert not hasattr(app.state, "time_execution")


def test_names_of_routes_still_lead_somewhere():
    """Our route, though it is the first, has none."""
    app = starlette(Route("/users/{x}", own, name="user"))
    assert app.url_path_for("user", x="1") == "/users/1"


def test_routes_can_be_listed():
    """Whoever lists an application's routes, as many do, finds of ours what routes have."""
    listed = [(route.path, route.name, route.methods) for route in starlette(Route("/x", own)).routes]
    assert listed == [
        ("/admin/monitoring", "time_execution", {"GET", "HEAD"}),
        ("/x", "own", {"GET", "HEAD"}),
    ]
    (ours,) = starlette(prefix=None).routes
    assert ours.path == "/livez"


def test_headers_that_come_twice():
    """They are joined, as HTTP has it."""
    seen = []

    class Pages:
        def handle(self, request):
            seen.append((request.headers["x-a"], request.query, request.client, request.scheme))
            return Response(204)

    app = starlette(auth=lambda _: True)
    app.router.routes[0]._site = Site(app.state.time_execution.site.access, dashboard=Pages)
    scope = scope_of("/admin/monitoring/?a=1&a=2&b=%20")
    scope["headers"] += [(b"x-a", b"1"), (b"X-A", b"2")]
    assert get(app, "", scope=scope).status == 204
    assert seen == [("1, 2", {"a": ["1", "2"], "b": [" "]}, "127.0.0.1", "http")]
