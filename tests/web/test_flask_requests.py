"""What is measured of the requests of a Flask application."""

from __future__ import annotations

import pytest

flask = pytest.importorskip("flask")

from werkzeug.middleware.dispatcher import DispatcherMiddleware  # noqa: E402
from werkzeug.test import Client  # noqa: E402

from time_execution import time_execution  # noqa: E402
from time_execution.web.flask import init_app  # noqa: E402


@pytest.fixture
def app(store):
    """Return an application with routes of all kinds."""
    app = flask.Flask("shop")
    init_app(app, store=None, sampler=False)
    app.add_url_rule("/users/<int:id>", view_func=lambda **given: str(given), endpoint="user")
    app.add_url_rule("/save", view_func=lambda: "saved", endpoint="save", methods=["POST"])
    app.add_url_rule("/boom", view_func=lambda: 1 / 0, endpoint="boom")
    return app


@pytest.fixture
def get(app):
    """Return a function that gets a path, and closes the answer when it is read."""

    def get(path, method="GET", **options):
        with app.test_client().open(path, method=method, **options) as answer:
            answer.get_data()
            return answer

    return get


def test_template_is_the_route(get, requests):
    """Whatever is in the path, there is one series."""
    get("/users/1")
    get("/users/2")
    assert requests("method", "route", "status_code") == [("GET", "/users/<int:id>", 200)] * 2


@pytest.mark.parametrize(("path", "method", "status"), [("/no/such", "GET", 404), ("/save", "GET", 405)])
def test_request_without_a_route(get, requests, path, method, status):
    """Paths that strangers try make no series of their own."""
    get(path, method)
    assert requests("route", "status_code") == [("(unmatched)", status)]


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("OPTIONS", 200)])
def test_what_flask_answers_itself(get, requests, method, status):
    """It has the route that it belongs to."""
    get("/users/1", method)
    assert requests("method", "route", "status_code") == [(method, "/users/<int:id>", status)]


def test_blueprints(app, get, requests):
    """Their prefixes belong to the template, also where they are nested."""
    inner, outer = flask.Blueprint("inner", "inner"), flask.Blueprint("outer", "outer")
    inner.add_url_rule("/leaf/<name>", view_func=lambda name, org: name, endpoint="leaf")
    outer.register_blueprint(inner, url_prefix="/inner")
    app.register_blueprint(outer, url_prefix="/orgs/<org>")
    get("/orgs/acme/inner/leaf/x")
    assert requests("route") == ["/orgs/<org>/inner/leaf/<name>"]


def test_files(app, get, requests, tmp_path):
    """A file is sent as the server's own kind of body, and its request is measured to the end."""
    (tmp_path / "static").mkdir()
    (tmp_path / "static" / "a.txt").write_text("hello")
    app.static_folder = str(tmp_path / "static")
    assert get("/static/a.txt").get_data() == b"hello"
    assert requests("route", "status_code") == [("/static/<path:filename>", 200)]


def test_file_wrapper_of_the_server_is_kept(app, tmp_path, requests):
    """Else a server would read the file in Python rather than have the system send it."""
    (tmp_path / "a.txt").write_text("hello")
    app.add_url_rule("/file", view_func=lambda: flask.send_file(tmp_path / "a.txt"), endpoint="file")

    class Wrapper:
        def __init__(self, file, size=8192):
            self.close = file.close

    environ = app.test_request_context("/file").request.environ | {"wsgi.file_wrapper": Wrapper}
    body = app.wsgi_app(environ, lambda status, headers, exc_info=None: None)
    assert type(body) is Wrapper
    assert requests("route") == []
    body.close()
    assert requests("route") == ["/file"]


def test_before_request_that_answers(app, get, requests):
    """One that turns the client away is measured all the same, with the route."""
    app.before_request(lambda: flask.abort(401))
    get("/users/1")
    assert requests("route", "status_code", "error_type") == [("/users/<int:id>", 401, None)]


def test_unhandled_exception(get, requests, errors):
    """The request failed with it, and it is told once, though Flask writes a line of it as well."""
    assert get("/boom").status_code == 500
    assert requests("route", "status_code", "error_type") == [("/boom", 500, "ZeroDivisionError")]
    (event,) = errors()
    assert (event["type"], event["route"], event["method"]) == ("ZeroDivisionError", "/boom", "GET")
    assert event["request_id"] == requests("request_id")[0]


def test_exception_that_passes_to_the_server(app, get, requests, errors):
    """It comes out as it is, and with its route."""
    app.testing = True
    with pytest.raises(ZeroDivisionError) as caught:
        get("/boom")
    assert requests("route", "status_code", "error_type") == [("/boom", 500, "ZeroDivisionError")]
    assert len(errors()) == 1
    assert caught.value.__context__ is None


def test_handled_exception(app, get, requests, errors):
    """What the application answers itself is no failure."""
    app.register_error_handler(ZeroDivisionError, lambda exc: ("sorry", 422))
    get("/boom")
    assert requests("route", "status_code", "error_type") == [("/boom", 422, None)]
    assert errors() == []


def test_handler_of_500(app, get, requests):
    """A page of the application's own does not hide what failed."""
    app.register_error_handler(500, lambda exc: ("sorry", 503))
    get("/boom")
    assert requests("status_code", "error_type") == [(503, "ZeroDivisionError")]


def test_teardown_that_raises(app, get, requests):
    """The exception passes to the server, and the request has failed with it."""

    @app.teardown_request
    def broken(exc):
        raise KeyError

    with pytest.raises(KeyError):
        get("/users/1")
    assert requests("status_code", "error_type") == [(200, "KeyError")]


def test_streamed_body(app, requests):
    """The request ends with its last byte, and knows when the first was there; its id holds all the while."""
    from time_execution.hooks import get_request_id

    seen = []

    def pieces():
        for piece in ("a", "b", "c"):
            seen.append((get_request_id(), flask.request.path))
            yield piece

    app.add_url_rule("/s", view_func=lambda: flask.Response(flask.stream_with_context(pieces())), endpoint="s")
    with app.test_client().get("/s", headers={"X-Request-ID": "a-1"}) as answer:
        assert requests("route") == []
        assert answer.get_data() == b"abc"
    assert seen == [("a-1", "/s")] * 3
    (metric,) = requests("first_byte_ms", "value")
    assert 0 < metric[0] < metric[1]
    assert get_request_id() is None


def test_body_in_one_piece_has_no_first_byte(get, requests):
    """For it, that would be the end."""
    get("/users/1")
    assert requests("first_byte_ms") == [None]


def test_close_of_a_body_counts(app, get, requests, errors):
    """What is done when the answer is closed belongs to the request, and so does its failure."""

    def view():
        answer = flask.Response("x")
        answer.call_on_close(lambda: 1 / 0)
        return answer

    app.add_url_rule("/c", view_func=view, endpoint="c")
    with pytest.raises(ZeroDivisionError):
        get("/c")
    assert requests("route", "error_type") == [("/c", "ZeroDivisionError")]
    assert len(errors()) == 1


def test_stream_that_fails(app, requests, errors):
    """The status was sent already; the request has failed all the same."""

    def pieces():
        yield "a"
        raise KeyError("half")

    app.add_url_rule("/s", view_func=pieces, endpoint="s")
    answer = app.test_client().get("/s")
    with pytest.raises(KeyError):
        answer.get_data()
    answer.close()
    assert requests("status_code", "error_type") == [(200, "KeyError")]
    assert len(errors()) == 1


def test_client_that_goes_away(app, requests, errors):
    """A body that nobody reads to its end is no failure."""

    def pieces():
        yield "a"
        yield "b"

    app.add_url_rule("/s", view_func=pieces, endpoint="s")
    answer = app.test_client().get("/s")
    next(answer.iter_encoded())
    answer.close()
    assert requests("status_code", "error_type") == [(200, None)]
    assert errors() == []


def test_body_that_is_let_go(app, requests):
    """A client for tests that does not close its answers gets its requests counted when it drops them."""
    answer = app.test_client().get("/users/1")
    del answer
    assert requests("route") == ["/users/<int:id>"]


def test_asynchronous_view(app, get, requests):
    """It is measured as any other, and sees the id."""
    from time_execution.hooks import get_request_id

    async def view():
        return str(get_request_id())

    app.add_url_rule("/a", view_func=view, endpoint="a")
    assert get("/a", headers={"X-Request-ID": "a-1"}).get_data() == b"a-1"
    assert requests("route") == ["/a"]


def test_id_of_a_request(app, get, requests, store):
    """The client's goes into the answer, the metric, the metrics of calls and the log; without one, a new one does."""

    @time_execution(name="inner")
    def inner():
        app.logger.error("trouble")
        return "x"

    app.add_url_rule("/i", view_func=inner, endpoint="i")
    assert get("/i", headers={"X-Request-ID": "a-1"}).headers["X-Request-ID"] == "a-1"
    by_name = {metric["name"]: metric for metric in store.metrics}
    names = ("inner", "error", "http.server.request.duration")
    assert [by_name[name]["request_id"] for name in names] == ["a-1"] * 3
    made = get("/i").headers["X-Request-ID"]
    assert len(made) == 32
    assert requests("request_id") == ["a-1", made]


def test_id_that_the_application_sends_itself(app, get):
    """It stays the only one."""
    app.add_url_rule("/own", view_func=lambda: ("x", {"x-request-id": "own"}), endpoint="own")
    assert get("/own").headers.getlist("X-Request-ID") == ["own"]


def test_forged_id(get):
    """What could end a header or a line is replaced."""
    assert len(get("/users/1", headers={"X-Request-ID": "a b"}).headers["X-Request-ID"]) == 32


def test_trace_of_a_client(get, requests):
    """The header of W3C Trace Context makes the request part of the trace."""
    trace, span = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    get("/users/1", headers={"traceparent": f"00-{trace}-{span}-01"})
    assert requests("trace_id", "span_id") == [(trace, span)]


def test_application_below_another(app, store, requests):
    """A request that passes through two applications of ours is one request, with the inner one's route."""
    inner = flask.Flask("inner")
    init_app(inner, store=None, sampler=False)
    inner.add_url_rule("/leaf/<x>", view_func=lambda x: x, endpoint="leaf")
    app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {"/inner": inner})
    outer = flask.Flask("outer")
    init_app(outer, store=None, sampler=False)
    both = DispatcherMiddleware(outer.wsgi_app, {"/app": app})
    outer.wsgi_app = type(outer.wsgi_app)(
        both, outer.extensions["time_execution"].tracker, request_id_header="X-Request-ID",
        settle=lambda environ, scope: None, prepare=lambda: None,
    )  # fmt: skip
    Client(outer).get("/app/inner/leaf/1").close()
    assert requests("route") == ["/leaf/<x>"]


def test_hooks_for_requests(store, requests):
    """They are named among the options, and those of the settings are not run."""
    app = flask.Flask("hooked")
    init_app(app, store=None, sampler=False, hooks=[lambda **_: {"tenant": "acme"}])
    app.test_client().get("/").close()
    assert requests("tenant") == ["acme"]


def test_requests_that_are_not_logged(store, requests, monkeypatch):
    """The environment may say so; ids are given all the same."""
    monkeypatch.setenv("MONITOR_REQUEST_LOGGING", "0")
    app = flask.Flask("quiet")
    init_app(app, store=None, sampler=False)
    with app.test_client().get("/") as answer:
        assert answer.headers["X-Request-ID"]
    assert requests("route") == []
