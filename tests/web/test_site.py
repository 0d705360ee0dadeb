"""What is answered at our paths, without any framework (S14)."""

from __future__ import annotations

import json

import pytest

from time_execution.web.access import Access
from time_execution.web.message import MAX_BODY, Request, Response, plain
from time_execution.web.site import Site

SECRET = "connection to db-7.internal refused"
CHECK = {
    "status": "unhealthy",
    "since": None,
    "time": None,
    "duration_ms": 3.0,
    "failures": 3,
    "output": SECRET,
    "critical": True,
    "type": "database",
}
ILL = {"status": "unhealthy", "time": "2030-01-01T00:00:00Z", "checks": {"database": CHECK}}
WELL = {"status": "healthy", "time": "2030-01-01T00:00:00Z", "checks": {}}


class Pages:
    """A dashboard that says what it was asked for."""

    def handle(self, request):
        return Response(200, [("Content-Type", "text/html")], f"page {request.path}".encode())


def site(**options):
    given = {"dashboard": Pages, "health": lambda: WELL, "metrics": lambda accept: (b"up 1\n", f"text/{accept}")}
    access = {key: options.pop(key) for key in ("auth", "metrics_token") if key in options}
    return Site(Access(**access), **(given | options))


def ask(site, path, method="GET", *, client="127.0.0.1", query=None, body=b"", granted=None, **headers):
    request = Request(method, path, client=client, query=query or {}, body=body, headers=headers)
    return site.handle(request, granted=granted)


@pytest.mark.parametrize("path", ["/", "/users", "/livez/", "/livezz", "/metrics/x", "/admin", "/admin/monitoringx"])
def test_other_paths_are_not_ours(path):
    """They are left to the application."""
    assert ask(site(), path) is None


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/healthz"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_health_of_a_well_application(path, method):
    """One word is what probes want."""
    answer = ask(site(), path, method)
    assert (answer.status, answer.body) == (200, b"ok" if method == "GET" else b"")
    assert ("Content-Length", "2") in answer.headers or method == "GET"


@pytest.mark.parametrize(("path", "status"), [("/livez", 200), ("/readyz", 503), ("/healthz", 503)])
def test_health_of_an_ill_application(path, status):
    """It lives; it is only not ready. Nobody learns why who was not granted that."""
    for accept in ("*/*", "application/health+json"):
        answer = ask(site(health=lambda: ILL), path, accept=accept, query={"verbose": [""]})
        assert answer.status == status
        assert b"db-7" not in answer.body
        assert b"database" not in answer.body


def test_degraded_application_is_ready():
    """Taking it out of service would make things worse."""
    assert ask(site(health=lambda: {**WELL, "status": "degraded"}), "/readyz").status == 200


def test_details_are_for_those_who_may_see_the_pages():
    """As the document of its media type, or as lines."""
    ill = site(health=lambda: ILL, auth=lambda _: True)
    answer = ask(ill, "/readyz", accept="application/health+json")
    assert dict(answer.headers)["Content-Type"] == "application/health+json"
    assert json.loads(answer.body)["checks"]["database:responseTime"][0]["output"] == SECRET
    assert SECRET.encode() in ask(ill, "/readyz", query={"verbose": [""]}).body
    assert ask(ill, "/readyz", query={"verbose": [""], "exclude": ["database"]}).status == 200


def test_nobody_is_asked_for_a_plain_probe():
    """Probes come every few seconds, and `auth` may look into a database."""
    asked = []
    probed = site(auth=asked.append)
    ask(probed, "/readyz")
    assert asked == []
    ask(probed, "/readyz", accept="application/health+json")
    assert len(asked) == 1


def test_health_without_checks():
    """Where nothing is checked, all is well."""
    assert ask(site(health=None), "/readyz").status == 200


def test_metrics():
    """The format is negotiated by whoever makes them."""
    answer = ask(site(), "/metrics", accept="plain")
    assert (answer.status, answer.body, dict(answer.headers)["Content-Type"]) == (200, b"up 1\n", "text/plain")


def test_metrics_are_not_for_strangers():
    """Those from elsewhere are refused; where a token would help, they are told so."""
    assert ask(site(), "/metrics", client="192.0.2.1").status == 403
    answer = ask(site(metrics_token="a-long-token"), "/metrics")
    assert (answer.status, dict(answer.headers)["WWW-Authenticate"]) == (401, "Bearer")


@pytest.mark.parametrize("metrics", [None, lambda accept: None])
def test_nothing_to_scrape(metrics):
    """Says in a sentence what is missing."""
    answer = ask(site(metrics=metrics), "/metrics")
    assert answer.status == 503
    assert b"PrometheusBackend" in answer.body


@pytest.mark.parametrize("path", ["/admin/monitoring", "/admin/monitoring/", "/admin/monitoring/data/overview"])
def test_pages_are_not_for_strangers(path):
    """Whether there is such a page or not, and whatever the method is."""
    for method in ("GET", "HEAD", "POST", "DELETE", "OPTIONS"):
        assert ask(site(), path, method).status == 403


def test_pages_are_for_those_who_are_granted():
    """By `auth`, or by whoever asked it before."""
    assert ask(site(auth=lambda _: True), "/admin/monitoring/logs").body == b"page /admin/monitoring/logs"
    assert ask(site(), "/admin/monitoring/", granted=True).status == 200
    assert ask(site(auth=lambda _: True), "/admin/monitoring/", granted=False).status == 403


def test_dashboard_is_made_once():
    """At the first request that is granted."""
    made = []

    def make():
        made.append(Pages())
        return made[-1]

    shown = site(auth=lambda _: True, dashboard=make)
    assert made == []
    ask(shown, "/admin/monitoring/")
    ask(shown, "/admin/monitoring/")
    assert len(made) == 1


@pytest.mark.parametrize("dashboard", [None, lambda: None])
def test_without_a_dashboard(dashboard):
    """There is nothing below its prefix."""
    assert ask(site(auth=lambda _: True, dashboard=dashboard), "/admin/monitoring/").status == 404


def test_without_a_prefix():
    """Nothing but health and metrics is ours."""
    bare = site(prefix=None, auth=lambda _: True)
    assert ask(bare, "/admin/monitoring/") is None
    assert ask(bare, "/livez").status == 200


def test_other_prefix():
    """With or without a slash at its end, it is the same."""
    moved = site(prefix="/ops/", auth=lambda _: True)
    assert ask(moved, "/ops/logs").body == b"page /ops/logs"
    assert ask(moved, "/admin/monitoring/") is None


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/healthz", "/metrics"])
def test_other_methods(path):
    """They are refused, with those that are not."""
    answer = ask(site(), path, "POST")
    assert (answer.status, dict(answer.headers)["Allow"]) == (405, "GET, HEAD")


def test_long_body_is_refused():
    """By those who may send one at all; others are not told."""
    long = bytes(MAX_BODY + 1)
    assert ask(site(auth=lambda _: True), "/admin/monitoring/", "POST", body=long).status == 413
    assert ask(site(), "/admin/monitoring/", "POST", body=long).status == 403


def test_failure_says_nothing():
    """Neither what failed nor where."""

    def failing():
        raise RuntimeError(SECRET)

    answer = ask(site(health=failing), "/readyz")
    assert (answer.status, answer.body) == (500, b"internal error\n")


def test_what_needs_permission():
    """Pages always, probes with details, nothing else."""
    ours = site()
    assert ours.needs_permission(Request("GET", "/admin/monitoring/"))
    assert ours.needs_permission(Request("GET", "/readyz", query={"verbose": [""]}))
    assert not ours.needs_permission(Request("GET", "/readyz"))
    assert not ours.needs_permission(Request("GET", "/metrics", headers={"accept": "application/json"}))
    assert not ours.needs_permission(Request("GET", "/users"))


def test_what_is_quick():
    """Plain probes only: an event loop answers them though all its threads are taken."""
    ours = site()
    assert ours.is_quick(Request("GET", "/livez"))
    assert not ours.is_quick(Request("GET", "/livez", query={"verbose": [""]}))
    assert not ours.is_quick(Request("GET", "/metrics"))


def test_plain_answers_are_taken_for_nothing_else():
    """No browser guesses, and no cache keeps them."""
    headers = dict(plain(404, "not found").headers)
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"


def test_requests_do_not_show_the_frameworks():
    """Its `repr` may hold anything."""
    assert "native" not in repr(Request("GET", "/", native=SECRET))
