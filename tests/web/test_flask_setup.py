"""What `init_app` gives a Flask application, and what it changes (S1)."""

from __future__ import annotations

import gc
import io
import json
import logging
import sys
import types
import weakref

import pytest

flask = pytest.importorskip("flask")

from time_execution import logs, settings  # noqa: E402
from time_execution.backends.memory import MemoryBackend  # noqa: E402
from time_execution.backends.sqlite import SQLiteBackend  # noqa: E402
from time_execution.exceptions import ConfigurationError, MissingExtraError  # noqa: E402
from time_execution.hooks import request_id_hook  # noqa: E402
from time_execution.monitor import monitor  # noqa: E402
from time_execution.web.flask import ENDPOINT, EXTENSION, init_app  # noqa: E402

PUBLIC = {"/livez", "/readyz", "/healthz"}


def shop(db=None, name="shop", **options):
    """Return an application with our routes, and no thread."""
    app = flask.Flask(name)
    init_app(app, db, **({"store": None, "sampler": False} | options))
    return app


def get(app, path, *, method="GET", client="127.0.0.1", **options):
    with app.test_client().open(path, method=method, environ_base={"REMOTE_ADDR": client}, **options) as answer:
        answer.get_data()
        return answer


def ours(app):
    """Return our rules."""
    return [rule for rule in app.url_map.iter_rules() if rule.endpoint.startswith(ENDPOINT)]


def test_every_route_without_credentials():
    """All that we add refuses strangers, by any method, but for the three of health."""
    app = shop()
    rules = ours(app)
    assert {rule.rule for rule in rules} >= {*PUBLIC, "/metrics", "/admin/monitoring/"}
    for rule in rules:
        path = rule.rule.replace("<path:time_execution_page>", "data/overview")
        for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
            status = get(app, path, method=method, client="192.0.2.1").status_code
            if path in PUBLIC:
                assert status == (200 if method in {"GET", "HEAD"} else 405), (path, method)
            else:
                assert status in ({403} if not path.startswith("/metrics") else {403, 405}), (path, method)


@pytest.mark.parametrize("path", ["/livez", "/metrics", "/admin/monitoring/", "/admin/monitoring/nothing"])
def test_head_tells_the_length_of_what_get_answers(path):
    """So HTTP wants it, where the length is told at all."""
    app = shop(auth=lambda _: True)
    lengths = {get(app, path, method=method).headers["Content-Length"] for method in ("GET", "HEAD")}
    assert len(lengths) == 1
    assert lengths != {"0"}


def test_long_body_is_not_read():
    """It is refused by the length that it is said to have."""
    sent = io.BytesIO(bytes(70_000))
    options = {"method": "POST", "input_stream": sent, "content_length": 70_000}
    assert get(shop(auth=lambda _: True), "/admin/monitoring/", **options).status_code == 413
    assert sent.tell() == 0


def test_pages_are_headed_by_the_application_s_name():
    """Who watches several applications sees which one this is."""
    answer = get(shop(name="bookshop", auth=lambda _: True), "/admin/monitoring/")
    assert b"bookshop" in answer.data


def test_nothing_else_is_added():
    """Every rule that is not the application's has a name that no application uses."""
    app, bare = shop(), flask.Flask("bare")
    assert len(ours(app)) == 7
    assert len(list(app.url_map.iter_rules())) - len(list(bare.url_map.iter_rules())) == 7


def test_auth_gets_flasks_request():
    """In the context of the request, where extensions for signing in know who asks."""

    def auth(request):
        return flask.g.user == "admin" and type(request) is flask.Request and request.path.startswith("/admin")

    app = shop(auth=auth)

    @app.before_request
    def sign_in():
        flask.g.user = flask.request.headers.get("X-User")

    assert get(app, "/admin/monitoring/", headers={"X-User": "guest"}).status_code == 403
    assert get(app, "/admin/monitoring/", headers={"X-User": "admin"}).status_code == 200


def test_asynchronous_auth():
    """It is awaited, as Flask's views are."""

    async def auth(request):
        return True

    assert get(shop(auth=auth), "/admin/monitoring/").status_code == 200


@pytest.mark.parametrize("raised", [RuntimeError(), "abort", "redirect"])
def test_auth_that_raises(raised):
    """Whatever it raises, strangers learn nothing from it."""

    def auth(request):
        if raised == "abort":
            flask.abort(401)
        if raised == "redirect":
            return flask.redirect("/login")
        raise raised

    answer = get(shop(auth=auth), "/admin/monitoring/")
    assert (answer.status_code, answer.get_data()) == (403, b"forbidden\n")


def test_pages_below_a_mount():
    """What stands before the application's own paths changes nothing about who may see them."""
    app = shop(auth=lambda request: request.script_root == "/app")
    with app.test_client().get("/admin/monitoring/", base_url="http://localhost/app") as answer:
        assert answer.status_code == 200


def test_metrics_of_the_settings(tmp_path):
    """They are in the format that was asked for, once a request was measured."""
    pytest.importorskip("prometheus_client")
    app = shop(store=tmp_path / "metrics.db")
    app.add_url_rule("/users/<x>", view_func=lambda x: x, endpoint="user")
    get(app, "/users/1")
    assert all(backend.flush(10) for backend in settings.backends)
    text = get(app, "/metrics").get_data(as_text=True)
    assert 'route="/users/<x>"' in text
    assert 'status_code="200"' in text
    asked = get(app, "/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert asked.content_type.startswith("application/openmetrics-text")
    assert asked.get_data().endswith(b"# EOF\n")


def test_metrics_through_a_proxy():
    """A proxy on this machine speaks for others."""
    assert get(shop(), "/metrics", headers={"X-Forwarded-For": "127.0.0.1"}).status_code == 403


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("path", ["/metrics", "/metrics/"])
def test_route_of_the_application_goes_first(before, requests, path):
    """Whether it was added before ours or after, the application's own is served, and measured; the rest stays ours."""
    app = flask.Flask("shop")

    def add():
        app.add_url_rule(path, view_func=lambda: "own", endpoint="own")

    if before:
        add()
    init_app(app, store=None, sampler=False)
    if not before:
        add()
    assert get(app, "/metrics", follow_redirects=True).get_data() == b"own"
    assert requests("route")[-1] == path
    assert get(app, "/livez").get_data() == b"ok"


def test_route_that_takes_everything_leaves_ours():
    """A page for all paths does not hide them."""
    app = shop()
    app.add_url_rule("/<path:path>", view_func=lambda path: "page", endpoint="page")
    assert get(app, "/livez").get_data() == b"ok"
    assert get(app, "/else").get_data() == b"page"


def test_own_pages_are_not_measured(requests):
    """Probes come every few seconds, and would hide what users see."""
    app = shop(auth=lambda _: True)
    for path in ("/livez", "/metrics", "/admin/monitoring/", "/admin/monitoring/data/overview"):
        get(app, path)
    assert requests("route") == []


def test_host_matching(requests):
    """An application that tells hosts apart has our routes at each of them."""
    app = flask.Flask("shop", host_matching=True, static_host="a.example")
    init_app(app, store=None, sampler=False)
    with app.test_client().get("/livez", base_url="http://b.example") as answer:
        assert answer.get_data() == b"ok"


def test_several_applications(store):
    """Each has its own access; what is measured goes the same way."""
    one, two = shop(name="one", auth=lambda _: True), shop(name="two")
    assert get(one, "/admin/monitoring/").status_code == 200
    assert get(two, "/admin/monitoring/").status_code == 403
    get(one, "/a")
    get(two, "/b")
    assert len(store.metrics) == 2


def test_application_is_not_kept():
    """One that nobody needs any more is gone."""
    app = shop()
    get(app, "/livez")
    gone = weakref.ref(app)
    del app
    gc.collect()
    assert gone() is None


def test_second_call_is_refused():
    """It would measure each request twice."""
    app = shop()
    with pytest.raises(ConfigurationError, match="before"):
        init_app(app)


def test_late_call_is_refused():
    """Flask takes no routes any more by then."""
    app = flask.Flask("late")
    get(app, "/")
    with pytest.raises(ConfigurationError, match="first request"):
        init_app(app)


def test_wrong_option_changes_nothing():
    """The application is as it was, and so are the settings."""
    app = flask.Flask("shop")
    before = (app.wsgi_app, len(list(app.url_map.iter_rules())), settings.backends)
    with pytest.raises(ConfigurationError, match="prefix"):
        init_app(app, prefix="nowhere")
    assert (app.wsgi_app, len(list(app.url_map.iter_rules())), settings.backends) == before
    assert EXTENSION not in app.extensions


def test_wrong_variable_is_refused_at_once(monkeypatch):
    """And not at the first request."""
    monkeypatch.setenv("MONITOR_SAMPLE_INTERVAL", "often")
    with pytest.raises(ConfigurationError, match="MONITOR_SAMPLE_INTERVAL"):
        shop()


def kinds():
    return [type(getattr(backend, "backend", backend)).__name__ for backend in settings.backends]


def test_backends_that_are_missing_are_added(tmp_path):
    """A store for the dashboard and totals for Prometheus, each behind a queue; what is there stays."""
    pytest.importorskip("prometheus_client")
    memory = MemoryBackend()
    settings.configure(backends=[memory])
    shop(store=tmp_path / "m.db")
    assert kinds() == ["MemoryBackend", "SQLiteBackend", "PrometheusBackend"]
    assert settings.backends[0] is memory
    assert settings.backends[1].backend.path == tmp_path / "m.db"


def test_backends_that_are_there_are_used(tmp_path):
    """Neither of two applications, nor one with a store of its own, adds a second one."""
    pytest.importorskip("prometheus_client")
    settings.configure(backends=[SQLiteBackend(tmp_path / "own.db")])
    shop(store="m.db", name="one")
    shop(store="n.db", name="two")
    assert kinds() == ["SQLiteBackend", "PrometheusBackend"]


def test_calls_are_tagged_unless_told_otherwise():
    """The hook is added once, and not at all where nobody wants it."""
    shop(name="one", tag_calls=False)
    assert settings.hooks == ()
    shop(name="two")
    shop(name="three")
    assert list(settings.hooks) == [request_id_hook]


def test_sampler_starts_with_the_first_request():
    """Not when the application is made, which may be in the parent of its workers."""
    pytest.importorskip("psutil")
    app = shop(sampler=True)
    assert not monitor.is_running()
    get(app, "/livez")
    assert monitor.is_running()


def test_first_request_survives_what_fails(monkeypatch, caplog):
    """A machine that lets no thread start has its requests served all the same."""

    def broken():
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(monitor, "start", broken)
    with caplog.at_level(logging.WARNING, "time_execution"):
        assert get(shop(sampler=True), "/livez").status_code == 200
    assert "can't start new thread" in caplog.text


def test_logger_of_the_application_feeds_the_log(monkeypatch, capsys):
    """Its lines stand on the console once, not by Flask's own handler as well, and from the log's level on."""
    monkeypatch.setenv("LOG_CONSOLE", "1")
    app = shop(name="feeds")
    app.logger.info("hello from %s", "here")
    logs.notice_backends()
    from time_execution import flush

    flush(5)
    printed = capsys.readouterr()
    assert (printed.out + printed.err).count("hello from here") == 1


def test_logger_may_be_left_alone():
    """With the option for it, Flask's logger has Flask's handlers."""
    app = shop(name="alone", logs=False)
    assert all("time_execution" not in type(handler).__module__ for handler in app.logger.handlers)


def test_database(tmp_path):
    """A URL is enough for a health check; details are for those who may see the pages."""
    pytest.importorskip("sqlalchemy")
    app = shop(f"sqlite:///{tmp_path}/shop.db", auth=lambda _: True)
    assert monitor.check_health()["checks"]["database"]["status"] == "healthy"
    answer = get(app, "/readyz", headers={"Accept": "application/health+json"})
    assert "database:responseTime" in json.loads(answer.get_data())["checks"]


@pytest.mark.parametrize("early", [True, False])
def test_database_of_flask_sqlalchemy(tmp_path, early):
    """The extension may be told of the application before or after."""
    extension = pytest.importorskip("flask_sqlalchemy").SQLAlchemy()
    app = flask.Flask("shop")
    app.config["SQLALCHEMY_DATABASE_URI"] = f"sqlite:///{tmp_path}/shop.db"
    if early:
        extension.init_app(app)
    init_app(app, extension, store=None, sampler=False)
    if not early:
        extension.init_app(app)
    assert get(app, "/readyz").status_code == 200
    assert monitor.check_health()["checks"]["database"]["status"] == "healthy"
    with app.app_context():
        extension.engine.dispose()


def test_databases_of_several_applications(tmp_path):
    """Each has a check of its own."""
    pytest.importorskip("sqlalchemy")
    shop(f"sqlite:///{tmp_path}/one.db", name="one")
    shop(f"sqlite:///{tmp_path}/two.db", name="two")
    assert set(monitor.health()["checks"]) == {"database", "database of two"}


def test_unready_application(tmp_path):
    """Its balancer is told by the status, and anybody else by nothing."""
    app = shop()
    monitor.configure(unhealthy_threshold=1)
    monitor.register_health_check("queue", lambda: False)
    monitor.check_health()
    answer = get(app, "/readyz", query_string={"verbose": "1"})
    assert answer.status_code == 503
    assert b"queue" not in answer.get_data()
    assert get(app, "/livez").status_code == 200


class Missing(types.ModuleType):
    """A module whose client is not installed."""

    def __getattr__(self, name):
        raise MissingExtraError("it is not installed")


def test_without_the_clients_of_extras(monkeypatch, tmp_path):
    """What needs one is left out: totals, the dashboard, the machine's figures; the rest is there."""
    for module in ("time_execution.backends.prometheus", "time_execution.web.dashboard.site"):
        monkeypatch.setitem(sys.modules, module, Missing(module))
    start = monitor.start

    def start_without_psutil():
        if monitor.options.system_metrics:
            raise MissingExtraError("psutil is not installed")
        start()

    monkeypatch.setattr(monitor, "start", start_without_psutil)
    app = shop(store=tmp_path / "m.db", sampler=True, auth=lambda _: True)
    assert kinds() == ["SQLiteBackend"]
    assert get(app, "/livez").status_code == 200
    assert monitor.is_running()
    assert get(app, "/metrics").status_code == 503
    assert get(app, "/admin/monitoring/").status_code == 404
