"""Django: what is measured of requests, and our pages (S1)."""

from __future__ import annotations

import asyncio
import io
import logging
from typing import Any, NamedTuple

import pytest

pytest.importorskip("django")

from django.core.handlers.asgi import ASGIHandler, ASGIRequest
from django.http import HttpResponse
from django.test import AsyncClient, Client, RequestFactory, override_settings

from tests.web import django_project
from tests.web.asgi_calls import scope_of
from time_execution.exceptions import ConfigurationError
from time_execution.hooks import get_request_id
from time_execution.monitor import monitor
from time_execution.web.django import MonitoringMiddleware, installation, views
from time_execution.web.message import MAX_BODY

WEB = {"store": None, "sampler": False}


@pytest.fixture(autouse=True)
def _project():
    """Have the project monitored anew by each test."""
    with override_settings(ROOT_URLCONF=django_project.__name__):
        yield
    installation.reset()


class Answer(NamedTuple):
    """What the project answered."""

    status_code: int
    headers: Any
    content: bytes


def get(path, method="GET", **headers):
    """Return what the project answers, read and closed."""
    answer = Client(raise_request_exception=False).generic(method, path, headers=headers)
    body = b"".join(answer.streaming_content) if answer.streaming else answer.content
    answer.close()
    return Answer(answer.status_code, answer.headers, body)


def get_async(path, **headers):
    """Do the same by way of ASGI."""

    async def ask():
        answer = await AsyncClient(raise_request_exception=False).get(path, headers=headers)
        pieces = [piece async for piece in answer.streaming_content] if answer.streaming else [answer.content]
        answer.close()
        return Answer(answer.status_code, answer.headers, b"".join(pieces))

    return asyncio.run(ask())


@pytest.mark.parametrize("ask", [get, get_async])
@pytest.mark.parametrize(
    ("path", "route", "status"),
    [
        ("/", "/", 200),
        ("/users/1/", "/users/<int:id>/", 200),
        ("/api/v1/items/7", r"/api/v1/items/(?P<id>\d+)$", 200),
        ("/async", "/async", 200),
        ("/denied", "/denied", 403),
        ("/no/such", "(unmatched)", 404),
    ],
)
def test_template_is_the_route(requests, ask, path, route, status):
    """As the project writes it, through everything that it includes."""
    assert ask(path).status_code == status
    assert requests("route", "status_code", "error_type") == [(route, status, None)]


@pytest.mark.parametrize("ask", [get, get_async])
def test_id_of_a_request(requests, store, ask):
    """It is in the answer, in the metrics of calls and in asynchronous views."""
    assert ask("/users/1/", **{"X-Request-ID": "a-1"}).headers["X-Request-ID"] == "a-1"
    assert {metric["request_id"] for metric in store.metrics} == {"a-1"}
    assert ask("/async", **{"X-Request-ID": "a-2"}).content == b"a-2"
    assert len(ask("/").headers["X-Request-ID"]) == 32


@pytest.mark.parametrize("ask", [get, get_async])
def test_unhandled_exception(requests, errors, ask):
    """The request failed with it, and it is told once, though Django writes a line of it as well."""
    assert ask("/boom").status_code == 500
    assert requests("route", "status_code", "error_type") == [("/boom", 500, "KeyError")]
    (event,) = errors()
    assert (event["type"], event["route"], event["method"]) == ("KeyError", "/boom", "GET")


def test_streamed_body(requests):
    """It is measured to its end, and told when the first part was there."""
    answer = Client().get("/stream")
    assert requests("route") == []
    assert b"".join(answer.streaming_content) == b"abc"
    answer.close()
    ((route, first, total),) = requests("route", "first_byte_ms", "value")
    assert route == "/stream"
    assert 0 < first < total


def test_asynchronous_stream(requests):
    """It is measured as well."""
    assert get_async("/async-stream").content == b"ab"
    ((route, first),) = requests("route", "first_byte_ms")
    assert route == "/async-stream"
    assert first > 0


def test_stream_that_fails(requests, errors):
    """The status was sent already; the request has failed all the same."""
    with pytest.raises(KeyError):
        get("/failing")
    assert requests("route", "status_code", "error_type") == [("/failing", 200, "KeyError")]
    assert len(errors()) == 1


def test_file_is_left_to_the_server(requests):
    """It is not read by us, so that the server may have the system send it."""
    middleware = MonitoringMiddleware(django_project.file)
    answer = middleware(RequestFactory().get("/file"))  # a client would wrap the body itself
    assert answer.file_to_stream is not None
    assert requests("route") == []
    answer.close()
    assert requests("status_code") == [200]


@pytest.mark.parametrize("error", [SystemExit(), asyncio.CancelledError()])
@pytest.mark.parametrize("is_async", [False, True])
def test_what_passes_every_handler(requests, error, is_async):
    """An end of the process, or of the task, ends the request as well."""

    def leave(request):
        raise error

    async def leave_async(request):
        raise error

    middleware = MonitoringMiddleware(leave_async if is_async else leave)
    with pytest.raises(type(error)):
        answer = middleware(RequestFactory().get("/"))
        answer.close() if not is_async else answer.send(None)
    gone = isinstance(error, asyncio.CancelledError)
    assert requests("status_code", "error_type") == [(499, None) if gone else (500, "SystemExit")]
    assert get_request_id() is None


def test_asynchronous_stream_that_fails(requests, errors):
    """As one that is not asynchronous."""
    with pytest.raises(KeyError):
        get_async("/failing-async")
    assert requests("error_type") == ["KeyError"]
    assert len(errors()) == 1


@pytest.mark.parametrize("path", ["/failing", "/failing-async"])
@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume synchronous iterators:Warning")
def test_stream_that_fails_and_is_not_closed(requests, errors, path):
    """Django leaves an answer open whose body fails under ASGI; the request is measured, once."""

    async def serve():
        handler = ASGIHandler()
        answer = await handler.get_response_async(ASGIRequest(scope_of(path), io.BytesIO()))
        await handler.send_response(answer, lambda _: asyncio.sleep(0))

    with pytest.raises(KeyError):
        asyncio.run(serve())
    assert requests("route", "status_code", "error_type") == [(path, 200, "KeyError")]
    assert len(errors()) == 1


def test_line_of_a_missing_page_has_the_id(requests):
    """Django writes it after all middlewares."""
    seen = []

    class Handler(logging.Handler):
        def emit(self, record):
            seen.append(get_request_id())

    logger, handler = logging.getLogger("django.request"), Handler()
    logger.addHandler(handler)
    get("/no/such", **{"X-Request-ID": "a-1"})
    logger.removeHandler(handler)
    assert seen == ["a-1"]
    assert get_request_id() is None


@pytest.mark.parametrize("place", ["", "/below"])
def test_pages(requests, place):
    """They are where the project includes them, closed, and not measured."""
    assert get(f"{place}/livez").content == b"ok"
    assert get(f"{place}/readyz", "HEAD").status_code == 200
    assert get(f"{place}/livez", "POST").status_code == 405
    for path in ("/admin/monitoring", "/admin/monitoring/", "/admin/monitoring/data/overview"):
        for method in ("GET", "POST", "DELETE", "OPTIONS"):
            assert get(f"{place}{path}", method).status_code == 403
    assert get(f"{place}/metrics", "GET", **{"X-Forwarded-For": "127.0.0.1"}).status_code == 403
    assert requests("route") == []


@pytest.mark.parametrize("auth", ["is_admin", "is_admin_async"])
@pytest.mark.parametrize("ask", [get, get_async])
def test_auth_may_be_an_import_path(auth, ask):
    """It gets Django's request; also a coroutine function is asked, whatever the server is."""
    with override_settings(TIME_EXECUTION_WEB={**WEB, "auth": f"tests.web.django_project.{auth}"}):
        assert ask("/admin/monitoring/", **{"X-User": "admin"}).status_code == 200
        installation.reset()
        assert ask("/admin/monitoring/", **{"X-User": "guest"}).status_code == 403


def test_metrics_are_shown(tmp_path):
    """In the format of Prometheus, with its own content type."""
    pytest.importorskip("prometheus_client")
    answer = get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=")


def test_long_body_is_refused():
    """By those who may send one."""
    with override_settings(TIME_EXECUTION_WEB={**WEB, "auth": django_project.is_admin}):
        client = Client(headers={"X-User": "admin"})
        answer = client.post("/admin/monitoring/", bytes(70_000), content_type="application/octet-stream")
        assert answer.status_code == 413


def test_body_of_untold_length_is_read_up_to_a_bound():
    """Of a stranger as well, whom nobody has asked yet who that is."""
    sent = views._translated(ASGIRequest(scope_of("/livez", "POST"), io.BytesIO(bytes(3_000_000))), "/livez")
    assert len(sent.body) == MAX_BODY + 1


def test_database(tmp_path):
    """A URL of SQLAlchemy's is enough for a health check."""
    pytest.importorskip("sqlalchemy")
    with override_settings(TIME_EXECUTION_WEB={**WEB, "db": f"sqlite:///{tmp_path}/shop.db"}):
        get("/livez")
        assert monitor.check_health()["checks"]["database"]["status"] == "healthy"


def test_sampler_starts_with_the_first_request():
    """Not when the project is loaded."""
    pytest.importorskip("psutil")
    with override_settings(TIME_EXECUTION_WEB={"store": None}):
        client = Client()
        client.handler.load_middleware()
        assert not monitor.is_running()
        client.get("/livez")
        assert monitor.is_running()


@pytest.mark.parametrize(
    ("given", "named"), [(["store"], "TIME_EXECUTION_WEB"), ({"stor": None}, "TIME_EXECUTION_WEB.*store")]
)
def test_wrong_setting(given, named):
    """It is refused when the project is loaded."""
    with override_settings(TIME_EXECUTION_WEB=given), pytest.raises(ConfigurationError, match=named):
        Client().handler.load_middleware()


class EverybodySignsIn:
    """Does what Django's own ``LoginRequiredMiddleware`` does, without its models."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        return self.get_response(request)

    def process_view(self, request, view, arguments, options):
        return HttpResponse(status=302) if getattr(view, "login_required", True) else None


def test_probes_are_not_asked_to_sign_in():
    """A redirect would pass for health, and a scraper has no session; pages go by what the project has set."""
    names = [django_project.MIDDLEWARE, f"{__name__}.EverybodySignsIn"]
    with override_settings(MIDDLEWARE=names):
        assert [get(path).status_code for path in ("/livez", "/readyz", "/healthz", "/metrics")] == [200, 200, 200, 200]
        assert get("/admin/monitoring/").status_code == 302
        assert get("/").status_code == 302
