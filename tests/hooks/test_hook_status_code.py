"""The status hook, and the seed's own hook, on real responses."""

from __future__ import annotations

import urllib.error
from http import HTTPStatus
from types import SimpleNamespace
from unittest.mock import Mock

import pytest

from time_execution import time_execution
from time_execution.hooks import StatusCodeHook, extra_fields, status_code_hook


@pytest.mark.parametrize(
    ("response", "status"),
    [
        (SimpleNamespace(status_code=204), 204),
        (SimpleNamespace(status_code=HTTPStatus.NOT_FOUND), 404),
        (SimpleNamespace(status=503), 503),
        (SimpleNamespace(status="404 NOT FOUND"), 404),
        (("body", 201), 201),
        (("body", "418 TEAPOT", {"X": "y"}), 418),
        (({"json": 1}, 400, {}), 400),
        ((SimpleNamespace(status_code=200), 202), 202),
        ((640, 480), None),
        (("a", 7), None),
        (("body", {"X": "y"}), None),
        (("lonely",), None),
        (SimpleNamespace(status="done"), None),
        (SimpleNamespace(status="2024-05-01"), None),
        (SimpleNamespace(status_code=True), None),
        (SimpleNamespace(status_code=99), None),
        (SimpleNamespace(status_code=600), None),
        (Mock(), None),
        (None, None),
        ("text", None),
    ],
)
def test_status_of_a_response(outcome, response, status) -> None:
    """Responses of the known shapes give their status as a plain int; everything else gives nothing."""
    fields = status_code_hook(**outcome(response))
    assert fields == (None if status is None else {"status_code": status})
    assert fields is None or type(fields["status_code"]) is int


def make_error(**attributes) -> Exception:
    error = RuntimeError("failed")
    vars(error).update(attributes)
    return error


@pytest.mark.parametrize(
    ("exception", "status"),
    [
        (make_error(code=404), 404),
        (make_error(status_code=502), 502),
        (make_error(code="E42", response=SimpleNamespace(status_code=429)), 429),
        (urllib.error.HTTPError("http://a", 410, "Gone", {}, None), 410),  # type: ignore[arg-type]
        (SystemExit(200), None),
        (ValueError("x"), None),
    ],
)
def test_status_of_an_exception(outcome, exception, status) -> None:
    """An HTTP error carries its status; the response beside it is not looked at."""
    fields = status_code_hook(**outcome(SimpleNamespace(status_code=200), exception))
    assert fields == (None if status is None else {"status_code": status})
    if isinstance(exception, urllib.error.HTTPError):
        exception.close()


def test_rename_splits_the_series(measured) -> None:
    """With rename, the series' name ends in the status."""
    metrics = measured(StatusCodeHook(rename=True))
    view = time_execution(name="app.view")(lambda status: ("body", status))
    view(200)
    view(404)
    view(None)
    assert [metric["name"] for metric in metrics] == ["app.view.200", "app.view.404", "app.view"]


def test_the_hook_of_the_seed_works_as_written(measured) -> None:
    """A user's hook with positional names, which renames and adds a field, does what it says."""

    def my_hook(response, exception, metric, func, func_args, func_kwargs):  # noqa: PLR0917 - as the seed has it
        status_code = getattr(response, "status_code", None)
        if status_code:
            return {"name": "{}.{}".format(metric["name"], status_code), "extra_field": "foo bar"}
        return None

    metrics = measured(my_hook)
    time_execution(name="a")(lambda: SimpleNamespace(status_code=200))()
    time_execution(name="b")(lambda: None)()
    assert [(metric["name"], metric.get("extra_field")) for metric in metrics] == [("a.200", "foo bar"), ("b", None)]


def test_ready_made_hooks_do_what_the_hook_of_the_seed_does(measured) -> None:
    """The renaming status hook and extra fields together are the seed's example."""
    metrics = measured(StatusCodeHook(rename=True), extra_fields(extra_field="foo bar"))
    time_execution(name="a")(lambda: SimpleNamespace(status_code=200))()
    assert (metrics[0]["name"], metrics[0]["extra_field"]) == ("a.200", "foo bar")


def test_flask_views_of_every_kind(measured) -> None:
    """Real Flask views: a response, a tuple, an abort and a plain text."""
    flask = pytest.importorskip("flask")
    app = flask.Flask(__name__)
    metrics = measured(status_code_hook)

    @app.get("/response")
    @time_execution(name="response")
    def response():
        return flask.make_response("made", 202)

    @app.get("/pair")
    @time_execution(name="pair")
    def pair():
        return {"a": 1}, "201 CREATED"

    @app.get("/abort")
    @time_execution(name="abort")
    def abort():
        flask.abort(403)

    @app.get("/plain")
    @time_execution(name="plain")
    def plain():
        return "plain"

    client = app.test_client()
    answers = {path: client.get(f"/{path}").status_code for path in ("response", "pair", "abort", "plain")}
    assert answers == {"response": 202, "pair": 201, "abort": 403, "plain": 200}
    seen = {metric["name"]: metric.get("status_code") for metric in metrics}
    assert seen == {"response": 202, "pair": 201, "abort": 403, "plain": None}
