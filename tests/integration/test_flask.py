"""The decorator on Flask views, with the hook that the older library's documentation shows."""

from __future__ import annotations

import functools

import pytest

pytest.importorskip("flask")

import flask
from flask.views import MethodView, View

from tests.kept import Kept, kept_fixture  # noqa: F401 - a fixture is asked for by name
from time_execution import settings, time_execution


def status_hook(response, exception, metric, func, func_args, func_kwargs):  # noqa: PLR0917 - as users write it
    """Split the series by the response's status, and keep the arguments of the route."""
    status_code = getattr(response, "status_code", None)
    return {"status": status_code, **func_kwargs}


@pytest.fixture(name="app")
def app_fixture():
    """Return an application whose tests show what views raise."""
    app = flask.Flask(__name__)
    app.testing = True
    return app


def test_view_keeps_its_endpoint_and_is_measured(app, kept: Kept):
    """The decorated view is registered under its own name, gets the route's arguments, and is measured."""
    settings.configure(hooks=[status_hook])

    @app.get("/items/<int:item>")
    @time_execution
    def show(item):
        return flask.make_response(f"item {item}", 202)

    @app.get("/all")
    @time_execution
    def show_all():
        return flask.url_for("show", item=1)

    client = app.test_client()
    assert client.get("/items/7").text == "item 7"
    assert client.get("/all").text == "/items/1"
    assert [name.rpartition(".")[2] for name in kept.names] == ["show", "show_all"]
    assert (kept.metrics[0]["status"], kept.metrics[0]["item"]) == (202, 7)


def test_decorator_above_the_route_measures_direct_calls_only(app, kept: Kept):
    """Flask registers what lies below its route; the name in the module is the measured one."""

    @time_execution
    @app.get("/")
    def index():
        return "index"

    assert app.test_client().get("/").text == "index"
    assert kept.metrics == []
    with app.test_request_context():
        assert index() == "index"
    assert len(kept.metrics) == 1


def test_exception_of_a_view_reaches_its_error_handler(app, kept: Kept):
    """abort() and exceptions are handled as without the decorator."""

    @app.get("/missing")
    @time_execution
    def missing():
        flask.abort(404)

    @app.get("/broken")
    @time_execution
    def broken():
        raise LookupError("no")

    @app.errorhandler(LookupError)
    def handle(error):
        return f"handled {error}", 418

    client = app.test_client()
    assert client.get("/missing").status_code == 404
    assert (client.get("/broken").status_code, client.get("/broken").text) == (418, "handled no")
    assert len(kept.metrics) == 3


def test_other_decorators_and_class_based_views_work(app, kept: Kept):
    """Views behind another decorator, View classes and MethodView methods are measured."""

    def shout(view):
        @functools.wraps(view)
        def inner(**kwargs):
            return view(**kwargs).upper()

        return inner

    @app.get("/loud")
    @shout
    @time_execution
    def loud():
        return "loud"

    class Things(MethodView):
        @time_execution
        def get(self, thing):
            return f"got {thing}"

        @time_execution
        def post(self, thing):
            return f"posted {thing}"

    class Page(View):
        decorators = [time_execution]  # noqa: RUF012 - that is how Flask wants it

        def dispatch_request(self):
            return "page"

    app.add_url_rule("/things/<thing>", view_func=Things.as_view("things"))
    app.add_url_rule("/page", view_func=Page.as_view("page"))
    client = app.test_client()
    assert client.get("/loud").text == "LOUD"
    assert client.get("/things/a").text == "got a"
    assert client.post("/things/b").text == "posted b"
    assert client.get("/page").text == "page"
    assert len(kept.metrics) == 4


def test_streaming_view_is_measured_to_its_last_byte(app, kept: Kept):
    """A generator that a view streams is measured until it is exhausted."""

    @time_execution
    def lines():
        yield "a"
        yield "b"

    @app.get("/stream")
    def stream():
        return flask.Response(flask.stream_with_context(lines()))

    assert app.test_client().get("/stream").text == "ab"
    assert [name.rpartition(".")[2] for name in kept.names] == ["lines"]


def test_asynchronous_view_is_measured(app, kept: Kept):
    """Flask still sees that the view is a coroutine function."""
    pytest.importorskip("asgiref")

    @app.get("/later")
    @time_execution
    async def later():
        return "later"

    assert app.test_client().get("/later").text == "later"
    assert len(kept.metrics) == 1
