"""Labels that a metric names itself become attributes, and a histogram of the name for timings."""

from __future__ import annotations

import pytest

pytest.importorskip("opentelemetry.proto.metrics", reason="the extra otlp is not installed")
pytest.importorskip("urllib3", reason="the extra otlp is not installed")

from tests.backends.otlp_points import DURATION, decoded, number_of, points_of
from tests.fault_server import FaultServer
from time_execution.backends.otlp import OTLPBackend
from time_execution.types import Metric

MOMENT = 1_700_000_000_123_456_789
REQUEST = "http.server.request.duration"
LABELS = ("method", "route", "status_code")


@pytest.fixture
def server():
    with FaultServer() as server:
        yield server


def request(status=200, route="/users/{id}", **fields):
    given = {"name": REQUEST, "value": 20.0, "hostname": "web-1", "timestamp": MOMENT, "request_id": "r1"}
    return Metric({**given, "method": "GET", "route": route, "status_code": status, **fields}, labels=LABELS)


def points(server, *metrics, **options):
    """Return what a server gets of some metrics."""
    with OTLPBackend(server.url, temporality="delta", **options) as backend:
        backend.write_many(metrics)
    return [point for request in server.requests for point in points_of(decoded(request.body))]


def test_requests_are_what_the_semantic_conventions_say(server):
    """One histogram in seconds, by method, route and status, with the type of an error."""
    fine, failed = points(server, request(), request(), request(status=500, error_type="ValueError"))
    assert (fine["name"], fine["unit"], fine["shape"]) == (REQUEST, "s", "histogram")
    assert fine["attributes"] == {
        "http.request.method": "GET",
        "http.route": "/users/{id}",
        "http.response.status_code": 200,
    }
    assert (fine["point"].count, round(fine["point"].sum, 9)) == (2, 0.04)
    assert failed["attributes"]["http.response.status_code"] == 500
    assert failed["attributes"]["error.type"] == "ValueError"


def test_other_timings_have_their_labels_as_they_are(server):
    """In a histogram of their name; those without labels stay in that of functions."""
    labelled = Metric({"name": "job", "value": 5.0, "queue": "mail", "timestamp": MOMENT}, labels=("queue", "absent"))
    plain = Metric({"name": "shop.pay", "value": 5.0, "timestamp": MOMENT})
    found = {entry["name"]: entry["attributes"] for entry in points(server, labelled, plain)}
    assert found == {"job": {"queue": "mail"}, DURATION: {"code.function.name": "shop.pay"}}


def test_events_and_gauges_have_their_labels(server):
    """Beside the fields that are configured, each once."""
    error = Metric(
        {"name": "error", "type": "E", "place": "shop:3", "region": "eu", "timestamp": MOMENT},
        kind="event",
        labels=("type", "place", "region"),
    )
    check = Metric(
        {"name": "health.check", "service": "db", "value": 3.0}, kind="gauge", unit="ms", labels=("service",)
    )
    event, gauge = points(server, error, error, check, attributes=["region"])
    assert event["attributes"] == {"type": "E", "place": "shop:3", "region": "eu"}
    assert len(event["point"].attributes) == 3
    assert number_of(event["point"]) == 2
    assert gauge["attributes"] == {"service": "db"}


def test_series_are_bounded(server):
    """Beyond the limit the series of a name count together."""
    found = points(server, *(request(route=f"/{number}") for number in range(5)), max_series=2)
    assert [entry["point"].count for entry in found] == [1, 1, 3]
    assert found[2]["attributes"] == {"otel.metric.overflow": True}
    assert found[2]["name"] == REQUEST
