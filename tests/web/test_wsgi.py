"""Requests of WSGI applications, without any framework."""

from __future__ import annotations

import io
from wsgiref.handlers import SimpleHandler
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest

from time_execution.hooks import get_request_id
from time_execution.monitor.requests import RequestTracker
from time_execution.web._wsgi import RequestMiddleware

ENVIRON = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "HTTP_X_REQUEST_ID": "a-1"}


class Started:
    """What an application began its answer with."""

    def __init__(self):
        self.calls = []

    def __call__(self, *arguments):
        self.calls.append(arguments)
        return lambda piece: None


def call(application, *, header="X-Request-ID", **environ):
    """Return the body that an application answers with, and what it began the answer with."""

    def settle(environ, scope):
        scope.route = "/x"

    middleware = RequestMiddleware(
        application, RequestTracker(), request_id_header=header, settle=settle, prepare=lambda: None
    )
    started = Started()
    return middleware(ENVIRON | environ, started), started.calls


def whole(environ, start_response):
    start_response("201 Created", [("A", "b")])
    return [b"x"]


def test_body_that_is_there_is_left_alone(requests):
    """A list stays a list, so that the server can tell its length; the request is over."""
    body, started = call(whole)
    assert body == [b"x"]
    assert started == [("201 Created", [("A", "b"), ("X-Request-ID", "a-1")])]
    assert requests("route", "status_code", "request_id") == [("/x", 201, "a-1")]
    assert get_request_id() is None


def test_without_a_header(requests):
    """No id comes in or goes out; there is one all the same."""
    _, started = call(whole, header=None)
    assert started == [("201 Created", [("A", "b")])]
    assert len(requests("request_id")[0]) == 32


def test_list_of_headers_is_the_applications(requests):
    """It may be used again."""
    headers = [("A", "b")]

    def application(environ, start_response):
        start_response("200 OK", headers)
        return []

    call(application)
    assert headers == [("A", "b")]


def test_answer_that_is_begun_anew(requests):
    """An error handler says so with the exception, which is passed on; the last status counts."""
    error = (ValueError, ValueError(), None)

    def application(environ, start_response):
        start_response("200 OK", [])
        start_response("500 Oh", [], error)
        return [b""]

    _, started = call(application)
    assert started[1][2] is error
    assert requests("status_code") == [500]


def lines(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return iter([b"a", b"b"])


def written(environ, start_response):
    write = start_response("200 OK", [("Content-Type", "text/plain")])
    write(b"ab")
    return []


def begun_late(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"a"
    yield b"b"


@pytest.mark.filterwarnings("error::wsgiref.validate.WSGIWarning")
@pytest.mark.parametrize("application", [lines, written, begun_late])
def test_both_sides_speak_wsgi(requests, application):
    """Neither server nor application sees anything that PEP 3333 does not allow."""
    middleware = RequestMiddleware(
        validator(application),
        RequestTracker(),
        request_id_header="X-Request-ID",
        settle=lambda environ, scope: None,
        prepare=lambda: None,
    )
    sent = io.BytesIO()
    setup_testing_defaults(environ := {"QUERY_STRING": ""})
    handler = SimpleHandler(io.BytesIO(), sent, complaints := io.StringIO(), environ, multithread=False)
    handler.os_environ = {}
    handler.run(validator(middleware))
    assert complaints.getvalue() == ""
    assert sent.getvalue().endswith(b"\r\n\r\nab")
    assert requests("status_code") == [200]


@pytest.mark.parametrize("status", ["OK", "", "2x0 OK"])
def test_status_that_is_none(requests, status):
    """What is wrong with it is the server's to say, not ours."""

    def application(environ, start_response):
        start_response(status, [("A", "b")])
        return []

    _, started = call(application)
    assert started[0][0] == status
    assert len(requests("request_id")) == 1


def test_headers_that_are_no_list(requests):
    """Servers take what the standard does not allow, and so they get it whole."""

    def application(environ, start_response):
        start_response("200 OK", (header for header in [("A", "b"), ("C", "d")]))
        return []

    _, started = call(application)
    assert started == [("200 OK", [("A", "b"), ("C", "d"), ("X-Request-ID", "a-1")])]


def test_exception_of_the_application(requests, errors):
    """It passes as it is, and the context is as before."""
    error = ValueError("x")

    def application(environ, start_response):
        raise error

    with pytest.raises(ValueError, match="x") as caught:
        call(application)
    assert caught.value is error
    assert (error.__context__, error.__cause__) == (None, None)
    assert requests("status_code", "error_type") == [(500, "ValueError")]
    assert errors()[0]["request_id"] == "a-1"
    assert get_request_id() is None


def test_file_of_a_server_in_c(requests):
    """One that lets nothing be set on it goes its way, and the request ends at once."""

    class Wrapper:
        __slots__ = ()

        def __iter__(self):
            return iter((b"x",))

    def application(environ, start_response):
        start_response("200 OK", [])
        return environ["wsgi.file_wrapper"]()

    body, _ = call(application, **{"wsgi.file_wrapper": Wrapper})
    assert type(body) is Wrapper
    assert requests("status_code") == [200]


def test_empty_pieces_and_no_close(requests):
    """A body needs no ``close``, and may begin with nothing."""

    def application(environ, start_response):
        start_response("200 OK", [])
        return iter((b"", b"x", b"y"))

    body, _ = call(application)
    assert list(body) == [b"", b"x", b"y"]
    assert requests("route") == []
    body.close()
    body.close()
    assert requests("route") == ["/x"]
