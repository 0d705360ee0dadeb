"""A server that reads files in its own way, and one that streams: what is measured is what it sent."""

from __future__ import annotations

import threading
import urllib.request

import pytest

flask = pytest.importorskip("flask")
pytest.importorskip("waitress")

from tests.web.dashboard.serving import Served  # noqa: E402
from time_execution.web.flask import init_app  # noqa: E402

SIZE = 300_000


@pytest.fixture
def port(store, tmp_path):
    """Serve an application, and return the port."""
    (tmp_path / "a.bin").write_bytes(bytes(SIZE))
    app = flask.Flask("shop")
    init_app(app, store=None, sampler=False)

    @app.get("/file")
    def file():
        return flask.send_file(tmp_path / "a.bin")

    @app.get("/stream/<int:count>")
    def stream(count):
        return flask.Response(b"x" * 1000 for _ in range(count))

    served = Served(application=app)
    yield served.port
    served.stop()


@pytest.mark.parametrize(
    ("path", "route", "size"), [("/file", "/file", SIZE), ("/stream/50", "/stream/<int:count>", 50_000)]
)
def test_bodies_arrive_whole_and_are_measured(port, requests, path, route, size):
    """Once each, when the server has closed them."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
        assert len(answer.read()) == size
        assert answer.headers["X-Request-ID"]
    ended = threading.Event()
    for _ in range(500):  # the server closes a body after it was read
        if requests("route"):
            break
        ended.wait(0.01)
    assert requests("route", "status_code") == [(route, 200)]


def test_metrics_are_for_this_machine(port):
    """The address of the peer is what the server says it is."""
    pytest.importorskip("prometheus_client")
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        assert answer.status == 200
