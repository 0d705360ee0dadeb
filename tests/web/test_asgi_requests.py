"""What is measured of requests of ASGI applications, and what is passed on."""

from __future__ import annotations

import asyncio
import threading

import pytest

pytest.importorskip("starlette")

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route

from tests.web.asgi_calls import get, request, scope_of
from time_execution import settings, time_execution
from time_execution.hooks import get_request_id
from time_execution.web.asgi import MonitoringMiddleware, init_app


def serving(endpoint, **options):
    """Return an application with one route, and our routes."""
    app = Starlette(routes=[Route("/x/{y}", endpoint)], **options)
    init_app(app, store=None, sampler=False)
    return app


def raw(application):
    """Return a plain ASGI application, measured."""
    return MonitoringMiddleware(application, store=None, sampler=False)


def test_metric_of_a_request(store, requests):
    """It is like that of any other framework."""

    async def endpoint(request):
        return PlainTextResponse("x")

    get(serving(endpoint), "/x/1")
    assert requests("method", "route", "status_code", "error_type", "first_byte_ms") == [
        ("GET", "/x/{y}", 200, None, None),
    ]


def test_id_of_a_request(store, requests):
    """It is in the answer, in the metrics of calls, in threads of the framework, and not left behind."""

    @time_execution(name="inner")
    def inner():
        return str(get_request_id())

    def endpoint(request):
        return PlainTextResponse(inner())

    app = serving(endpoint)
    answer = get(app, "/x/1", x_request_id="a-1")
    assert (answer.headers["x-request-id"], answer.body) == ("a-1", b"a-1")
    assert {metric["request_id"] for metric in store.metrics} == {"a-1"}
    assert len(get(app, "/x/1").headers["x-request-id"]) == 32
    assert get_request_id() is None


def test_requests_at_once_have_their_own_ids(store, requests):
    """Tasks that take turns do not see each other's."""
    seen = {}

    async def endpoint(request):
        mine = get_request_id()
        await asyncio.sleep(0)
        seen[mine] = get_request_id()
        return PlainTextResponse("x")

    async def all_at_once():
        app = serving(endpoint)
        await asyncio.gather(*(request(app, "/x/1", x_request_id=f"r{n}") for n in range(50)))

    asyncio.run(all_at_once())
    assert seen == {f"r{n}": f"r{n}" for n in range(50)}
    assert {*requests("request_id")} == {*seen}


def test_id_that_the_application_sends_itself(store):
    """It stays the only one."""

    async def endpoint(request):
        return PlainTextResponse("x", headers={"X-Request-ID": "own"})

    answer = get(serving(endpoint), "/x/1")
    start = answer.messages[0]
    assert [value for name, value in start["headers"] if name == b"x-request-id"] == [b"own"]


def test_messages_of_the_application_are_left_alone(store):
    """An application may send the same dict again and again."""
    start = {"type": "http.response.start", "status": 200, "headers": [(b"a", b"b")]}

    async def application(scope, receive, send):
        await send(start)
        await send({"type": "http.response.body", "body": b"x"})

    get(raw(application), "/")
    assert start == {"type": "http.response.start", "status": 200, "headers": [(b"a", b"b")]}


def test_streamed_body(store, requests):
    """The first part and the last byte are told apart."""

    async def pieces():
        for piece in (b"a", b"b", b"c"):
            yield piece
            await asyncio.sleep(0)

    async def endpoint(request):
        return StreamingResponse(pieces())

    assert get(serving(endpoint), "/x/1").body == b"abc"
    ((first, total),) = requests("first_byte_ms", "value")
    assert 0 < first < total


def test_background_tasks_are_not_counted(store, requests):
    """The request ended with its last byte; the task still knows its id, and its failure is told."""
    state = {}

    def task():
        state["metrics"] = len(requests("route"))
        state["id"] = get_request_id()

    async def endpoint(request):
        return PlainTextResponse("x", background=BackgroundTask(task))

    get(serving(endpoint), "/x/1", x_request_id="a-1")
    assert state == {"metrics": 1, "id": "a-1"}


@pytest.mark.parametrize(
    ("kind", "pieces"),
    [
        ("http.response.pathsend", [{"path": __file__}]),
        ("http.response.zerocopysend", [{"file": 0, "more_body": True}, {"file": 0}]),
        ("http.response.body", [{"body": b"a", "more_body": True}, {"body": b"b"}]),
    ],
)
def test_file_that_the_server_sends(store, requests, kind, pieces):
    """The request ends with the message that says all of its body, whatever the application does afterwards."""
    seen = []

    async def application(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for piece in pieces:
            seen.append(len(requests("route")))
            await send({"type": kind, **piece})
        seen.append(len(requests("route")))

    get(raw(application), "/")
    assert seen == [0] * len(pieces) + [1]
    assert requests("status_code") == [200]


def test_background_task_that_fails(store, requests, errors):
    """The request did not fail, and the error is told."""

    def task():
        raise KeyError

    async def endpoint(request):
        return PlainTextResponse("x", background=BackgroundTask(task))

    get(serving(endpoint), "/x/1")
    assert requests("status_code", "error_type") == [(200, None)]
    assert len(errors()) == 1


def test_exception_before_the_answer(store, requests, errors):
    """Starlette answers 500 and raises it again: it is one failed request, and one error."""

    async def endpoint(request):
        raise KeyError("x")

    answer = get(serving(endpoint), "/x/1")
    assert answer.status == 500
    assert "x-request-id" in answer.headers
    assert requests("route", "status_code", "error_type") == [("/x/{y}", 500, "KeyError")]
    (event,) = errors()
    assert (event["type"], event["route"], event["request_id"]) == (
        "KeyError",
        "/x/{y}",
        answer.headers["x-request-id"],
    )


def test_exception_is_the_same_outside(store):
    """Neither another one, nor with another context."""
    error = KeyError("x")

    async def application(scope, receive, send):
        raise error

    with pytest.raises(KeyError) as caught:
        asyncio.run(request(raw(application), "/"))
    assert caught.value is error
    assert (error.__context__, error.__cause__) == (None, None)


def test_exception_without_an_answer(store, requests):
    """What a server makes of it is 500."""

    async def application(scope, receive, send):
        raise KeyError

    with pytest.raises(KeyError):
        asyncio.run(request(raw(application), "/"))
    assert requests("status_code", "error_type") == [(500, "KeyError")]


def test_exception_amid_the_answer(store, requests, errors):
    """The status was sent already; the request has failed all the same."""

    async def application(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        raise KeyError

    with pytest.raises(KeyError):
        asyncio.run(request(raw(application), "/"))
    assert requests("status_code", "error_type") == [(200, "KeyError")]
    assert len(errors()) == 1


def test_handled_exception(store, requests, errors):
    """What the application answers itself is no failure."""

    async def endpoint(request):
        raise KeyError

    async def handler(request, exc):
        return PlainTextResponse("sorry", status_code=422)

    get(serving(endpoint, exception_handlers={KeyError: handler}), "/x/1")
    assert requests("status_code", "error_type") == [(422, None)]
    assert errors() == []


def test_answer_of_500_without_an_exception(store, requests):
    """It has failed, with its status."""

    async def endpoint(request):
        return PlainTextResponse("x", status_code=503)

    get(serving(endpoint), "/x/1")
    assert requests("status_code", "error_type") == [(503, "503")]


@pytest.mark.parametrize("gone", [asyncio.CancelledError(), ClientDisconnect()])
def test_client_that_goes_away(store, requests, errors, gone):
    """Neither a task that is cancelled nor a client that hung up is a failure."""

    async def application(scope, receive, send):
        raise gone

    with pytest.raises(type(gone)):
        asyncio.run(request(raw(application), "/"))
    assert requests("status_code", "error_type") == [(499, None)]
    assert errors() == []


def test_client_that_goes_away_before_it_has_sent_everything(store, requests, errors):
    """Starlette answers 500, which nobody receives: that is no failure either."""

    async def endpoint(request):
        return PlainTextResponse(await request.body())

    async def send(message):
        pass

    async def hang_up():
        return {"type": "http.disconnect"}

    with pytest.raises(ClientDisconnect):
        asyncio.run(serving(endpoint)(scope_of("/x/1"), hang_up, send))
    assert requests("route", "status_code", "error_type") == [("/x/{y}", 499, None)]
    assert errors() == []


def test_task_that_is_cancelled_after_a_failure(store, requests):
    """The client had its 500 before."""

    async def application(scope, receive, send):
        await send({"type": "http.response.start", "status": 500, "headers": []})
        await send({"type": "http.response.body", "body": b"a"})
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(request(raw(application), "/"))
    assert requests("status_code", "error_type") == [(500, "500")]


def test_client_that_goes_away_amid_a_stream(store, requests):
    """It keeps the status that was sent."""

    async def application(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(request(raw(application), "/"))
    assert requests("status_code", "error_type") == [(200, None)]


def test_server_that_waits_in_send(store, requests):
    """The last byte is over when the server has taken it."""
    taken = []

    async def application(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"a"})

    async def serve():
        async def send(message):
            await asyncio.sleep(0)
            taken.append(len(requests("route")))

        await raw(application)(scope_of("/"), None, send)

    asyncio.run(serve())
    assert taken == [0, 0]
    assert len(requests("route")) == 1


def test_request_is_measured_once(store, requests):
    """An application of ours within another one does not count it again."""

    async def endpoint(request):
        return PlainTextResponse("x")

    get(MonitoringMiddleware(serving(endpoint), store=None, sampler=False), "/x/1")
    assert requests("route") == ["/x/{y}"]


def test_no_thread_is_needed(store):
    """Serving requests starts none; only a queue's worker and the monitor have threads."""

    async def endpoint(request):
        return PlainTextResponse("x")

    app, before = serving(endpoint), threading.active_count()
    settings.configure(backends=[store])
    get(app, "/x/1")
    assert threading.active_count() == before
